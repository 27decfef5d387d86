"""Published results become runs: what is mapped, what is refused, and that nothing is opened."""

import builtins
import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.family import family
from analysis.frame import frame
from analysis.importing import main
from analysis.metrics import AXES, QUALITY
from analysis.pareto import FACTOR, on_front
from analysis.published import BATCH, RUNTIME, read_file, records
from analysis.published_tables import TABLES, disagreements
from analysis.summary import summarise
from prune import compose
from prune.errors import MissingInputError, StoreError, UsageError
from prune.records import Record, to_json
from prune.store import Store
from tests.analysis.publications import HIDDEN, LAYERS, LINEAR, checkpoint, file, filled
from tests.analysis.synthetic import record as own_run


def one(**changes: Any) -> Record:
    (found,) = records(file(one=checkpoint(**changes)), "a.json")
    assert isinstance(found, Record), found
    return found


def write(path: Path, content: Any) -> Path:
    path.write_bytes(gzip.compress(json.dumps(content).encode()))
    return path


def test_everything_a_checkpoint_says_is_in_its_record() -> None:
    record = one()
    (point,), (cell,) = record.points, record.points[0].latency
    weights = LAYERS * (6 * 4 * HIDDEN * 64 + 1000 * 2 * HIDDEN)
    assert (record.task, record.metric, record.group) == ("squad", "f1", "nn_pruning")
    assert point.quality == {"f1": 87.0, "exact_match": 79.0}
    assert record.reference == {"f1": 88.5, "exact_match": 80.8}
    assert point.density.nonzero == pytest.approx(weights / LINEAR)
    assert point.density.stored == pytest.approx(weights / LINEAR)
    assert point.density.model == pytest.approx((weights + 23e6) / (LINEAR + 24e6))
    assert point.heads == [6] * LAYERS and point.widths == [1000] * LAYERS
    assert (cell.batch, cell.length, cell.runtime, cell.speedup) == (BATCH, 384, RUNTIME, 2.0)
    assert cell.dense_ms == pytest.approx(1e3 * 40 / 85)
    assert record.config["schedule"]["penalty"] == 20 and record.config["ffn"]["weight"] == 0.5
    assert record.config["train"]["epochs"] == 20 and record.steps == 100
    assert record.lineage["published"] == "a.json" and record.published
    assert family(record.config, point.stage) == "hybrid 32x32"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"sparse_args__attention_block_rows": 64, "sparse_args__attention_block_cols": 768},
         "structured"),
        ({"sparse_args__attention_block_rows": 1, "sparse_args__attention_block_cols": 768},
         "attention rows"),
        ({"sparse_args__attention_block_rows": 1, "sparse_args__attention_block_cols": 1,
          "sparse_args__dense_pruning_method": "sigmoied_threshold"}, "unstructured"),
        ({"sparse_args__dense_pruning_method": "sigmoied_threshold",
          "sparse_args__dense_block_rows": 32, "sparse_args__dense_block_cols": 32},
         "block 32x32"),
    ],
)  # fmt: skip
def test_families_are_those_of_the_paper(changes: dict[str, Any], name: str) -> None:
    record = one(**changes)
    assert family(record.config, record.points[0].stage) == name


def test_a_filled_network_is_what_it_came_from_and_filled() -> None:
    content = file(first=checkpoint(), again=filled("first"), lost=filled("not_there"))
    _, again, lost = records(content, "a.json")
    assert isinstance(again, Record) and isinstance(lost, Record)
    assert family(again.config, again.points[0].stage) == "hybrid 32x32 filled"
    assert again.config["fill"]["epochs"] == 10 and again.config["train"]["epochs"] == 20
    assert family(lost.config, lost.points[0].stage) == "unknown filled" and not lost.overrides


def test_a_large_network_is_held_against_bert_base() -> None:
    sizes = {
        "config__hidden_size": 1024,
        "config__intermediate_size": 4096,
        "config__num_attention_heads": 16,
        "stats__linear_nnz": 30_198_988,
        "stats__linear_total": 301_989_888,
    }
    record = one(**sizes)
    assert record.points[0].density.nonzero == pytest.approx(0.1 * 32 / 9, rel=1e-6)
    assert record.config["model"]["name"] == "bert_large"


def test_mnli_is_told_by_its_metrics() -> None:
    matched, mismatched = {"eval_accuracy": 0.83}, {"eval_accuracy": 0.84}
    record = one(eval_metrics=matched, eval_metrics_mm=mismatched)
    assert record.task == "mnli" and record.metric == "accuracy"
    assert record.points[0].quality == {"accuracy": 83.0, "accuracy_mm": 84.0}
    assert record.points[0].latency[0].length == 128


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"eval_metrics": {"f1": "87"}, "stats": {}}, "neither SQuAD nor MNLI"),
        ({"eval_metrics__f1": None}, "None is not a finite number"),
        ({"eval_metrics__HasAns_f1": 80.0}, r"SQuAD v2\.0"),
        ({"speed__cuda_eval_elapsed_time": 0}, "is not positive"),
        ({"stats__linear_nnz": -1}, r"density\.nonzero=-"),
        ({"sparse_args__attention_pruning_method": "magic"}, "unknown pruning method 'magic'"),
        ({"stats__pruned_heads": {}}, "no '0'"),
        ({"training_args": []}, "."),
    ],
)
def test_a_checkpoint_that_is_no_evidence_is_one_line(changes: dict[str, Any], reason: str) -> None:
    (line,) = records(file(odd=checkpoint(**changes)), "a.json")
    assert isinstance(line, str) and len(line.splitlines()) == 1
    assert line.startswith("skipped ...") and "odd/checkpoint-100: " in line
    with pytest.raises(AssertionError, match=reason):
        one(**changes)


KEYS = sorted(checkpoint())
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(KEYS), st.sampled_from(["", *KEYS]), json_values)
def test_any_value_gives_a_record_or_a_line(key: str, inner: str, value: Any) -> None:
    entry = checkpoint()
    if isinstance(entry[key], dict) and inner in entry[key]:
        entry[key][inner] = value
    else:
        entry[key] = value
    (found,) = records(file(odd=entry), "a.json")
    if isinstance(found, Record):
        json.dumps(to_json(found), allow_nan=False)
    else:
        assert found.startswith("skipped") and len(found.splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Expecting value"),
        (b"{", "cannot import"),
        (b"\x1f\x8b broken", "cannot import"),
        (gzip.compress(json.dumps(file()).encode())[:-20], "ended before"),
        (b"[" * 100_000, "recursion"),
        (b'{"checkpoints": NaN}', "NaN is not a number"),
        (b"[]", "not a result file of nn_pruning"),
        (b'{"checkpoints": {}, "base_speed_report": {}}', "not a result file of nn_pruning"),
    ],
)
def test_a_broken_file_gets_one_line(
    runs: Path, tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "a.json.gz"
    path.write_bytes(content)
    with pytest.raises(MissingInputError, match=reason) as caught:
        main(["nn_pruning", str(path)])
    assert len(str(caught.value).splitlines()) == 1 and str(path.name) in str(caught.value)
    with pytest.raises(MissingInputError, match="No such file"):
        main(["nn_pruning", str(tmp_path / "none")])
    assert not runs.exists()


def test_importing_again_changes_nothing_and_rebuild_keeps_it(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "a.json.gz", file(one=checkpoint(), two=filled("one")))
    assert main(["nn_pruning", str(path)]) == 0
    assert "2 checkpoints: 2 new, 0 changed, 0 known already" in capsys.readouterr().out
    before = {p: p.stat().st_mtime_ns for p in runs.rglob("result.json")}
    kept = Store().records()
    assert main(["nn_pruning", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["same"] == 2
    assert {p: p.stat().st_mtime_ns for p in runs.rglob("result.json")} == before
    assert Store().rebuild().runs == 2 and Store().records() == kept
    write(path, file(one=checkpoint(eval_metrics__f1=86.5), two=filled("one")))
    assert main(["nn_pruning", str(path)]) == 0
    assert "0 new, 1 changed, 1 known already" in capsys.readouterr().out


def test_a_run_of_ours_is_never_written_over(runs: Path) -> None:
    import dataclasses
    import random

    record = one()
    ours = own_run(random.Random(0), "structured", 0.5)
    ours = dataclasses.replace(ours, run_id=record.run_id, group=record.group)
    folder = runs / ours.group / ours.run_id
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(to_json(ours)))
    with pytest.raises(StoreError, match="is a run of this store already: nothing was imported"):
        Store().adopt([record])
    with pytest.raises(StoreError, match="does not say where it was published"):
        Store().adopt([dataclasses.replace(ours, run_id="0123abcd")])
    assert Store().records()[0].points == ours.points


def test_no_path_of_the_file_is_opened(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "trap"
    trap.mkdir()
    content = file(one=checkpoint(config___name_or_path=str(trap)), two=filled("one"))
    content["checkpoints"][f"{trap}/checkpoint-7"] = checkpoint(
        sparse_args__distil_teacher_name_or_path=str(trap), source_checkpoint=str(trap)
    )
    opened: list[str] = []
    usual = builtins.open
    monkeypatch.setattr(
        builtins, "open", lambda name, *a, **k: (opened.append(str(name)), usual(name, *a, **k))[1]
    )
    assert main(["nn_pruning", str(write(tmp_path / "a.json.gz", content))]) == 0
    assert opened and not any(str(trap) in name for name in opened)


def test_an_unknown_format_names_the_known_one() -> None:
    with pytest.raises(UsageError, match="unknown format 'nn_prunning'; did you mean nn_pruning"):
        main(["nn_prunning", "x.json"])


# --- the real files ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(shared: Path) -> list[Record]:
    found: list[Record | str] = []
    for name in ("squadv1", "mnli"):
        path = shared / "reference" / f"nn_pruning_results_{name}.json.gz"
        if not path.exists():
            pytest.skip(f"needs the published results: {path.name}")
        found += records(read_file(path), path.name)
    assert all(isinstance(item, Record) for item in found), found
    return [item for item in found if isinstance(item, Record)]


def test_all_published_checkpoints_are_imported(real: list[Record]) -> None:
    assert Counter(record.task for record in real) == {"squad": 240, "mnli": 27}
    assert len({record.run_id for record in real}) == 267
    families = {family(record.config, record.points[0].stage) for record in real}
    assert not any("unknown" in name for name in families)
    known = {name.split(",")[0] for name in families}
    kinds = {"unstructured", "structured", "hybrid 32x32", "hybrid 32x32 filled", "block 32x32"}
    kinds |= {"attention rows output as FFN", "hybrid 32x32 NoNorm ReLU", "hybrid 32x32 2:4"}
    assert kinds <= known


def test_the_published_shapes_are_those_of_the_networks(real: list[Record], shared: Path) -> None:
    lines = (shared / "reference" / "shapes.csv").read_text().splitlines()[1:]
    for line in lines:
        _, f1, speedup, _, heads, widths = line.split(",")
        matching = [
            r.points[0]
            for r in real
            if round(r.points[0].quality.get("f1", 0), 2) == float(f1)
            and round(r.points[0].latency[0].speedup, 2) == float(speedup)
        ]
        shapes = [(p.heads, p.widths) for p in matching]
        assert ([int(h) for h in heads.split()], [int(w) for w in widths.split()]) in shapes, line


def test_every_published_run_could_be_asked_of_us(real: list[Record]) -> None:
    wanted = {tuple(record.overrides) for record in real}
    configs = compose.load_many([list(words) for words in sorted(wanted)])
    assert len(configs) == len(wanted) > 50


def test_the_known_flaws_of_the_published_tables_are_found(real: list[Record]) -> None:
    text = "\n".join(disagreements(real))
    assert "squad row 10 (85.52 at 3.64x): its quality is 84.68 (the printed one" in text
    assert "49 of 240 networks lost more than 0.1 F1" in text
    assert "squad row 9 (86.69 at 2.80x): its linear parameters are -80 %, not -74 %" in text
    assert "row 7" not in text  # this one agrees


def test_the_staircase_is_that_of_the_published_figures(real: list[Record]) -> None:
    table = frame(real)
    counts = {}
    for summary in summarise(table, AXES["speedup"], "staircase"):
        counts[summary.task] = len(summary.front)
        kept: list[tuple[float, float]] = []  # the published loop, as it stands there
        pairs = table.loc[table["task"] == summary.task, ["speedup", "quality"]]
        for x, y in sorted(pairs.itertuples(index=False), reverse=True):
            if not kept or y > kept[-1][1] * FACTOR:
                kept.append((x, y))
        ours = summary.front[["speedup", "quality"]].itertuples(index=False, name=None)
        assert sorted(ours) == sorted(kept)
    assert counts == {"squad": 22, "mnli": 10}
    points = summarise(table[table["task"] == "squad"], AXES["speedup"], "staircase")[0].points
    for row in TABLES["squad"][:-1]:  # the last one's quality is that of another network
        near = (points["quality"] - row.quality).abs() + (points["speedup"] - row.speedup).abs()
        own = points[points["family"] == points.loc[near.idxmin(), "family"]]
        curve = own[on_front(own, AXES["speedup"], QUALITY["f1"], "staircase")]
        good = (curve["speedup"] >= row.speedup - 0.01) & (
            curve["quality"] >= row.quality / FACTOR - 0.01
        )
        assert good.any(), row
