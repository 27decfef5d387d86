"""Write the tables of README, docs/performance.md and docs/cost.md from what was measured.

    python benchmarks/table.py [--check]

README has the published networks and the goals that were missed, a column a machine; the page
about performance has everything in `results/*/*.json`, a table a file; that about costs the fronts
in `recorded/`. They stand between two comments. `--check` changes nothing and fails if one of the
pages is out of date.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import block_sparse_table
import front_table
from block_sparse_table import missed
from common import RESULTS, Row, machine, read

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- benchmarks: made by benchmarks/table.py -->", "<!-- /benchmarks -->"
HEAD = "| what | against | median | {} (95 % interval) | goal | |\n|---|---|---|---|---|---|"
KINDS = ("eager", "compiled", "onnx", "onnx_plain", "bf16", "compiled_bf16", "int8")
CELL = "8 x 128"  # batch and length of the published networks in README


Cells = dict[tuple[str, ...], dict[str, str]]  # the first columns of a line -> column -> text


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
    device = env.get("device") or f"{machine(env)}, {env['threads']} of {env['cores']} threads"
    more = "" if all(row.shown for row in rows) else f", with {len(rows)} rows"
    return (
        f"{content['about']}: {device}, Python {env['python']}, "
        f"torch {env['packages'].get('torch', 'not used')}, {content['date']}{often} "
        f"([{file.name}](../benchmarks/{file}){more})."
    )


def files(results: Path) -> list[Path]:
    """A benchmark's files, one a machine, stand together."""
    return sorted(results.glob("*/*.json"), key=lambda path: (path.stem, path.parent.name))


def everything(results: Path = RESULTS) -> str:
    """A table a file; the paragraph before it says what it was measured on."""
    parts = []
    for path in files(results):
        if path.stem == "block_sparse":  # hundreds of rows: a table of its own
            parts.append(block_sparse_table.table(path, path.relative_to(results.parent)))
            continue
        content, rows = read(path)
        parts += [about(content, rows, path.relative_to(results.parent))]
        parts += [grid(("network", "runtime"), everywhere(rows))]
        listed = (row for row in rows if row.shown or not row.met)
        shown = [row for row in listed if not published([row])]
        if shown:
            kinds = dict.fromkeys("speedup" if r.goal == "speedup" else "ratio" for r in shown)
            head = HEAD.format(" or ".join(kinds))
            parts.append("\n".join([head, *map(line, shown)]))
    return "\n\n".join(filter(None, parts))


def headlines(results: Path = RESULTS) -> str:
    """The published networks; how many goals were met, and the lines of those that were missed."""
    newest: dict[str, tuple[str, Sequence[Row]]] = {}  # of a maker's machines: README has no more
    goals: Cells = {}
    for path in files(results):
        blocks = path.stem == "block_sparse"
        content, rows = read(path, block_sparse_table.Case if blocks else Row)
        where = machine(content["environment"])
        for first, text in block_sparse_table.goals(rows) if blocks else wanted(rows):
            goals.setdefault(first, {})[where] = text
        maker, found = where.split(" (")[0], (content["date"], rows)
        if published(rows) and found[0] >= newest.get(maker, found)[0]:
            newest[maker] = found
    off = {first: c for first, c in goals.items() if any(map(was_missed, c.values()))}
    figures = [text for cells in goals.values() for text in cells.values()]
    met = len(figures) - sum(map(was_missed, figures))
    count = f"Of {len(figures)} goals, counted once a machine, {met} were met."
    machines = sorted({where for cells in off.values() for where in cells})
    networks = {maker: rows for maker, (_, rows) in newest.items()}
    tables = [grid(("network, its F1 on SQuAD",), side_by_side(networks)), count if goals else ""]
    tables += [grid(("what was missed somewhere", "against", "goal"), off, machines)]
    return "\n\n".join(filter(None, tables))


def side_by_side(machines: Mapping[str, Sequence[Row]]) -> Cells:
    """Network -> machine and runtime -> the speedup in README's cell."""
    found: Cells = {}
    for maker, rows in machines.items():
        for name, kind, cell, row in published(rows):
            if cell == CELL:
                found.setdefault((name,), {})[f"{maker}, {kind}"] = f"{1 / row.ratio:.2f}x"
    return found


def was_missed(text: str) -> bool:
    return text.endswith(missed(False))


def grid(head: tuple[str, ...], cells: Cells, columns: Sequence[str] = ()) -> str:
    """A table with these columns, or one for whatever any line has; nothing if there is no line."""
    columns = columns or list(dict.fromkeys(c for each in cells.values() for c in each))
    lines = [[*head, *columns], ["---"] * (len(head) + len(columns))]
    lines += [[*first, *(each.get(c, "") for c in columns)] for first, each in cells.items()]
    return "\n".join(f"| {' | '.join(words)} |" for words in lines) if cells else ""


def wanted(rows: Sequence[Row]) -> Iterator[tuple[tuple[str, str, str], str]]:
    """What, against what, the goal; the figure."""
    for row in rows:
        if row.wanted:
            both = f"{row.what_ms:,.0f} / {row.against_ms:,.0f} ms"
            text = both if row.goal == "ms" else row.found
            yield (row.what, row.against, row.wanted), text + missed(row.met)


def published(rows: Sequence[Row]) -> list[tuple[str, str, str, Row]]:
    """Network, runtime, batch x length: how much faster than BERT-base in the same runtime."""
    rows = [row for row in rows if row.against.startswith("BERT-base, ")]
    found = [(*row.what.split(", "), row) for row in rows]
    return sorted(found, key=lambda each: KINDS.index(each[1]))


def everywhere(rows: Sequence[Row]) -> Cells:
    """Network and runtime -> batch x length -> the speedup, and its share of the ideal one."""
    found: Cells = {}
    for name, kind, cell, row in sorted(published(rows), key=lambda each: sizes(each[2])):
        share = f", {1 / row.ratio / row.ideal:.0%}" if row.ideal else ""
        found.setdefault((name, kind), {})[cell] = f"{1 / row.ratio:.2f}x{share}"
    names = list(dict.fromkeys(name for name, *_ in published(rows)))
    kinds = list(dict.fromkeys(kind for _, kind, *_ in published(rows)))
    order = [(name, kind) for kind in kinds for name in names]
    return {key: found[key] for key in order if key in found}


def sizes(cell: str) -> tuple[bool, list[int]]:
    """To sort cells by: padded ones first, then by their numbers."""
    return "real" in cell, [int(word) for word in cell.split() if word.isdigit()]


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
    pages: dict[str, Callable[[str], str]] = {"docs/cost.md": front_table.updated}
    pages |= {name: partial(updated, table=made(), name=name) for name, made in TABLES.items()}
    for name, renewed in pages.items():
        text = (ROOT / name).read_text()
        new = renewed(text)
        if check and new != text:
            sys.exit(f"a table of {name} is out of date: run python benchmarks/table.py")
        if not check:
            (ROOT / name).write_text(new)


if __name__ == "__main__":
    main()
