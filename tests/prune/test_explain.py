"""`prune explain` on tiny real networks, and what it makes of what was measured."""

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from prune import cli, nonorm
from prune.artifact import checkpoint
from prune.commands import explain as command
from prune.commands.profile import device_here, table_file
from prune.explained import (
    Explanation,
    Layer,
    Rounding,
    Side,
    Split,
    aligned,
    launch_bound_below,
    lines,
    rows,
    short,
)
from prune.speed import latency
from prune.speed.latency import Profile, Setting
from prune.speed.protocol import Ratio
from prune.speed.runtimes import Eager
from prune.speed.workload import Workload
from prune.unpruned import RUNTIMES, faster_unpruned
from tests import tiny

Prune = Callable[..., str]
HERE = "--batch 2 --length 16 --rounds 3 --threads 1"


@pytest.fixture
def prune(runs: Path, capfd: pytest.CaptureFixture[str]) -> Prune:
    """Run a command line: its output, after checking its exit code."""

    def run(line: str, code: int = 0) -> str:
        found = cli.main(shlex.split(line))
        out, err = capfd.readouterr()
        assert found == code, err
        return err if code else out

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A network of 2 and 4 heads, of 21 neurons and 48, as a model folder."""
    model = tiny.bert()
    checkpoint.reshape(model, checkpoint.Shape([2, 4], [21, 48]))
    checkpoint.save(model, tmp_path / "model")
    return tmp_path / "model"


def test_every_layer_has_its_share(prune: Prune, folder: Path) -> None:
    found: Any = json.loads(prune(f"explain {folder} {HERE} --first bf16 --json"))
    assert found["predicted_by"] == "operations" and found["matrices"] == 12
    first, second = found["layers"]
    assert (first["attention"]["units"], first["attention"]["dense_units"]) == (2, 4)
    assert (first["ffn"]["units"], second["ffn"]["units"]) == (21, 48)
    assert 0 < first["measured"] < 1 and first["measured"] + second["measured"] < 1.2
    assert first["predicted"] + second["predicted"] == pytest.approx(1)
    assert first["predicted"] < second["predicted"] and found["by_operations"] > 1.2
    shares = [found["ours"][k] for k in ("products", "attention", "activation", "elsewhere")]
    assert sum(shares) == pytest.approx(1) and min(shares[:3]) > 0
    assert set(found["batches_ms"]) == {"1", "2", "4", "8"}
    assert found["nonzero"] == 1
    assert found["dense_first"].keys() == {"bf16"}
    assert [(r["neurons"], r["rounded"]) for r in found["roundings"]] == [(21, 32)]
    assert found["rounded"]["low"] <= found["rounded"]["median"] <= found["rounded"]["high"]


def test_it_reads_as_text_and_a_profile_is_used(prune: Prune, folder: Path) -> None:
    curve = [(0, 0.0), (4, 1.0)], [(0, 0.0), (48, 3.0)]
    profile = Profile(Setting(32, 8, 2, 16, threads=1), 2.0, 0.0, *curve)
    latency.save(table_file(device_here()), {profile.setting: profile})
    text = prune(f"explain {folder} {HERE} --first none")
    assert "batch 2 x 16: " in text and "2 of 4" in text and "21 of 48" in text
    assert "predicted from the latency table of prune profile" in text
    table = (line for line in text.splitlines() if line.startswith("layer ") and "%" in line)
    first, second = (line for line in table if " of " in line)
    assert first.split()[-1] == f"{1.8125 / 7.8125:.0%}" and second.split()[-1] == "51%"
    assert "nothing was tried on the dense model" in text
    other = prune(f"explain {folder} {HERE.replace('16', '8')} --first none")
    assert "predicted from the operations" in other


def test_without_norms_it_is_rounded_without_norms(prune: Prune, tmp_path: Path) -> None:
    model = tiny.bert(layers=1)
    nonorm.replace_norms(model)
    checkpoint.reshape(model, checkpoint.Shape([4], [20]))
    checkpoint.save(model, tmp_path / "plain")
    found = json.loads(prune(f"explain {tmp_path}/plain {HERE} --first none --json"))
    assert found["roundings"][0]["rounded"] == 32


@pytest.mark.filterwarnings("ignore")  # torch's own, when it compiles or quantizes
def test_what_other_runtimes_give_is_the_dense_model(monkeypatch: pytest.MonkeyPatch) -> None:
    model, work = tiny.bert(), Workload(2, 16)
    for make in RUNTIMES.values():
        work.check([Eager(model), make(model)], model, 0)
    found, notes = faster_unpruned(model, work, list(RUNTIMES), 3, 0)
    assert tuple(found) == tuple(RUNTIMES) == command.FIRST and not notes
    assert all(ratio.low <= ratio.median <= ratio.high for ratio in found.values())
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    found, (note,) = faster_unpruned(model, work, ["onnx"], 3, 0)
    assert not found and "pip install 'prune[onnx]'" in note


def foreign(folder: Path) -> Path:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    config = GPTNeoXConfig(vocab_size=20, num_attention_heads=2, **sizes)
    GPTNeoXForCausalLM(config).save_pretrained(folder)
    return folder


def test_what_cannot_be_explained_is_said_in_one_line(
    prune: Prune, folder: Path, tmp_path: Path
) -> None:
    for line, code, why in (
        ("explain nothing", 1, "no run and no folder 'nothing'"),
        (f"explain {tmp_path}", 1, "holds no model"),
        (f"explain {folder} --batch 0", 2, "--batch 0: at least 1"),
        (f"explain {folder} --rounds 2", 2, "--rounds 2: at least 3"),
        (f"explain {folder} --first int4", 2, "unknown runtime 'int4'"),
        (f"explain {folder} --length 99", 2, "reads 32 tokens at most"),
        (f"explain {foreign(tmp_path / 'foreign')} {HERE}", 2, "no table for the architecture"),
    ):
        assert why in prune(line, code).splitlines()[0], line


def test_the_batch_from_which_the_time_follows() -> None:
    assert launch_bound_below({1: 1.0, 2: 1.1, 4: 1.3, 8: 2.4}) == 4
    assert launch_bound_below({1: 1.0, 2: 1.9, 4: 3.8}) == 1
    assert launch_bound_below({1: 1.0, 2: 1.1, 3: 1.1}) == 4
    assert [aligned(n, 3072) for n in (0, 1, 16, 389, 3070)] == [0, 16, 16, 400, 3072]
    assert aligned(19, 20) == 20


RATIO = Ratio(1.5, 1.4, 1.6)


def explanation(**changes: Any) -> Explanation:
    side = Side(7, 12, 1.0, 0.31)
    found: dict[str, Any] = {
        "ours": Split(10.0, 0.78, 0.14, 0.02, 0.06),
        "dense": Split(15.0, 0.9, 0.05, 0.03, 0.02),
        "speedup": RATIO,
        "by_operations": 2.9,
        "nonzero": 0.4,
        "matrices": 18,
        "predicted_by": "profile",
        "batches_ms": {1: 9.0, 2: 9.1, 4: 9.3, 8: 18.0},
        "launch_bound_below": 4,
        "layers": [Layer(f"bert.encoder.layer.{i}", side, side, 0.4, 0.45) for i in range(2)],
        "roundings": [
            Rounding("bert.encoder.layer.1", 389, 400, Ratio(1.06, 1.01, 1.1)),
            Rounding("bert.encoder.layer.0", 90, 96, Ratio(1.06, 0.99, 1.1)),
        ],
        "rounded": RATIO,
        "dense_first": {"compiled": Ratio(1.18, 1.1, 1.2), "int8": Ratio(1.9, 1.8, 2.0)},
    }
    return Explanation("a81f", 1, 128, "a device", 2, "fp32", 7, **{**found, **changes})


def test_the_lines_say_why() -> None:
    text = "\n".join(lines(explanation()))
    assert "78% of the time is in 18 matrix products, 14% in attention" in text
    assert "(launch-bound, as below batch 4)" in text
    assert "layer 1: ffn 389 neurons: 400 would be 6% faster (round_to=16)" in text
    assert "ffn 90 neurons" not in text  # its interval holds 1
    assert "torch.compile gives the dense model 1.18x, int8 1.90x" in text
    assert "40% of the weights that its layers store are not zero" in text
    assert rows(explanation())[1] == ["layer 0", *["7 of 12", "31%"] * 2, "40%", "45%"]


def test_the_lines_of_other_cases() -> None:
    found = explanation(
        nonzero=1.0, launch_bound_below=1, rounded=None, dense_first={}, notes=["a note"]
    )
    text = "\n".join(lines(found))
    assert "compute-bound at every batch" in text and "multiples of 16" in text
    assert "not zero" not in text and "nothing was tried" in text and text.endswith("a note")
    assert "launch-bound up to batch 8 at least" in "\n".join(
        lines(explanation(launch_bound_below=9))
    )
    assert short(["encoder.block.0", "decoder.block.0"]) == ["encoder 0", "decoder 0"]
