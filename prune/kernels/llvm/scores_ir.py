"""What all passes over scores whose masks M are numbers have in common: M is never stored.

concrete_ir, fours_ir    hard concrete masks; 2 of every 4
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from prune.kernels.llvm import vectors
from prune.kernels.llvm.text import Function, kinds
from prune.kernels.llvm.work import arguments, entry, openmp, team

ARGUMENTS = kinds(
    "ptr scores, i64 offset, i64 word, i64 other, ptr weights, ptr gradient, ptr out, ptr highest, "
    "i64 stride, i64 factor, i64 rows, i64 columns, "
    "ptr beside, ptr sums, i64 sums_stride, i64 height, i64 width"
)
Values = dict[str, str]


def module(work: str) -> str:
    """The IR of `work` and `team`."""
    parts = [openmp(), vectors.DECLARATIONS, work, team(), vectors.PAST_CACHES]
    return "\n".join(parts)


def start() -> tuple[Function, Values, Callable[[], AbstractContextManager[str]]]:
    """`work`, its arguments, and the loop over the rows of a thread."""
    f = entry()
    a = arguments(f, ARGUMENTS)
    low = f.div(f.mul(a["rows"], "%thread"), "%threads")
    high = f.div(f.mul(a["rows"], f.add("%thread", 1)), "%threads")
    return f, a, lambda: f.loop(low, high)


@contextmanager
def columns(f: Function, a: Values, row: str, step: int) -> Iterator[str]:
    """Numbers of one row as places in the whole matrix, `step` by `step`."""
    start = f.mul(row, a["columns"])
    with f.loop(start, f.add(start, a["columns"]), step) as i:
        yield i


def end(f: Function) -> str:
    vectors.seen_by_all(f)
    return f.text()
