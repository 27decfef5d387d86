"""A case of `block_sparse.py`; its table: a line a claim, a column for a type and threads."""

import itertools
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from common import Row, machine, read

IDEAL, IDEAL_BACKWARD, PARITY, NEVER_SLOWER, MEMORY = 0.85, 0.80, 1.0, 1.05, 1.05


@dataclass(frozen=True)
class Case(Row):
    """A row, and what it is about."""

    part: str
    threads: int
    dtype: str
    shape: str
    tokens: int
    block: int  # side
    density: float
    backend: str = ""
    way: str = "forward"  # or both
    memory: float = 0.0  # over density x that of the dense matrix; 0: was not looked at


Cases = Sequence[Case]
Line = tuple[str, str, Callable[[Cases], str]]  # what, the goal, what of a column's cases


def table(path: Path, file: Path) -> str:
    """A paragraph about what was measured, and the table; `file` is how the paragraph names it."""
    content, cases = read(path, Case)
    env = content["environment"]
    found = {(case.dtype, case.threads) for case in cases}
    keys = sorted(found, key=lambda key: (key[0] != "fp32", key))
    on_cpu = "device" not in env
    names = [f"{d}, {t} thread{'s' * (t > 1)}" if on_cpu else d for d, t in keys]
    dense = dict.fromkeys(f"{case.dtype} dense is {case.against}" for case in cases)
    tokens = {case.dtype: case.tokens for case in cases if case.part == "layer"}
    about = (
        f"{content['about']}: {machine(env)}, {env['cores']} cores, torch "
        f"{env['packages'].get('torch')}, {content['date']}; {', '.join(dense)}; a layer reads "
        f"{', '.join(f'{n:,} tokens in {d}' for d, n in tokens.items())} "
        f"([{file.name}](../benchmarks/{file}))."
    )
    columns = [[c for c in cases if (c.dtype, c.threads) == key] for key in keys]
    rows = [["", "goal", *names], ["---"] * (2 + len(names))]
    for what, goal, value in lines(cases):
        found = [value(column) for column in columns]
        if any(found):
            rows.append([what, goal, *found])
    return about + "\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows)


def goals(cases: Cases) -> list[tuple[tuple[str, str, str], str]]:
    """The claims about fp32 with their goals, for README's table, thread by thread."""
    found = []
    for threads in sorted({case.threads for case in cases}):
        column = [case for case in cases if (case.dtype, case.threads) == ("fp32", threads)]
        for what, goal, value in lines(column):
            if goal and (text := value(column)):
                dense = f"a dense layer, fp32, {threads} thread{'s' * (threads > 1)}"
                found.append(((f"block-sparse: {what}", dense, goal), text))
    return found


def lines(cases: Cases) -> list[Line]:
    """The claims, in order; a line without any value is left out."""
    found: list[Line] = []
    for case in (c for c in cases if c.part == "layer" and c.density != 0.25):
        same = picked(part="layer", density=case.density, block=case.block)
        what = f"a layer's six linears, {case.block}x{case.block}, density {case.density:g}: time"
        line = (what, f"≤ {PARITY:.2f}", value(same, PARITY))
        found += [line] if line[0] not in [other[0] for other in found] else []
    quarter = "the same, density 0.25: share of the ideal speedup"
    for way, name, goal in (
        ("forward", quarter, IDEAL),
        ("both", f"{quarter}, forward and backward", IDEAL_BACKWARD),
    ):
        layer = picked(part="layer", density=0.25, way=way)
        found.append((name, f"≥ {goal:.0%}", value(layer, goal, share=True)))
    found += [
        ("all shapes, tokens, blocks, density 0.25: that share, forward, median (least)",
         f"≥ {IDEAL:.0%}", shares(picked(part="grid", density=0.25), IDEAL)),
        ("forward and backward, median (least)", f"≥ {IDEAL_BACKWARD:.0%}",
         shares(picked(part="training", density=0.25), IDEAL_BACKWARD)),
        ("`auto`, all of these and all densities: time, most", f"≤ {NEVER_SLOWER}", slowest),
        ("memory over density, most", f"≤ {MEMORY}", heaviest),
    ]  # fmt: skip
    names = dict.fromkeys(c.backend for c in cases if c.part == "rivals")
    for name in names:
        what = f"3072x768 by {name}: time at density 0.1, 0.25, 0.5"
        found.append((what, "", each(picked(part="rivals", backend=name))))
    for name, what in (("auto", "an encoder by its blocks"), ("shrunk", "the same weights shrunk")):
        title = f"{what}: speedup at density 0.5, 0.25, 0.1"
        found.append((title, "", each(picked(part="models", backend=name), inverse=True)))
    return found


def picked(**facts: object) -> Callable[[Cases], list[Case]]:
    """The cases of a column with these fields."""

    def pick(column: Cases) -> list[Case]:
        return [c for c in column if all(getattr(c, k) == v for k, v in facts.items())]

    return pick


def value(
    pick: Callable[[Cases], list[Case]], goal: float, share: bool = False
) -> Callable[[Cases], str]:
    """One case with its interval: its ratio, or its share of the ideal speedup."""

    def shown(column: Cases) -> str:
        for case in pick(column):
            ratio, low, high = case.ratio, case.ratio_low, case.ratio_high
            if share:
                ratio, low, high = (case.density / r for r in (ratio, high, low))
                text = f"{ratio:.0%} ({low:.0%} to {high:.0%})"
                return text + missed(ratio >= goal)
            return f"{ratio:.3f} ({low:.3f} to {high:.3f})" + missed(ratio <= goal)
        return ""

    return shown


def shares(pick: Callable[[Cases], list[Case]], goal: float) -> Callable[[Cases], str]:
    def shown(column: Cases) -> str:
        found = [c.density / c.ratio for c in pick(column) if c.backend != "auto"]
        if not found:
            return ""
        middle = statistics.median(found)
        return f"{middle:.0%} ({min(found):.0%})" + missed(middle >= goal)

    return shown


def slowest(column: Cases) -> str:
    """`auto` is the kernel, or where it was measured apart another way."""
    grid = [case for case in column if case.part == "grid"]
    chosen = itertools.chain(
        (c for c in grid if c.backend == "auto"),
        (c for c in grid if c.backend != "auto" and not _has_auto(c, grid)),
    )
    return _most((case.ratio for case in chosen), NEVER_SLOWER)


def _has_auto(case: Case, grid: Cases) -> bool:
    return any(
        other.backend == "auto"
        and (other.shape, other.tokens, other.block, other.density)
        == (case.shape, case.tokens, case.block, case.density)
        for other in grid
    )


def heaviest(column: Cases) -> str:
    return _most((case.memory for case in column if case.memory), MEMORY)


def _most(values: Iterable[float], goal: float) -> str:
    most = max(values, default=0.0)
    return f"{most:.3f}" + missed(most <= goal) if most else ""


def each(pick: Callable[[Cases], list[Case]], inverse: bool = False) -> Callable[[Cases], str]:
    """The ratio at every density; or its inverse, a speedup."""

    def shown(column: Cases) -> str:
        ratios = [case.ratio for case in pick(column)]
        return ", ".join(f"{1 / r:.2f}x" if inverse else f"{r:.2f}" for r in ratios)

    return shown


def missed(met: bool) -> str:
    return "" if met else " **not met**"
