"""Rules on any network, sharing by name, and policies that do not fit."""

from collections.abc import Sequence

import pytest
import torch
from torch import nn

import prune
from prune import compose
from prune.errors import ConfigError, PolicyError
from prune.masks.algorithms import Ampere, SigmoidThreshold, TopK
from prune.masks.from_config import policy_of
from prune.masks.geometry import Block, Columns, Heads, Rows
from prune.masks.policy import resolve
from tests import tiny
from tests.cases import Cnn, Mlp, classification, regression

HALF, SOON = TopK(0.5), prune.Schedule(warmup_steps=1, final=1)
CHANNELS = [  # the output channels of one convolution are the input channels of the next
    prune.Rule("0", HALF, Rows(), share="channels"),
    prune.Rule("2", HALF, Rows(), share="channels", flipped=True),
]


def train(pruner: prune.Pruner, loss: object, steps: int) -> list[float]:
    optimizer = torch.optim.AdamW(pruner.parameter_groups(lr=1e-2, scores_lr=1e-2))
    pruner.attach(optimizer)
    seen = []
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss(pruner.model, 0)  # type: ignore[operator]
        value.backward()
        optimizer.step()
        seen.append(value.item())
    pruner.finish()
    return seen


def test_the_channels_of_a_convolution_go_on_both_sides() -> None:
    torch.manual_seed(0)
    policy = prune.Policy(rules=CHANNELS, schedule=SOON)
    pruner = prune.Pruner(Cnn(), policy, steps=20)
    losses = train(pruner, classification, 20)
    assert losses[-1] < losses[0]
    dead = (pruner.model[0].weight == 0).flatten(1).all(1)
    assert dead.sum() == 4
    assert torch.equal((pruner.model[2].weight == 0).all(0).flatten(1).all(1), dead)
    assert torch.equal(pruner.model[0].bias == 0, dead)


def test_a_list_of_rules_is_a_policy() -> None:
    torch.manual_seed(0)
    pruner = prune.Pruner(Mlp(), [prune.Rule(".*", HALF, Block(4, 4))], steps=30)
    losses = train(pruner, regression, 30)
    assert losses[-1] < losses[0]
    assert pruner.density() == pytest.approx(0.5, abs=0.01)


def test_names_that_a_template_makes_equal_are_shared() -> None:
    model = nn.ModuleDict({f"{i}_{side}": nn.Linear(8, 8) for i in range(3) for side in "ab"})
    rule = prune.Rule(r"(\d)_[ab]", HALF, Rows(), share=r"layer \1")
    pruner = prune.Pruner(model, [rule], steps=30)
    assert [(t.name, len(t.cuts)) for t in pruner.ties] == [(f"layer {i}", 2) for i in range(3)]


def bert(*overrides: str) -> list[tuple[str, str]]:
    config = compose.load(["schedule.penalty=1", *overrides])
    return [(site.module, site.scores) for site in resolve(tiny.bert(layers=1), policy_of(config))]


LAYER = "bert.encoder.layer.0"


@pytest.mark.parametrize(
    ("overrides", "sites", "scores"),
    [
        (["attention=joint", "attention.block=[8,8]", "ffn=dense"], 4, 1),
        (["attention=joint", "attention.geometry=heads", "ffn=dense"], 4, 1),
        (["attention=value_output", "ffn=dense"], 2, 1),
        (["attention=value_output", "attention.geometry=heads", "ffn=dense"], 2, 1),
        (["attention=heads", "ffn=dense"], 4, 4),
        (["attention.block=[1,32]", "ffn=dense"], 4, 4),
        (["attention.block=[8,32]", "ffn=dense"], 4, 4),
        (["attention.block=[8,8]", "ffn=neurons"], 6, 5),
        (["attention.block=[8,8]", "attention.ampere=true", "ffn=dense"], 8, 8),
        (["attention=ampere", "ffn=ampere"], 6, 6),
        (["attention=custom", "attention.block=[8,8]", "ffn=custom"], 6, 4),
        (["attention=custom", "attention.rules=[{pattern:'.*query',block:[8,8]}]"], 3, 2),
    ],
)
def test_what_the_configuration_asks_for(overrides: list[str], sites: int, scores: int) -> None:
    found = bert(*overrides)
    assert len(found) == sites
    assert len({name for _, name in found}) == scores


def test_value_and_output_of_a_head_and_nothing_else() -> None:
    names = [module for module, _ in bert("attention=value_output", "ffn=dense")]
    assert names == [f"{LAYER}.attention.self.value", f"{LAYER}.attention.output.dense"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("attention.sharing=pair", "attention.sharing: unknown value 'pair'"),
        ("ffn.sharing=joint", "ffn.sharing: unknown value 'joint'"),
        ("attention.rules=[{pattern:x}]", "attention.rules are those of attention=custom"),
        ("ffn.rules=[{patern:x}]", "ffn.rules"),
    ],
)
def test_configurations_that_mean_nothing(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        compose.load([override])


def test_rules_of_a_custom_part_are_checked() -> None:
    rules = "attention.rules=[{patern:x,block:[0,1],flipped:1,algorithm:topkk},{pattern:'('}]"
    with pytest.raises(ConfigError) as caught:
        compose.load(["attention=custom", rules])
    for hint in ("did you mean pattern?", "block=[0, 1]", "flipped=1", "algorithm='topkk'"):
        assert hint in str(caught.value)
    config = compose.load(["attention=custom", "attention.rules=[{pattern:'('}]"])
    with pytest.raises(ConfigError, match=r"attention.rules\[0\].pattern"):
        policy_of(config)


SOFT = SigmoidThreshold()


def rules(*given: prune.Rule) -> Sequence[prune.Rule]:
    return given


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (rules(prune.Rule("value|inner", SOFT, Rows(), share="x")), "cannot share scores: 16x1"),
        (rules(prune.Rule("value", SOFT, Rows(), share="x"),
               prune.Rule("output", HALF, Rows(), share="x")), "cannot share scores"),
        (rules(prune.Rule("value", SOFT, Heads())), "heads does not divide value"),
        (rules(prune.Rule("value", Ampere(), Rows())) * 2, "named by two rules"),
        (rules(prune.Rule("valu", SOFT, Rows())), "matches no linear layer or convolution"),
        (rules(prune.Rule("value", SOFT, Block(3, 1))), r"\[3,1\] does not divide value"),
    ],
)  # fmt: skip
def test_rules_that_do_not_fit(given: Sequence[prune.Rule], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        resolve(Mlp(), prune.Policy(rules=list(given)))


def test_matrices_that_are_one_parameter_take_one_mask() -> None:
    model = Mlp()
    model.output.weight = model.value.weight
    with pytest.raises(PolicyError, match=r"value \(tied to output\) is named by two rules"):
        resolve(model, prune.Policy(rules=[prune.Rule("value|output", SOFT, Rows())]))


def test_joint_needs_equal_shapes_and_says_so() -> None:
    part = prune.Part(SOFT, Block(8, 4), sharing="joint")
    model = tiny.bert(layers=1)
    core = model.bert.encoder.layer[0].attention.self
    core.key = nn.Linear(32, 16)
    with pytest.raises(PolicyError, match=r"self.query and .*self.key cannot share scores: 4x8"):
        resolve(model, prune.Policy(attention=part))


def test_columns_of_a_convolution_are_its_input_channels() -> None:
    (site,) = resolve(Cnn(), prune.Policy(rules=[prune.Rule("2", HALF, Columns())]))
    assert site.shape == (12, 72) and site.groups == (1, 8)
    (site,) = resolve(Cnn(), prune.Policy(rules=[prune.Rule("2", HALF, Block(1, 9))]))
    assert site.groups == (12, 8)
