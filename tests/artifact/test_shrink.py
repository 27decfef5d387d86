"""The shrunk network has the logits of the masked one, whatever is dead."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prune.artifact.checkpoint import shape_of
from prune.artifact.shrink import check, shrink
from prune.errors import ShrinkError
from tests import tiny

NAMES = ("start_logits", "end_logits")


def kill(model: torch.nn.Module, seed: int, density: float) -> None:
    """Zero random head slices and neurons of each matrix on its own; biases stay alive."""
    generator = torch.Generator().manual_seed(seed)

    def alive(count: int) -> torch.Tensor:
        return torch.rand(count, generator=generator) < density

    with torch.no_grad():
        for layer in model.bert.encoder.layer:
            for linear in (
                layer.attention.self.query,
                layer.attention.self.key,
                layer.attention.self.value,
            ):
                linear.weight *= alive(4).repeat_interleave(8)[:, None]
            layer.attention.output.dense.weight *= alive(4).repeat_interleave(8)[None, :]
            layer.intermediate.dense.weight *= alive(48)[:, None]
            layer.output.dense.weight *= alive(48)[None, :]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    density=st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.8, 1.0]),
    round_to=st.sampled_from([1, 4, 16]),
)
def test_logits_are_equal(seed: int, density: float, round_to: int) -> None:
    model = tiny.bert(seed=seed)
    kill(model, seed, density)
    small = shrink(model, round_to)
    assert check(model, small, [tiny.batch(seed=seed)], NAMES) < 1e-5
    shape = shape_of(small)
    assert all(width % round_to == 0 for width in shape.widths)
    if density == 0:
        assert shape.heads == shape.widths == [0, 0]
    if density == 1:
        assert shape == shape_of(model)


def test_it_is_smaller_and_leaves_the_model_alone() -> None:
    model = tiny.bert()
    kill(model, 1, 0.5)
    before = {name: p.clone() for name, p in model.state_dict().items()}
    small = shrink(model)
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in model.parameters())
    assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())


def test_shrinking_twice_changes_nothing() -> None:
    model = tiny.bert()
    kill(model, 2, 0.4)
    once = shrink(model)
    assert shape_of(shrink(once)) == shape_of(once)
    assert check(once, shrink(once), [tiny.batch()], NAMES) == 0


def test_a_dead_query_alone_keeps_its_head() -> None:
    model = tiny.bert(layers=1)
    with torch.no_grad():
        model.bert.encoder.layer[0].attention.self.query.weight[:8] = 0
    small = shrink(model)
    assert shape_of(small).heads == [4]
    assert check(model, small, [tiny.batch()], NAMES) == 0


def test_a_bias_is_made_where_there_was_none_to_fold_into() -> None:
    model = tiny.bert(layers=1)
    layer = model.bert.encoder.layer[0]
    layer.output.dense.bias = None
    with torch.no_grad():
        layer.intermediate.dense.weight[:24] = 0
    small = shrink(model)
    assert small.bert.encoder.layer[0].output.dense.bias is not None
    assert check(model, small, [tiny.batch()], NAMES) < 1e-5


def test_a_difference_is_an_error_that_names_the_layer() -> None:
    model = tiny.bert()
    small = shrink(model)
    with torch.no_grad():
        small.bert.encoder.layer[1].output.dense.weight[:8] += 0.1
    with pytest.raises(ShrinkError, match=r"bert\.encoder\.layer\.1\.output\.dense"):
        check(model, small, [tiny.batch()], NAMES)
    with torch.no_grad():
        small.bert.encoder.layer[1].output.dense.weight[:] = float("nan")
    with pytest.raises(ShrinkError, match="differ by nan"):
        check(model, small, [tiny.batch()], NAMES)
