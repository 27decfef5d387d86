"""GLUE (Wang et al. 2018, arXiv:1804.07461): its nine tasks as a table, read by one class."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from prune.config import TaskConfig
from prune.errors import MissingInputError
from prune.tasks import hub
from prune.tasks.files import cells_of, find, tsv_rows
from prune.tasks.sequence import Example, SequenceTask

HUB_NAME = "nyu-mll/glue"
NLI = ("entailment", "not_entailment")


@dataclass(frozen=True)
class Part:
    """One file of a task, its split on the hub, and what the names of its metrics end in."""

    file: str
    split: str
    suffix: str = ""


TRAIN = Part("train.tsv", "train")
DEV = Part("dev.tsv", "validation")


@dataclass(frozen=True)
class Glue:
    """One task of GLUE. A label of a file is the name of a class, or its number.

    labels: the classes in the order of the logits, that of the hub's data sets; none: a score.
    metrics: the official ones, the headline first.
    """

    folder: str  # below the folder of all of GLUE
    texts: tuple[str, ...]  # columns of the files
    label: str  # column of the files
    labels: tuple[str, ...]
    metrics: tuple[str, ...] = ("accuracy",)
    hub_texts: tuple[str, ...] = ("sentence1", "sentence2")
    header: tuple[str, ...] = ()  # the columns of files that do not name them
    eval: tuple[Part, ...] = (DEV,)  # those with a suffix may be missing
    skip_short: bool = False  # the released file has a few broken rows


GLUE = {
    "mnli": Glue(
        "MNLI",
        ("sentence1", "sentence2"),
        "gold_label",
        ("entailment", "neutral", "contradiction"),
        hub_texts=("premise", "hypothesis"),
        eval=(
            Part("dev_matched.tsv", "validation_matched"),
            Part("dev_mismatched*.tsv", "validation_mismatched", "_mismatched"),
        ),
    ),
    "sst2": Glue(
        "SST-2", ("sentence",), "label", ("negative", "positive"), hub_texts=("sentence",)
    ),
    "mrpc": Glue(
        "MRPC",
        ("#1 String", "#2 String"),
        "Quality",
        ("not_equivalent", "equivalent"),
        ("f1", "accuracy"),
    ),
    "rte": Glue("RTE", ("sentence1", "sentence2"), "label", NLI),
    "cola": Glue(
        "CoLA",
        ("sentence",),
        "label",
        ("unacceptable", "acceptable"),
        ("matthews", "accuracy"),
        hub_texts=("sentence",),
        header=("source", "label", "mark", "sentence"),
    ),
    "stsb": Glue("STS-B", ("sentence1", "sentence2"), "score", (), ("pearson", "spearman")),
    "qnli": Glue(
        "QNLI", ("question", "sentence"), "label", NLI, hub_texts=("question", "sentence")
    ),
    "qqp": Glue(
        "QQP",
        ("question1", "question2"),
        "is_duplicate",
        ("not_duplicate", "duplicate"),
        ("f1", "accuracy"),
        hub_texts=("question1", "question2"),
        skip_short=True,
    ),
    "wnli": Glue("WNLI", ("sentence1", "sentence2"), "label", ("not_entailment", "entailment")),
}


class GlueTask(SequenceTask):
    """The task of GLUE that `config.name` says, from `task.data_dir` or the hub.

    `task.data_dir` is the folder of the task's TSV files, or the one of all of GLUE above it.
    MNLI is evaluated on matched, and, where the file is there, on mismatched genres.
    """

    name: ClassVar[str] = "glue"

    def __init__(self, config: TaskConfig, *args: Any) -> None:
        super().__init__(config, *args)
        self.table = GLUE[config.name]
        self.metric_names = self.table.metrics
        self.metric = self.metric_names[0]

    @property
    def labels(self) -> Sequence[str]:
        return self.table.labels

    def read(self, split: str) -> dict[str, list[Example]]:
        parts = (TRAIN,) if split == "train" else self.table.eval
        if self.config.data_dir is None:
            return {part.suffix: self._from_hub(part) for part in parts}
        folder = Path(self.config.data_dir)
        if any((folder / task.folder).is_dir() for task in GLUE.values()):
            folder = folder / self.table.folder
        return {
            part.suffix: self._from_file(find(folder, [part.file]))
            for part in parts
            if not part.suffix or any(folder.glob(part.file + "*"))
        }

    def _from_file(self, file: Path) -> list[Example]:
        table, examples = self.table, []
        for where, row in tsv_rows(file, table.header, table.skip_short):
            *texts, label = cells_of(row, (*table.texts, table.label), where)
            examples.append(Example(tuple(texts), number_of(label, table.labels, where)))
        if not examples:
            raise MissingInputError(f"{file} has no examples")
        return examples

    def _from_hub(self, part: Part) -> list[Example]:
        files = ", ".join(p.file for p in (TRAIN, *self.table.eval))
        return [
            Example(tuple(row[n] for n in self.table.hub_texts), float(row["label"]))
            for row in hub.rows(HUB_NAME, part.split, files, self.config.name)
        ]


def number_of(label: str, labels: Sequence[str], where: str) -> float:
    """The class that a cell names or numbers; the score it is, where there are no classes."""
    if label in labels:
        return labels.index(label)
    try:
        value = float(label)
    except ValueError:
        value = math.nan
    if math.isfinite(value) and (not labels or value in range(len(labels))):
        return value
    known = f"one of {', '.join(labels)}, or its number from 0" if labels else "a number"
    raise MissingInputError(f"{where}: the label {label!r} is not {known}")
