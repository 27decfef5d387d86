"""Write the performance tables of README and docs/performance.md from `results/*.json`.

    python benchmarks/table.py [--check]

README has the goals and the published networks, the page everything. The tables stand between two
comments. `--check` changes nothing and fails if one of the two is out of date.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import block_sparse_table
from common import RESULTS, Row, read

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- benchmarks: made by benchmarks/table.py -->", "<!-- /benchmarks -->"
HEAD = "| what | against | median | {} (95 % interval) | goal | |\n|---|---|---|---|---|---|"
GOALS = "| what | against | ratio, speedup or time | goal | |\n|---|---|---|---|---|"
CELL = "8 x 128"  # batch and length of the published networks in README


def line(row: Row) -> str:
    verdict = ("met" if row.met else "not met") if row.wanted else ""
    return (
        f"| {row.what} | {row.against} | {row.what_ms:,.1f} / {row.against_ms:,.1f} {row.unit} "
        f"| {row.found} | {row.wanted} | {verdict} |"
    )


def about(content: dict[str, Any], rows: Sequence[Row], file: Path) -> str:
    """What was measured, on what, how often, and in which file all of it is."""
    env, counts = content["environment"], [row.pairs for row in rows if row.unit == "ms"]
    fewest, least = min(counts), "at least " * (len(set(counts)) > 1)
    often = f", {least}{fewest} interleaved pairs" if fewest > 1 else ""
    device = env.get("device") or f"{env['processor']}, {env['threads']} of {env['cores']} threads"
    more = "" if all(row.shown for row in rows) else f", with {len(rows)} rows"
    return (
        f"{content['about']}: {device}, Python {env['python']}, "
        f"torch {env['packages'].get('torch', 'not used')}, {content['date']}{often} "
        f"([{file.name}](../benchmarks/{file}){more})."
    )


def files(results: Path) -> list[Path]:
    return sorted([*results.glob("*.json"), *results.glob("gpu/*.json")])


def everything(results: Path = RESULTS) -> str:
    """A table a file; the paragraph before it says what it was measured on."""
    parts = []
    for path in files(results):
        if path.stem.startswith("block_sparse"):  # hundreds of rows: a table of its own
            parts.append(block_sparse_table.table(path))
            continue
        content, rows = read(path)
        shown = [row for row in rows if row.shown]
        if shown:
            kinds = dict.fromkeys("speedup" if r.goal == "speedup" else "ratio" for r in shown)
            head = HEAD.format(" or ".join(kinds))
            parts += [
                about(content, rows, path.relative_to(results.parent)),
                "\n".join([head, *map(line, shown)]),
            ]
    return "\n\n".join(parts)


def headlines(results: Path = RESULTS) -> str:
    """The published networks, then the goals in one table; what was missed is never left out."""
    lines, networks = [GOALS], ""
    for path in files(results):
        if path.stem.startswith("block_sparse"):
            lines += block_sparse_table.goals(path)
            continue
        rows = read(path)[1]
        networks = networks or published(rows)
        wanted = [row for row in rows if row.wanted and (row.shown or not row.met)]
        lines += [goal_line(row) for row in wanted]
    return "\n\n".join(filter(None, [networks, "\n".join(lines)]))


def goal_line(row: Row) -> str:
    figure = f"{row.what_ms:,.0f} ms" if row.goal == "ms" else row.found
    verdict = "met" if row.met else "**not met**"
    return f"| {row.what} | {row.against} | {figure} | {row.wanted} | {verdict} |"


def published(rows: Sequence[Row]) -> str:
    """A line a published network, a column a runtime: its speedup over BERT-base in the same."""
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        name, *kind = row.what.split(", ")
        if row.against.startswith("BERT-base, ") and kind[1:] == [CELL]:
            found.setdefault(name, {})[kind[0]] = f"{1 / row.ratio:.2f}x"
    kinds = list(dict.fromkeys(kind for each in found.values() for kind in each))
    if not found:
        return ""
    head = f"| network, its F1 on SQuAD | {' | '.join(kinds)} |\n|---|{len(kinds) * '---|'}"
    body = [f"| {n} | {' | '.join(each.get(k, '') for k in kinds)} |" for n, each in found.items()]
    return "\n".join([head, *body])


TABLES = {"README.md": headlines, "docs/performance.md": everything}


def updated(text: str, table: str, name: str = "README.md") -> str:
    """A page's text with the table as the result files have it."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{name} has no place for the table: put {BEGIN} and {END} where it goes")
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    for name, made in TABLES.items():
        text = (ROOT / name).read_text()
        new = updated(text, made(), name)
        if check and new != text:
            sys.exit(f"{name}'s table is out of date: run python benchmarks/table.py")
        if not check:
            (ROOT / name).write_text(new)


if __name__ == "__main__":
    main()
