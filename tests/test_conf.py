"""The YAML tree and what it composes to: every file, every key, every error."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from prune import compose
from prune.config import RunConfig, as_dict, known_keys, run_id
from prune.errors import ConfigError

CONF = compose.conf_dir()
FILES = sorted(CONF.rglob("*.yaml"))
CHOICES = [
    (group, name)
    for group, names in compose.groups().items()
    for name in names
    if group not in ("experiment", "sweep")
]
EXPERIMENTS = compose.groups()["experiment"]
SWEEPS = compose.groups().get("sweep", [])


def prune(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "prune", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=cwd)


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(CONF)))
def test_every_file_says_in_one_line_what_it_is_for(file: Path) -> None:
    lines = file.read_text().splitlines()
    if lines[0].startswith("# @package"):
        lines = lines[1:]
    assert lines[0].startswith("# "), f"{file.name} needs a comment at its top"
    assert len(lines[0]) > 10


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(CONF)))
def test_no_file_names_a_python_path(file: Path) -> None:
    assert "_target_" not in file.read_text()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_composes_and_so_does_what_it_needs(name: str) -> None:
    config = compose.load([f"experiment={name}"])
    assert config.experiment == name
    for needed in compose.needs(config):
        assert needed.task == config.task
        assert needed.seed == config.seed


def test_what_a_run_needs_is_measured_at_the_length_of_its_task() -> None:
    config = compose.load(["experiment=hybrid_mnli", "task.max_length=64"])
    (needed,) = compose.needs(config)
    assert needed.measure.grid == config.measure.grid == [[32, 64], [1, 64]]
    named = compose.load(["experiment=hybrid_mnli", "measure.grid=[[4,32]]"])
    assert compose.needs(named) == compose.needs(compose.load(["experiment=hybrid_mnli"]))


def test_a_dense_teacher_is_the_network_that_is_pruned() -> None:
    """Where that was named with overrides, too: no second dense network is trained."""
    words = "model.name_or_path='experiment:dense_sst2 model=minilm_l6 train.epochs=4'"
    (dense,) = compose.needs(compose.load(["+experiment=hybrid_sst2", "teacher=dense", words]))
    assert dense.train.epochs == 4
    other = "teacher.name_or_path='experiment:dense_sst2 train.epochs=1'"
    both = compose.needs(compose.load(["+experiment=hybrid_sst2", other, words]))
    assert [needed.train.epochs for needed in both] == [4, 1]


@pytest.mark.parametrize(("group", "name"), CHOICES, ids="=".join)
def test_every_choice_composes_with_the_default_and_is_called_as_its_file(
    group: str, name: str
) -> None:
    part = getattr(compose.load([f"{group}={name}"]), group)
    content = yaml.safe_load((CONF / group / f"{name}.yaml").read_text())
    if hasattr(part, "name"):
        assert part.name == name
    for key, value in content.items():
        if "${" not in str(value):
            assert getattr(part, key) == value, key


def test_the_groups_are_the_sections_of_a_run() -> None:
    sections = {f.name for f in dataclasses.fields(RunConfig) if dataclasses.is_dataclass(f.type)}
    assert {group for group, _ in CHOICES} <= sections


@pytest.mark.parametrize("name", SWEEPS)
def test_every_sweep_composes(name: str, runs: Path, tmp_path: Path) -> None:
    done = prune("sweep", name, "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "prune train" in done.stdout
    assert not runs.exists(), "a dry run writes nothing"


def test_experiment_needs_no_plus() -> None:
    plain, plus = compose.load(["experiment=toy"]), compose.load(["+experiment=toy"])
    assert plain == plus
    assert run_id(plain) == run_id(plus)


def test_overrides_come_after_the_experiment_wherever_they_stand() -> None:
    first, last = ["train.lr=0.25", "experiment=toy"], ["experiment=toy", "train.lr=0.25"]
    assert compose.load(first) == compose.load(last)
    assert compose.load(first).train.lr == 0.25


def test_all_problems_are_reported_at_once_each_with_a_way_out() -> None:
    with pytest.raises(ConfigError) as caught:
        compose.load(
            [
                "model=minilm",
                "train.lrr=1",
                "trian.lr=1",
                "attention.algorithm=topkk",
                "train.batch_size=0",
                "train.epochs=many",
                "target.density=1.5",
            ]
        )
    text = str(caught.value)
    for hint in (
        "unknown model 'minilm'; did you mean minilm_l6? (choices: ",
        "unknown key 'train.lrr'; did you mean train.lr? (choices: ",
        "unknown key 'trian.lr'; did you mean train.lr?",
        "attention.algorithm: unknown value 'topkk'; did you mean topk? (choices: ",
        "train.batch_size=0 must be at least 1",
        "train.epochs",
        "target.density=1.5 must be between 0 and 1",
    ):
        assert hint in text
    assert all(len(line) < 400 for line in caught.value.problems)


@pytest.mark.parametrize(
    "override",
    [
        "train.lr=[1",
        "train.lr=nan",
        "train.lr=inf",
        "attention.block=5",
        "attention.block=[0,4]",
        "attention.block=[4]",
        "measure.grid=[]",
        "measure.grid=[[1]]",
        "task.name=null",
        "seed=true",
        "seed=-1",
        "seed=1,2",
        "+foo=1",
        "seed",
        "",
        "experiment=",
        "train=null",
        "train.lr=${nope}",
    ],
)
def test_a_bad_override_is_a_config_error(override: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose.load([override])
    assert "\n\n" not in str(caught.value)


KEYS = known_keys()
OVERRIDES = st.text(max_size=30) | st.builds(
    "{}{}={}".format,
    st.sampled_from(["", "+", "++", "~"]),
    st.sampled_from([*KEYS, *compose.groups()]),
    st.text("[]{}(),:='\"\\$ -.0123456789eatoyx", max_size=12),
)


@settings(max_examples=80, deadline=None)
@given(OVERRIDES)
def test_any_text_as_an_override_composes_or_is_a_config_error(text: str) -> None:
    try:
        config = compose.load([text])
    except ConfigError as error:
        assert error.problems
    else:
        assert isinstance(config, RunConfig)


def test_a_config_cannot_be_changed() -> None:
    config = compose.load([])
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 1  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.train.lr = 1.0  # type: ignore[misc]


def changed(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, list):
        return [*value, 7]
    if isinstance(value, dict):
        return {**value, "other": 7}
    return 7


def with_changes(config: RunConfig, keys: set[str]) -> RunConfig:
    for key in keys:
        section, _, name = key.rpartition(".")
        holder: Any = getattr(config, section) if section else config
        holder = dataclasses.replace(holder, **{name: changed(getattr(holder, name))})
        config = dataclasses.replace(config, **{section: holder}) if section else holder
    return config


@given(st.sets(st.sampled_from(KEYS)), st.sets(st.sampled_from(KEYS)))
def test_two_ids_are_equal_exactly_if_the_configs_are_but_for_the_group(
    first: set[str], second: set[str]
) -> None:
    one, two = with_changes(RunConfig(), first), with_changes(RunConfig(), second)
    assert (run_id(one) == run_id(two)) == (first - {"group"} == second - {"group"})


@pytest.mark.parametrize("key", KEYS)
def test_the_id_sees_every_key_but_the_group(key: str) -> None:
    same = run_id(with_changes(RunConfig(), {key})) == run_id(RunConfig())
    assert same == (key == "group")


def test_the_id_is_the_same_in_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "1234")
    code = (
        "from prune import compose, config; print(config.run_id(compose.load(['experiment=toy'])))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == run_id(compose.load(["experiment=toy"]))


def test_known_keys_are_the_leaves_of_a_run() -> None:
    leaves = set()
    for key, value in as_dict(RunConfig()).items():
        leaves |= {f"{key}.{inner}" for inner in value} if isinstance(value, dict) else {key}
    assert set(KEYS) == leaves


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        ([], 2, "prune train"),
        (["--help"], 0, "prune train"),
        (["train", "--cfg", "job", "+experiment=toy"], 0, "experiment: toy"),
        (["tarin"], 2, "did you mean train?"),
        (["--nonsense"], 2, "prune"),
        (["train", "train.lrr=1"], 2, "did you mean train.lr?"),
        (["train", "+experiment=toyy"], 2, "did you mean toy?"),
        (["sweep", "block_shape"], 2, "did you mean block_shapes?"),
        (["sweep"], 2, "prune"),
        (["runs", "show", "00000000"], 1, "00000000"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_exit_codes(words: list[str], code: int, line: str, runs: Path, tmp_path: Path) -> None:
    done = prune(*words, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    said = done.stdout + done.stderr
    assert line in said
    assert "Traceback" not in said


def test_a_run_has_one_target_and_something_to_reach_it_with() -> None:
    with pytest.raises(ConfigError, match=r"target.density and target.speedup: a run has one"):
        compose.load(["target.density=0.5", "target.speedup=2"])
    with pytest.raises(ConfigError, match=r"target.params: nothing is pruned"):
        compose.load(["target.params=1e6", "attention=dense", "ffn=dense"])
    with pytest.raises(ConfigError, match=r"batch 7 x 64 is not measured; add it to measure.grid"):
        compose.load(["target.latency_ms=3", "target.batch=7", "measure.grid=[[32,64]]"])
