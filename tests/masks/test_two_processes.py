"""Data-parallel training: two processes on gloo are one process with the whole batch."""

import socket
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from prune.masks.algorithms import L0, Ampere, TopK
from prune.masks.geometry import Block, Rows
from prune.masks.policy import Policy, Rule
from prune.masks.pruner import Pruner
from prune.masks.schedule import Schedule
from tests.cases import Mlp

STEPS = 8
RULES = [
    Rule("value", L0(), Block(4, 4), part="attention"),  # its noise must be the same everywhere
    Rule("output", TopK(0.4), Block(1, 1), part="attention"),
    Rule("inner", TopK(0.4), Rows(), share="ffn"),
    Rule("outer", TopK(0.4), Rows(), share="ffn", flipped=True),
    Rule("inner", Ampere(), Block(1, 1)),
]


def train(rank: int, world: int, results: Path | None = None) -> dict[str, Tensor]:
    """Train on this rank's share of each batch; the state of model and pruner at the end."""
    torch.manual_seed(0)
    model = Mlp().double()
    policy = Policy(rules=RULES, schedule=Schedule(warmup_steps=1, final=2), penalty=1.0)
    pruner = Pruner(model, policy, STEPS)
    optimizer = torch.optim.AdamW(pruner.parameter_groups(lr=1e-2, scores_lr=5e-2))
    pruner.attach(optimizer)
    network: nn.Module = DistributedDataParallel(model) if world > 1 else model
    for number in range(STEPS):
        x, y = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(number)).double()
        optimizer.zero_grad()
        (network(x[rank::world]) - y[rank::world]).square().mean().backward()
        optimizer.step()
    state = {**model.state_dict(), **pruner.state_dict()}
    if results is not None:
        torch.save(state, results / f"{rank}.pt")
    return state


def process(rank: int, world: int, port: int, results: Path) -> None:
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", address, rank=rank, world_size=world)
    train(rank, world, results)
    torch.distributed.destroy_process_group()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="torch without gloo")
def test_two_processes_are_one(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(process, (2, free_port(), tmp_path), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    alone = train(0, 1)
    for name, tensor in alone.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], tensor, rtol=0, atol=1e-9, msg=name)
