"""Patterns, indexes and blocks: each operation has its inverse, and damage is noticed."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prune.errors import KernelError
from prune.kernels.layout import Layout, to_values, to_weight
from prune.kernels.pattern import live_blocks, pattern_of, random_pattern, suiting
from tests.kernels.blocks import PATTERNS

patterns = st.tuples(
    st.sampled_from(sorted(PATTERNS)), st.integers(1, 6), st.integers(1, 6), st.integers(0, 99)
)


@given(patterns, st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_a_pattern_and_its_blocks_come_back(
    drawn: tuple[str, int, int, int], height: int, width: int
) -> None:
    name, rows, columns, seed = drawn
    torch.manual_seed(seed)
    pattern = PATTERNS[name](rows, columns)
    layout = Layout.of(pattern)
    layout.check()
    assert torch.equal(layout.pattern(), pattern)
    assert layout.live == int(pattern.sum())
    weight = torch.randn(rows * height, columns * width)
    mask = pattern.repeat_interleave(height, 0).repeat_interleave(width, 1)
    values = to_values(weight, layout)
    assert values.shape == (layout.live, width, height) and values.is_contiguous()
    assert torch.equal(to_weight(values, layout), weight * mask)
    for column in range(columns):  # the lists by columns name the same blocks
        begin, end = layout.column_start[column : column + 2].tolist()
        places = layout.order[begin:end].long()
        assert (layout.column_of[places] == column).all()
        assert torch.equal(layout.block_rows()[places].int(), layout.row_of[begin:end])


@pytest.mark.parametrize("change", ["outside", "negative", "unsorted", "short", "type", "order"])
def test_a_damaged_index_is_refused(change: str) -> None:
    layout = Layout.of(torch.eye(4, dtype=torch.bool))
    index = layout.index.clone()
    if change == "outside":
        index[5] = 4
    elif change == "negative":
        index[5] = -1
    elif change == "unsorted":
        index[1] = 3
    elif change == "short":
        index = index[:7]
    elif change == "type":
        index = index.long()
    else:
        index[-1] = 0
    with pytest.raises(KernelError, match="make the layer again"):
        Layout(index, 4, 4).check()


def test_patterns_are_found_given_or_drawn() -> None:
    pattern = torch.tensor([[True, False], [False, True], [True, True]])
    mask = pattern.repeat_interleave(32, 0).repeat_interleave(32, 1)
    weight = torch.randn(96, 64) * mask
    assert torch.equal(pattern_of(weight, (32, 32)), pattern)
    assert torch.equal(pattern_of(weight, pattern), pattern)
    assert torch.equal(pattern_of(weight, mask.float()), pattern)
    fine = pattern_of(weight, (16, 16))
    assert fine.shape == (6, 4) and int(fine.sum()) == 4 * int(pattern.sum())
    assert int(random_pattern((10, 10), 0.37).sum()) == 37


@given(
    st.sampled_from([(16, 16), (32, 16), (16, 64), (32, 32), (64, 64)]),
    st.floats(0, 1),
    st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_suiting_blocks_hold_about_as_few_weights_as_those_it_was_cut_in(
    size: tuple[int, int], density: float, seed: int
) -> None:
    torch.manual_seed(seed)
    grid = 256 // size[0], 192 // size[1]
    cut = random_pattern(grid, density).repeat_interleave(size[0], 0).repeat_interleave(size[1], 1)
    found = suiting(cut.float())
    assert found is not None and found[0] * found[1] >= 256
    held = int(live_blocks(cut, found).sum()) * found[0] * found[1]
    assert int(cut.sum()) <= held <= 1.02 * int(cut.sum())
    if 0.2 < density < 0.8:  # larger ones would hold more
        assert found[0] * found[1] >= size[0] * size[1]


def test_nothing_suits_what_16_does_not_divide() -> None:
    assert suiting(torch.ones(389, 768)) is None
    assert suiting(torch.ones(48, 96)) == (16, 32)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((48, 48), "do not divide 96x64"),
        (torch.ones(5, 5), "fits no blocks"),
        (torch.rand(96, 64) > 0.5, "not made of blocks"),
        ((32,), "height, width"),
    ],
    ids=["block", "mask", "ragged", "one"],
)
def test_what_does_not_fit_is_refused(given: object, message: str) -> None:
    with pytest.raises(KernelError, match=message):
        pattern_of(torch.randn(96, 64), given)  # type: ignore[arg-type]


def test_a_density_is_a_share() -> None:
    with pytest.raises(KernelError, match=r"not in \[0, 1\]"):
        random_pattern((2, 2), 1.5)
