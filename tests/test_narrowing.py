"""Cutting off what is dead changes nothing: not the function, not where the rest of it goes."""

import re
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from transformers import TrainerState

import prune
from prune.artifact import example
from prune.config import ShrinkConfig
from prune.cutting import narrow
from prune.masks.algorithms import Magnitude, SigmoidThreshold, TopK
from prune.masks.anatomy import Anatomy
from prune.masks.geometry import Block, Heads, Rows
from prune.masks.narrow import granule
from prune.masks.policy import Part, Policy
from prune.masks.pruner import Pruner
from prune.narrowing import Narrowing
from prune.training.target import Goal, steer
from tests.networks import NETWORKS

POLICIES = {
    "hybrid": Policy(
        Part(SigmoidThreshold(min_density=0), Block(4, 4)),
        Part(SigmoidThreshold(min_density=0), Rows(), sharing="pair"),
        penalty=3.0,
    ),
    "structured topk": Policy(
        Part(TopK(0.5), Heads()), Part(TopK(0.5), Rows(), sharing="pair"), penalty=3.0
    ),
    "pooled": Policy(
        Part(TopK(0.5), Heads(), pooled=True),
        Part(TopK(0.5), Rows(), sharing="pair", pooled=True),
    ),
    "magnitude": Policy(ffn=Part(Magnitude(0.5), Rows(), sharing="pair")),
    "2:4 and blocks": Policy(
        Part(SigmoidThreshold(min_density=0), Block(8, 32), ampere=True),
    ),
}
STEPS = 40


class Run:
    """A network in the middle of its pruning, in float64: some of it is dead for good."""

    def __init__(self, name: str, policy: Policy) -> None:
        self.model = NETWORKS[name](0).double()
        self.pruner = prune.Pruner(self.model, policy, steps=STEPS)
        torch.manual_seed(1)
        for tie in self.pruner.ties:
            if tie.scores is not None:
                nn.init.normal_(tie.scores)
                order = torch.rand(tie.scores.numel()).argsort()  # half of them, whatever happens
                tie.scores.data.view(-1)[order[: len(order) // 2]] -= 50.0
        self.pruner.step = STEPS // 2
        self.pruner.apply()
        groups = self.pruner.parameter_groups(lr=1e-5, scores_lr=1e-2, weight_decay=0.01)
        self.optimizer = torch.optim.AdamW(groups)
        self.pruner.attach(self.optimizer)
        batch = example.inputs(self.model)
        self.batch = {k: v.double() if v.is_floating_point() else v for k, v in batch.items()}

    def outputs(self) -> list[Tensor]:
        found = self.model(**self.batch)
        return [found[name] for name in found if re.search("logits|last_hidden_state", name)]

    def train(self, steps: int) -> Tensor:
        """The outputs after `steps` steps, as one vector."""
        for _ in range(steps):
            loss = torch.stack([v.pow(2).mean() for v in self.outputs()]).sum()
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
        with torch.no_grad():
            return torch.cat([v.reshape(-1) for v in self.outputs()])

    def narrow(self) -> None:
        anatomy = Anatomy(self.model)
        stays = []
        for layer, live in zip(anatomy.layers, anatomy.live(self.pruner), strict=True):
            each = granule(self.pruner, layer, len(live))
            stays.append(live.view(-1, each).any(1).repeat_interleave(each))
        assert not all(kept.all() for kept in stays), "nothing to cut off: the test shows nothing"
        narrow(self.model, self.pruner, self.optimizer, anatomy.layers, stays)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_left_goes_where_it_would_have_gone(name: str) -> None:
    whole, narrowed = (Run(name, POLICIES["hybrid"]) for _ in range(2))
    check(whole, narrowed)


def test_what_died_between_two_turns_of_the_dial_is_not_cut_off() -> None:
    run = Run("bert", POLICIES["hybrid"])
    for tie in run.pruner.ties:
        assert tie.scores is not None
        nn.init.normal_(tie.scores)
    run.pruner.step = STEPS * 3 // 4
    goal = Goal(Pruner.density, 0.6, "target.density=0.6")
    trainer = SimpleNamespace(pruner=run.pruner, optimizer=run.optimizer)
    said: list[str] = []
    narrowing = Narrowing(trainer, run.model, ShrinkConfig(patience=0.01), said.append, goal)
    run.pruner.dial = 3.5  # as if scores had moved since the last turn
    run.pruner.apply()
    assert run.pruner.density() < 0.3
    narrowing.on_step_end(None, TrainerState(global_step=run.pruner.step))
    assert said, "nothing was cut off: the test shows nothing"
    assert steer(run.pruner, goal) == pytest.approx(0.6, rel=0.03)


@pytest.mark.parametrize("policy", POLICIES)
def test_every_algorithm_goes_on(policy: str) -> None:
    whole, narrowed = (Run("bert", POLICIES[policy]) for _ in range(2))
    check(whole, narrowed)


def check(whole: Run, narrowed: Run) -> None:
    assert torch.equal(whole.train(3), narrowed.train(3))
    before = whole.pruner.density(), whole.pruner.penalty()
    size = sum(p.numel() for p in narrowed.model.parameters())
    narrowed.narrow()
    assert sum(p.numel() for p in narrowed.model.parameters()) < size
    assert narrowed.pruner.density() <= before[0] + 1e-12, "live queries of dead heads may go"
    assert narrowed.pruner.penalty() <= before[1] + 1e-12
    for steps in (0, 1, 5):
        # T5's layers share a table of position biases; if they lose heads, each gets its own.
        near = 1e-6 if steps and "T5" in type(whole.model).__name__ else 1e-9
        torch.testing.assert_close(whole.train(steps), narrowed.train(steps), rtol=0, atol=near)
    for run in (whole, narrowed):
        run.pruner.finish()
    small = [prune.shrink(run.model) for run in (whole, narrowed)]
    assert small[0].num_parameters() == small[1].num_parameters()
