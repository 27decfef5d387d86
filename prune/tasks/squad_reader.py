"""SQuAD files and the hub's copy -> examples, checked and sampled."""

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prune.errors import MissingInputError
from prune.tasks import hub
from prune.tasks.files import find

HUB_SPLITS = {"train": "train", "eval": "validation"}


@dataclass(frozen=True)
class Edition:
    """One version of SQuAD: its name on the hub, its files, and whether answers may be missing."""

    hub: str
    files: tuple[str, str]  # of train and eval
    unanswerable: bool = False


V1 = Edition("rajpurkar/squad", ("train-v1.1.json", "dev-v1.1.json"))
V2 = Edition("rajpurkar/squad_v2", ("train-v2.0*.json", "dev-v2.0.json"), unanswerable=True)


@dataclass(frozen=True)
class Example:
    """One question about one paragraph; `answers` are (text, first character) in the context.

    A question without any is one that the paragraph does not answer.
    """

    id: str
    question: str
    context: str
    answers: tuple[tuple[str, int], ...]


def read(split: str, data_dir: str | None, edition: Edition = V1) -> list[Example]:
    """The `train` or `eval` examples, from `data_dir` or from the hub.

    Raises MissingInputError if they are in neither, or if a file is not what it should be.
    """
    if data_dir is None:
        return _from_hub(split, edition)
    file = find(Path(data_dir), [edition.files[split == "eval"]])
    return read_file(file, edition.unanswerable)


def read_file(file: Path, unanswerable: bool = False) -> list[Example]:
    """A SQuAD file, plain or gzipped."""
    try:
        raw = file.read_bytes()
        content = json.loads(gzip.decompress(raw) if file.suffix == ".gz" else raw)
    except (OSError, ValueError, EOFError) as error:
        raise MissingInputError(f"{file} cannot be read as JSON ({error})") from error
    return from_content(content, str(file), unanswerable)


def from_content(content: Any, where: str, unanswerable: bool = False) -> list[Example]:
    """data[].paragraphs[].qas[] -> examples; every answer is checked against its paragraph."""
    question = ""
    try:
        examples = []
        for article in content["data"]:
            for paragraph in article["paragraphs"]:
                context = paragraph["context"]
                for qa in paragraph["qas"]:
                    question = f"question {qa['id']}: "
                    answers = tuple((a["text"], a["answer_start"]) for a in qa["answers"])
                    examples.append(Example(qa["id"], qa["question"], context, answers))
                    _check(examples[-1], unanswerable)
    except (KeyError, TypeError, ValueError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise MissingInputError(f"{where} is not a SQuAD file: {question}{what}") from error
    if not examples:
        raise MissingInputError(f"{where} has no questions")
    twice = [name for name, times in Counter(e.id for e in examples).items() if times > 1]
    if twice:
        raise MissingInputError(f"{where}: question {twice[0]} is there more than once")
    return examples


def sample(examples: Sequence[Example], count: int | None, seed: int) -> list[Example]:
    """`count` examples spread over all articles: the same for the same seed, in a set order."""
    if count is None or count >= len(examples):
        return list(examples)

    def place(example: Example) -> str:
        return hashlib.sha256(f"{seed} {example.id}".encode()).hexdigest()

    return sorted(examples, key=place)[:count]


def _check(example: Example, unanswerable: bool) -> None:
    if not isinstance(example.question, str) or not isinstance(example.context, str):
        raise ValueError("question and context must be text")
    if not example.answers and not unanswerable:
        raise ValueError("it has no answer, and SQuAD v1.1 has one for every question")
    for text, start in example.answers:
        if not text:
            raise ValueError("answer '' is empty")
        if start < 0 or example.context[start : start + len(text)] != text:
            raise ValueError(f"answer {text!r} does not stand at answer_start {start}")


def _from_hub(split: str, edition: Edition) -> list[Example]:
    rows = hub.rows(edition.hub, HUB_SPLITS[split], " and ".join(edition.files))
    return [_from_row(row) for row in rows]


def _from_row(row: Any) -> Example:
    answers = zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
    return Example(row["id"], row["question"], row["context"], tuple(answers))
