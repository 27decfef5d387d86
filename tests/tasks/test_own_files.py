"""Tasks on a user's own files: texts with labels, and tagged words."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

from prune import tasks
from prune.config import RunConfig, TaskConfig
from prune.errors import ConfigError, MissingInputError
from prune.store import Store
from prune.tasks.pretrained import load_tokenizer
from prune.tasks.text import TextTask
from prune.tasks.tokens import IGNORED, TokenTask, first_tokens
from prune.teachers import cached_teacher
from prune.training.distillation import OnlineTeacher
from tests.tasks import tiny_encoder

ROWS = [("a fine film", "good"), ('it "says", no', "bad"), ("line one\nline two", "odd")] * 3
WORDS = ["anna", "smith", "lives", "in", "new", "york", "."]
TAGS = ["B-PER", "I-PER", "O", "O", "B-LOC", "I-LOC", "O"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    # `smithyork` is one word of the text and two pieces of the vocabulary.
    texts = [" ".join(WORDS), *(text for text, _ in ROWS)]
    return tiny_encoder.save(tmp_path_factory.mktemp("encoder") / "bert", texts)


@pytest.fixture(scope="module")
def tokenizer(encoder: str) -> PreTrainedTokenizerBase:
    return load_tokenizer(encoder)


def text_task(folder: Path, tokenizer: PreTrainedTokenizerBase, **changes: Any) -> TextTask:
    task = tasks.get(TaskConfig("text", str(folder), max_length=32, **changes), tokenizer)
    assert isinstance(task, TextTask)
    return task


def as_csv(rows: list[tuple[str, str]]) -> str:
    def quoted(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"'

    return "text,label\n" + "".join(f"{quoted(t)},{quoted(label)}\n" for t, label in rows)


def as_jsonl(rows: list[tuple[str, str]]) -> str:
    return "".join(json.dumps({"text": t, "label": label}) + "\n" for t, label in rows)


@pytest.mark.parametrize(("ending", "write"), [(".csv", as_csv), (".jsonl", as_jsonl)])
def test_csv_and_jsonl_say_the_same(
    ending: str, write: Any, tmp_path: Path, tokenizer: PreTrainedTokenizerBase, encoder: str
) -> None:
    (tmp_path / f"train{ending}").write_text(write(ROWS))
    (tmp_path / f"dev{ending}.gz").write_bytes(gzip.compress(write(ROWS[:4]).encode()))
    task = text_task(tmp_path, tokenizer)
    assert list(task.labels) == ["bad", "good", "odd"]
    assert [(e.texts[0], task.labels[int(e.label)]) for e in task.read("train")[""]] == ROWS
    right = [torch.eye(3)[int(e.label)] for e in task.eval_parts[""]]
    assert task.score({"logits": right}) == {"accuracy": 100, "macro_f1": 100}
    wrong = [*right[:3], torch.eye(3)[0]]  # a good one called bad: F1 2/3, 2/3 and 1
    assert task.score({"logits": wrong}) == pytest.approx({"accuracy": 75, "macro_f1": 700 / 9})
    model = task.load_model(encoder)
    assert model.config.id2label == {0: "bad", 1: "good", 2: "odd"}
    assert 0 <= task.evaluate(model, 2)["accuracy"] <= 100


def test_files_and_columns_of_any_name(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    rows = [{"q": "a film", "a": "fine", "stars": n % 11} for n in range(12)]
    (tmp_path / "reviews.jsonl").write_text("\n".join(map(json.dumps, rows)))
    names = {"train_file": "reviews.jsonl", "eval_file": "reviews.jsonl"}
    task = text_task(tmp_path, tokenizer, **names, text_columns=["q", "a"], label_column="stars")
    assert list(task.labels) == [str(n) for n in range(11)]  # by number, not by letters
    assert task.train["labels"][:3] == [0, 1, 2]
    assert tokenizer.decode(task.eval[0]["input_ids"]) == "[CLS] a film [SEP] fine [SEP]"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("train.csv", "text,label\na,b,c\n", "train.csv line 2: it has 3 columns, not 2"),
        ("train.csv", 'text,label\n"a,b\n', "train.csv line 2"),
        ("train.csv", "words,label\na,b\n", "no column 'text' (columns: words, label)"),
        ("train.csv", "text,label\na,b\n", "one label only (b)"),
        ("train.csv", "", "has no examples"),
        ("train.jsonl", '{"text": 1\n', "train.jsonl line 1 is not JSON"),
        ("train.jsonl", "[1]\n", "train.jsonl line 1 is not a JSON object"),
        ("train.tsv", "text\tlabel\na\n", "train.tsv line 2 has 1 columns, not 2"),
        ("data.xls", "", "train.csv or train.tsv or train.jsonl (or .gz) is not in"),
    ],
)
def test_a_broken_file_is_named(
    name: str, text: str, message: str, tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(MissingInputError, match=re.escape(message)):
        text_task(tmp_path, tokenizer).read("train")


def test_an_unseen_label_is_named(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    (tmp_path / "train.csv").write_text(as_csv(ROWS))
    (tmp_path / "test.csv").write_text(as_csv([("a film", "great")]))
    with pytest.raises(MissingInputError, match="line 2: the label 'great' is not in the train"):
        len(text_task(tmp_path, tokenizer).eval)


def test_what_is_asked_for_wrongly_is_named(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    (tmp_path / "train.csv").write_text(as_csv(ROWS))
    with pytest.raises(ConfigError, match=r"must be one column, or two"):
        text_task(tmp_path, tokenizer, text_columns=["a", "b", "c"]).read("train")
    with pytest.raises(ConfigError, match=r"task\.train_file=a\.xls must end in \.csv, \.tsv"):
        text_task(tmp_path, tokenizer, train_file="a.xls").read("train")
    with pytest.raises(ConfigError, match=r"needs your own files: task\.data_dir=FOLDER"):
        tasks.get(TaskConfig("tokens"), tokenizer).train  # noqa: B018


# --- tagged words ------------------------------------------------------------------------------


def conll(sentences: int = 3) -> str:
    one = "".join(f"{word} X {tag}\n" for word, tag in zip(WORDS, TAGS, strict=True))
    return "-DOCSTART- -X- O\n\n" + "\n\n".join([one] * sentences) + "\n\n"


def token_task(folder: Path, tokenizer: PreTrainedTokenizerBase, **changes: Any) -> TokenTask:
    config = TaskConfig("tokens", str(folder), **{"max_length": 16, **changes})
    task = tasks.get(config, tokenizer)
    assert isinstance(task, TokenTask)
    return task


def test_tagged_words_train_and_score(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, encoder: str
) -> None:
    (tmp_path / "train.txt").write_text(conll())
    (tmp_path / "valid.txt.gz").write_bytes(gzip.compress(conll(2).encode()))
    task = token_task(tmp_path, tokenizer)
    assert task.labels == ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"] and len(task.train) == 3
    tags = [task.labels.index(tag) for tag in TAGS]
    assert task.train[0]["labels"] == [IGNORED, *tags, IGNORED]
    batch = task.collate([task.train[0], task.train[1]])
    assert batch["labels"].shape == batch["input_ids"].shape == (2, 16)
    assert batch["labels"][0, 9:].eq(IGNORED).all()
    model = task.load_model(encoder)
    batch.pop("index")
    assert torch.isfinite(model(**batch).loss)
    right = torch.eye(5)[[0, *tags, 0]]
    assert task.score({"logits": [right, right]})["f1"] == 100
    wrong = right.clone()
    wrong[6] = torch.eye(5)[4]  # of New York only New
    found = task.score({"logits": [right, wrong]})
    assert found == pytest.approx(
        {"f1": 75, "precision": 75, "recall": 75, "accuracy": 100 * 13 / 14}
    )
    assert set(task.evaluate(model, 2)) == set(found)


def test_words_beyond_the_length_count_as_missed(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    (tmp_path / "train.txt").write_text(conll(1))
    (tmp_path / "dev.txt").write_text(conll(1))
    task = token_task(tmp_path, tokenizer, max_length=5)  # three words and two special tokens
    right = torch.eye(5)[[0, *(task.labels.index(tag) for tag in TAGS[:3]), 0]]
    assert task.score({"logits": [right]})["recall"] == 50


@settings(deadline=None)
@given(st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=6))
def test_a_word_is_tagged_by_its_first_token(words: list[str]) -> None:
    """One token a character, as the smallest vocabulary has; or with the space before a word."""
    text = " ".join(words)
    spans = [(0, 0), *((i, i + 1) for i, c in enumerate(text) if c != " "), (0, 0)]
    starts = [sum(map(len, words[:n])) + 1 for n in range(len(words))]
    assert first_tokens(words, spans) == dict(enumerate(starts))
    ends = [sum(map(len, words[: n + 1])) + n for n in range(len(words))]
    begins = [0, *ends[:-1]]  # byte-level: the space belongs to the token
    assert first_tokens(words, list(zip(begins, ends, strict=True))) == {
        n: n for n in range(len(words))
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [("anna\n", "train.txt line 1: 'anna' has no tag after it"), ("\n\n", "has no sentences")],
)
def test_a_broken_tag_file_is_named(
    text: str, message: str, tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    (tmp_path / "train.txt").write_text(text)
    with pytest.raises(MissingInputError, match=re.escape(message)):
        len(token_task(tmp_path, tokenizer).train)


def test_an_unseen_tag_is_named(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    (tmp_path / "train.txt").write_text(conll(1))
    (tmp_path / "dev.txt").write_text("anna B-ORG\n")
    with pytest.raises(MissingInputError, match="the tag 'B-ORG' is not in the train file"):
        len(token_task(tmp_path, tokenizer).eval)


def test_the_cached_teacher_of_tokens_is_the_online_one(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, encoder: str
) -> None:
    (tmp_path / "train.txt").write_text(conll(3) + "new B-LOC\n")
    task = token_task(tmp_path, tokenizer)
    network = task.load_model(encoder).eval()
    kept = cached_teacher(RunConfig(task=task.config), network, task, Store(tmp_path / "runs"))
    for rows in ([3], [2, 3]):
        batch = task.collate([task.train[i] for i in rows])
        online = OnlineTeacher(network, task.logit_names).logits(batch)[0]
        real = batch["attention_mask"].bool()
        cached = kept.logits(batch)[0].float()
        assert cached.shape == online.shape
        torch.testing.assert_close(cached[real], online[real], rtol=2e-3, atol=2e-3)
