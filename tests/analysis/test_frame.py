"""Records -> one row a checkpoint."""

import dataclasses
import math
import random
import shlex

from analysis.filters import cell_of, parse
from analysis.frame import COLUMNS, frame
from prune.records import Record
from prune.store.flat import command
from tests.analysis.synthetic import record, store


def one(family: str = "hybrid 32x32") -> Record:
    return record(random.Random(0), family, 0.25, "squad", seed=2)


def test_a_row_holds_the_evidence_of_its_checkpoint() -> None:
    run = one()
    point, cell = run.points[0], run.points[0].latency[0]
    row = frame([run]).iloc[0].to_dict()
    assert row["run_id"] == run.run_id and row["group"] == "block_shapes"
    assert row["family"] == "hybrid 32x32" and row["block"] == "32x32"
    assert row["attention"] == "block 32x32" and row["ffn"] == "neurons"
    assert row["quality"] == row["f1"] == point.quality["f1"]
    assert row["exact_match"] == point.quality["exact_match"]
    assert row["dense_quality"] == 88.5
    assert row["nonzero_density"] == 0.25 and row["stored_density"] == point.density.stored
    assert row["pruned_ms"] == cell.pruned_ms and row["speedup_low"] == cell.speedup_low
    assert row["heads"] == 36 and row["neurons"] == 12 * 768
    assert row["seed"] == 2 and row["penalty"] == 10 and row["target_density"] == 0.25
    assert row["seconds"] == 60 and row["model"] == "bert_base" and row["teacher"] == "dense"


def test_the_latency_is_the_headline_cell_unless_another_is_asked_for() -> None:
    run = one()
    assert frame([run])["batch"].tolist() == [32]
    chosen = frame([run], cell_of([parse("batch=1"), parse("length=..128")]))
    assert chosen["batch"].tolist() == [1]
    assert chosen["speedup"].tolist() == [run.points[0].latency[1].speedup]
    assert frame([run], cell_of([parse("batch=7")])).empty
    assert cell_of([parse("task=squad")]) is None


def timed_by_blocks(run: Record, first: bool = False) -> Record:
    """The same run, also measured in the block-sparse runtime: three times as fast."""
    point = run.points[0]
    cells = [
        dataclasses.replace(cell, runtime="block_sparse", speedup=3 * cell.speedup)
        for cell in point.latency
    ]
    both = [*cells, *point.latency] if first else [*point.latency, *cells]
    return dataclasses.replace(run, points=[dataclasses.replace(point, latency=both)])


def test_the_block_sparse_runtime_is_a_family_of_its_own() -> None:
    plain, both = one(), timed_by_blocks(one())
    table = frame([plain, both, plain])
    names = ["hybrid 32x32", "hybrid 32x32, block-sparse runtime"]
    assert table["family"].tolist() == [names[0], *names, names[0]]
    assert table["runtime"].tolist() == ["eager", "eager", "block_sparse", "eager"]
    speedup = plain.points[0].latency[0].speedup
    assert table["speedup"].tolist() == [speedup, speedup, 3 * speedup, speedup]
    assert table["quality"].nunique() == 1 and table["batch"].tolist() == [32] * 4
    small = frame([both], cell_of([parse("batch=1")]))
    assert small["family"].tolist() == names and small["batch"].tolist() == [1, 1]
    for runtime, name in zip(("eager", "block_sparse"), names, strict=True):
        found = frame([plain, both], cell_of([parse(f"runtime={runtime}")]))
        assert set(found["family"]) == {name} and set(found["runtime"]) == {runtime}
    assert frame([timed_by_blocks(one(), first=True)])["family"].tolist() == names[::-1]


def test_a_dense_network_is_dense_in_any_runtime() -> None:
    dense = timed_by_blocks(one("dense"))
    assert frame([dense])[["family", "runtime"]].to_numpy().tolist() == [["dense", "eager"]]
    assert frame([timed_by_blocks(one("dense"), first=True)])["family"].tolist() == ["dense"]


def test_each_checkpoint_is_a_row_and_a_run_without_one_is_none() -> None:
    run = one()
    filled = dataclasses.replace(run.points[0], stage="filled")
    both = dataclasses.replace(run, points=[run.points[0], filled])
    waiting = dataclasses.replace(run, status="running", points=[])
    table = frame([both, waiting])
    assert table["family"].tolist() == ["hybrid 32x32", "hybrid 32x32 filled"]
    assert table["run_id"].nunique() == 1


def test_an_empty_frame_has_all_columns() -> None:
    assert set(frame([]).columns) == set(COLUMNS)


def test_tasks_with_other_metrics_share_the_frame() -> None:
    run = one()
    point = dataclasses.replace(run.points[0], quality={"accuracy": 84.0})
    other = dataclasses.replace(run, task="mnli", metric="accuracy", points=[point])
    table = frame([run, other])
    assert table["quality"].tolist() == [run.points[0].quality["f1"], 84.0]
    assert math.isnan(table["f1"].iloc[1]) and math.isnan(table["accuracy"].iloc[0])


def test_what_a_record_does_not_say_is_missing_and_not_invented() -> None:
    bare = dataclasses.replace(one(), config={"seed": "x", "model": 3}, reference={}, overrides=[])
    cut = dataclasses.replace(bare.points[0], latency=[], heads=[], widths=[])
    row = frame([dataclasses.replace(bare, points=[cut])]).iloc[0].to_dict()
    for name in ("seed", "penalty", "dense_quality", "speedup", "batch", "target_density"):
        assert math.isnan(row[name]), name
    assert row["model"] == "" and row["command"] == "prune train"


def test_a_dense_run_is_its_own_reference() -> None:
    dense = dataclasses.replace(one("dense"), reference={})
    assert frame([dense])["dense_quality"].tolist() == [88.5]


def test_the_command_survives_a_shell() -> None:
    overrides = ["+experiment=toy", "attention.block=[4,4]", "task.data_dir=/a b/'c'", "x=$HOME"]
    assert shlex.split(command(overrides)) == ["prune", "train", *overrides]


def test_many_records_keep_their_order() -> None:
    runs = store(200)
    assert frame(runs)["run_id"].tolist() == [run.run_id for run in runs]
