"""Tokenised inputs -> a data set of features, and its hash."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]


def features_of(
    inputs: Sequence[Mapping[str, Ints]], labels: Mapping[str, Sequence[int]] | None = None
) -> datasets.Dataset:
    """One row for each of `inputs`, with `index` (0 to n-1), `length` in tokens, and its labels.

    inputs: arrays, not lists: a Python object for each token of SQuAD would take gigabytes.
    """
    columns: dict[str, Any] = {name: [row[name] for row in inputs] for name in inputs[0]}
    lengths = [len(row["input_ids"]) for row in inputs]
    columns |= {**(labels or {}), "index": list(range(len(inputs))), "length": lengths}
    return datasets.Dataset.from_dict(columns)


def features_hash(features: datasets.Dataset) -> str:
    """sha256 over every column but `attention_mask` and `length`, in order."""
    digest = hashlib.sha256()
    names = [n for n in features.column_names if n not in ("attention_mask", "length")]
    for rows in features.select_columns(names).iter(1000):
        digest.update(repr(sorted(rows.items())).encode())
    return digest.hexdigest()
