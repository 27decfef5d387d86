"""What an FFN of odd width costs: networks of two layers against those of the next multiple of 16.

    python benchmarks/widths.py [--threads 1]

Products of odd sizes are slow on some processors. More is multiplied, yet in less time: that is why
a run keeps widths at multiples of 16 (`shrink.round_to`).
"""

import argparse
from pathlib import Path

import torch
from common import Row, row_of, write
from networks import Network, measured
from transformers import BertConfig, BertForQuestionAnswering

from prune.config import ALIGNED
from prune.speed.runtimes import Eager
from prune.speed.workload import Workload

# Hidden size and heads of the toy, MiniLM and BERT-base; batch and length; widths.
CASES = (
    (128, 4, Workload(32, 64), (474, 463, 507)),
    (384, 12, Workload(8, 128), (474, 463, 507)),
    (768, 12, Workload(8, 128), (202, 335, 1530)),
)
ROUNDS = 41


def network(hidden: int, heads: int, width: int) -> Network:
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=width,
        num_hidden_layers=2,
        vocab_size=1000,
    )
    return BertForQuestionAnswering(config).eval()


def row(hidden: int, heads: int, work: Workload, width: int) -> Row:
    even = width + -width % ALIGNED
    models = {str(w): network(hidden, heads, w) for w in (width, even)}
    runtimes = {name: Eager(model) for name, model in models.items()}
    times = measured(runtimes, models[str(even)], work, ROUNDS)
    names = f"hidden {hidden}, {work.batch} x {work.length}, width {width}", f"width {even}"
    return row_of(names, (times[str(width)], times[str(even)]), "ratio", None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="a folder for the JSON")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    rows = [row(*case, width) for *case, widths in CASES for width in widths]
    write("widths", rows, asked.threads, "Odd widths", folder=asked.out)


if __name__ == "__main__":
    main()
