"""The page: complete, escaped, themed, and in need of nothing else."""

import dataclasses
import random
import re
from html.parser import HTMLParser

import pytest

from analysis.figures import THEMED
from analysis.folder import write_report
from analysis.frame import frame
from analysis.html import LARGEST, page
from analysis.metrics import AXES
from analysis.summary import Summary, summarise
from prune.records import Record
from tests.analysis.synthetic import record, store

SVG = '<?xml version="1.0"?>\n<svg width="9pt" height="9pt" viewBox="0 0 9 9"></svg>'
VOID = {"meta", "input"}


class Checker(HTMLParser):
    """Collects tags, attributes and text; every tag that opens must close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.words: list[str] = []
        self.count: dict[str, int] = {}
        self.feed(text)
        assert not self.stack

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def summaries(*runs: Record) -> list[Summary]:
    return summarise(frame(runs), AXES["speedup"])


def built(found: list[Summary]) -> str:
    names = [one.name for one in found]
    return page(found, dict.fromkeys(names, SVG), {n: {} for n in names}, THEMED, "prune report")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a real report, two tasks."""
    out = tmp_path_factory.mktemp("report")
    write_report(out, summaries(*store(30), *store(20, "toy")), "", "prune report --pareto", [])
    return (out / "index.html").read_text()


def test_every_point_is_a_row_with_its_command(whole: str) -> None:
    checked = Checker(whole)
    rows = 31 + 21
    assert checked.count["svg"] == 2 and whole.count('<td class=command title="') == rows
    assert "prune train +experiment=hybrid_squad" in " ".join(checked.words)


def test_the_page_loads_nothing(whole: str) -> None:
    for _tag, name, value in Checker(whole).attributes:
        if name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
            assert value and (value[0] == "#" or value in ("points.csv", "front.md")), value
    assert "default-src 'none'" in whole
    assert not re.search(r"@import|url\((?!#)|fetch\(|XMLHttp", whole)


def test_the_picture_follows_the_theme(whole: str) -> None:
    for colour, variable in THEMED.items():
        svg = "".join(re.findall(r"<svg.*?</svg>", whole, re.DOTALL))
        assert colour not in svg and f"var({variable})" in svg
        assert whole.count(f" {variable}:") == 2  # light and dark
    ids = re.findall(r'\sid="([^"]*)"', whole)
    assert not any(re.fullmatch(r"(figure|axes|patch|text)_\d+", one) for one in ids)


def test_whatever_a_record_says_is_text_and_never_markup() -> None:
    evil = '"><script>alert(1)</script>'
    run = record(random.Random(0), "hybrid 32x32", 0.5)
    run = dataclasses.replace(
        run,
        task=evil,
        overrides=[evil],
        config={
            "model": {"name": evil},
            "attention": {"name": evil, "geometry": evil},
            "ffn": {"name": "dense"},
        },
    )
    (found,) = summaries(run)
    assert re.fullmatch(r"[\w.-]+", found.name)
    text = built([found])
    assert "<script>alert" not in text and Checker(text).count["script"] == 1


def test_a_large_table_says_where_the_rest_is() -> None:
    text = built(summaries(*store(LARGEST + 10)))
    assert text.count("<tr") < LARGEST + 50
    assert f"the best of {LARGEST + 11}; all are in points.csv" in text


def test_missing_numbers_sort_last_and_are_no_nan() -> None:
    run = record(random.Random(0), "hybrid 32x32", 0.5)
    point = dataclasses.replace(run.points[0], latency=[])
    (found,) = summaries(dataclasses.replace(run, config={}, reference={}, points=[point]))
    text = built([found])
    assert '<td data-v=""></td>' in text and ">nan" not in text
    assert "no dense reference" in text
