"""The model card: what the model is, what was measured, and how to load it."""

from prune.records import Point, Record


def card(record: Record, point: Point) -> str:
    """README.md of the model that `point` was measured on, from the record of its run."""
    quality = "\n".join(
        f"| {name} | {value:.2f} | {_reference(record, name)} |"
        for name, value in point.quality.items()
    )
    latency = "\n".join(
        f"| {c.batch} x {c.length} | {c.dense_ms:.3g} ms | {c.pruned_ms:.3g} ms | "
        f"{c.speedup:.2f}x ({c.speedup_low:.2f} to {c.speedup_high:.2f}) |"
        for c in point.latency
    )
    return f"""---
library_name: transformers
tags: [pruning, block-movement-pruning]
---

# {record.experiment}, run {record.run_id}

A {record.task} model fine-pruned with `prune`: fewer attention heads and FFN neurons in each layer,
{point.density.stored:.0%} of the prunable weights stored ({point.density.nonzero:.0%} not zero),
{point.size_mb:.1f} MB (dense: {point.dense_size_mb:.1f} MB).

| metric | this model | dense |
|---|---|---|
{quality}

| batch x tokens | dense | this model | speedup (95 % interval) |
|---|---|---|---|
{latency}

Heads in each layer: {", ".join(map(str, point.heads))}.
FFN neurons in each layer: {", ".join(map(str, point.widths))}.

```python
import prune

model = prune.load("path/to/this/folder")
```

Made by: `prune train {" ".join(record.overrides)}`
"""


def _reference(record: Record, name: str) -> str:
    return f"{record.reference[name]:.2f}" if name in record.reference else ""
