"""Write README's performance table from `benchmarks/results/*.json`.

    python benchmarks/table.py [--check]

The table stands between two comments. `--check` changes nothing and fails if it is out of date.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import block_sparse_table
from common import RESULTS, Row, read

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- benchmarks: made by benchmarks/table.py -->", "<!-- /benchmarks -->"
HEAD = "| what | against | median | {} (95 % interval) | goal | |\n|---|---|---|---|---|---|"


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
    device = env.get("device") or f"{env['processor']}, {env['threads']} of {env['cores']} threads"
    more = "" if all(row.shown for row in rows) else f", with {len(rows)} rows"
    return (
        f"{content['about']}: {device}, Python {env['python']}, "
        f"torch {env['packages'].get('torch', 'not used')}, {content['date']}, "
        f"{least}{fewest} interleaved pairs ([{file.name}](benchmarks/{file}){more})."
    )


def table(results: Path = RESULTS) -> str:
    """The whole block, markers included; one paragraph says what it was measured on."""
    parts = [BEGIN]
    for path in sorted([*results.glob("*.json"), *results.glob("gpu/*.json")]):
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
    return "\n\n".join([*parts, END])


def updated(text: str) -> str:
    """README's text with the table as the result files have it."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"README.md has no place for the table: put {BEGIN} and {END} where it goes")
    return before + table() + after


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    text = README.read_text()
    new = updated(text)
    if check and new != text:
        sys.exit("README's table is out of date: run python benchmarks/table.py")
    if not check:
        README.write_text(new)


if __name__ == "__main__":
    main()
