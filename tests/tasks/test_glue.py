"""GLUE: files, labels, heads, metrics; on generated files and on the real data where it is."""

import gzip
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertForSequenceClassification, PreTrainedTokenizerBase

from analysis.metrics import quality_metric
from prune import tasks
from prune.choices import TASKS
from prune.config import TaskConfig
from prune.errors import ConfigError, MissingInputError
from prune.tasks.glue import GLUE, GlueTask
from prune.tasks.pretrained import load_tokenizer
from prune.tasks.sequence import SequenceTask
from prune.training.distillation import OnlineTeacher, kd_loss
from prune.training.teacher_cache import CachedTeacher
from tests.tasks import tiny_encoder

TEXTS = ["a fine film", "a dull film", 'it says " fine', "no film at all"]
HEADERS = {
    "mnli": "index\tgenre\tsentence1\tsentence2\tgold_label",
    "sst2": "sentence\tlabel",
    "mrpc": "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String",
    "rte": "index\tsentence1\tsentence2\tlabel",
    "cola": "",
    "stsb": "index\tsentence1\tsentence2\tscore",
    "qnli": "index\tquestion\tsentence\tlabel",
    "qqp": "id\tquestion1\tquestion2\tis_duplicate",
    "wnli": "index\tsentence1\tsentence2\tlabel",
}
LABELS = {
    "mnli": ("entailment", "neutral", "contradiction"),
    "rte": ("entailment", "not_entailment"),
    "qnli": ("entailment", "not_entailment"),
    "stsb": ("0.000", "2.500", "5.000"),
}


def write(folder: Path, name: str, rows: int = 12) -> Path:
    """The files of one task as the GLUE download has them, the dev file gzipped."""
    labels = LABELS.get(name, ("0", "1"))
    lines = [HEADERS[name]] * bool(HEADERS[name])
    for number in range(rows):
        one, other = TEXTS[number % 4], TEXTS[number // 4 % 4]
        label = labels[number % len(labels)]
        cells = {
            "mnli": (str(number), "genre", one, other, label),
            "sst2": (one, label),
            "mrpc": (label, "1", "2", one, other),
            "cola": ("gj04", label, "", one),
        }
        lines.append("\t".join(cells.get(name, (str(number), one, other, label))))
    target = folder / GLUE[name].folder
    target.mkdir(parents=True, exist_ok=True)
    text = "\n".join(lines) + "\n"
    (target / "train.tsv").write_text(text)
    for part in GLUE[name].eval:
        file = part.file.replace("*", "_part")
        (target / f"{file}.gz").write_bytes(gzip.compress(text.encode()))
    return target


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_encoder.save(tmp_path_factory.mktemp("encoder") / "bert", TEXTS)


@pytest.fixture(scope="module")
def tokenizer(encoder: str) -> PreTrainedTokenizerBase:
    return load_tokenizer(encoder)


Make = Callable[..., SequenceTask]


@pytest.fixture
def make(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> Make:
    def made(name: str, folder: Path = tmp_path, **changes: Any) -> SequenceTask:
        task = tasks.get(TaskConfig(name, str(folder), max_length=32, **changes), tokenizer)
        assert isinstance(task, SequenceTask)
        return task

    return made


def one_hot(task: SequenceTask, shift: int = 0) -> dict[str, list[torch.Tensor]]:
    """The logits of a model that is right (moved by `shift` classes)."""
    examples = [e for part in task.eval_parts.values() for e in part]
    if not task.labels:
        return {"logits": [torch.tensor([e.label]) for e in examples]}
    return {
        "logits": [
            torch.eye(len(task.labels))[(int(e.label) + shift) % len(task.labels)] for e in examples
        ]
    }


def test_the_tasks_of_the_configuration_are_those_there_are() -> None:
    assert set(TASKS) == set(tasks.TASKS)


def test_the_headline_of_every_task_can_be_reported() -> None:
    for name, kind in tasks.TASKS.items():
        quality_metric(GLUE[name].metrics[0] if name in GLUE else kind.metric)


@pytest.mark.parametrize("name", GLUE)
def test_every_task_reads_trains_and_scores(
    name: str, tmp_path: Path, make: Make, encoder: str
) -> None:
    write(tmp_path, name)
    task = make(name)
    assert isinstance(task, GlueTask)
    model = task.load_model(encoder)
    task.check(model, "it")
    assert model.config.num_labels == (len(task.labels) or 1)
    batch = task.collate([task.train[i] for i in range(6)])
    index = batch.pop("index")
    assert torch.equal(index, torch.arange(6))
    assert batch["labels"].dtype == (torch.int64 if task.labels else torch.float32)
    loss = model(**batch).loss
    loss.backward()
    assert torch.isfinite(loss) and batch["input_ids"].shape[1] % 8 == 0
    found = task.score(one_hot(task))
    assert found == pytest.approx(dict.fromkeys(found, 100.0)) and task.metric in found
    assert set(task.evaluate(model, 5)) == set(found)
    if task.labels:
        assert task.score(one_hot(task, 1))["accuracy" if name != "cola" else "matthews"] <= 0


def test_mnli_scores_its_two_dev_sets_apart(tmp_path: Path, make: Make) -> None:
    folder = write(tmp_path, "mnli")
    task = make("mnli", max_eval_samples=4)
    assert len(task.eval) == 8 and list(task.eval_parts) == ["", "_mismatched"]
    logits = one_hot(task)
    logits["logits"][4:] = one_hot(task, 1)["logits"][4:]
    assert task.score(logits) == {"accuracy": 100.0, "accuracy_mismatched": 0.0}
    (folder / "dev_mismatched_part.tsv.gz").unlink()
    assert list(make("mnli", folder).eval_parts) == [""]  # the task's own folder does too


def test_a_quotation_mark_is_a_mark(tmp_path: Path, make: Make) -> None:
    write(tmp_path, "sst2")
    assert make("sst2").read("train")[""][2].texts == ('it says " fine',)


def test_a_sample_is_stable_and_is_the_fingerprint(tmp_path: Path, make: Make) -> None:
    write(tmp_path, "rte")
    task, same = make("rte", max_train_samples=5), make("rte", max_train_samples=5)
    assert len(task.train) == 5 and task.fingerprint() == same.fingerprint()
    assert task.fingerprint() != make("rte", max_train_samples=5, data_seed=1).fingerprint()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a film\t2", "train.tsv line 2: the label '2' is not one of negative, positive"),
        ("a film\tgood", "line 2: the label 'good' is not one of negative, positive, or its"),
        ("a film", "train.tsv line 2 has 1 columns, not 2"),
        ("", "line 2 has 1 columns, not 2"),
    ],
)
def test_a_broken_row_is_named(line: str, message: str, tmp_path: Path, make: Make) -> None:
    (tmp_path / "train.tsv").write_text(f"sentence\tlabel\n{line}\n")
    with pytest.raises(MissingInputError, match=re.escape(message)):
        make("sst2").read("train")


def test_missing_files_and_columns_are_named(tmp_path: Path, make: Make) -> None:
    with pytest.raises(MissingInputError, match=r"train\.tsv \(or \.gz\) is not in"):
        make("sst2").read("train")
    with pytest.raises(MissingInputError, match="there is no folder"):
        make("sst2", tmp_path / "nowhere").read("train")
    (tmp_path / "train.tsv").write_text("text\tlabel\na film\t1\n")
    with pytest.raises(MissingInputError, match=r"no column 'sentence' \(columns: text, label\)"):
        make("sst2").read("train")
    (tmp_path / "train.tsv").write_text("sentence\tlabel\n")
    with pytest.raises(MissingInputError, match="has no examples"):
        make("sst2").read("train")
    (tmp_path / "train.tsv").write_bytes(b"\xff\xfe")
    with pytest.raises(MissingInputError, match="cannot be read"):
        make("sst2").read("train")


def test_a_folder_of_other_tasks_is_no_folder_of_this_one(tmp_path: Path, make: Make) -> None:
    write(tmp_path, "rte")
    with pytest.raises(MissingInputError, match=r"there is no folder .*/QQP: give it with"):
        make("qqp").read("train")


def test_broken_rows_of_qqp_are_left_out(tmp_path: Path, make: Make) -> None:
    file = write(tmp_path, "qqp") / "train.tsv"
    file.write_text(file.read_text() + "99\tonly a piece\n")
    assert len(make("qqp").train) == 12


def test_without_files_and_network_the_line_says_what_to_give(make: Make) -> None:
    task = GlueTask(TaskConfig("mnli"), make("sst2").tokenizer, 0)
    with pytest.raises(MissingInputError, match=r"train\.tsv, dev_matched\.tsv.*task\.data_dir"):
        task.read("train")


# --- heads ---------------------------------------------------------------------------------------


def saved_classifier(folder: Path, labels: Sequence[str]) -> str:
    return tiny_encoder.save(
        folder, TEXTS, BertForSequenceClassification, id2label=dict(enumerate(labels))
    )


def test_a_model_starts_with_a_new_head_where_it_must(
    tmp_path: Path, make: Make, encoder: str
) -> None:
    other = saved_classifier(tmp_path / "three", ["x", "y", "z"])
    model = make("sst2").load_model(other)
    assert model.config.id2label == {0: "negative", 1: "positive"}
    for source in (other, encoder):
        with pytest.raises(ConfigError, match="cannot be a teacher: its classifier"):
            make("sst2").load_teacher(source)
    with pytest.raises(ConfigError, match="is a BertModel: task=sst2 needs one ForSequence"):
        make("sst2").check(BertForSequenceClassification(model.config).bert, "run 1234")
    with pytest.raises(ConfigError, match="run 1234 has a head for 2 labels, the task has 3"):
        make("mnli").check(model, "run 1234")


def test_labels_in_another_order_are_refused(tmp_path: Path, make: Make) -> None:
    swapped = saved_classifier(tmp_path / "swapped", ["POSITIVE", "NEGATIVE"])
    with pytest.raises(ConfigError, match="labels in the order positive, negative"):
        make("sst2").load_teacher(swapped)
    for labels in (["NEGATIVE", "POSITIVE"], ["LABEL_0", "LABEL_1"]):
        right = saved_classifier(tmp_path / labels[0], labels)
        assert make("sst2").load_teacher(right).config.num_labels == 2


@pytest.mark.parametrize("name", ["mnli", "stsb"])
def test_the_cached_teacher_is_the_online_one(
    name: str, tmp_path: Path, make: Make, encoder: str
) -> None:
    from prune.config import RunConfig
    from prune.store import Store
    from prune.teachers import cached_teacher

    write(tmp_path, name)
    task = make(name)
    network = task.load_model(encoder).eval()
    kept = cached_teacher(RunConfig(task=task.config), network, task, Store(tmp_path / "runs"))
    assert isinstance(kept, CachedTeacher)
    batch = task.collate([task.train[i] for i in (7, 2, 5)])
    online = OnlineTeacher(network, task.logit_names).logits(batch)
    torch.testing.assert_close(kept.logits(batch)[0].float(), online[0], rtol=2e-3, atol=2e-3)


def test_a_regression_is_distilled_by_its_squared_error() -> None:
    ours, theirs = torch.tensor([[1.0], [3.0]]), torch.tensor([[2.0], [5.0]])
    loss = kd_loss([ours], [theirs], ["logits"], torch.ones(2, 4), 2.0)
    assert loss.item() == pytest.approx((1 + 4) / 2)


# --- the real files ------------------------------------------------------------------------------

SIZES = {
    "mnli": (12988, [9815, 1000]),
    "sst2": (67349, [872]),
    "mrpc": (3668, [408]),
    "rte": (2490, [277]),
    "cola": (8551, [1043]),
    "stsb": (5749, [1500]),
    "qnli": (0, [5463]),
    "wnli": (635, [71]),
}


@pytest.mark.parametrize("name", SIZES)
def test_the_real_files_are_read_whole(name: str, shared: Path, make: Make) -> None:
    task = make(name, shared / "data/glue")
    train, dev = SIZES[name]
    assert [len(part) for part in task.read("eval").values()] == dev
    if train:
        examples = task.read("train")[""]
        assert len(examples) == train
        assert {e.label for e in examples} >= set(range(len(task.labels)))
        assert all(text.strip() for e in examples[:500] for text in e.texts)
