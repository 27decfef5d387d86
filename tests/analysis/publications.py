"""A result file in the format of nn_pruning, small and made up: one checkpoint of each kind."""

import copy
from typing import Any

HIDDEN, LAYERS, LINEAR = 768, 12, 84_934_656
SPARSE = {
    "attention_block_rows": 32,
    "attention_block_cols": 32,
    "attention_lambda": 1.0,
    "attention_output_with_dense": 0,
    "attention_pruning_method": "sigmoied_threshold",
    "dense_block_rows": 1,
    "dense_block_cols": 1,
    "dense_lambda": 0.5,
    "dense_pruning_method": "sigmoied_threshold:1d_alt",
    "ampere_pruning_method": "disabled",
    "distil_teacher_name_or_path": "csarron/bert-base-uncased-squad-v1",
    "initial_warmup": 1,
    "final_warmup": 10,
    "final_threshold": 0.1,
    "regularization": "l1",
    "regularization_final_lambda": 20,
}


def checkpoint(**changes: Any) -> dict[str, Any]:
    """A hybrid 32x32 network with six heads and 1000 neurons in each layer; `a__b=v` sets keys."""
    kept = 6 * 4 * HIDDEN * 64, 1000 * 2 * HIDDEN
    entry: dict[str, Any] = {
        "config": {
            "hidden_size": HIDDEN,
            "intermediate_size": 3072,
            "num_attention_heads": 12,
            "num_hidden_layers": LAYERS,
        },
        "eval_metrics": {"exact_match": 79.0, "f1": 87.0},
        "sparse_args": dict(SPARSE),
        "training_args": {
            "num_train_epochs": 20,
            "per_device_train_batch_size": 16,
            "learning_rate": 3e-05,
            "warmup_steps": 5400,
            "seed": 17,
        },
        "speed": {"cuda_eval_elapsed_time": 20.0},
        "speedup": 2.0,
        "stats": {
            "layers": {
                str(layer): {"linear_attention_nnz": kept[0], "linear_dense_nnz": kept[1]}
                for layer in range(LAYERS)
            },
            "linear_nnz": LAYERS * sum(kept),
            "linear_total": LINEAR,
            "nnz": LAYERS * sum(kept) + 23_000_000,
            "total": LINEAR + 24_000_000,
            "pruned_heads": {str(layer): list(range(6)) for layer in range(LAYERS)},
        },
    }
    for path, value in changes.items():
        where, keys = entry, path.split("__")
        for key in keys[:-1]:
            where = where[key]
        where[keys[-1]] = value
    return entry


def file(**checkpoints: dict[str, Any]) -> dict[str, Any]:
    """The content of a file; each argument is a checkpoint, `bucket/NAME/checkpoint-100`."""
    return {
        "base_speed_report": {"cuda_eval_elapsed_time": 40.0, "eval_elapsed_time": 45.0},
        "checkpoints": {
            f"s3://bucket/{name}/checkpoint-100": entry
            for name, entry in (checkpoints or {"one": checkpoint()}).items()
        },
    }


def filled(source: str, **changes: Any) -> dict[str, Any]:
    """A network that came from checkpoint `source` and was fine-tuned once more."""
    made = copy.deepcopy(checkpoint(source_checkpoint=f"/elsewhere/{source}/checkpoint-100"))
    made["sparse_args"] |= {
        "attention_pruning_method": "topK",
        "dense_pruning_method": "topK",
        "attention_block_rows": 1,
        "attention_block_cols": 1,
    }
    made["training_args"]["num_train_epochs"] = 10
    return {**made, **changes}
