"""A run that is steered ends where it was told to, whatever algorithm it prunes with."""

import pytest
import torch

import prune
from prune.errors import ConfigError
from prune.masks.algorithms import L0, Algorithm, Magnitude, SigmoidThreshold, Threshold, TopK
from prune.masks.anatomy import Anatomy
from prune.masks.geometry import Block, Geometry, Rows
from prune.masks.groups import OFF
from prune.masks.policy import Part, Policy
from prune.masks.pruner import Pruner
from prune.masks.schedule import Schedule
from prune.training.target import CORRECTIONS, Goal, corrections, reach, steer
from tests import tiny

STEPS = 24
ALGORITHMS = {
    "l0": L0(),
    "magnitude": Magnitude(),
    "sigmoid_threshold": SigmoidThreshold(),
    "threshold": Threshold(),
    "topk": TopK(),
}


def policy(algorithm: Algorithm, attention: Geometry, **more: object) -> Policy:
    return Policy(
        Part(algorithm, attention),
        Part(algorithm, Rows(), sharing="pair"),
        schedule=Schedule(warmup_steps=2, final=3),
        **more,  # type: ignore[arg-type]
    )


def trained(pruner: Pruner, goal: Goal, first: int = 0, last: int = STEPS) -> list[float]:
    """Train from step to step, steered after each; the costs that were met."""
    optimizer = torch.optim.SGD(pruner.parameter_groups(lr=1e-2, scores_lr=1.0))
    pruner.attach(optimizer)
    costs = []
    for step in range(first, last):
        optimizer.zero_grad()
        pruner.model(**tiny.labelled(seed=step)).loss.backward()
        optimizer.step()
        costs.append(steer(pruner, goal))
    pruner.detach()
    return costs


@pytest.mark.parametrize("share", [0.2, 0.6])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_density_is_met_by_every_algorithm(name: str, share: float) -> None:
    pruner = Pruner(tiny.bert(), policy(ALGORITHMS[name], Block(4, 4)), STEPS)
    costs = trained(pruner, Goal(Pruner.density, share, "target.density"))
    pruner.finish()
    assert pruner.density() == pytest.approx(share, rel=0.03)
    assert costs[0] == 1.0 and min(costs) >= 0.97 * share


@pytest.mark.parametrize("name", ALGORITHMS)
def test_what_can_be_reached_is_not_refused(name: str) -> None:
    pruner = Pruner(tiny.bert(), policy(ALGORITHMS[name], Block(4, 4)), STEPS)
    reach(pruner, Goal(Pruner.density, 0.05, "target.density"))
    assert pruner.dial == OFF, "looking changes nothing"


def test_on_the_way_the_cost_follows_the_ramp() -> None:
    pruner = Pruner(tiny.bert(), policy(SigmoidThreshold(), Block(2, 2)), STEPS)
    costs = trained(pruner, Goal(Pruner.density, 0.25, "target.density"))
    wanted = [1 - 0.75 * pruner.ramp.progress(step + 1) for step in range(STEPS)]
    assert costs == pytest.approx(wanted, abs=0.02)


@pytest.mark.parametrize("name", ["sigmoid_threshold", "topk"])
def test_a_number_of_parameters_is_met(name: str) -> None:
    model = tiny.bert()
    anatomy = Anatomy(model)
    goal = Goal(lambda p: anatomy.left(p).parameters / anatomy.parameters, 0.7, "target.params=0.7")
    pruner = Pruner(model, policy(ALGORITHMS[name], Rows()), STEPS)
    trained(pruner, goal)
    pruner.finish()
    assert prune.shrink(model).num_parameters() / anatomy.parameters == pytest.approx(0.7, abs=0.03)


def test_a_goal_out_of_reach_is_refused_with_what_can_be_reached() -> None:
    only_ffn = Policy(ffn=Part(TopK(), Rows(), sharing="pair"))
    model = tiny.bert()
    anatomy = Anatomy(model)
    pruner = Pruner(model, only_ffn, STEPS * 10)
    before = {name: mask.clone() for name, mask in pruner.masks().items()}
    goal = Goal(lambda p: anatomy.left(p).parameters / anatomy.parameters, 0.1, "target.params=9")
    with pytest.raises(ConfigError, match=r"target.params=9 cannot be reached: .* is left and 10%"):
        reach(pruner, goal)
    assert pruner.dial == OFF
    for name, mask in pruner.masks().items():
        assert torch.equal(mask, before[name])


def test_a_resumed_run_is_steered_on() -> None:
    goal = Goal(Pruner.density, 0.3, "target.density")
    straight = Pruner(tiny.bert(), policy(SigmoidThreshold(), Block(4, 4)), STEPS)
    trained(straight, goal)
    first = Pruner(tiny.bert(), policy(SigmoidThreshold(), Block(4, 4)), STEPS)
    trained(first, goal, last=10)
    second = Pruner(tiny.bert(), policy(SigmoidThreshold(), Block(4, 4)), STEPS)
    second.restore()
    second.model.load_state_dict(first.model.state_dict())
    second.load_state_dict(first.state_dict())
    assert second.dial == first.dial
    trained(second, goal, first=10)
    for name, tensor in straight.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


@pytest.mark.parametrize("steps", [1, 3, 12, 40, 1000])
def test_a_time_is_measured_after_the_ramp_and_before_the_end(steps: int) -> None:
    ramp = Schedule().fit(steps)
    places = corrections(ramp)
    assert ramp.end + 1 in places and len(places) <= CORRECTIONS
    assert all(place <= max(ramp.total, ramp.end + 1) for place in places)
    if ramp.total - ramp.end >= CORRECTIONS:
        assert len(places) == CORRECTIONS
