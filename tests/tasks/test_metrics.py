"""Metrics against slow references that follow the definitions one example at a time."""

import itertools
import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prune.tasks import entities, metrics

PAIRS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=30)
CLASSES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30)
SCORES = st.lists(st.tuples(st.integers(-6, 6), st.integers(0, 5)), min_size=2, max_size=30)


def slow_f1(pairs: Sequence[tuple[int, int]], positive: int) -> float:
    found = sum(p == positive and r == positive for p, r in pairs)
    if not found:
        return 0.0
    precision = found / sum(p == positive for p, _ in pairs)
    recall = found / sum(r == positive for _, r in pairs)
    return 200 * precision * recall / (precision + recall)


def slow_matthews(pairs: Sequence[tuple[int, int]]) -> float:
    tp, tn = pairs.count((1, 1)), pairs.count((0, 0))
    fp, fn = pairs.count((1, 0)), pairs.count((0, 1))
    scale = math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return 100 * (tp * tn - fp * fn) / scale if scale else 0.0


def slow_pearson(pairs: Sequence[tuple[float, float]]) -> float:
    n = len(pairs)
    x, y = sum(p for p, _ in pairs) / n, sum(r for _, r in pairs) / n
    scale = math.sqrt(sum((p - x) ** 2 for p, _ in pairs) * sum((r - y) ** 2 for _, r in pairs))
    return 100 * sum((p - x) * (r - y) for p, r in pairs) / scale if scale > 1e-9 else 0.0


def slow_ranks(values: Sequence[float]) -> list[float]:
    """1 + how many are smaller + half of the others that are equal."""
    return [1 + sum(w < v for w in values) + (sum(w == v for w in values) - 1) / 2 for v in values]


@settings(deadline=None)
@given(PAIRS)
def test_two_classes(pairs: list[tuple[int, int]]) -> None:
    names = ("accuracy", "f1", "matthews")
    found = metrics.score(names, [p for p, _ in pairs], [r for _, r in pairs])
    assert found["accuracy"] == pytest.approx(100 * sum(p == r for p, r in pairs) / len(pairs))
    assert found["f1"] == pytest.approx(slow_f1(pairs, 1))
    assert found["matthews"] == pytest.approx(slow_matthews(pairs), abs=1e-6)


@settings(deadline=None)
@given(CLASSES)
def test_macro_f1(pairs: list[tuple[int, int]]) -> None:
    found = metrics.score(["macro_f1"], [p for p, _ in pairs], [r for _, r in pairs])
    classes = {value for pair in pairs for value in pair}
    assert found["macro_f1"] == pytest.approx(
        sum(slow_f1(pairs, c) for c in classes) / len(classes)
    )


@settings(deadline=None)
@given(SCORES)
def test_correlations(pairs: list[tuple[int, int]]) -> None:
    ours, theirs = [p / 3 for p, _ in pairs], [float(r) for _, r in pairs]
    found = metrics.score(("pearson", "spearman"), ours, theirs)
    assert found["pearson"] == pytest.approx(
        slow_pearson(list(zip(ours, theirs, strict=True))), abs=1e-6
    )
    ranks = list(zip(slow_ranks(ours), slow_ranks(theirs), strict=True))
    assert found["spearman"] == pytest.approx(slow_pearson(ranks), abs=1e-6)


def test_a_constant_prediction_correlates_with_nothing() -> None:
    assert metrics.score(("pearson", "matthews"), [0.1, 0.1, 0.1], [0, 1, 1]) == {
        "pearson": 0,
        "matthews": 0,
    }


# --- entities ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O B-PER I-PER O", [("PER", 1, 2)]),
        ("B-PER B-PER", [("PER", 0, 0), ("PER", 1, 1)]),
        ("I-PER I-PER B-PER", [("PER", 0, 1), ("PER", 2, 2)]),  # IOB1
        ("I-PER I-LOC", [("PER", 0, 0), ("LOC", 1, 1)]),
        ("B-PER O I-PER", [("PER", 0, 0), ("PER", 2, 2)]),
        ("B-PER E-PER S-PER I-PER", [("PER", 0, 1), ("PER", 2, 2), ("PER", 3, 3)]),  # IOBES
        ("B-a-b I-a-b L-a-b U-a-b", [("a-b", 0, 2), ("a-b", 3, 3)]),  # BILOU, a dash in the type
        ("NOUN VERB NOUN", [("NOUN", 0, 0), ("VERB", 1, 1), ("NOUN", 2, 2)]),
        ("", []),
    ],
)
def test_entities_of_every_scheme(tags: str, expected: list[entities.Entity]) -> None:
    assert entities.entities(tags.split()) == expected


TAGS = st.lists(
    st.sampled_from([*(f"{p}-{t}" for p in "BIES" for t in ("X", "Y")), "O"]), max_size=10
)


def slow_entities(tags: list[str]) -> set[tuple[str, int, int]]:
    """A stretch is an entity if it is of one type, unbroken inside, and broken at both ends."""

    def broken(place: int) -> bool:
        """Whether no entity crosses the gap before `place`."""
        if place in (0, len(tags)) or "O" in tags[place - 1 : place + 1]:
            return True
        (last, kind), (first, other) = (tag.split("-") for tag in tags[place - 1 : place + 1])
        return kind != other or last in "ES" or first in "BS"

    return {
        (tags[a][2:], a, b)
        for a, b in itertools.combinations_with_replacement(range(len(tags)), 2)
        if tags[a] != "O"
        and broken(a)
        and broken(b + 1)
        and not any(broken(gap) for gap in range(a + 1, b + 1))
    }


@settings(deadline=None)
@given(TAGS)
def test_entities_are_what_the_definition_says(tags: list[str]) -> None:
    found = entities.entities(tags)
    assert set(found) == slow_entities(tags) and len(set(found)) == len(found)


@settings(deadline=None)
@given(st.lists(st.tuples(TAGS, TAGS), min_size=1, max_size=5))
def test_entity_f1(sentences: list[tuple[list[str], list[str]]]) -> None:
    pairs = [(p[: len(r)], r[: len(p)]) for p, r in sentences]
    right = sum(len(slow_entities(p) & slow_entities(r)) for p, r in pairs)
    given_, wanted = (sum(len(slow_entities(s[side])) for s in pairs) for side in (0, 1))
    found = entities.score([p for p, _ in pairs], [r for _, r in pairs])
    assert found["f1"] == pytest.approx(200 * right / (given_ + wanted) if right else 0)
    assert found["precision"] == pytest.approx(100 * right / given_ if right else 0)
    assert found["recall"] == pytest.approx(100 * right / wanted if right else 0)
