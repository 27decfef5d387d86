"""A sweep file and the command line -> points."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prune.errors import ConfigError, UsageError
from sweeps.space import changed, merged, names, parse, read

FILE = {
    "description": "two axes",
    "experiment": "toy",
    "base": ["schedule.penalty=0"],
    "space": {"attention.block": "choice(1x1, 8x32)", "target.density": "choice(0.5,0.1)"},
    "slots": 2,
}
FAMILIES = {
    "space": {
        "family": {
            "hybrid": "attention=block attention.block=[32,32] ffn=neurons",
            "by name": ["model.name_or_path='a b'", "attention=heads"],
        }
    }
}


def points(*overrides: str, content: object = FILE) -> list[list[str]]:
    return [p.overrides for p in changed(parse("test", content), overrides).points()]


def test_points_are_the_product_in_the_order_of_the_file() -> None:
    base = ["+experiment=toy", "schedule.penalty=0"]
    assert points() == [
        [*base, "attention.block=[1,1]", "target.density=0.5"],
        [*base, "attention.block=[1,1]", "target.density=0.1"],
        [*base, "attention.block=[8,32]", "target.density=0.5"],
        [*base, "attention.block=[8,32]", "target.density=0.1"],
    ]


def test_overrides_that_move_together() -> None:
    assert points(content=FAMILIES) == [
        ["attention=block", "attention.block=[32,32]", "ffn=neurons"],
        ["model.name_or_path='a b'", "attention=heads"],
    ]
    assert parse("test", FAMILIES).points()[1].labels == {"family": "by name"}


def test_a_plain_override_holds_for_all_points_and_wins() -> None:
    found = points("target.density=0.3", "schedule.penalty=2", "experiment=dense_toy", "seed=4")
    assert found == [
        [
            "+experiment=dense_toy",
            "schedule.penalty=2",
            f"attention.block={block}",
            "target.density=0.3",
            "seed=4",
        ]
        for block in ("[1,1]", "[8,32]")
    ]
    assert points("attention=dense", content=FAMILIES)[0][0] == "attention=dense"


def test_an_axis_of_the_command_line_is_added_or_takes_the_place_of_the_files() -> None:
    found = points("attention.block=4x4,[2,2]", "train.epochs=range(1,3)", "target.density=0.3")
    assert [p[2:] for p in found] == [
        [f"attention.block={block}", f"train.epochs={epochs}", "target.density=0.3"]
        for block in ("[4,4]", "[2,2]")
        for epochs in (1, 2)
    ]


def test_settings_come_from_the_file_or_the_command_line() -> None:
    space = changed(parse("test", FILE), ["slots=3", "max_retries=0", "group=mine"])
    assert space.settings == {"slots": 3, "max_retries": 0}
    assert (space.name, space.group, space.fixed) == ("test", "mine", [])


@pytest.mark.parametrize("setting", ["slots=0", "slots=two", "max_retries=-1", "threads=0"])
def test_a_wrong_setting(setting: str) -> None:
    with pytest.raises(UsageError, match="must be a whole number of at least"):
        points(setting)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "needs `space:`"),
        ({"space": {}, "axis": 1}, "unknown key 'axis'"),
        ({"space": {"seed": "choice(1"}}, "seed=choice"),
        ({"space": {"train.lr": "interval(0,1)"}}, "a grid needs choice"),
    ],
)
def test_a_wrong_file(content: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse("test", content)


def test_a_sweep_that_is_not_there() -> None:
    with pytest.raises(UsageError, match=r"did you mean block_shapes\?"):
        read("block_shape")


def test_every_sweep_of_the_tree_says_what_it_is() -> None:
    assert {"toy", "block_shapes"} <= set(names())
    for name in names():
        assert read(name).description


def test_merged_keeps_one_override_a_key() -> None:
    assert merged(["experiment=a", "x=1", "+experiment=b", "++x=2"]) == ["+experiment=b", "++x=2"]


@settings(deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=3))
def test_a_grid_has_the_product_of_its_axes(sizes: list[int]) -> None:
    space = {f"train.k{i}": f"range(0,{n})" for i, n in enumerate(sizes)}
    found = parse("test", {"space": space}).points()
    assert len(found) == math.prod(sizes)
    assert len({tuple(p.overrides) for p in found}) == len(found)
