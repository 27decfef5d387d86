"""What a figure shows, read from its tables; drawing is only checked to say the same."""

import dataclasses
import random
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.curves import MANY_FAMILIES, OTHER, Panel, families, panel
from analysis.figures import figure, hollow, render
from analysis.frame import frame
from analysis.labels import along, columns, overlap, place, squares
from analysis.metrics import AXES
from analysis.style import INK, styles
from analysis.summary import Summary, summarise
from prune.records import Record
from tests.analysis.synthetic import PARTS, record, store


def summary(runs: list[Record]) -> Summary:
    return summarise(frame(runs), AXES["speedup"])[0]


def collapsed() -> Record:
    """A run whose quality is gone."""
    made = record(random.Random(7), "structured", 0.1)
    point = dataclasses.replace(made.points[0], quality={"f1": 9.0})
    return dataclasses.replace(made, points=[point])


@pytest.fixture(scope="module")
def usual() -> Summary:
    return summary(store(60))


def test_each_family_has_its_curve_and_every_point_is_there(usual: Summary) -> None:
    one = panel(usual, AXES["speedup"])
    assert set(families(usual)) == set(PARTS)
    assert len(one.points) == 60 and one.hidden == 0
    for name in families(usual):
        curve = one.curve(name)
        assert len(curve) > 0
        assert (np.diff(curve["x"]) > 0).all() and (np.diff(curve["y"]) < 0).all()


def test_intervals_belong_to_the_speedup_alone(usual: Summary) -> None:
    speedup, density = panel(usual, AXES["speedup"]), panel(usual, AXES["density"])
    assert (speedup.points["low"] < speedup.points["x"]).all()
    assert (speedup.points["high"] > speedup.points["x"]).all()
    assert density.points["low"].isna().all()


def test_the_axes_show_the_region_of_interest() -> None:
    one = panel(summary([*store(60), collapsed()]), AXES["speedup"])
    assert one.hidden == 1
    low, high = one.ylim
    assert 66 < low < one.points["y"].min() and 88.5 < high < 92
    assert one.xlim[0] < one.points["x"].min() and one.xlim[1] > one.points["x"].max()


def test_the_dense_line_is_the_reference(usual: Summary) -> None:
    one = panel(usual, AXES["density"])
    assert one.dense.to_dict("list") == {"model": ["bert_base"], "quality": [88.5]}


@pytest.mark.parametrize("axis", ["speedup", "density"])
def test_the_shade_covers_what_is_dominated_and_nothing_else(usual: Summary, axis: str) -> None:
    one = panel(usual, AXES[axis])
    x, y = one.steps()
    assert len(x) == len(y) and (np.diff(x) >= 0).all()
    for px, py, best in one.points[["x", "y", "best"]].itertuples(index=False):
        ends = np.interp([px - 1e-9, px + 1e-9], x, y)  # left and right of a step
        inside = py <= max(ends) + 1e-6
        assert inside
        assert best == (py >= max(ends) - 1e-6)


def test_too_many_families_share_one_grey_rest() -> None:
    runs = []
    for i in range(MANY_FAMILIES + 4):
        made = record(random.Random(i), "hybrid 32x32", 0.2 + i / 40)
        block = {"name": "block", "geometry": "block", "block": [i + 1, i + 1]}
        runs.append(dataclasses.replace(made, config={**made.config, "attention": block}))
    found = summary(runs)
    names = families(found)
    assert len(names) == MANY_FAMILIES
    assert names == sorted(names, key=lambda n: int(n.split("x")[-1]))  # 2x2 before 10x10
    one = panel(found, AXES["speedup"])
    assert (one.points["family"] == OTHER).sum() == 4 and one.curve(OTHER).empty


def test_styles_tell_all_families_apart() -> None:
    names = [str(i) for i in range(MANY_FAMILIES)]
    chosen = styles(names)
    assert len({(s.colour, s.marker) for s in chosen.values()}) == MANY_FAMILIES + 1
    assert len({chosen[name].colour for name in names}) == MANY_FAMILIES


def drawn(one: Panel, names: list[str]) -> str:
    return render(figure([one], names), "svg", text_as_text=True).decode()


def test_a_drawn_panel_names_its_axes_and_its_curves(usual: Summary) -> None:
    svg = drawn(panel(usual, AXES["speedup"]), families(usual))
    words = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert {"F1 on squad", "dense 88.5", *PARTS} <= set(words)
    assert any(word.startswith("speedup") for word in words)
    assert INK in svg


def test_a_collapsed_point_is_said_and_not_dropped_in_silence() -> None:
    found = summary([*store(20), collapsed()])
    assert "1 more below" in drawn(panel(found, AXES["speedup"]), families(found))


REFERENCES: list[dict[str, Any]] = [
    {"name": "Near", "quality": 88.0, "speedup": 2.0, "density": 0.5, "harness": "some GPU"},
    {"name": "Near", "quality": 86.0, "speedup": 2.4, "density": 0.3, "harness": "some GPU"},
    {"name": "Blind", "quality": 87.0, "density": 0.4, "harness": "none"},
    {"name": "Far", "quality": 88.0, "speedup": 40.0, "density": 0.01, "harness": "other GPU"},
]


def test_points_of_other_papers_are_hollow_and_name_their_harness(usual: Summary) -> None:
    panels = [panel(usual, AXES[x], REFERENCES) for x in ("speedup", "density")]
    assert panels[0].references["name"].tolist() == ["Near", "Near"] and panels[0].outside == 1
    assert panels[1].references["name"].tolist() == ["Near", "Near", "Blind", "Far"]
    assert panels[0].xlim == panel(usual, AXES["speedup"]).xlim  # none made it any wider
    assert list(hollow(panels)) == ["none", "other GPU", "some GPU"]
    svg = render(figure(panels, families(usual)), "svg", text_as_text=True).decode()
    words = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert {"elsewhere: some GPU", "elsewhere: none"} <= set(words)
    assert words.count("Near") == 2  # once in each panel, though there are two of it
    assert "1 point of other papers lies outside" in words


def test_both_panels_have_the_same_quality_axis(usual: Summary) -> None:
    low = {"name": "Low", "quality": 79.5, "density": 0.4, "harness": "x"}
    picture = figure([panel(usual, AXES[x], [low]) for x in ("speedup", "density")], [])
    first, second = picture.axes
    assert first.get_ylim() == second.get_ylim() and first.get_ylim()[0] < 79.5


def test_seeds_are_bars(usual: Summary) -> None:
    runs = [record(random.Random(n), "structured", 0.5, seed=n % 3) for n in range(3)]
    found = summary([*store(10), *runs])
    one = panel(found, AXES["density"])
    assert one.seeds["seeds"].tolist() == [3] and one.seeds["x"].tolist() == [0.5]
    (axis,) = figure([one], families(found)).axes
    assert (
        len(axis.containers) == 1
        and not figure([panel(usual, AXES["density"])], []).axes[0].containers
    )


boxes = st.lists(st.tuples(*[st.floats(0, 400)] * 2), min_size=1, max_size=12)


@given(boxes)
def test_labels_never_cover_each_other(points: list[tuple[float, float]]) -> None:
    sizes = [(40.0, 10.0)] * len(points)
    taken = squares(np.array(points), 4.0)
    corners = place(points, sizes, taken, (0.0, 0.0, 400.0, 400.0))
    placed = [(c[0], c[1], c[0] + 40, c[1] + 10) for c in corners if c]
    assert placed, "the first has no other in its way"
    for i, box in enumerate(placed):
        others = np.array([o for j, o in enumerate(placed) if j != i]).reshape(-1, 4)
        assert overlap(np.array([box]), others)[0] < 1e-6
        assert min(box) >= 0 and max(box) <= 400


def test_a_label_goes_where_nothing_is() -> None:
    wall = np.array([[100.0, 0.0, 200.0, 100.0]])  # all that is right of the point
    (corner,) = place([(95.0, 50.0)], [(30.0, 8.0)], wall, (0.0, 0.0, 200.0, 100.0))
    assert corner == (60.0, 46.0)
    line = along(np.array([[0.0, 0.0], [30.0, 40.0]]), 10.0)
    assert len(line) == 6 and np.hypot(*np.diff(line, axis=0).T) == pytest.approx(10)


def test_a_legend_has_as_many_columns_as_fit() -> None:
    names = ["a" * 30, *"bcdefg"]
    assert columns(names, 1000) == 7
    assert columns(names, 37 + 8 + 8) == 3  # the wide one does not make the others wide
    assert columns(names, 10) == 1


def test_each_format_is_what_it_says_and_the_same_twice(usual: Summary) -> None:
    names = families(usual)
    panels = [panel(usual, AXES[x]) for x in ("speedup", "density")]
    for form, start in {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}.items():
        first, second = (render(figure(panels, names), form) for _ in range(2))
        assert first.startswith(start) and first == second


def test_a_large_cloud_is_pixels_inside_the_svg() -> None:
    found = summary(store(4000))
    svg = drawn(panel(found, AXES["speedup"]), families(found))
    assert "data:image/png" in svg and len(svg) < 1_000_000


@pytest.mark.parametrize("runs", [store(0), [store(1)[1]], [collapsed()]])
def test_a_store_of_one_point_can_be_drawn(runs: list[Record]) -> None:
    found = summary(runs)
    for x in AXES.values():
        assert drawn(panel(found, x), families(found)).startswith("<?xml")
