"""Exported files give the model's logits, for any batch and length, with uneven heads and widths.

The command `prune export` is tested in tests/test_exporting.py.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from prune.artifact import onnx_graph
from prune.artifact.export import Exported, _verified, difference, export
from prune.artifact.fill import fill
from prune.artifact.shape import Shape, reshape
from prune.artifact.shrink import shrink
from prune.errors import ExportError, MissingInputError
from prune.speed.files import FROM_FILE, need
from tests import networks, tiny

onnx: Any = pytest.importorskip("onnx", reason="needs prune[onnx]")
pytest.importorskip("onnxruntime", reason="needs prune[onnx]")
NAMES = ("input_ids", "token_type_ids", "attention_mask")  # of a BERT tokenizer
OPENVINO = pytest.mark.skipif(
    subprocess.run([sys.executable, "-c", "import openvino"], capture_output=True).returncode != 0,
    reason="needs prune[openvino]",
)


@pytest.fixture(scope="module")
def small() -> PreTrainedModel:
    """Three layers: 3 heads and 20 neurons, nothing at all, 1 head and 48 neurons."""
    model = tiny.bert(layers=3)
    reshape(model, Shape([3, 0, 1], [20, 0, 48]))
    return model.eval()


@pytest.fixture(scope="module")
def files(small: PreTrainedModel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    batches = [tiny.batch(8, 12, seed) for seed in range(4)]
    folder = tmp_path_factory.mktemp("export")
    found = export(small, folder, NAMES, int8=["static"], calibration=batches)
    return {file.name: file for file in found}


def attention_heads(path: Path) -> list[int]:
    nodes = [n for n in onnx.load(path).graph.node if n.op_type in onnx_graph.ATTENTIONS]
    return [a.i for node in nodes for a in node.attribute if a.name == "num_heads"]


def test_batch_and_length_are_free_and_heads_are_fused_layer_by_layer(
    small: PreTrainedModel, files: dict[str, Exported]
) -> None:
    file = files["onnx"]
    graph = onnx.load(file.path).graph
    for value in graph.input:
        axes = [axis.dim_param for axis in value.type.tensor_type.shape.dim]
        assert axes == ["batch", "length"], value.name
    assert {value.name for value in graph.input} == set(NAMES)
    assert attention_heads(file.path) == [3, 1]
    assert file.note == "2 attentions fused" and file.difference < 1e-4
    assert file.size_mb == pytest.approx(file.path.stat().st_size / 1e6)
    runtime = file.open()
    for rows, length in ((1, 1), (2, 31), (9, 2)):
        batch = {name: t[:, :length] for name, t in tiny.batch(rows, max(length, 10)).items()}
        expected, found = small(**batch), runtime(batch)
        for name in ("start_logits", "end_logits"):
            assert torch.allclose(found[name], expected[name], atol=1e-3), (rows, length)


@pytest.mark.parametrize("name", ["onnx", "int8_static"])
def test_onnx_runtime_leaves_the_norms_alone(
    files: dict[str, Exported], name: str, tmp_path: Path
) -> None:
    runtime: Any = need("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    runtime.InferenceSession(str(files[name].path), options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert kinds.count("LayerNormalization") == 7  # of the embeddings, and two a layer
    assert "SkipLayerNormalization" not in kinds


def test_int8_is_near_and_not_equal(files: dict[str, Exported]) -> None:
    file = files["int8_static"]
    assert 1e-5 < file.difference < 3
    kinds = {node.op_type for node in onnx.load(file.path).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds


def test_a_file_of_another_model_is_refused(files: dict[str, Exported]) -> None:
    other = tiny.bert(layers=3, seed=1)
    what = onnx_graph.signature(other, NAMES)
    assert difference(other, files["onnx"].open(), what) > 1e-3
    with pytest.raises(ExportError, match=r"differ by .* nothing was exported"):
        _verified(other, what, files["onnx"].path, "onnx")


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no protobuf")
    with pytest.raises(ExportError, match=r"cannot load .*model\.onnx"):
        FROM_FILE["onnx"](tmp_path / "model.onnx")


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, extra in (("onnxruntime", "onnx"), ("openvino", "openvino")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(MissingInputError, match=rf"{module} is not .* 'prune\[{extra}\]'"):
            need(module, extra)


@pytest.mark.slow
@pytest.mark.parametrize("name", networks.NETWORKS)
@pytest.mark.parametrize("state", ["dense", "shrunk", "filled"])
def test_every_architecture(name: str, state: str, tmp_path: Path) -> None:
    model = networks.NETWORKS[name]()
    if state != "dense":
        networks.kill(model, 1, 0.6)
        model = shrink(model)
    if state == "filled":
        fill(model)
    found = export(model, tmp_path, NAMES, int8=["dynamic"])
    assert [file.name for file in found] == ["onnx", "int8"]
    assert found[0].difference < 1e-4 and found[1].difference < 1


@OPENVINO
@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert", "vit", "gpt2", "bart lm", "deberta-v2", "modernbert"])
def test_openvino_converts_it(name: str, tmp_path: Path) -> None:
    model = networks.NETWORKS[name]()
    networks.kill(model, 1, 0.5)
    batches = [networks.inputs(model)]
    found = export(shrink(model), tmp_path, NAMES, ["static"], batches, openvino=True)
    by_name = {file.name: file for file in found}
    assert set(by_name) == {"onnx", "openvino", "int8_static", "openvino_int8"}
    assert by_name["openvino"].difference < 1e-4
    assert by_name["openvino"].path.name == "model.xml"
    assert by_name["openvino_int8"].difference < 3


@pytest.mark.slow
def test_a_graph_that_cannot_be_fused_is_kept_plain(tmp_path: Path) -> None:
    (file,) = export(networks.NETWORKS["gpt2"](), tmp_path)
    assert file.note.startswith("not fused: ") and file.difference < 1e-4
