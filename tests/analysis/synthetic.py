"""Records as runs would leave them: seeded, with the shape of real fronts, and quick to make."""

import math
import random
from typing import Any

from prune.records import Density, Latency, Point, Record

PARTS: dict[str, tuple[dict[str, Any], dict[str, Any], float, float]] = {
    # name -> attention, FFN, how much of the density becomes speed, quality lost at density 0.25
    "unstructured": (
        {"name": "unstructured", "geometry": "block", "block": [1, 1]},
        {"name": "unstructured", "geometry": "block", "block": [1, 1]},
        *(0.02, 0.6),
    ),
    "block 8x8": (
        {"name": "block", "geometry": "block", "block": [8, 8]},
        {"name": "block", "geometry": "block", "block": [8, 8]},
        *(0.2, 1.6),
    ),
    "block 32x32": (
        {"name": "block", "geometry": "block", "block": [32, 32]},
        {"name": "block", "geometry": "block", "block": [32, 32]},
        *(0.45, 3.0),
    ),
    "hybrid 32x32": (
        {"name": "block", "geometry": "block", "block": [32, 32]},
        {"name": "neurons", "geometry": "rows", "sharing": "pair"},
        *(0.85, 2.4),
    ),
    "structured": (
        {"name": "heads", "geometry": "heads"},
        {"name": "neurons", "geometry": "rows", "sharing": "pair"},
        *(1.0, 4.5),
    ),
}
DENSE = {"squad": ("f1", "exact_match", 88.5, 81.0), "toy": ("f1", "exact_match", 98.4, 97.9)}


def point(
    rng: random.Random, task: str, density: float, gain: float, loss: float, stage: str = "pruned"
) -> Point:
    _, _, f1, em = DENSE[task]
    drop = loss * (1 / density - 1) / 3 + rng.gauss(0, 0.15) if stage != "dense" else 0.0
    speedup = 1 / (1 - gain * 0.92 * (1 - density)) * math.exp(rng.gauss(0, 0.01))
    half = 0.01 + 0.015 * rng.random()
    size = 417.0 * (0.22 + 0.78 * (1 - gain * (1 - density)))
    cells = [
        Latency(b, 128, "eager", ms, ms / s, s, s - half, s + half, 7)
        for b, ms, s in ((32, 1648.0, speedup), (1, 61.0, 1 + (speedup - 1) * 0.7))
    ]
    return Point(
        stage=stage,
        quality={"f1": f1 - drop, "exact_match": em - 1.3 * drop},
        density=Density(density, min(1.0, density * 1.1), min(1.0, 0.22 + 0.78 * density)),
        size_mb=size,
        dense_size_mb=417.0,
        latency=cells,
        artifact="model",
        sha256=f"{rng.getrandbits(256):064x}",
        heads=[max(1, round(12 * density))] * 12,
        widths=[round(3072 * density)] * 12,
    )


def record(
    rng: random.Random, family: str, density: float, task: str = "squad", seed: int = 0
) -> Record:
    """A finished run. `family` is a key of PARTS, or `dense`."""
    metric, _, f1, em = DENSE[task]
    attention, ffn, gain, loss = PARTS.get(family, ({"name": "dense"}, {"name": "dense"}, 0.0, 0.0))
    stage = "dense" if family == "dense" else "pruned"
    overrides = [f"+experiment=hybrid_{task}", f"target.density={density}", f"seed={seed}"]
    return Record(
        run_id=f"{rng.getrandbits(32):08x}",
        group="block_shapes" if stage == "pruned" else "single",
        status="done",
        experiment=f"hybrid_{task}",
        task=task,
        metric=metric,
        config={
            "seed": seed,
            "model": {"name": "bert_base" if task == "squad" else "toy"},
            "attention": {"algorithm": "topk", **attention},
            "ffn": {"algorithm": "topk", **ffn},
            "schedule": {"penalty": 10.0},
            "target": {"density": density},
            "teacher": {"name": "dense"},
            "train": {"epochs": 20.0},
        },
        overrides=[*overrides, "attention.block=[32,32]"],
        points=[point(rng, task, density, gain, loss, stage)],
        reference={"f1": f1, "exact_match": em},
        started="2025-01-01T00:00:00Z",
        seconds=60.0,
        steps=1000,
    )


def store(
    count: int = 60, task: str = "squad", seed: int = 0, families: tuple[str, ...] = tuple(PARTS)
) -> list[Record]:
    """`count` pruned runs over `families` and one dense run."""
    rng = random.Random(f"{task}{seed}")
    runs = [record(rng, "dense", 1.0, task)]
    for i in range(count):
        density = 0.08 + 0.85 * rng.random()
        runs.append(record(rng, families[i % len(families)], density, task, seed=i % 3))
    return runs
