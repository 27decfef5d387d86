"""`prune export`: a model as files for other runtimes, measured from the very files."""

import dataclasses
from argparse import Namespace
from pathlib import Path

from prune.commands import Parser, add_json, print_json, say, store_if_any, table
from prune.errors import UsageError

ABOUT = """\
Write a run's model, or that of a folder, as ONNX with dynamic batch and length; verify its logits
in ONNX Runtime; measure quality (on the run's own evaluation data), size and latency of each file
beside the dense network."""


def main(argv: list[str]) -> int:
    parser = Parser("prune export", ABOUT, "prune export 7f3a91c2 --onnx --int8")
    parser.add_argument(
        "model", metavar="RUN|DIR", help="a run id, a run folder, or a model folder"
    )
    parser.add_argument("--onnx", action="store_true", help="model.onnx, for ONNX Runtime")
    parser.add_argument("--int8", action="store_true", help="model.int8.onnx: dynamic ranges")
    parser.add_argument(
        "--static", action="store_true", help="model.int8.static.onnx: ranges of training data"
    )
    parser.add_argument("--openvino", action="store_true", help="model.xml and .bin")
    parser.add_argument("--plain", action="store_true", help="standard operators only: not fused")
    parser.add_argument("--no-quality", action="store_true", help="without the evaluation data")
    parser.add_argument("--out", type=Path, help="the folder (default: export/RUN)")
    add_json(parser)
    asked = parser.parse_args(argv)
    if not (asked.onnx or asked.int8 or asked.static or asked.openvino):
        choices = "--onnx, --int8, --static, --openvino"
        raise UsageError(f"say what to write: {choices}\nsee: prune export --help")
    return _run(asked)


def _run(asked: Namespace) -> int:
    store = store_if_any()
    from prune.commands import calm

    calm()
    from prune.export_card import table as rows_of
    from prune.exporting import Wanted, export_model
    from prune.opening import opened
    from prune.speed.lease import device_lease

    found = opened(asked.model, store)
    lease = device_lease(store.root if store else None)
    out = asked.out or Path("export") / found.name
    kinds = [name for name, on in (("dynamic", asked.int8), ("static", asked.static)) if on]
    wanted = Wanted(tuple(kinds), asked.openvino, not asked.plain, not asked.no_quality)
    tell = (lambda _: None) if asked.json else say
    tell(f"export      {found.name}   {type(found.model).__name__}")
    result = export_model(found, out, wanted, lease, tell)
    if asked.json:
        print_json(dataclasses.asdict(result))
        return 0
    rows = rows_of(result)
    print(table(rows, right=range(1, len(rows[0]))))
    for note in result.notes:
        print(note)
    names = sorted({row.file for row in result.rows[2:]})
    print(f"exported to {out}/  ({', '.join(names)}, README.md, export.json)")
    return 0
