"""`prune explain`: where the time of a pruned model goes, and why it is not faster."""

import dataclasses
from argparse import Namespace
from typing import TYPE_CHECKING

from prune.commands import Parser, add_json, print_json, say, store_if_any, table
from prune.errors import UsageError, unknown

if TYPE_CHECKING:
    from prune.explaining import Asked
    from prune.opening import Opened
    from prune.speed.latency import Profile

ABOUT = """\
Time every layer of a run's model, or that of a folder, beside the dense network it was cut from:
its share of the time, measured and predicted; whether the time falls with the batch; what rounding
its widths would buy; and what torch.compile, ONNX Runtime, bf16 or int8 would give the dense
network first.

Predicted is what `prune profile` says if it has measured this setting, else the operations."""
FIRST = ("compiled", "onnx", "bf16", "int8")


def main(argv: list[str]) -> int:
    parser = Parser("prune explain", ABOUT, "prune explain 7f3a91c2 --batch 1 --length 128")
    parser.add_argument("model", metavar="RUN|DIR", help="a run id, or a folder of a run or model")
    parser.add_argument("--batch", type=int, help="default: the first one of the run's grid")
    parser.add_argument("--length", type=int, help="tokens (default: the first one of the grid)")
    parser.add_argument("--rounds", type=int, help="at least 3 (default: those of the run)")
    parser.add_argument("--threads", type=int, help="of the processor (default: what torch has)")
    first = ",".join(FIRST)
    parser.add_argument(
        "--first", default=first, help=f"what to try on the dense model, or none ({first})"
    )
    add_json(parser)
    asked = parser.parse_args(argv)
    for name, least in (("batch", 1), ("length", 1), ("rounds", 3), ("threads", 1)):
        value = getattr(asked, name)
        if value is not None and value < least:
            raise UsageError(f"--{name} {value}: at least {least}")
    names = () if asked.first == "none" else tuple(dict.fromkeys(asked.first.split(",")))
    for name in names:
        if name not in FIRST:
            raise UsageError(f"--first: {unknown('runtime', name, [*FIRST, 'none'])}")
    return _run(asked, names)


def _run(asked: Namespace, first: tuple[str, ...]) -> int:
    store = store_if_any()
    from prune.commands import calm

    calm()
    from prune.explained import about_rows, lines, rows
    from prune.explaining import explain
    from prune.opening import opened
    from prune.speed.lease import device_lease

    ours = opened(asked.model, store)
    settings = _settings(ours, asked, first)
    lease = device_lease(store.root if store else None)
    found = explain(ours, settings, _profile(ours, settings), lease)
    if asked.json:
        print_json(dataclasses.asdict(found))
        return 0
    head, *rest = lines(found)
    say(head)
    print(rest[0])
    print(rest[1])
    layers = rows(found)
    print(table(layers, right=range(1, len(layers[0]))))
    print(about_rows(found))
    print("\n".join(rest[2:]))
    return 0


def _settings(ours: "Opened", asked: Namespace, first: tuple[str, ...]) -> "Asked":
    from prune.explaining import Asked

    config = ours.config.measure
    batch, length = config.grid[0]
    return Asked(
        batch=asked.batch or batch,
        length=asked.length or length,
        rounds=asked.rounds or config.rounds,
        threads=asked.threads or config.threads,
        seed=ours.config.seed,
        first=first,
    )


def _profile(ours: "Opened", asked: "Asked") -> "Profile | None":
    """The latency table of this very setting, if it was measured."""
    import torch

    from prune.commands.profile import device_here, table_file
    from prune.speed.latency import Setting, load

    config = ours.model.config
    hidden, heads = (
        getattr(config, name, 0) or 0 for name in ("hidden_size", "num_attention_heads")
    )
    if not hidden or not heads or config.is_encoder_decoder:
        return None
    dtype = str(ours.model.dtype).removeprefix("torch.")
    threads = asked.threads or torch.get_num_threads()
    setting = Setting(hidden, hidden // heads, asked.batch, asked.length, dtype, "eager", threads)
    return load(table_file(device_here())).get(setting)
