"""Local data files, plain or gzipped: which file of a folder is meant, and its lines."""

import csv
import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from prune.errors import MissingInputError

Item = TypeVar("Item")


def find(folder: Path, names: Sequence[str]) -> Path:
    """The file of `folder` that goes by the first of `names` to be there, or by it and .gz.

    A name may have a `*`; then exactly one file must fit. Raises MissingInputError.
    """
    if not folder.is_dir():
        raise MissingInputError(f"there is no folder {folder}: give it with task.data_dir=FOLDER")
    for name in names:
        found = sorted({*folder.glob(name), *folder.glob(f"{name}.gz")})
        if len(found) > 1 and "*" in name:
            raise MissingInputError(
                f"{folder} has {len(found)} files for {name}: keep one of "
                f"{', '.join(file.name for file in found)}"
            )
        if found:
            return found[0]
    raise MissingInputError(
        f"{' or '.join(names[:4])} (or .gz) is not in {folder}: "
        "give the folder that has it with task.data_dir=FOLDER"
    )


def text_of(file: Path) -> str:
    """The whole of a UTF-8 file. Raises MissingInputError if it cannot be read."""
    try:
        raw = file.read_bytes()
        content = gzip.decompress(raw) if file.suffix == ".gz" else raw
        return content.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise MissingInputError(f"{file} cannot be read ({error})") from error


def lines_of(file: Path) -> list[str]:
    """Its lines; only a line feed ends one, for some sentences hold other separators."""
    return [line.rstrip("\r") for line in text_of(file).removesuffix("\n").split("\n")]


Row = tuple[str, dict[str, str]]  # where it stands, as `FILE line N`, and its columns by name


def tsv_rows(file: Path, header: Sequence[str] = (), skip_short: bool = False) -> Iterator[Row]:
    """Rows of a table split on tabs alone, a quotation mark being a mark like any other.

    header: the columns of a file that does not name them. A row with fewer cells is an error
    unless `skip_short`; cells beyond the header are dropped.
    """
    lines = lines_of(file)
    names = list(header) or lines[0].split("\t")
    for number, line in enumerate(lines[0 if header else 1 :], 1 if header else 2):
        cells = line.split("\t")
        if len(cells) >= len(names):
            yield f"{file} line {number}", dict(zip(names, cells, strict=False))
        elif not skip_short:
            raise MissingInputError(
                f"{file} line {number} has {len(cells)} columns, not {len(names)}: "
                "columns are split by tabs, without quoting"
            )


def cells_of(row: dict[str, str], columns: Sequence[str], where: str) -> list[str]:
    """The cells of `columns`. Raises MissingInputError that lists the columns there are."""
    if missing := [name for name in columns if name not in row]:
        raise MissingInputError(
            f"{where}: there is no column {missing[0]!r} (columns: {', '.join(row)})"
        )
    return [row[name] for name in columns]


def csv_rows(file: Path) -> Iterator[Row]:
    """Rows of a comma-separated table with a header, quoted as usual."""
    table = csv.reader(text_of(file).splitlines(keepends=True), strict=True)
    try:
        names = next(table, [])
        for cells in table:
            if len(cells) != len(names):
                raise csv.Error(f"it has {len(cells)} columns, not {len(names)}")
            yield f"{file} line {table.line_num}", dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise MissingInputError(f"{file} line {table.line_num}: {error}") from error


def jsonl_rows(file: Path) -> Iterator[Row]:
    """One JSON object a line; numbers and truth values become their JSON text."""
    for number, line in enumerate(lines_of(file), 1):
        if not line.strip():
            continue
        try:
            content = json.loads(line)
        except ValueError as error:
            raise MissingInputError(f"{file} line {number} is not JSON ({error})") from error
        if not isinstance(content, dict):
            raise MissingInputError(f"{file} line {number} is not a JSON object")
        yield (
            f"{file} line {number}",
            {k: v if isinstance(v, str) else json.dumps(v) for k, v in content.items()},
        )


def sample(items: Sequence[Item], count: int | None, seed: int) -> list[Item]:
    """`count` of `items`, drawn by the hash of seed and place: the same for the same seed.

    A larger sample begins with the smaller one. All of them, in their own order, if `count` is
    None or no fewer are there.
    """
    if count is None or count >= len(items):
        return list(items)

    def key(place: int) -> str:
        return hashlib.sha256(f"{seed} {place}".encode()).hexdigest()

    return [items[place] for place in sorted(range(len(items)), key=key)[:count]]
