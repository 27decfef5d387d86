"""The settings of a published checkpoint in our words: a run's config, and the overrides for it."""

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]
UNKNOWN = {"name": "unknown"}
SOFT = "sigmoied_threshold"  # as published
ALGORITHMS = {SOFT: "sigmoid_threshold", "topK": "topk", "magnitude": "magnitude", "l0": "l0"}
NEURONS = {f"{SOFT}:1d_alt", f"{SOFT}:1d", f"{SOFT}:1d_only"}
TEACHERS = {
    "csarron/bert-base-uncased-squad-v1": "bert_base_squad",
    "bert-large-uncased-whole-word-masking-finetuned-squad": "bert_large_squad",
}


STEPS = {"squad": 88_524, "mnli": 392_702}  # examples of an epoch, as the reader cuts them


def config_of(task: str, entry: Json | None, fill: Json | None, network: Json) -> dict[str, Any]:
    """A config with the keys of ours that the record says something about.

    entry: the checkpoint that was pruned; None if it is not in the file. fill: the one that was
    fine-tuned once more. network: the `config` of the network itself.
    """
    hidden = int(network["hidden_size"])
    said = (entry or fill or {}).get("sparse_args", {})
    trained = (entry or fill or {}).get("training_args", {})
    teacher = str(said.get("distil_teacher_name_or_path") or "")
    size = "large" if hidden > 768 else "base"
    config: dict[str, Any] = {
        "seed": int(trained.get("seed", 0)),
        "task": {"name": task},
        "model": {"name": f"bert_{size}", "name_or_path": f"bert-{size}-uncased"},
        "attention": _attention(said, network) if entry else UNKNOWN,
        "ffn": _ffn(said) if entry else UNKNOWN,
        "schedule": _schedule(task, said, trained),
        "teacher": {
            "name": TEACHERS.get(teacher, "dense" if teacher else "none"),
            "name_or_path": teacher,
            "temperature": float(said.get("distil_temperature", 2.0)),
            "distil_weight": float(said.get("distil_alpha_teacher", 0.9)),
            "task_weight": float(said.get("distil_alpha_ce", 0.1)),
        },
        "train": _train(said, trained),
        "swap": {
            "nonorm": bool(said.get("layer_norm_patch")),
            "relu": bool(said.get("gelu_patch")),
        },
    }
    if fill:
        again = fill["training_args"]
        epochs, rate = again["num_train_epochs"], again["learning_rate"]
        config["fill"] = {"epochs": float(epochs), "lr": float(rate)}
    return config


def _attention(said: Json, network: Json) -> dict[str, Any]:
    hidden, heads = int(network["hidden_size"]), int(network["num_attention_heads"])
    block = [int(said["attention_block_rows"]), int(said["attention_block_cols"])]
    method = str(said["attention_pruning_method"])
    part = {"algorithm": _algorithm(method), "weight": float(said.get("attention_lambda", 1.0))}
    # Until an option said otherwise, the output projection was pruned by the rules of the FFN.
    as_ffn = bool(said.get("attention_output_with_dense", True))
    part |= {"sharing": "none", "output_as_ffn": as_ffn and said["dense_pruning_method"] in NEURONS}
    part["ampere"] = said.get("ampere_pruning_method", "disabled") != "disabled"
    if block == [hidden // heads, hidden]:
        return {"name": "heads", "geometry": "heads", "block": block, **part}
    if block == [1, hidden]:
        return {"name": "block", "geometry": "rows", "block": block, **part}
    name = "unstructured" if block == [1, 1] else "block"
    return {"name": name, "geometry": "block", "block": block, **part}


def _ffn(said: Json) -> dict[str, Any]:
    method = str(said["dense_pruning_method"])
    part = {"algorithm": _algorithm(method), "weight": float(said.get("dense_lambda", 1.0))}
    if method in NEURONS:
        return {"name": "neurons", "geometry": "rows", "sharing": "pair", **part}
    block = [int(said["dense_block_rows"]), int(said["dense_block_cols"])]
    name = "unstructured" if block == [1, 1] else "block"
    return {"name": name, "geometry": "block", "block": block, "sharing": "none", **part}


def _algorithm(method: str) -> str:
    name = method.partition(":")[0]
    if name not in ALGORITHMS:
        raise ValueError(f"unknown pruning method {method!r}")
    return ALGORITHMS[name]


def _schedule(task: str, said: Json, trained: Json) -> dict[str, Any]:
    warmup = int(trained.get("warmup_steps", 0))
    ends = float(said.get("initial_warmup", 1)), float(said.get("final_warmup", 10))
    epoch = STEPS[task] / int(trained["per_device_train_batch_size"])
    return {
        "warmup_steps": warmup,
        "initial": ends[0],
        "final": ends[1],
        "ramp_epochs": round(float(trained["num_train_epochs"]) - sum(ends) * warmup / epoch, 1),
        "end": float(said.get("final_threshold", 0.1)),
        "penalty": float(said.get("regularization_final_lambda", 0)),
    }


def _train(said: Json, trained: Json) -> dict[str, Any]:
    return {
        "epochs": float(trained["num_train_epochs"]),
        "batch_size": int(trained["per_device_train_batch_size"]),
        "lr": float(trained["learning_rate"]),
        "scores_lr": float(said.get("mask_scores_learning_rate", 1e-2)),
    }


def overrides_of(task: str, config: Json) -> list[str]:
    """What one would ask `prune train` for, to do the same again; nothing where it is not known."""
    attention, ffn = config["attention"], config["ffn"]
    if "unknown" in (attention["name"], ffn["name"]):
        return []
    found = [f"+experiment=hybrid_{task}", f"model={config['model']['name']}"]
    if config["teacher"]["name"] == "bert_large_squad":
        found.append("teacher=bert_large_squad")
    found += _part("attention", attention, "block") + _part("ffn", ffn, "neurons")
    found += [f"schedule.{key}={config['schedule'][key]:g}" for key in ("penalty", "final")]
    found += [f"schedule.warmup_steps={config['schedule']['warmup_steps']}"]
    found += [f"train.{key}={config['train'][key]:g}" for key in ("epochs", "batch_size")]
    found += [f"swap.{name}=true" for name, on in config["swap"].items() if on]
    if fill := config.get("fill"):
        found.append(f"fill.epochs={fill['epochs']:g}")
    return [*found, f"seed={config['seed']}"]


def _part(key: str, part: Json, usual: str) -> list[str]:
    found = [f"{key}={part['name']}"] if part["name"] != usual else []
    if part["name"] == "block" and part["geometry"] == "block":
        found.append(f"{key}.block=[{part['block'][0]},{part['block'][1]}]")
    elif part["name"] == "block":
        found.append(f"{key}.geometry={part['geometry']}")
    if part.get("ampere"):
        found.append(f"{key}.ampere=true")
    return [*found, f"{key}.weight={part['weight']:g}"] if part["weight"] != 1 else found
