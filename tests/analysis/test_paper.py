"""The figures of a paper: what they compare; pictures of networks read from their files."""

import dataclasses
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from analysis.drawing import layers_figure, masks_figure
from analysis.figures import render
from analysis.frame import frame
from analysis.metrics import AXES
from analysis.paper import paper_figures
from analysis.summary import Summary, summarise
from analysis.weights import patterns
from prune.errors import MissingInputError
from prune.records import Record
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


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
def test_the_pattern_of_a_matrix_is_read_from_its_file(tmp_path: Path, kind: torch.dtype) -> None:
    torch.manual_seed(0)
    weight = torch.randn(70, 64) * (torch.rand(70, 64) < 0.4)
    weight[:32, 32:] = -0.0
    tensors = {
        "bert.encoder.layer.3.attention.self.query.weight": weight.to(kind),
        "bert.encoder.layer.3.attention.self.query.bias": torch.ones(70),
        "bert.embeddings.word_embeddings.weight": torch.ones(64, 64),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    found = patterns(tmp_path / "model.safetensors")
    assert set(found) == {3} and set(found[3]) == {"attention.self.query"}
    shares = found[3]["attention.self.query"]
    assert shares.shape == (3, 2) and shares[0, 1] == 0
    live = weight.to(kind) != 0
    for row in range(3):
        for column in range(2):
            square = live[32 * row : 32 * row + 32, 32 * column : 32 * column + 32]
            assert shares[row, column] == pytest.approx(square.float().mean().item())


@pytest.mark.parametrize("content", [b"", b"x" * 100, b'\x05\0\0\0\0\0\0\0{"a"', b"\xff" * 64])
def test_a_file_that_is_no_network_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(MissingInputError, match="cannot read the weights"):
        patterns(tmp_path / "model.safetensors")


def test_pictures_of_networks_are_drawn() -> None:
    rows = [("88.0 at 2.00x", [4, 2, 0], [100, 50, 0]), ("80.0 at 3.00x", [1], [])]
    svg = render(layers_figure(rows), "svg", text_as_text=True).decode()
    assert "Heads left" in svg and "88.0 at 2.00x" in svg and ">100<" in svg
    share = np.ones((2, 3), dtype=np.float32)
    layers = {0: {"attention.self.query": share, "output.dense": share[:0, :0]}, 1: {}}
    svg = render(masks_figure("one run", layers), "svg", text_as_text=True).decode()
    assert "layer 1" in svg and "none left" in svg and ">query<" in svg
