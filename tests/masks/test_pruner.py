"""The Pruner in a loop of one's own: hooks, density, resume, and what it refuses."""

import pytest
import torch

import prune
from prune.errors import ConfigError, PolicyError, TrainingError
from prune.masks.algorithms import TopK
from prune.masks.geometry import Block, Heads, Rows
from tests import tiny

QUICK = prune.Schedule(warmup_steps=2, final=2)


def hybrid(density: float = 0.5) -> prune.Policy:
    return prune.hybrid(block=(8, 8), density=density, schedule=QUICK)


def steps(
    pruner: prune.Pruner, optimizer: torch.optim.Optimizer, first: int, last: int
) -> list[float]:
    densities = []
    for number in range(first, last):
        pruner.model(**tiny.labelled(seed=number)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        densities.append(pruner.density())
    return densities


def start(total: int = 20, density: float = 0.5) -> tuple[prune.Pruner, torch.optim.Optimizer]:
    pruner = prune.Pruner(tiny.bert().train(), hybrid(density), steps=total)
    optimizer = torch.optim.AdamW(pruner.parameter_groups(lr=1e-3, scores_lr=1e-2))
    pruner.attach(optimizer)
    return pruner, optimizer


def test_the_whole_way_in_a_loop_of_ones_own() -> None:
    pruner, optimizer = start()
    densities = steps(pruner, optimizer, 0, 20)
    assert densities == sorted(densities, reverse=True)
    assert densities[0] == 1 and densities[-1] == pytest.approx(0.5, abs=0.01)
    pruner.finish()
    small = prune.shrink(pruner.model)
    inputs = tiny.batch()
    pruner.model.eval()
    with torch.no_grad():
        assert torch.allclose(small(**inputs)[0], pruner.model(**inputs)[0], atol=1e-5)
    assert small.bert.encoder.layer[0].intermediate.dense.out_features == 24


def test_what_stands_in_the_model_is_masked() -> None:
    pruner, optimizer = start()
    steps(pruner, optimizer, 0, 15)
    masks = pruner.masks()
    assert len(masks) == 12
    for name, mask in masks.items():
        linear = pruner.model.get_submodule(name)
        assert linear.weight.shape == mask.shape
        assert torch.all((linear.weight != 0) <= (mask != 0))


def test_a_resumed_run_is_the_straight_run_to_the_last_bit() -> None:
    straight, optimizer = start()
    steps(straight, optimizer, 0, 20)
    first, optimizer = start()
    steps(first, optimizer, 0, 9)
    saved = {name: tensor.clone() for name, tensor in first.state_dict().items()}
    others = {n: p.clone() for n, p in first.model.state_dict().items()}
    states = optimizer.state_dict()
    second, optimizer = start()
    second.model.load_state_dict(others)
    second.load_state_dict(saved)
    optimizer.load_state_dict(states)
    steps(second, optimizer, 9, 20)
    for (name, ours), theirs in zip(
        second.model.named_parameters(), straight.model.parameters(), strict=True
    ):
        assert torch.equal(ours, theirs), name


def test_global_ranking_meets_the_density_over_all_matrices() -> None:
    part = prune.Part(TopK(0.3), Block(8, 8), pooled=True)
    pruner = prune.Pruner(tiny.bert(), prune.Policy(attention=part, schedule=QUICK), steps=20)
    with torch.no_grad():
        for number, scores in enumerate(pruner.scores()):
            scores.normal_().add_(number)  # later matrices are better
    pruner.finish()
    assert pruner.density() == pytest.approx(0.3, abs=0.01)
    kept = [tie.mask.float().mean().item() for tie in pruner.ties]
    assert min(kept) == 0 and max(kept) > 0.9


def test_heads_and_neurons_take_their_biases_with_them() -> None:
    policy = prune.structured(density=0.5)
    policy = prune.Policy(policy.attention, policy.ffn, schedule=QUICK)
    pruner = prune.Pruner(tiny.bert(), policy, steps=20)
    with torch.no_grad():
        for scores in pruner.scores():
            scores.normal_()
    pruner.finish()
    layer = pruner.model.bert.encoder.layer[0]
    dead = (layer.intermediate.dense.weight == 0).all(1)
    assert dead.sum() == 24
    assert torch.equal(layer.intermediate.dense.bias == 0, dead)
    assert torch.equal((layer.output.dense.weight == 0).all(0), dead)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (prune.hybrid(block=(5, 8)), r"attention.block=\[5,8\] does not divide bert.encoder"),
        (prune.Policy(rules=[prune.Rule("nothing", TopK(0.5), Rows())]), "matches no linear"),
        (prune.Policy(rules=[prune.Rule(".*query", TopK(0.5), Heads())]), "heads does not divide"),
        (
            prune.Policy(rules=[prune.Rule(".*query", TopK(0.5), Rows())] * 2),
            "named by two rules",
        ),
    ],
)
def test_policies_that_do_not_fit(policy: prune.Policy, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        prune.Pruner(tiny.bert(), policy, steps=1000)


def test_an_unknown_architecture_lists_its_linears() -> None:
    with pytest.raises(PolicyError, match=r"no table for the architecture 'Sequential'") as error:
        prune.Pruner(torch.nn.Sequential(torch.nn.Linear(2, 2)), hybrid(), steps=20)
    assert "its linear layers: 0" in str(error.value)


def test_a_run_too_short_for_its_schedule_says_what_fits() -> None:
    with pytest.raises(ConfigError, match="warmup_steps=90 or less"):
        prune.Schedule(warmup_steps=5400).fit(1001)


def test_what_breaks_the_idea_is_refused() -> None:
    pruner, optimizer = start()
    with pytest.raises(TrainingError, match="closure"):
        optimizer.step(lambda: torch.zeros(()))
    model = tiny.bert()
    other = prune.Pruner(model, hybrid(), steps=20)
    with pytest.raises(TrainingError, match="does not train the scores"):
        other.attach(torch.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(PolicyError, match="another model or policy"):
        pruner.load_state_dict({})
