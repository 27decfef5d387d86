"""The figures of a paper: what they compare; pictures of networks by what their runs kept."""

import dataclasses
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.command import main
from analysis.drawing import layers_figure, masks_figure
from analysis.figures import render
from analysis.frame import frame
from analysis.masks import GAP, arrange
from analysis.metrics import AXES
from analysis.paper import paper_figures
from analysis.summary import Summary, summarise
from prune.records import Record
from prune.store.masks import write
from tests.analysis.conftest import Filled
from tests.analysis.synthetic import record, store


def summary(*runs: Record) -> Summary:
    return summarise(frame(runs), AXES["speedup"])[0]


def changed(number: int, **config: Any) -> Record:
    made = record(random.Random(number), "hybrid 32x32", 0.3 + number / 20)
    return dataclasses.replace(made, config={**made.config, **config})


def test_block_sizes_are_compared_with_nothing_else() -> None:
    large = changed(1, teacher={"name": "bert_large_squad"})
    panels, names = paper_figures(summary(*store(30), large))["blocks"]
    assert set(names) == {"unstructured", "block 8x8", "block 32x32", "hybrid 32x32"}
    assert {one.x.label for one in panels} == {"speedup", "density"}


def test_teachers_are_compared_on_the_families_that_had_both() -> None:
    assert "teacher" not in paper_figures(summary(*store(20)))
    large = [changed(n, teacher={"name": "bert_large_squad"}) for n in range(3)]
    _, names = paper_figures(summary(*store(20), *large))["teacher"]
    assert names == ["hybrid 32x32", "hybrid 32x32, large teacher"]


def test_speeds_of_pruning_have_a_curve_each() -> None:
    def at(number: int, ramp: float) -> Record:
        return changed(number, schedule={"ramp_epochs": ramp, "penalty": 1.0})

    runs = [at(1, 2.0), at(2, 2.0), at(3, 9.0), at(4, 9.0)]
    _, names = paper_figures(summary(*runs))["pruning_speed"]
    assert names == [f"hybrid 32x32, {n} epochs of pruning" for n in (2, 9)]
    asked = changed(5, schedule={"initial": 1.0, "final": 10.0, "warmup_ratio": 0.05})
    assert frame([asked])["ramp_epochs"].tolist() == [pytest.approx(20 * 0.45)]


def test_a_store_with_one_family_has_no_such_figure() -> None:
    assert paper_figures(summary(*store(6, families=("structured",)))) == {}


def test_the_masks_of_a_network_lie_side_by_side() -> None:
    def mask(rows: int, columns: int) -> Any:
        return np.full((rows, columns), 255, dtype=np.uint8)

    names = [f"bert.encoder.layer.{i}." for i in range(2)]
    masks = {f"{n}attention.self.query": mask(4, 4) for n in names}
    masks |= {f"{n}intermediate.dense": mask(12, 4) for n in names}
    masks[f"{names[1]}output.dense"] = mask(4, 12)
    masks[f"{names[0]}attention.self.query"][0, 1] = 0
    found = arrange(masks)
    assert found.image.shape == (4 + GAP + 4, 4 + GAP + 12 + GAP + 12)
    assert found.image[0, 1] == 0 and found.image[0, 0] == 1
    assert np.isnan(found.image[4]).all() and np.isnan(found.image[0, -1])  # layer 0 has no output
    assert [t for _, t in found.columns] == ["query", "FFN in, on its side", "FFN out"]
    assert [t for _, t in found.rows] == ["layer 0", "layer 1"]
    assert (7, 0, 12, 4) in found.frames and len(found.frames) == 5


@pytest.mark.parametrize(
    ("names", "rows"),
    [
        (["encoder.block.0.a", "decoder.block.0.a"], ["encoder 0", "decoder 0"]),
        (["model.encoder.layers.1.fc1", "model.decoder.layers.1.fc1"], ["encoder 1", "decoder 1"]),
        (["hidden", "last"], ["layer"]),
    ],
)
def test_networks_of_other_shapes_have_their_rows(names: list[str], rows: list[str]) -> None:
    found = arrange({name: np.zeros((2, 2), dtype=np.uint8) for name in names})
    assert [title for _, title in found.rows] == rows


def test_the_best_of_each_family_has_a_picture(filled: Filled, tmp_path: Path) -> None:
    runs = store(12, families=("block 8x8", "hybrid 32x32"))
    root = filled(runs)
    for run in runs:
        masks = {"bert.encoder.layer.0.attention.self.query": np.ones((4, 4), dtype=np.uint8)}
        write(root / run.group / run.run_id, masks)
    assert main(["--pareto", "--out", str(tmp_path)]) == 0
    drawn = {path.name.split("_")[2] for path in tmp_path.glob("masks_squad_*.png")}
    front = summary(*runs).front.drop_duplicates("family")
    assert drawn == {f"{run}.png" for run in front["run_id"]} and len(drawn) == 2


def test_pictures_of_networks_are_drawn() -> None:
    rows = [("88.0 at 2.00x", [4, 2, 0], [100, 50, 0]), ("80.0 at 3.00x", [1], [])]
    svg = render(layers_figure(rows), "svg", text_as_text=True).decode()
    assert "Heads left" in svg and "88.0 at 2.00x" in svg and ">100<" in svg
    wide = [("x", [12] * 90, [3072] * 90)]
    svg = render(layers_figure(wide), "svg", text_as_text=True).decode()
    assert ">3072<" not in svg and ">2000<" in svg  # a bar tells the shades instead
    masks = {f"layer.{i}.query": np.ones((2, 3), dtype=np.uint8) for i in range(2)}
    svg = render(masks_figure("one run", arrange(masks)), "svg", text_as_text=True).decode()
    assert "layer 1" in svg and ">query<" in svg and ">one run<" in svg
