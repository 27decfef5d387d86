"""`prune profile`: what encoder layers cost on this machine, measured once and kept."""

import dataclasses
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from prune.commands import Parser, add_json, print_json, say, table
from prune.compose import runs_dir
from prune.errors import UsageError
from prune.records import readable

if TYPE_CHECKING:
    from prune.speed.latency import Profile, Setting

DTYPES = ("float32", "bfloat16")


def main(argv: list[str]) -> int:
    parser = Parser(
        "prune profile",
        "Measure what heads and neurons cost here, at each batch and length. The table is kept "
        "beside the runs; what is there already is not measured again.",
        "prune profile --batch 8 --length 128 --hidden 768",
    )
    parser.add_argument("--batch", default="8", help="batch sizes, as 1,8,32")
    parser.add_argument("--length", default="128", help="tokens, as 128,384")
    parser.add_argument("--hidden", type=int, default=768, help="hidden size")
    parser.add_argument("--head-size", type=int, default=64)
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--threads", type=int, help="default: what torch has")
    parser.add_argument("--again", action="store_true", help="measure what is there, too")
    add_json(parser)
    asked = parser.parse_args(argv)
    cells = [(b, n) for b in _numbers(asked.batch) for n in _numbers(asked.length)]
    if asked.hidden % asked.head_size:
        raise UsageError(f"--hidden {asked.hidden} is not a multiple of --head-size")
    return _run(asked, cells)


def device_here() -> str:
    """The device that is measured."""
    from prune.speed.machine import best_device, device_name

    return device_name(best_device())


def table_file(device: str) -> Path:
    """Where the tables of a device are kept."""
    from prune.speed.latency import fingerprint

    return runs_dir() / ".profiles" / f"{fingerprint(device)}.json"


def _run(asked: Namespace, cells: list[tuple[int, int]]) -> int:
    import torch

    from prune.speed.latency import Profile, Setting, load, save

    device = device_here()
    path = table_file(device)
    known, shown = load(path), list[Profile]()
    threads = asked.threads or torch.get_num_threads()
    for batch, length in cells:
        setting = Setting(
            asked.hidden, asked.head_size, batch, length, asked.dtype, "eager", threads
        )
        if asked.again or setting not in known:
            known[setting] = _measured(setting, device, asked.json)
            save(path, known)
        shown.append(known[setting])
    if asked.json:
        print_json([dataclasses.asdict(profile) for profile in shown])
    else:
        for profile in shown:
            _show(profile)
        say(f"kept in {path}")
    return 0


def _measured(setting: "Setting", device: str, quiet: bool) -> "Profile":
    from prune.profiling import in_fresh_process

    if not quiet:
        where = f"on {device}, {setting.threads} threads"
        say(f"measuring batch {setting.batch} x {setting.length} {where}")
    return in_fresh_process(setting)


def _show(profile: "Profile") -> None:
    say(f"batch {profile.setting.batch} x {profile.setting.length}: ms a layer")
    for name, curve in (("heads", profile.heads), ("neurons", profile.neurons)):
        rows = [(name, *(str(n) for n, _ in curve)), ("", *(readable(ms) for _, ms in curve))]
        print(table(rows, right=range(1, len(rows[0]))))
    say(
        f"a bare layer {readable(profile.base_ms)}, "
        f"outside of the layers {readable(profile.outside_ms)}; "
        f"whole networks within {profile.residual:.0%}"
    )


def _numbers(text: str) -> list[int]:
    try:
        found = [int(word) for word in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise UsageError(f"{text!r} is not a list of sizes such as 1,8,32")
    return found
