"""The filters of `prune report`: `task=squad group=block_shapes density<0.5 family~hybrid`.

FIELD OP VALUE. A field is a column of the frame or an alias below.
  =  !=       equal, without regard to case; alternatives as a,b; a range of numbers: 1.3..2, ..0.5
  <  <= > >=  numbers; a shell needs quotes around these
  ~           has a word that starts so, without regard to case; alternatives as a,b
"""

import math
import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.frame import Cell
from analysis.pareto import Mask
from prune.errors import UsageError, unknown
from prune.records import Latency

ALIASES = {
    "density": "nonzero_density",
    "size": "size_mb",
    "latency": "pruned_ms",
    "run": "run_id",
    "sweep": "group",
    "lambda": "penalty",
}
COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
CELL_FIELDS = ("batch", "length", "runtime")  # these choose which latency cell a row shows
_GRAMMAR = re.compile(r"([A-Za-z_]\w*)\s*(<=|>=|!=|=|<|>|~)(.*)", re.DOTALL)
_EXAMPLE = "a filter is FIELD OP VALUE, < and > quoted: task=squad 'density<0.5' family~hybrid"


@dataclass(frozen=True)
class Filter:
    field: str
    op: str
    values: tuple[str, ...]  # alternatives; never empty

    def __str__(self) -> str:
        return f"{self.field}{self.op}{','.join(self.values)}"


def parse(text: str) -> Filter:
    """One filter. Raises UsageError; whether the field exists is for `select` to say."""
    match = _GRAMMAR.fullmatch(text.strip())
    if not match:
        raise UsageError(f"{text!r} is not a filter: {_EXAMPLE}")
    field, op, rest = match.groups()
    values = tuple(value.strip() for value in rest.split(","))
    if not all(values):
        raise UsageError(f"{text!r} has an empty value: {_EXAMPLE}")
    if op[0] in "<>" and (len(values) > 1 or not _is_number(values[0])):
        raise UsageError(f"{text!r}: {op} takes one number, not {rest.strip()!r}")
    return Filter(field, op, values)


def select(table: pd.DataFrame, filters: Sequence[Filter]) -> pd.DataFrame:
    """The rows that every filter accepts. Raises UsageError on an unknown field or a wrong kind."""
    keep = np.ones(len(table), dtype=bool)
    for one in filters:
        column = ALIASES.get(one.field, one.field)
        if column not in table:
            raise UsageError(unknown("field", one.field, {*table.columns, *ALIASES}))
        number = pd.api.types.is_numeric_dtype(table[column])
        keep &= _numbers(table[column], one) if number else _texts(table[column], one)
    return table[keep]


def cell_of(filters: Sequence[Filter]) -> Cell | None:
    """What `frame` takes to pick a latency cell, if a filter speaks of one."""
    about = [one for one in filters if one.field in CELL_FIELDS]
    if not about:
        return None

    def accepts(cell: Latency) -> bool:
        row = {name: [getattr(cell, name)] for name in CELL_FIELDS}
        return len(select(pd.DataFrame(row), about)) == 1

    known: dict[tuple[int, int, str], bool] = {}

    def remembered(cell: Latency) -> bool:
        key = (cell.batch, cell.length, cell.runtime)
        if key not in known:
            known[key] = accepts(cell)
        return known[key]

    return remembered


def _numbers(column: "pd.Series[float]", one: Filter) -> Mask:
    values = column.to_numpy(dtype=float)
    if one.op in ("=", "!="):
        keep = np.zeros(len(values), dtype=bool)
        for low, high in (_range(one, value) for value in one.values):
            keep |= (values >= low) & (values <= high)
        return keep if one.op == "=" else ~keep
    if one.op == "~":
        raise UsageError(f"{str(one)!r}: {one.field} is a number; use = != < <= > >=")
    bound = float(one.values[0])
    return np.asarray(COMPARE[one.op](values, bound), dtype=bool)


def _texts(column: "pd.Series[str]", one: Filter) -> Mask:
    if one.op[0] in "<>":
        raise UsageError(f"{str(one)!r}: {one.field} is text; use = != ~")
    # From the start of a word: `structured` is not `unstructured`.
    starts = "|".join(rf"(?<!\w){re.escape(value)}" for value in one.values)
    whole = "|".join(map(re.escape, one.values))
    match = re.compile(starts, re.I).search if one.op == "~" else re.compile(whole, re.I).fullmatch
    fits = {text: match(text) is not None for text in map(str, column.unique())}
    keep = np.asarray(column.map(fits), dtype=bool)
    return ~keep if one.op == "!=" else keep


def _range(one: Filter, value: str) -> tuple[float, float]:
    low, dots, high = value.partition("..")
    ends = (low or "-inf", high or "inf") if dots and value != ".." else (value, value)
    if not all(_is_number(end) or end in ("-inf", "inf") for end in ends):
        raise UsageError(f"{str(one)!r}: {one.field} is a number or a range like 1.3..2 or ..0.5")
    near = 1e-9  # 0.1 + 0.2 should still equal 0.3
    first, last = float(ends[0]), float(ends[1])
    return first - near * abs(first), last + near * abs(last)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
