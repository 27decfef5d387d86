"""A training step whose process keeps the memory that it frees, against one of glibc's own way.

    python benchmarks/kept_memory.py [--threads 2] [--layers 2]

Three processes make plain fine-tuning steps of BERT-base layers with random weights in turn: one
leaves malloc as it is, in one the environment has it keep what is freed, and one has called
`prune.keep_memory()`, which asks for huge pages besides. What each has taken at its peak is
compared, too.
"""

import argparse
import os
import resource
import subprocess
import sys

from common import MIN_PAIRS, Row, interleaved, row_of, write

SHAPES = ((32, 384, True), (16, 384, True), (32, 128, True), (32, 128, False))  # True: bf16
OWN, KEPT, HUGE = "glibc's own way", "memory kept", "memory kept, huge pages"
WAYS = {  # GLIBC_TUNABLES; where it is set, prune leaves malloc as it is
    OWN: "",
    KEPT: "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=999999999999",
    HUGE: None,
}


class Process:
    """A process that makes a step when it is told to."""

    def __init__(self, arguments: list[str], tunables: str | None) -> None:
        environment = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"}
        if tunables is not None:
            environment["GLIBC_TUNABLES"] = tunables
        self.process = subprocess.Popen(
            [sys.executable, __file__, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def __call__(self) -> None:
        self.ask("step")

    def ask(self, what: str) -> str:
        """Its answer."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def peak(self) -> float:
        """In MB; the process ends."""
        found = float(self.ask("peak"))
        self.process.communicate()
        return found


def work(shape: list[int], threads: int, layers: int) -> None:
    """What one of the processes does."""
    import torch
    from step_overhead import Bench

    import prune

    prune.keep_memory()  # unless the environment says otherwise
    torch.set_num_threads(threads)
    batch, length, bf16 = shape
    step = Bench(layers, batch, length, "cpu", bool(bf16)).plain()
    for line in sys.stdin:
        if line.strip() == "step":
            step()
            print("done", flush=True)
        else:
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, flush=True)
            return


def rows(shape: tuple[int, int, bool], arguments: list[str]) -> list[Row]:
    batch, length, bf16 = shape
    told = ["--work", *map(str, map(int, shape)), *arguments]
    processes = {way: Process(told, tunables) for way, tunables in WAYS.items()}
    times = dict(zip(WAYS, interleaved(list(processes.values())), strict=True))
    peaks = {way: process.peak() for way, process in processes.items()}
    name = f"{batch} x {length}, {'bf16' if bf16 else 'fp32'}"
    found = []
    for way in (KEPT, HUGE):
        label = f"training step, {name}, {way}", OWN
        shown = length == 384
        found.append(row_of(label, (times[way], times[OWN]), "speedup", None, shown))
        label = f"peak of the process, {name}, {way}", OWN
        pair = [peaks[way]], [peaks[OWN]]
        found.append(row_of(label, pair, "ratio", None, False, unit="MB"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--work", type=int, nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        work(asked.work, asked.threads, asked.layers)
        return
    arguments = ["--threads", str(asked.threads), "--layers", str(asked.layers)]
    found = [row for shape in SHAPES for row in rows(shape, arguments)]
    about = f"{asked.layers} BERT-base layers, fused AdamW, at least {MIN_PAIRS} steps of each"
    write("kept_memory", found, asked.threads, about)


if __name__ == "__main__":
    main()
