"""A config written as overrides composes to itself; many composed at once equal one by one."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prune.compose import load, load_many, needs, plain
from prune.config import RunConfig
from prune.errors import ConfigError
from prune.grammar import sweep_values
from prune.overrides import overrides_of

EXPERIMENTS = ("toy", "dense_toy", "hybrid_squad", "dense_squad")

# `${` starts an interpolation: a composed config never holds one.
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12).filter(
    lambda text: "${" not in text
)
numbers = st.floats(0, 100, allow_nan=False) | st.floats(0, 1e-3)
free = st.none() | st.booleans() | st.integers(-9, 9) | numbers | texts
words = st.sampled_from(["hidden_size", "num_hidden_layers", "hidden_act", "x"])


@st.composite
def configs(draw: st.DrawFn) -> RunConfig:
    config = plain(f"experiment={draw(st.sampled_from(EXPERIMENTS))}")
    model = dataclasses.replace(
        config.model,
        name_or_path=draw(st.none() | texts),
        scratch=draw(st.dictionaries(words, free, max_size=3)),
    )
    attention = dataclasses.replace(
        config.attention, block=draw(st.lists(st.integers(1, 64), min_size=2, max_size=2))
    )
    train = dataclasses.replace(
        config.train, epochs=draw(numbers), group_by_length=draw(st.booleans())
    )
    seed = draw(st.integers(0, 2**31))
    return dataclasses.replace(config, seed=seed, model=model, attention=attention, train=train)


@given(configs())
@settings(max_examples=25, deadline=None)
def test_overrides_of_a_config_compose_to_it(config: RunConfig) -> None:
    assert load(overrides_of(config), config.group) == config


def test_the_run_another_one_needs_can_be_written() -> None:
    asked = load(["experiment=toy", "task.max_train_samples=100", "seed=3"], "a_sweep")
    (dense,) = needs(asked)
    written = overrides_of(dense)
    assert written[0] == "+experiment=dense_toy" and "seed=3" in written
    assert load(written) == dense


def test_an_experiment_unchanged_is_just_its_name() -> None:
    assert overrides_of(load(["experiment=toy"])) == ["+experiment=toy"]


MANY = [
    ["experiment=toy", "attention=block", "attention.block=[4,4]", "target.density=0.25"],
    ["attention.block=[8,8]", "experiment=toy", "attention=block", "target.density=0.1"],
    ["experiment=toy", "attention=heads", "target.density=0.1", "seed=1"],
    ["experiment=toy", "~model.scratch", "++model.scratch={hidden_size:64}", "seed=1"],
    ["experiment=hybrid_squad", "model=minilm_l6", "model.name_or_path='a b'"],
    ["model={name:mine}", "model.name_or_path=x", "train.lr=1e-3"],
    [],
]


def test_many_at_once_equal_one_by_one() -> None:
    assert load_many(MANY, "g") == [load(overrides, "g") for overrides in MANY]


def test_the_group_may_be_an_override() -> None:
    assert load(["group=a_sweep"]).group == "a_sweep"
    assert load([]).group == "single"
    assert load(["group=a_sweep"], "other").group == "other"


def test_problems_of_all_configs_are_reported_together() -> None:
    with pytest.raises(ConfigError) as caught:
        load_many([["train.lrr=1"], ["train.lrr=1", "seed=x"], ["model=bert_bas"], ["seed=1,2"]])
    text = str(caught.value)
    assert text.count("unknown key 'train.lrr'; did you mean train.lr?") == 1
    assert "seed='x'" in text and "did you mean bert_base?" in text and "multirun" in text


@pytest.mark.parametrize(
    ("override", "values"),
    [
        ("seed=3", None),
        ("attention.block=[1,2]", None),
        ("seed=1,2", ["1", "2"]),
        ("train.epochs=range(1,4)", ["1", "2", "3"]),
        ("attention.block=choice([1,1],[2,4])", ["[1,1]", "[2,4]"]),
        ("attention.block=choice(1x1,4x4)", ["1x1", "4x4"]),
        ("train.lr=choice(1e-3,0.5)", ["0.001", "0.5"]),
        ("model.name_or_path='a,b','c'", ["'a,b'", "'c'"]),
    ],
)
def test_sweep_values(override: str, values: list[str] | None) -> None:
    assert sweep_values(override) == values


@pytest.mark.parametrize("override", ["seed=choice(1", "train.lr=interval(0,1)", "seed=glob(*)"])
def test_a_grid_needs_a_finite_list(override: str) -> None:
    with pytest.raises(ConfigError, match=r"seed=|train\.lr="):
        sweep_values(override)
