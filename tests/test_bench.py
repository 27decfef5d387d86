"""`prune bench` in the block-sparse runtime, and what it records of a run that is done."""

import dataclasses
import json
from itertools import product
from pathlib import Path

import pytest
import torch

from prune.artifact import checkpoint
from prune.cli import main
from prune.config import MeasureConfig, PartConfig, RunConfig
from prune.errors import StoreError
from prune.kernels import backends
from prune.records import Density, Latency, Point, Record
from prune.store import Store
from prune.store.amending import amend
from tests import tiny

GRID = [[4, 16], [1, 16]]


@pytest.fixture
def done(runs: Path) -> Record:
    """A run whose network has blocks of 16x16, measured in eager mode on another machine."""
    pytest.importorskip("llvmlite", reason="other backends leave layers of this density dense")
    torch.manual_seed(0)
    model = tiny.bert()
    for module in model.bert.encoder.modules():
        if isinstance(module, torch.nn.Linear):
            module.weight.data[:16, :16] = 0
    measure = MeasureConfig(grid=GRID, rounds=3)
    asked = RunConfig(attention=PartConfig(name="block", block=[16, 16]), measure=measure)
    with Store().open_run(asked, ["+experiment=toy"]) as folder:
        digest = checkpoint.save(model, folder.model_dir)
        size = (folder.model_dir / checkpoint.WEIGHTS_FILE).stat().st_size / 1e6
        cells = [Latency(b, n, "eager", 9.0, 6.0, 1.5, 1.4, 1.6, 3, device="T") for b, n in GRID]
        density = Density(0.7, 1.0, 1.0)
        point = Point("pruned", {"f1": 60.0}, density, size, size, cells, "model", digest)
        found = folder.outcome("done", metric="f1", points=[point], reference={"f1": 61.0})
        return folder.finish(found)


def result(record: Record) -> list[Latency]:
    return Store().find(record.run_id).points[0].latency


def test_it_is_timed_beside_eager_and_says_what_it_made(
    done: Record, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, kind in product(("llvm", "amx"), (torch.float32, torch.bfloat16)):
        # however fast dense products are here
        monkeypatch.setitem(backends.TIES, (name, kind), {16: 1.0})
    command = ["bench", done.run_id, "--runtime", "eager,block_sparse", "--batch", "4"]
    for dtype in ("fp32", "bf16"):
        assert main([*command, "--dtype", dtype, "--json"]) == 0
        cells = json.loads(capsys.readouterr().out)["cells"]
        assert [cell["latency"]["runtime"] for cell in cells] == ["eager", "block_sparse"]
        assert {cell["latency"]["dtype"] for cell in cells} == {dtype}
        assert cells[1]["note"].startswith("12 of 13 linear layers by their blocks")
    assert main(command) == 0
    assert "block_sparse: 12 of 13 linear layers" in capsys.readouterr().out
    assert len(result(done)) == 2, "nothing is recorded unless asked for"


def test_what_is_recorded_joins_the_run(done: Record, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["bench", done.run_id, "--runtime", "block_sparse", "--threads", "1", "--record"]
    assert main(command) == 0
    assert "recorded 2 of 2 cells" in capsys.readouterr().out
    cells = result(done)
    assert [(c.batch, c.runtime) for c in cells] == [
        *((4, "eager"), (1, "eager")),
        *((4, "block_sparse"), (1, "block_sparse")),
    ]
    assert all(c.sha256 == done.points[0].sha256 and "by prune" in c.measured for c in cells[2:])
    assert cells[:2] == done.points[0].latency, "the headline is what the run measured"
    assert main(command) == 0
    again = result(done)
    assert len(again) == 4 and again[2].measured >= cells[2].measured, "the later one counts"
    assert main(["runs", "show", done.run_id]) == 0
    assert "16 block_sparse: dense" in capsys.readouterr().out
    assert main(["report"]) == 0
    assert "attention block 16x16, block-sparse runtime" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--runtime", "onnx"], "others run other weights"),
        (["--dtype", "bf16"], "without --dtype"),
        (["--against", "{run}"], "without --against"),
    ],
)
def test_what_is_no_evidence_is_not_recorded(
    done: Record, flags: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [flag.format(run=done.run_id) for flag in flags]
    assert main(["bench", done.run_id, "--record", *flags]) == 2
    assert why in capsys.readouterr().err
    assert len(result(done)) == 2


def test_a_folder_of_no_run_has_no_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint.save(tiny.bert(), tmp_path / "mine")
    assert main(["bench", str(tmp_path / "mine"), "--record"]) == 2
    assert "mine is no run" in capsys.readouterr().err


def test_only_the_very_weights_of_a_finished_run_are_amended(done: Record) -> None:
    folder, later = Path(done.path), dataclasses.replace(done.points[0].latency[0], device="U")
    before = (folder / "result.json").read_bytes()
    assert amend(folder, "model", [done.points[0].latency[0]]) == 0
    assert (folder / "result.json").read_bytes() == before, "what the run measured stays"
    with pytest.raises(StoreError, match="no checkpoint 'filled'"):
        amend(folder, "filled", [later])
    with pytest.raises(StoreError, match="speedup=nan"):
        amend(folder, "model", [dataclasses.replace(later, speedup=float("nan"))])
    weights = folder / "model" / checkpoint.WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    with pytest.raises(StoreError, match="not what was measured"):
        amend(folder, "model", [later])
    assert (folder / "result.json").read_bytes() == before
    (folder / "result.json").unlink()
    with pytest.raises(StoreError, match="no finished run"):
        amend(folder, "model", [later])


def test_a_gpu_that_is_not_there_is_said_in_one_line(
    done: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert main(["bench", done.run_id, "--device", "cuda"]) == 2
    assert "torch can use no GPU here" in capsys.readouterr().err
