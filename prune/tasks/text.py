"""Classification of one's own texts: any CSV, TSV or JSON Lines file of text and label."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from prune.config import TaskConfig
from prune.errors import ConfigError, MissingInputError
from prune.tasks.files import cells_of, csv_rows, find, jsonl_rows, tsv_rows
from prune.tasks.sequence import Example, SequenceTask, in_order

READERS = {".csv": csv_rows, ".tsv": tsv_rows, ".jsonl": jsonl_rows}
STEMS = {"train": ("train",), "eval": ("eval", "dev", "validation", "valid", "test")}


class TextTask(SequenceTask):
    """Texts of `task.text_columns` (two for a pair) and the label of `task.label_column`.

    The files are train.csv and eval.csv (or dev, validation, valid, test; .tsv, .jsonl; .gz) of
    `task.data_dir`, or those called `task.train_file` and `task.eval_file` there. The classes are
    the labels of the train file: in the order of numbers if all are numbers, else of the alphabet.
    """

    name: ClassVar[str] = "text"
    metric = "accuracy"
    metric_names: Sequence[str] = ("accuracy", "macro_f1")

    @cached_property
    def labels(self) -> Sequence[str]:
        found = {label for _, _, label in self._rows("train")}
        if len(found) < 2:
            raise MissingInputError(
                f"the train file has one label only ({', '.join(found)}): there is nothing to learn"
            )
        return in_order(found)

    def read(self, split: str) -> dict[str, list[Example]]:
        place = {label: number for number, label in enumerate(self.labels)}
        examples = []
        for where, texts, label in self._rows(split):
            if label not in place:
                raise MissingInputError(
                    f"{where}: the label {label!r} is not in the train file "
                    f"(there: {', '.join(self.labels[:8])})"
                )
            examples.append(Example(texts, place[label]))
        return {"": examples}

    def _rows(self, split: str) -> Iterator[tuple[str, tuple[str, ...], str]]:
        """Where each example stands, its texts and its label."""
        columns = self.config.text_columns
        if len(columns) not in (1, 2):
            raise ConfigError(f"task.text_columns={columns} must be one column, or two for a pair")
        for where, (*texts, label) in rows_of(self.config, split, columns):
            yield where, tuple(texts), label


def rows_of(
    config: TaskConfig, split: str, columns: Sequence[str]
) -> Iterator[tuple[str, list[str]]]:
    """Where each row of the `train` or `eval` file stands, and its cells of `columns` and label.

    Raises MissingInputError for a file without rows, and what `local_file` does.
    """
    file, where = local_file(config, split, tuple(READERS)), ""
    for where, row in READERS[Path(file.name.removesuffix(".gz")).suffix](file):
        yield where, cells_of(row, (*columns, config.label_column), where)
    if not where:
        raise MissingInputError(f"{file} has no examples")


def local_file(config: TaskConfig, split: str, endings: Sequence[str]) -> Path:
    """The `train` or `eval` file of a task that has no data of its own.

    Raises ConfigError without `task.data_dir`, MissingInputError without a file of `endings`.
    """
    if config.data_dir is None:
        raise ConfigError(f"task={config.name} needs your own files: task.data_dir=FOLDER")
    given = config.train_file if split == "train" else config.eval_file
    if given is None:
        names = [stem + ending for stem in STEMS[split] for ending in endings]
    else:
        names = [given]
        if not given.removesuffix(".gz").endswith(tuple(endings)):
            raise ConfigError(
                f"task.{split}_file={given} must end in {', '.join(endings)} (or .gz)"
            )
    return find(Path(config.data_dir), names)
