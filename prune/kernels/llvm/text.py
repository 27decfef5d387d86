"""Writes LLVM IR: numbered values, loops and branches over stack slots, which become registers.

All address arithmetic is in bytes, on 64-bit integers; LLVM's own passes find the short forms.
"""

from collections.abc import Iterator
from contextlib import contextmanager


def kinds(parameters: str) -> dict[str, str]:
    """ "ptr x, i64 count" -> {"x": "ptr", "count": "i64"}"""
    words = [parameter.split() for parameter in parameters.split(", ")]
    return {name: kind for kind, name in words}


class Function:
    """The text of one function, grown line by line; `ptr` is LLVM's only pointer type."""

    def __init__(self, name: str, parameters: str, public: bool = False) -> None:
        """parameters: "ptr x, i64 count"."""
        linkage = "" if public else "internal "
        listed = ", ".join(f"{kind} %{name}" for name, kind in kinds(parameters).items())
        self.head = f"define {linkage}void @{name}({listed}) nounwind {{\nentry:"
        self.slots: list[str] = []
        self.lines: list[str] = []
        self.count = 0

    def text(self) -> str:
        return "\n".join([self.head, *self.slots, *self.lines, "  ret void", "}", ""])

    def name(self) -> str:
        self.count += 1
        return f"%v{self.count}"

    def do(self, line: str) -> None:
        self.lines.append(f"  {line}")

    def let(self, expression: str) -> str:
        name = self.name()
        self.do(f"{name} = {expression}")
        return name

    def slot(self, kind: str) -> str:
        """A variable. It stands in the entry block, where LLVM looks for those to keep."""
        name = self.name()
        self.slots.append(f"  {name} = alloca {kind}")
        return name

    def load(self, kind: str, pointer: str, align: int = 0) -> str:
        return self.let(f"load {kind}, ptr {pointer}" + (f", align {align}" if align else ""))

    def store(self, kind: str, value: str, pointer: str, align: int = 0) -> None:
        self.do(f"store {kind} {value}, ptr {pointer}" + (f", align {align}" if align else ""))

    # --- integers and addresses ---------------------------------------------------------------

    def add(self, a: object, b: object) -> str:
        return self.let(f"add i64 {a}, {b}")

    def sub(self, a: object, b: object) -> str:
        return self.let(f"sub i64 {a}, {b}")

    def mul(self, a: object, b: object) -> str:
        return self.let(f"mul i64 {a}, {b}")

    def div(self, a: object, b: object) -> str:
        return self.let(f"sdiv i64 {a}, {b}")

    def rem(self, a: object, b: object) -> str:
        return self.let(f"srem i64 {a}, {b}")

    def compare(self, how: str, a: object, b: object, kind: str = "i64") -> str:
        return self.let(f"icmp {how} {kind} {a}, {b}")

    def least(self, a: object, b: object) -> str:
        return self.let(f"select i1 {self.compare('slt', a, b)}, i64 {a}, i64 {b}")

    def most(self, a: object, b: object) -> str:
        return self.let(f"select i1 {self.compare('sgt', a, b)}, i64 {a}, i64 {b}")

    def at(self, pointer: str, *offsets: object) -> str:
        """`pointer` moved by the sum of `offsets`, in bytes."""
        for offset in offsets:
            if offset != 0:
                pointer = self.let(f"getelementptr i8, ptr {pointer}, i64 {offset}")
        return pointer

    def number(self, pointer: str, place: object) -> str:
        """The 32-bit integer at `place` of a list, as 64 bits."""
        value = self.load("i32", self.at(pointer, self.mul(place, 4)))
        return self.let(f"sext i32 {value} to i64")

    # --- control ------------------------------------------------------------------------------

    @contextmanager
    def loop(self, start: object, stop: object, step: object = 1) -> Iterator[str]:
        """`for index in range(start, stop, step)`; gives the index."""
        slot, label = self.slot("i64"), self.name()[1:]
        self.store("i64", str(start), slot)
        self._label(f"{label}.test")
        index = self.load("i64", slot)
        test = self.compare("slt", index, stop)
        self.do(f"br i1 {test}, label %{label}.body, label %{label}.end")
        self.lines.append(f"{label}.body:")
        yield index
        self.store("i64", self.add(index, step), slot)
        self.do(f"br label %{label}.test")
        self.lines.append(f"{label}.end:")

    @contextmanager
    def when(self, test: str) -> Iterator[None]:
        label = self.name()[1:]
        self.do(f"br i1 {test}, label %{label}.then, label %{label}.end")
        self.lines.append(f"{label}.then:")
        yield
        self._label(f"{label}.end")

    def _label(self, label: str) -> None:
        self.do(f"br label %{label}")
        self.lines.append(f"{label}:")
