"""The grammar of filters: what it accepts, and what it says to the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.filters import Filter, parse, select
from analysis.frame import frame
from prune.errors import UsageError
from tests.analysis.synthetic import store

OPERATORS = ["=", "!=", "<", "<=", ">", ">=", "~"]
TABLE = frame([*store(40), *store(20, "toy")])
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
words = st.text(
    st.characters(exclude_characters=",", exclude_categories=["Cs"]), min_size=1, max_size=12
).filter(lambda text: text == text.strip() and text)


@given(names, st.sampled_from(["=", "!=", "~"]), st.lists(words, min_size=1, max_size=3))
def test_what_is_written_is_read_back(field: str, op: str, values: list[str]) -> None:
    one = Filter(field, op, tuple(values))
    assert parse(str(one)) == one


@given(names, st.sampled_from(["<", "<=", ">", ">="]), st.floats(-1e6, 1e6))
def test_comparisons_are_read_back(field: str, op: str, bound: float) -> None:
    one = parse(f"{field} {op} {bound!r}")
    assert (one.field, one.op, float(one.values[0])) == (field, op, bound)


@given(st.text(max_size=40))
def test_any_text_is_a_filter_or_one_clear_error(text: str) -> None:
    try:
        one = parse(text)
    except UsageError as error:
        assert len(str(error).splitlines()) <= 1 + len(text.splitlines())
    else:
        assert parse(str(one)) == one


@given(st.sampled_from(list(TABLE.columns)), st.sampled_from(OPERATORS), words)
def test_any_filter_selects_or_says_why_not(field: str, op: str, value: str) -> None:
    try:
        found = select(TABLE, [parse(f"{field}{op}{value}")])
    except UsageError:
        return
    assert len(found) <= len(TABLE)


@given(st.floats(0, 1))
def test_a_comparison_and_its_opposite_part_the_rows(bound: float) -> None:
    below, rest = (select(TABLE, [parse(f"density{op}{bound!r}")]) for op in ("<", ">="))
    assert len(below) + len(rest) == len(TABLE)
    assert (below["nonzero_density"] < bound).all() and (rest["nonzero_density"] >= bound).all()


def count(*texts: str) -> int:
    return len(select(TABLE, [parse(text) for text in texts]))


def test_words_are_compared_without_case_and_with_alternatives() -> None:
    assert count("task=squad") == count("task=SQuAD") == 41
    assert count("task=squad,toy") == len(TABLE) == count("task!=nothing")
    assert count("task!=toy") == 41
    assert count("family~hybrid") == 8 + 4 == count("family=hybrid 32x32")
    assert count("family~hybrid,structured", "task=toy") == 8


def test_numbers_have_ranges_and_short_names() -> None:
    assert count("density=..0.5") == count("nonzero_density<=0.5")
    assert count("speedup=1.3..2") == count("speedup>=1.3", "speedup<=2")
    assert count("seed=0,2") + count("seed=1") == len(TABLE)
    assert count("seed!=0") == count("seed=1,2")
    assert count("size<300") == count("size_mb<300") and count("sweep=single") == 2


def test_a_number_that_was_computed_still_equals() -> None:
    table = TABLE.assign(nonzero_density=0.1 + 0.2)
    assert len(select(table, [parse("density=0.3")])) == len(TABLE)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("speedup", "is not a filter"),
        ("=3", "is not a filter"),
        ("task=", "empty value"),
        ("task=a,,b", "empty value"),
        ("density<x", "takes one number"),
        ("density<nan", "takes one number"),
        ("density<1,2", "takes one number"),
        ("spedup>1", "did you mean speedup?"),
        ("task<3", "task is text"),
        ("density~3", "density is a number"),
        ("density=a..b", "a range like"),
        ("density=..", "a range like"),
    ],
)
def test_a_wrong_filter_is_one_line_with_the_next_step(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason.replace("?", r"\?")):
        select(TABLE, [parse(text)])
