"""One run, several targets: forked from one trunk, each a run of its own."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import prune
from prune import compose
from prune.cli import main
from prune.config import ALIGNED, run_id
from prune.errors import ConfigError
from prune.forks import fork_step, forked, grafted, share_of
from prune.masks.policy import Policy
from prune.masks.schedule import Ramp, Schedule
from prune.overrides import overrides_of
from prune.store import Store
from prune.training.checkpoints import Checkpoint
from prune.training.resumable import RunTrainer

ASKED = [
    "+experiment=toy",
    "ffn=neurons",
    "attention=dense",
    "target.density=0.2",
    "train.targets=[0.7,0.4]",
    "task.max_train_samples=96",
    "task.max_eval_samples=24",
    "train.max_steps=40",
    "measure.rounds=3",
]
ROUNDED = 2 * ALIGNED  # each of the two layers has a multiple of it


@given(
    total=st.integers(20, 5000),
    hardest=st.floats(0.01, 0.9),
    between=st.floats(0.001, 0.999),
)
def test_a_fork_is_taken_at_the_first_step_that_is_cheap_enough(
    total: int, hardest: float, between: float
) -> None:
    ramp = Schedule(warmup_ratio=0.05, final=6).fit(total)
    share = hardest + between * (1 - hardest)
    step = fork_step(ramp, share, hardest)
    assert ramp.begin < step <= ramp.end
    assert ramp.value(step, 1, hardest) <= share + 1e-9 < ramp.value(step - 1, 1, hardest) + 1e-6


def test_a_share_is_a_cost_whatever_the_target() -> None:
    def config(target: str) -> prune.config.RunConfig:
        return compose.load(["+experiment=toy", "target.density=null", target])

    assert share_of(config("target.speedup=4"), 2, 0.25) == 0.5
    assert share_of(config("target.latency_ms=10"), 20, 0.3) == 0.6
    assert share_of(config("target.params=1000"), 1500, 0.5) == 0.75
    assert share_of(config("target.density=0.2"), 0.4, 0.2) == 0.4


@pytest.mark.parametrize("ramp", [Ramp(250, 12, 12, 178), Ramp(40, 2, 2, 28), Ramp(9, 0, 0, 9)])
def test_no_fork_recovers_for_less_than_its_trunk_or_beyond_its_end(ramp: Ramp) -> None:
    recovery = ramp.total - ramp.end
    ends = []
    for step in range(ramp.begin, ramp.end + 1):
        short = grafted(Policy(), ramp, Checkpoint(step, ramp.total, 0.0)).schedule.fit(0)
        assert short.end == step and short.total - step >= recovery
        assert short.total <= ramp.total
        ends.append(short.total)
    assert ends == sorted(ends) and ends[0] == ramp.begin + recovery and ends[-1] == ramp.total


def test_a_family_is_as_many_runs_and_one_ramp(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *ASKED]) == 0
    config = compose.load(ASKED)
    store = Store(runs)
    trunk = store.done(run_id(config))
    children = [store.done(run_id(child)) for child in forked(config)]
    assert trunk is not None and all(child is not None for child in children)
    steps = trunk.steps
    for child, density in zip(children, (0.7, 0.4), strict=True):
        assert child is not None
        assert sum(child.points[0].widths) == pytest.approx(density * 2048, abs=ROUNDED)
        assert all(width % ALIGNED == 0 for width in child.points[0].widths)
        assert child.lineage["trunk"].startswith(f"{trunk.run_id} at step ")
        assert child.reference == trunk.reference
        assert child.steps < trunk.steps
        steps += child.steps
        assert child.seconds == pytest.approx(sum(child.costs.values()), rel=0.05)
    assert sum(trunk.points[0].widths) == pytest.approx(0.2 * 2048, abs=ROUNDED)
    assert trunk.seconds == pytest.approx(sum(trunk.costs.values()), rel=0.05)
    assert steps < 0.75 * 3 * trunk.steps  # three runs' worth
    assert not list(runs.rglob("checkpoints"))
    capsys.readouterr()
    assert main(["train", *ASKED]) == 0
    assert "is done already" in capsys.readouterr().out


def test_a_fork_without_its_trunk_says_what_to_do(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    child = forked(compose.load(ASKED))[0]
    assert main(["train", *overrides_of(child)]) == 1
    error = capsys.readouterr().err
    assert "has kept no checkpoint" in error and f"prune runs rm {child.train.trunk}" in error


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["target.density=null", "schedule.end=0.5"], "name the hardest one, as in target.speedup"),
        (["train.targets=[0.7,0.1]"], "0.1 is not easier than target.density=0.2"),
        (["train.targets=[0.7,0.7]"], "given twice"),
        (["train.targets=[1.5]"], "1.5 is no density"),
        (["train.trunk=abcd1234"], "a run that was forked has none"),
    ],
)
def test_targets_that_mean_nothing_are_refused(overrides: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        compose.load([*ASKED, *overrides])


def test_an_interrupted_family_goes_on_where_it_was(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["train", *ASKED]) == 0
    config = compose.load(ASKED)
    straight = {
        run: Store(runs).find(run).points[0].sha256
        for run in map(run_id, [config, *forked(config)])
    }
    elsewhere = runs.parent / "again"
    monkeypatch.setenv("PRUNE_RUNS", str(elsewhere))
    monkeypatch.setenv("PRUNE_CHECKPOINT_S", "0")
    step, calls = RunTrainer.training_step, [0]

    def interrupted(self: RunTrainer, *args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] in (18 + 9, 18 + 9 + 40):  # in the trunk behind its first fork, in a child
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    monkeypatch.setattr(RunTrainer, "training_step", interrupted)
    assert [main(["train", *ASKED]) for _ in range(3)] == [130, 130, 0]
    assert {run: Store(elsewhere).find(run).points[0].sha256 for run in straight} == straight
