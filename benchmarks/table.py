"""Write README's performance table from `benchmarks/results/*.json`.

    python benchmarks/table.py [--check]

The table stands between two comments. `--check` changes nothing and fails if it is out of date.
"""

import argparse
import sys
from pathlib import Path

import block_sparse_table
from common import RESULTS, Row, read

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- benchmarks: made by benchmarks/table.py -->", "<!-- /benchmarks -->"
HEAD = "| what | against | median | ratio (95 % interval) | goal | |\n|---|---|---|---|---|---|"


def line(row: Row) -> str:
    goal = f"ratio ≤ {row.limit:g}" if row.goal == "ratio" else f"≤ {row.limit:g} ms"
    return (
        f"| {row.what} | {row.against} | {row.what_ms:,.1f} / {row.against_ms:,.1f} ms "
        f"| {row.ratio:.3f} ({row.ratio_low:.3f} to {row.ratio_high:.3f}) | {goal} "
        f"| {'met' if row.met else 'not met'} |"
    )


def table(results: Path = RESULTS) -> str:
    """The whole block, markers included; one paragraph says what it was measured on."""
    parts = [BEGIN]
    for path in sorted(results.glob("*.json")):
        if path.stem.startswith("block_sparse"):  # hundreds of rows: a table of its own
            parts.append(block_sparse_table.table(path))
            continue
        content, rows = read(path)
        env = content["environment"]
        about = (
            f"{content['about']}: {env['processor']}, {env['threads']} of {env['cores']} threads, "
            f"Python {env['python']}, torch {env['packages'].get('torch', 'not used')}, "
            f"{content['date']}, {rows[0].pairs} interleaved pairs "
            f"([{path.name}](benchmarks/results/{path.name}))."
        )
        parts += [about, "\n".join([HEAD, *map(line, rows)])]
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
