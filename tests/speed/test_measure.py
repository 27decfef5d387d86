"""Density, size and latency, and the lease under which latency is measured."""

import multiprocessing
import time
from pathlib import Path

import pytest
import torch

from prune.artifact.shrink import shrink
from prune.speed.lease import Lease
from prune.speed.measure import count, density, latency, size_mb
from prune.speed.protocol import bootstrap
from tests import tiny


def test_counts_and_densities() -> None:
    dense = tiny.bert(layers=1)
    masked = tiny.bert(layers=1)
    with torch.no_grad():
        masked.bert.encoder.layer[0].intermediate.dense.weight[:12] = 0
        masked.bert.encoder.layer[0].attention.self.query.weight[:4] = 0
    prunable = 4 * 32 * 32 + 2 * 32 * 48
    assert count(dense).prunable == count(dense).nonzero == prunable
    small = count(shrink(masked))
    found = density(small, count(dense))
    assert found.stored == pytest.approx((prunable - 2 * 12 * 32) / prunable)
    assert found.nonzero == pytest.approx((prunable - 2 * 12 * 32 - 4 * 32) / prunable)
    assert found.stored < found.model < 1
    assert size_mb(dense) == pytest.approx(4 * count(dense).total / 1e6)


def test_latency_is_paired_and_plausible() -> None:
    wide = tiny.bert(layers=8)
    cell = latency(wide, tiny.bert(layers=1), batch=4, length=16, rounds=5)
    assert cell.speedup > 1.3
    assert cell.speedup_low <= cell.speedup <= cell.speedup_high
    assert cell.dense_ms > cell.pruned_ms > 0


def test_bootstrap_interval_holds_the_median() -> None:
    low, high = bootstrap([1.0, 1.1, 1.2, 1.3, 1.4])
    assert 1.0 <= low <= 1.2 <= high <= 1.4
    assert bootstrap([2.0] * 5) == (2.0, 2.0)


def _train(folder: Path, stop: "multiprocessing.synchronize.Event", steps: Path) -> None:
    lease = Lease(folder)
    while not stop.is_set():
        with lease.shared(), steps.open("a") as file:
            file.write(f"{time.monotonic()} ")
            file.flush()
            time.sleep(0.002)
            file.write(f"{time.monotonic()}\n")


def test_whoever_measures_is_alone(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    logs = [tmp_path / f"steps{i}" for i in range(2)]
    children = [
        context.Process(target=_train, args=(tmp_path / "device", stop, log)) for log in logs
    ]
    for child in children:
        child.start()
    while not all(log.exists() and log.stat().st_size for log in logs):
        time.sleep(0.01)
    quiet = []
    for _ in range(5):
        with Lease(tmp_path / "device").exclusive():
            begin = time.monotonic()
            time.sleep(0.02)
            quiet.append((begin, time.monotonic()))
        time.sleep(0.02)
    stop.set()
    for child in children:
        child.join()
    trained = [
        tuple(map(float, line.split())) for log in logs for line in log.read_text().splitlines()
    ]
    assert len(trained) > 10
    for begin, end in quiet:
        assert not [step for step in trained if step[0] < end and step[1] > begin]
