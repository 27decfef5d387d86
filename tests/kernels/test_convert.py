"""Whole models: a plan that says what becomes of each layer, equal outputs, and the way back."""

import pytest
import torch
from torch import Tensor, nn

from prune.errors import PolicyError
from prune.kernels import BlockSparseLinear
from prune.kernels.convert import convert, plan, restore


def sparsified(linear: nn.Linear, density: float, side: int = 16) -> nn.Linear:
    """Its blocks cleared at random."""
    rows, columns = linear.out_features // side, linear.in_features // side
    keep = torch.rand(rows, columns) < density
    with torch.no_grad():
        linear.weight *= keep.repeat_interleave(side, 0).repeat_interleave(side, 1)
    return linear


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(64, 32)
        self.first = sparsified(nn.Linear(32, 64), 0.1)
        self.second = sparsified(nn.Linear(64, 32), 0.1)
        self.full = nn.Linear(32, 32)
        self.odd = nn.Linear(32, 33)
        self.again = self.second  # a shared layer
        self.tied = nn.Linear(32, 64, bias=False)
        self.tied.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        x: Tensor = self.second(self.first(self.embed(ids)).relu())
        x = self.full(self.again(self.first(x)))
        return torch.cat([self.odd(x), self.tied(x)], -1)


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net().eval()


def test_a_converted_model_gives_the_same_and_comes_back(net: Net) -> None:
    ids = torch.randint(64, (3, 5))
    with torch.no_grad():
        right = net(ids)
        sparse = convert(net, block=(16, 16), backend="rows")
        torch.testing.assert_close(sparse(ids), right)
        assert isinstance(sparse.first, BlockSparseLinear) and sparse.again is sparse.second
        assert type(net.first) is nn.Linear, "the model itself is as it was"
        back = restore(sparse)
        assert type(back.first) is nn.Linear and back.again is back.second
        for name, parameter in net.named_parameters():
            assert torch.equal(back.get_parameter(name), parameter), name


def test_the_plan_says_what_stays_dense_and_why(net: Net) -> None:
    choices = {choice.names[0]: choice for choice in plan(net, block=(16, 16))}
    assert choices["second"].names == ("second", "again")
    assert choices["full"].density == 1.0 and "as fast" in choices["full"].dense
    assert "does not divide 33x32" in choices["odd"].dense
    assert "same weight" in choices["tied"].dense
    assert choices["first"].density < 0.5
    forced = {c.names[0]: c for c in plan(net, block=(16, 16), backend="rows")}
    assert not forced["full"].dense


def test_each_layer_gets_the_blocks_that_suit_it(net: Net) -> None:
    net.first, net.second = (
        sparsified(nn.Linear(64, 128), 0.2, 32),
        sparsified(nn.Linear(128, 64), 0.2),
    )
    net.again = net.second
    found = {choice.names[0]: choice for choice in plan(net)}
    assert found["first"].block == (32, 32) and found["second"].block == (16, 16)
    assert found["odd"].block is None and "blocks of 16 do not divide 33x32" in found["odd"].dense
    sparse = convert(net)
    assert sparse.first.block == (32, 32) and sparse.second.block == (16, 16)


def test_a_pattern_is_matched_as_a_whole(net: Net) -> None:
    found = plan(net, r"first|again", block=(16, 16))
    assert [choice.names[0] for choice in found] == ["first", "second"]
    with pytest.raises(PolicyError, match=r"matches 'fir' as a whole \(there are: first"):
        plan(net, "fir")


def test_it_trains_on(net: Net) -> None:
    sparse = convert(net, block=(16, 16), backend="rows").train()
    sparse(torch.randint(64, (3, 5))).square().sum().backward()
    for name, parameter in sparse.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
