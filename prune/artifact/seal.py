"""The seal of a saved model: `prune.json` with a hash of every file that decides its logits.

The config of a pruned model holds the hash of its weights too. When transformers saves the model
again, that hash is gone from the new config, and a `prune.json` that still lies there is history.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from prune.artifact.shape import KEY, section_of
from prune.errors import CheckpointError

SHAPE_FILE, WEIGHTS_FILE, CONFIG_FILE = "prune.json", "model.safetensors", "config.json"
CARD_FILE = "README.md"  # anybody may edit it


def file_hash(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def close(folder: Path, content: dict[str, Any]) -> str:
    """Write `prune.json` over all that is in `folder`; returns the sha256 of the weights."""
    digest = file_hash(folder / WEIGHTS_FILE)
    config = read_json(folder / CONFIG_FILE)
    if section := section_of(config.get(KEY)):
        config[KEY] = {**section, "sha256": digest}
        _write(folder / CONFIG_FILE, config)
    others = sorted(p for p in folder.iterdir() if p.name not in (WEIGHTS_FILE, CARD_FILE))
    files = {path.name: file_hash(path) for path in others if path.is_file()}
    _write(folder / SHAPE_FILE, {**content, "sha256": digest, "files": files})
    return digest


def verify(folder: Path, digest: str | None = None) -> None:
    """Raises CheckpointError if a file of `folder` is not the one that was saved.

    digest: sha256 of the weights, as the config has it. A tokenizer that is not there is no error.
    """
    expected = {} if digest is None else {WEIGHTS_FILE: digest}
    if (folder / SHAPE_FILE).is_file():
        content = read_json(folder / SHAPE_FILE)
        files, weights = content.get("files", {}), content.get("sha256")
        if not isinstance(files, dict) or not isinstance(weights, str):
            raise CheckpointError(f"{folder / SHAPE_FILE} cannot be read (no hashes)")
        if digest not in (None, weights):
            raise CheckpointError(f"{folder}: {CONFIG_FILE} and {SHAPE_FILE} are of two models")
        expected |= {WEIGHTS_FILE: weights, **files}
    for name, wanted in expected.items():
        path = folder / Path(name).name
        if path.is_file() and file_hash(path) != wanted:
            raise CheckpointError(
                f"{folder}: {name} is not the file that was saved (wrong hash): "
                "restore it, or save the model again"
            )


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises CheckpointError."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} cannot be read (no JSON object)")
    return content


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
