"""The Hugging Face hub: whether it can be reached at all, and its data sets."""

import socket
import urllib.request
from collections.abc import Iterable
from functools import cache
from typing import Any
from urllib.parse import urlparse

from huggingface_hub import constants

from prune.errors import MissingInputError


@cache
def look() -> None:
    """Puts the hub's client into its offline mode where the hub's name has no address.

    What is cached is then used at once, and what is not fails at once; without this, each missing
    file costs half a minute of retries and their warnings.
    """
    if constants.HF_HUB_OFFLINE or urllib.request.getproxies():
        return
    try:
        socket.getaddrinfo(urlparse(constants.ENDPOINT).hostname, 443)
    except OSError:
        constants.HF_HUB_OFFLINE = True


def rows(data_set: str, split: str, files: str, part: str | None = None) -> Iterable[Any]:
    """The rows of a split of a data set, or of one `part` of it.

    files: what a folder must hold instead. Raises MissingInputError that asks for them.
    """
    look()
    from datasets import load_dataset

    try:
        found: Iterable[Any] = load_dataset(data_set, part, split=split)
    except Exception as error:  # the hub's errors have no common root
        named = data_set if part is None else f"{data_set} ({part})"
        raise MissingInputError(
            f"the data set {named} is not here and cannot be fetched: give a folder with {files} "
            "with task.data_dir=FOLDER"
        ) from error
    return found
