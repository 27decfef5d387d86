"""The sums of |W| that magnitude pruning ranks: in pieces they are what they are in one."""

from unittest.mock import patch

import hypothesis.strategies as st
import torch
from hypothesis import given, settings

from prune.masks import geometry
from prune.masks.geometry import Grid

few = st.integers(1, 6)


@settings(deadline=None)
@given(
    grid=st.builds(Grid, few, few),
    down=few,
    across=few,
    piece=st.integers(1, 60),
    turned=st.booleans(),
)
def test_sums_in_pieces(grid: Grid, down: int, across: int, piece: int, turned: bool) -> None:
    shape = (down * grid.rows, across * grid.columns)
    weights = torch.randn(shape[::-1]).T if turned else torch.randn(shape)
    with patch.object(geometry, "PIECE", piece):
        sums = grid.sum_sizes(weights)
    cells = weights.double().reshape(down, grid.rows, across, grid.columns)
    torch.testing.assert_close(sums.double(), cells.abs().sum((1, 3)), rtol=1e-6, atol=1e-6)
