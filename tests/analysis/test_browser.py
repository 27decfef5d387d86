"""The page in a real browser: what the DOM holds after clicking, typing and choosing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis.command import main
from analysis.frame import frame
from analysis.metrics import AXES, quality_metric
from analysis.pareto import on_front
from prune.records import Record
from tests.analysis.synthetic import store
from tests.analysis.test_page import CSV
from tests.browser import Browser, find

RUNS = [*store(40), *store(12, "toy")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of a real store: two tasks, a training curve, points of other papers."""
    import os

    from prune.records import to_json

    base = tmp_path_factory.mktemp("page")
    for run in RUNS:
        path = base / "runs" / run.group / run.run_id
        path.mkdir(parents=True)
        (path / "result.json").write_text(json.dumps(to_json(run)))
        lines = [
            {"step": s, "loss": 3.0 - s / 100, "density": 1.0, "penalty": 1.0} for s in range(9)
        ]
        (path / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    (base / "points.csv").write_text(CSV)
    before = os.environ.get("PRUNE_RUNS")
    os.environ["PRUNE_RUNS"] = str(base / "runs")
    try:
        main(["--pareto", "--out", str(base / "report"), "--reference", str(base / "points.csv")])
    finally:
        del os.environ["PRUNE_RUNS"]
        if before is not None:
            os.environ["PRUNE_RUNS"] = before
    return base / "report"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find()
    if not program:
        pytest.skip("needs a Chromium: apt-get install chromium, or set CHROMIUM")
    made = Browser(program, tmp_path_factory.mktemp("profile"))
    yield made
    made.close()


@pytest.fixture
def page(browser: Browser, folder: Path) -> Iterator[Browser]:
    browser.errors.clear()
    browser.requests.clear()
    browser.open(folder / "index.html")
    yield browser
    assert browser.errors == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in browser.requests)


def choose(page: Browser, name: str, value: str) -> None:
    page.run(
        f"(e => {{ e.value = {json.dumps(value)};"
        " e.dispatchEvent(new Event('input', {bubbles: true}));"
        f" e.dispatchEvent(new Event('change')); }})(document.getElementById('{name}'))"
    )


def text(page: Browser, selector: str) -> str:
    return str(page.run(f"document.querySelector({json.dumps(selector)}).textContent"))


def front_rows(page: Browser) -> set[str]:
    script = (
        "[...document.querySelectorAll('#points tr.front td:first-child')].map(e => e.textContent)"
    )
    return set(page.run(script))


def expected(task: str, x: str, y: str, rule: str) -> set[str]:
    """The front as the library has it, of the pruned points alone."""
    table = frame([run for run in RUNS if run.task == task])
    table = table[table["family"] != "dense"]
    up = quality_metric("f1") if y == "quality" else AXES[y]
    return set(table.loc[on_front(table, AXES[x], up, rule), "run_id"])


@pytest.mark.parametrize("rule", ["pareto", "staircase"])
@pytest.mark.parametrize(
    ("x", "y"), [("speedup", "quality"), ("density", "quality"), ("size", "speedup")]
)
def test_the_front_made_in_the_page_is_that_of_the_library(
    page: Browser, x: str, y: str, rule: str
) -> None:
    for name, value in (("x", x), ("y", y), ("rule", rule)):
        choose(page, name, value)
    wanted = expected("squad", x, y, rule)
    assert front_rows(page) == wanted
    assert text(page, "#count") == f"40 of 40 points, {len(wanted)} on the front"


def test_filters_leave_what_they_say(page: Browser) -> None:
    choose(page, "block", "32x32")
    wanted = [r for r in RUNS if r.task == "squad" and "32, 32" in str(r.config["attention"])]
    assert text(page, "#count").startswith(f"{len(wanted)} of 40 points")
    choose(page, "block", "")
    page.run("document.querySelector('#families input[value=structured]').click()")
    assert text(page, "#count").startswith("32 of 40 points")
    choose(page, "search", "unstructured seed=1")
    assert 0 < page.run("document.querySelectorAll('#points tbody tr').length") < 8
    choose(page, "search", "nothing has this")
    assert text(page, "#count") == "0 of 40 points, 0 on the front"


def test_the_key_says_what_the_marks_mean(page: Browser) -> None:
    said = page.run("[...document.querySelectorAll('#key li')].map(e => e.textContent)")
    assert said[:2] == ["front", "dense"] and said[-1] == "elsewhere: some GPU"
    shapes = page.run(
        "[...document.querySelectorAll('#families label path')].map(e => e.getAttribute('d'))"
    )
    assert len(set(shapes)) == len(shapes) == 5
    choose(page, "x", "density")
    assert "elsewhere: some GPU" in text(page, "#key")
    page.run("document.getElementById('others').click()")
    assert "elsewhere" not in text(page, "#key")
    choose(page, "y", "speedup")
    assert "dense" not in text(page, "#key")


def test_names_of_other_papers_cover_no_other(page: Browser) -> None:
    names = "[...document.querySelectorAll('#chart .textpoint text')]"
    assert page.run(f"{names}.map(e => e.textContent)") == ["Other"]
    page.window(420, 900)
    page.run("draw()")
    assert page.run(f"{names}.length") == 0


def test_another_task_has_its_own_points(page: Browser) -> None:
    choose(page, "task", "1")
    assert front_rows(page) == expected("toy", "speedup", "quality", "pareto")
    assert text(page, "#count").startswith("12 of 12 points")
    assert page.run("document.getElementById('others').parentElement.hidden")


def fastest_place(page: Browser) -> Any:
    """Where in the window the point is that lies furthest to the right."""
    return page.run(
        "(() => { const p = [...document.querySelectorAll('#chart .points path.point')]"
        ".map(e => e.getBoundingClientRect()).sort((a, b) => b.x - a.x)[0];"
        " return [p.x + p.width / 2, p.y + p.height / 2]; })()"
    )


def fastest() -> Record:
    squad = (run for run in RUNS if run.task == "squad")
    return max(squad, key=lambda run: run.points[0].latency[0].speedup)


def test_what_is_below_the_pointer_is_told_with_its_evidence(page: Browser) -> None:
    x, y = fastest_place(page)
    for step in (4, 0):
        page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + step, y=y)
    page.wait("document.querySelector('.hoverlayer').textContent.includes('sha256')", 10)
    told = text(page, ".hoverlayer")
    run = fastest()
    assert run.run_id in told and f"target.density={run.config['target']['density']}" in told
    assert "eager batch 32 x 128: dense" in told and run.points[0].sha256[:12] in told


def test_a_click_on_a_point_shows_it_and_copies_its_command(page: Browser) -> None:
    page.call(
        "Browser.grantPermissions",
        permissions=["clipboardReadWrite", "clipboardSanitizedWrite"],
    )
    place = fastest_place(page)
    assert page.run("document.getElementById('details').hidden")
    page.click(*place)
    page.wait("!document.getElementById('details').hidden", 10)
    run = fastest()
    assert text(page, "#title") == f"Run {run.run_id}"
    command = text(page, "#facts code")
    assert command.startswith("prune train +experiment=hybrid_squad target.density=")
    assert run.points[0].sha256[:12] in text(page, "#facts")
    assert "1.0 min of training" in text(page, "#facts")
    page.wait("document.querySelectorAll('#heads .bars path').length === 12", 10)
    page.wait("document.querySelectorAll('#training .lines path.js-line').length === 3", 10)
    page.wait("document.getElementById('status').textContent !== ''", 10)
    assert text(page, "#status") == "command copied"
    assert page.run("getSelection().toString()") == command
    page.run("document.getElementById('close').click()")
    assert page.run("document.getElementById('details').hidden")


def test_everything_can_be_done_with_the_keyboard(page: Browser) -> None:
    page.run("document.querySelector('#points th button').focus()")
    page.key("Enter", 13, "\r")
    assert (
        page.run("document.querySelector('#points th').getAttribute('aria-sort')") == "descending"
    )
    page.key("Enter", 13, "\r")
    runs = page.run(
        "[...document.querySelectorAll('#points tbody td:first-child')].map(e => e.textContent)"
    )
    assert runs == sorted(runs) and len(runs) == 40
    page.run("document.querySelector('#points tbody button').focus()")
    page.key("Enter", 13, "\r")
    page.wait("!document.getElementById('details').hidden", 10)
    assert text(page, "#title") == f"Run {runs[0]}"
    unnamed = page.run(
        "[...document.querySelectorAll('main select, main input')]"
        ".filter(e => !e.labels?.length || !e.labels[0].textContent.trim()).map(e => e.id)"
    )
    assert unnamed == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_the_window_and_can_be_read_in_both_themes(
    page: Browser, folder: Path, width: int, dark: bool
) -> None:
    page.open(folder / "index.html", width, 800, dark)
    assert page.run("document.documentElement.scrollWidth") <= width
    ink, paper = (
        page.run(f"getComputedStyle(document.body).{name}").strip("rgb()").split(",")
        for name in ("color", "backgroundColor")
    )
    assert contrast(ink, paper) > 10
    soft = (
        page.run("getComputedStyle(document.querySelector('.soft')).color")
        .strip("rgb()")
        .split(",")
    )
    assert contrast(soft, paper) > 4.5
    axis = page.run("getComputedStyle(document.querySelector('#chart .xtick text')).fill")
    assert axis.strip("rgb()").split(",") == ink


def contrast(one: list[str], other: list[str]) -> float:
    """The ratio of WCAG 2."""

    def light(colour: list[str]) -> float:
        parts = [float(c) / 255 for c in colour]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)
