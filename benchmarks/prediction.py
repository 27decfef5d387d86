"""How far the latency table of `prune profile` is from whole networks that it has not seen.

    python benchmarks/prediction.py --shapes FILE [--batch 1,8] [--length 128] [--threads 2]

The table is measured here, as `prune profile` does it; then BERT-base and the networks of the CSV
(networks.py says which columns; PRUNE_SHARED finds it too), each beside the same reference. A row
says how many times the larger of the two times, measured and predicted, is the smaller one.
"""

import argparse
import dataclasses
from pathlib import Path

import networks
from common import Row, row_of, write

from prune.artifact.shape import Shape
from prune.profiling import Bench, measured
from prune.speed.latency import Setting

LIMIT = 1.10


def rows(setting: Setting, shapes: dict[str, Shape], layers: int) -> list[Row]:
    bench = Bench(setting)
    table = measured(bench, layers)
    unit = bench.unit_ms()
    cell = f"{setting.batch} x {setting.length}"
    print(f"{cell}: residual {table.residual:.3f}, factor {table.factor:.3f}")
    found = []
    for name, whole in shapes.items():
        shape = Shape(whole.heads[:layers], whole.widths[:layers])
        predicted = table.predict_ms(shape.heads, shape.widths)
        pair = unit * bench.time(shape.heads, shape.widths), predicted
        label = f"{name}, {cell}, measured", "predicted"
        off = sorted(pair, reverse=True)
        made = row_of(label, ([off[0]], [off[1]]), "ratio", LIMIT, shown=False)
        found.append(dataclasses.replace(made, what_ms=pair[0], against_ms=pair[1]))
    worst = max(found, key=lambda r: r.ratio)
    what = f"the worst of {len(found)} networks, {worst.what}"
    return [*found, dataclasses.replace(worst, what=what, shown=True)]


def main() -> None:
    def numbers(text: str) -> list[int]:
        return [int(word) for word in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", type=Path, help="a CSV")
    parser.add_argument("--batch", type=numbers, default=[1, 8])
    parser.add_argument("--length", type=numbers, default=[128])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--out", type=Path, help="a folder for the JSON")
    asked = parser.parse_args()
    shapes = {"BERT-base": networks.DENSE, **networks.published(asked.shapes)}
    for batch in asked.batch:
        for length in asked.length:
            setting = Setting(networks.HIDDEN, networks.HEAD, batch, length, threads=asked.threads)
            about = "The latency table's prediction of networks it has not seen, eager fp32"
            found = rows(setting, shapes, asked.layers)
            write("prediction", found, asked.threads, about, merge=True, folder=asked.out)


if __name__ == "__main__":
    main()
