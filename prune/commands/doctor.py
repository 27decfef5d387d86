"""`prune doctor`: does this machine have what runs need? One line a finding, with the next step."""

import importlib.metadata
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from prune.commands import Parser, add_json, print_json, table
from prune.errors import PruneError
from prune.store import Store
from prune.store.environment import BF16, cpu_model, vectors

GOOD, NOTE, BAD = "ok", "note", "PROBLEM"
LEAST_FREE_GB = 2.0


@dataclass(frozen=True)
class Finding:
    verdict: str
    what: str
    text: str


def main(argv: list[str]) -> int:
    parser = Parser(
        "prune doctor",
        "Look at this machine: packages, devices, the store, the hub's cache, the extras.",
        "prune doctor",
    )
    add_json(parser)
    asked = parser.parse_args(argv)
    found = [*packages(), *devices(), *store(), *hub(), *extras()]
    if asked.json:
        print_json([asdict(finding) for finding in found])
    else:
        print(table([(f.verdict, f.what, f.text) for f in found]))
    return int(any(finding.verdict == BAD for finding in found))


def packages() -> Iterator[Finding]:
    """Every requirement of ours against what is installed."""
    from packaging.requirements import Requirement

    wrong = []
    needed = [Requirement(line) for line in importlib.metadata.requires("prune") or ()]
    for need in (n for n in needed if not n.marker or n.marker.evaluate({"extra": ""})):
        version = _version(need.name)
        if version is None:
            wrong.append(f"{need.name} is missing")
        elif not need.specifier.contains(version, prereleases=True):
            wrong.append(f"{need.name} {version} is not {need.specifier}")
    if wrong:
        yield Finding(BAD, "packages", "; ".join(wrong) + ": pip install -U 'prune'")
    else:
        shown = ", ".join(f"{name} {_version(name)}" for name in ("torch", "transformers"))
        yield Finding(GOOD, "packages", f"all there: {shown}")


def devices() -> Iterator[Finding]:
    import torch

    best = vectors() or "no vector instructions known here"
    cores = f"{torch.get_num_threads()} threads of {os.cpu_count()}"
    yield Finding(GOOD, "processor", f"{cpu_model()}, {cores}, {best}")
    if best in BF16:
        text = "native here: train.precision=bf16 trains BERT-base layers more than twice as fast"
        yield Finding(GOOD, "bf16", text)
    if not torch.cuda.is_available():
        yield Finding(NOTE, "gpu", "none that torch can use: runs and latencies are of the CPU")
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        text = f"{free / 1e9:.0f} of {total / 1e9:.0f} GB free"
        yield Finding(GOOD, f"gpu {number}", f"{torch.cuda.get_device_name(number)}, {text}")


def store() -> Iterator[Finding]:
    """The runs folder and its index: can they be opened, and is there room?"""
    try:
        opened = Store()
        unfinished = len(opened.records(status="interrupted"))
    except PruneError as error:
        yield Finding(BAD, "store", str(error).splitlines()[0])
        return
    free = shutil.disk_usage(opened.root).free / 1e9
    text = f"{opened.root}, index {opened.database} (schema {opened.schema})"
    yield Finding(GOOD, "store", text)
    low = free < LEAST_FREE_GB
    yield Finding(BAD if low else GOOD, "disk", f"{free:.1f} GB free" + ": make room" * low)
    if unfinished:
        text = f"{unfinished} runs were interrupted: `prune runs ls` shows them, the same command"
        yield Finding(NOTE, "runs", f"{text} completes each")


def hub() -> Iterator[Finding]:
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    offline = os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0")
    there = "is there" if home.is_dir() else "is not there yet"
    state = "offline (HF_HUB_OFFLINE)" if offline else "online where a run asks for it"
    verdict = NOTE if offline and not home.is_dir() else GOOD
    yield Finding(verdict, "hub", f"{state}; its cache {home} {there}")


def extras() -> Iterator[Finding]:
    """What optional features need, and how to get what is missing."""
    from packaging.requirements import Requirement

    metadata = importlib.metadata.metadata("prune")
    needed = [Requirement(line) for line in importlib.metadata.requires("prune") or ()]
    for extra in metadata.get_all("Provides-Extra") or ():
        own = [n for n in needed if n.marker and n.marker.evaluate({"extra": extra})]
        own = [n for n in own if n.marker and not n.marker.evaluate({"extra": ""})]
        missing = [n.name for n in own if n.name != "prune" and _version(n.name) is None]
        if extra == "dev" or not own:
            continue
        if missing:
            text = f"without {', '.join(missing)}: pip install 'prune[{extra}]'"
            yield Finding(NOTE, f"[{extra}]", text)
        else:
            yield Finding(GOOD, f"[{extra}]", "installed")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
