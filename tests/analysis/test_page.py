"""The page: complete, escaped, and in need of nothing else; what its script reads is all finite."""

import dataclasses
import json
import random
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from analysis.frame import frame
from analysis.html import embedded, page
from analysis.metrics import AXES
from analysis.page_data import MOST, page_data
from analysis.references import read_references
from analysis.summary import Summary, summarise
from prune.errors import MissingInputError
from prune.records import Record
from prune.store import Store
from tests.analysis.conftest import Filled
from tests.analysis.synthetic import record, store

VOID = {"meta", "input"}
EVIL = '"></script><!--<script>alert(1)</script>'
CSV = (
    "task,name,metric,value,density,speedup,how_speed_was_measured,source\n"
    "squad,Other,f1,87.0,0.5,2.0,some GPU,a paper\nsquad,Blind,f1,86,,,none,\n"
)


class Checker(HTMLParser):
    """Collects tags, attributes and text; every tag that opens must close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.count: dict[str, int] = {}
        self.feed(text)
        assert not self.stack

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag


def summaries(*runs: Record) -> list[Summary]:
    return summarise(frame(runs), AXES["speedup"])


def data_of(text: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_every_point_is_in_the_page_with_its_command_and_its_evidence() -> None:
    runs = [*store(30), *store(20, "toy")]
    found = summaries(*runs)
    text = page(found, page_data(found, None, {}), "prune report --pareto")
    squad, toy = data_of(text)["tasks"]
    assert len(squad["points"]) == 31 and len(toy["points"]) == 21 and squad["more"] == 0
    known = {run.run_id: run for run in runs}
    for point in squad["points"]:
        evidence = known[point["run"]].points[0]
        assert point["quality"] == pytest.approx(evidence.quality["f1"], rel=1e-5)
        assert point["exact_match"] == pytest.approx(evidence.quality["exact_match"], rel=1e-5)
        assert evidence.sha256[:12] in point["evidence"] and "eager batch 32" in point["evidence"]
        assert point["command"].startswith("prune train +experiment=hybrid_squad")
        assert point["cost"] == 1.0 and squad["metrics"]["cost"]["unit"] == " min"


def test_what_takes_hours_is_shown_in_hours() -> None:
    runs = [dataclasses.replace(run, seconds=5400) for run in store(5)]
    (task,) = page_data(summaries(*runs), None, {})["tasks"]
    assert task["metrics"]["cost"]["unit"] == " h"
    assert {point["cost"] for point in task["points"]} == {1.5}


def test_the_page_loads_nothing() -> None:
    found = summaries(*store(5))
    text = page(found, page_data(found, None, {}), "prune report")
    for _tag, name, value in Checker(text).attributes:
        if name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
            assert value in ("points.csv", "front.md"), value
    assert "default-src 'none'" in text and "connect-src" not in text


def test_whatever_a_record_says_is_text_and_never_markup() -> None:
    run = record(random.Random(0), "hybrid 32x32", 0.5)
    parts = {"attention": {"name": EVIL, "geometry": EVIL}, "ffn": {"name": "dense"}}
    config = {"model": {"name": EVIL}, "teacher": {"name": EVIL}, **parts}
    found = summaries(dataclasses.replace(run, task=EVIL, overrides=[EVIL], config=config))
    assert re.fullmatch(r"[\w.-]+", found[0].name)
    text = page(found, page_data(found, None, {}), EVIL, [EVIL])
    assert "<script>alert" not in text and Checker(text).count["script"] == 3
    assert EVIL in data_of(text)["tasks"][0]["points"][0]["command"]
    assert json.loads(embedded({"a": EVIL + "\u2028"})) == {"a": EVIL + "\u2028"}


def test_of_a_large_table_the_fronts_are_all_there() -> None:
    (found,) = summaries(*store(MOST + 200))
    (task,) = page_data([found], None, {})["tasks"]
    assert len(task["points"]) == MOST and task["more"] == 201
    runs = {point["run"] for point in task["points"]}
    assert set(found.front["run_id"]) <= runs


def test_what_is_not_known_is_none_and_no_axis() -> None:
    run = record(random.Random(0), "hybrid 32x32", 0.5)
    point = dataclasses.replace(run.points[0], latency=[], heads=[], widths=[])
    found = summaries(dataclasses.replace(run, config={}, reference={}, points=[point]))
    (task,) = page_data(found, None, {})["tasks"]
    assert not {"speedup", "latency", "heads", "epochs", "penalty"} & set(task["metrics"])
    assert task["points"][0]["seed"] is None
    json.dumps(task, allow_nan=False)


def test_layers_and_curves_of_a_run_come_from_the_store(filled: Filled) -> None:
    root = filled(store(4))
    folder = next(root.glob("block_shapes/*"))
    lines = [{"step": s, "loss": 3 - s / 1000, "density": 1 - s / 2000, "penalty": s / 100}
             for s in range(0, 1000, 5)]  # fmt: skip
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    overview = Store().overview()
    from analysis.frame import from_columns

    found = summarise(from_columns(overview.columns()), AXES["speedup"])
    (task,) = page_data(found, overview, {})["tasks"]
    points = {point["run"]: point for point in task["points"]}
    assert all(len(point["layers"]["heads"]) == 12 for point in points.values())
    curves = points[folder.name]["curves"]
    assert set(curves) == {"loss", "density", "lambda / 9.95"}
    steps, values = curves["loss"]
    assert len(steps) == len(values) <= 80 and steps[0] == 0 and steps[-1] == 995
    assert max(curves["lambda / 9.95"][1]) == 1.0


def test_points_of_other_papers_have_their_harness(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text(CSV)
    (task,) = page_data(summaries(*store(3)), None, read_references(path))["tasks"]
    other, blind = task["references"]
    assert (other["name"], other["speedup"], other["harness"]) == ("Other", 2.0, "some GPU")
    assert "speedup" not in blind and "density" not in blind


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a,b\n1,2\n", "lacks the columns density, how_speed_was_measured"),
        (CSV.replace("87.0", "x"), r"points\.csv, line 2: could not convert"),
        (CSV.replace("87.0", "inf"), "line 2: Other: quality, density and speedup must be finite"),
    ],
)
def test_a_broken_file_of_points_gets_one_line(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "points.csv"
    path.write_text(content)
    with pytest.raises(MissingInputError, match=reason) as caught:
        read_references(path)
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(MissingInputError, match="cannot read"):
        read_references(tmp_path / "none.csv")
