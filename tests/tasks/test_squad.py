"""SQuAD: files, windows, answers and the official metric."""

import gzip
import json
import re
import string
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prune import tasks
from prune.config import TaskConfig
from prune.errors import ConfigError, MissingInputError
from prune.tasks import squad_metric
from prune.tasks.squad import Squad
from prune.tasks.squad_answers import MAX_ANSWER, best_span
from prune.tasks.squad_features import Window, answer_tokens, windows
from prune.tasks.squad_reader import Example, from_content, read_file, sample
from prune.tasks.toy import toy_tokenizer

WORDS = st.lists(
    st.sampled_from(["the", "a", "An", "cat", "Cat.", "sat", "mat!", "in", "an", "U.S.", "—", ""]),
    max_size=8,
).map(" ".join)


def slow_f1(prediction: str, reference: str) -> float:
    """By the definition: words as multisets, one by one."""

    def words(text: str) -> list[str]:
        text = "".join(c for c in text.lower() if c not in set(string.punctuation))
        return [w for w in re.split(r"\s+", re.sub(r"\b(a|an|the)\b", " ", text)) if w]

    ours, theirs, common = words(prediction), words(reference), 0
    for word in ours:
        if word in theirs:
            theirs.remove(word)
            common += 1
    if not common:
        return 0.0
    precision, recall = common / len(ours), common / len(words(reference))
    return 2 * precision * recall / (precision + recall)


@given(prediction=WORDS, reference=WORDS)
def test_f1_is_the_definition(prediction: str, reference: str) -> None:
    assert squad_metric.f1(prediction, reference) == pytest.approx(slow_f1(prediction, reference))
    assert squad_metric.f1(prediction, reference) == squad_metric.f1(reference, prediction)
    if squad_metric.exact_match(prediction, reference) and squad_metric.normalise(reference):
        assert squad_metric.f1(prediction, reference) == 1


@given(text=st.text(max_size=40))
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = squad_metric.normalise(text)
    # Removing an article can bring no new one about, for white space stays between words.
    assert squad_metric.normalise(once) == once


def test_the_best_of_several_references_counts() -> None:
    found = squad_metric.score({"q": "the big cat"}, {"q": ["dog", "big cat", "a cat"]})
    assert found == {"f1": 100.0, "exact_match": 100.0}


def example(words: int, question: str = "Who bought it ?") -> Example:
    context = " ".join(f"{i % 90 + 10}" for i in range(words))
    return Example("id", question, context, ((context.split(" ")[-1], len(context) - 2),))


@settings(max_examples=40, deadline=None)
@given(words=st.integers(1, 150), stride=st.integers(0, 20), length=st.integers(34, 64))
def test_windows_cover_every_word_and_keep_the_answer(words: int, stride: int, length: int) -> None:
    question = example(words)
    made = list(windows([question], toy_tokenizer(), length, stride))
    covered = {tuple(span) for window in made for span in window.spans.tolist()}
    assert covered == {(3 * i, 3 * i + 2) for i in range(words)}
    assert all(len(window.inputs["input_ids"]) <= length for window in made)
    text, start = question.answers[0]
    last = made[-1]
    first, final = (place - last.first for place in answer_tokens(last, text, start))
    assert question.context[last.spans[first, 0] : last.spans[final, 1]] == text
    for window in made[:-1]:
        place, _ = answer_tokens(window, text, start)
        assert place == 0 or window.spans[place - window.first, 0] == start


@settings(max_examples=40, deadline=None)
@given(
    context=st.lists(st.sampled_from(["Anna", "in", "xyz", "3,5", "Oslo."]), min_size=1).map(
        " ".join
    ),
    stride=st.integers(0, 8),
    length=st.integers(24, 40),
)
def test_windows_are_the_tokenizers_own(context: str, stride: int, length: int) -> None:
    tokenizer, question = toy_tokenizer(), "Who was the buyer?"
    theirs = tokenizer(
        question,
        context,
        truncation="only_second",
        max_length=length,
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    ours = list(windows([Example("id", question, context, ())], tokenizer, length, stride))
    for name in tokenizer.model_input_names:
        assert [window.inputs[name].tolist() for window in ours] == theirs[name]
    for row, window in enumerate(ours):
        spans = theirs["offset_mapping"][row][window.first : -1]
        assert [tuple(span) for span in window.spans.tolist()] == spans


def test_a_question_longer_than_the_window_is_cut() -> None:
    long = Example("id", "who " * 200, "Anna bought it .", (("Anna", 0),))
    made = list(windows([long], toy_tokenizer(), 64, 16))
    assert all(len(window.inputs["input_ids"]) <= 64 for window in made)
    assert answer_tokens(made[0], "Anna", 0) != (0, 0)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), tokens=st.integers(1, 60))
def test_the_best_span_is_the_best_of_all(seed: int, tokens: int) -> None:
    torch.manual_seed(seed)
    spans = np.array([(i, i + 1) for i in range(tokens)], np.int32)
    starts, ends = torch.randn(tokens + 3), torch.randn(tokens + 3)
    allowed = [
        (float(starts[2 + i] + ends[2 + j]), i, j)
        for i in range(tokens)
        for j in range(i, min(i + MAX_ANSWER, tokens))
    ]
    assert best_span(Window({}, 0, 2, spans), starts, ends) == pytest.approx(max(allowed))


def content(answer: str = "Anna", start: int = 0) -> dict[str, Any]:
    qa = {"id": "q1", "question": "Who?", "answers": [{"text": answer, "answer_start": start}]}
    return {"data": [{"paragraphs": [{"context": "Anna sat.", "qas": [qa]}]}]}


twice = {"data": content()["data"] * 2}
unanswered = content()
unanswered["data"][0]["paragraphs"][0]["qas"][0]["answers"] = []


def test_plain_and_gzipped_files_are_the_same(tmp_path: Path) -> None:
    text = json.dumps(content())
    (tmp_path / "a.json").write_text(text)
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(text.encode()))
    assert read_file(tmp_path / "a.json") == read_file(tmp_path / "a.json.gz")


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (content(start=3), "question q1: answer 'Anna' does not stand at answer_start 3"),
        (content(start=-9), "question q1: answer 'Anna' does not stand at answer_start -9"),
        (content(answer=""), "question q1: answer '' is empty"),
        (twice, "question q1 is there more than once"),
        (unanswered, "question q1: it has no answer"),
        ({"data": [{"paragraphs": [{"qas": []}]}]}, "'context' is missing"),
        ({"data": []}, "has no questions"),
        ([], "is not a SQuAD file"),
    ],
)
def test_a_malformed_file_is_named(broken: Any, message: str) -> None:
    with pytest.raises(MissingInputError, match=re.escape(message)):
        from_content(broken, "file.json")


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "dev-v1.1.json.gz"
    file.write_bytes(gzip.compress(json.dumps(content()).encode())[:-9])
    with pytest.raises(MissingInputError, match="cannot be read as JSON"):
        read_file(file)


def test_a_sample_is_stable_and_grows() -> None:
    examples = [Example(str(i), "q", "c", ()) for i in range(100)]
    small, large = sample(examples, 10, seed=0), sample(examples, 20, seed=0)
    assert large[:10] == small and sample(examples, 10, seed=1) != small
    assert sample(examples, None, seed=0) == examples


def test_too_wide_a_stride_says_so() -> None:
    config = TaskConfig("toy", max_length=64, doc_stride=60)
    with pytest.raises(ConfigError, match=r"task\.doc_stride=60 leaves no room"):
        len(tasks.get(config, toy_tokenizer()).train)


def gold_logits(task: Squad) -> dict[str, list[torch.Tensor]]:
    """Logits that point at the first reference answer of each question."""
    examples, found = task.eval_windows
    logits: dict[str, list[torch.Tensor]] = {"start_logits": [], "end_logits": []}
    for window in found:
        first, last = answer_tokens(window, *examples[window.example].answers[0])
        for name, token in (("start_logits", first), ("end_logits", last)):
            values = torch.zeros(len(window.inputs["input_ids"]))
            values[token] = 10.0 if first else 0.0
            logits[name].append(values)
    return logits


def test_gold_answers_score_a_hundred_on_the_real_dev_set(shared: Path) -> None:
    tokenizer = tasks.processor_for(TaskConfig("squad"), str(shared / "models/minilm-l6"))
    config = TaskConfig("squad", str(shared / "data/squad"), max_length=192, max_eval_samples=300)
    task = tasks.get(config, tokenizer)
    assert isinstance(task, Squad)
    found = task.score(gold_logits(task))
    assert found["f1"] > 99.5 and found["exact_match"] > 99
    assert len(task.eval) >= 300 and max(task.eval["length"]) <= 192
    decoded = tokenizer.decode(task.eval[0]["input_ids"])
    assert decoded.startswith("[CLS]") and decoded.count("[SEP]") == 2


def test_short_only_keeps_what_fits_in_one_window(shared: Path) -> None:
    tokenizer = tasks.processor_for(TaskConfig("squad"), str(shared / "models/minilm-l6"))
    config = TaskConfig(
        "squad",
        str(shared / "data/squad"),
        max_length=96,
        max_train_samples=50,
        max_eval_samples=50,
        short_only=True,
    )
    task = tasks.get(config, tokenizer)
    assert len(task.train) == len(task.eval) == 50
    assert min(task.train["start_positions"]) > 0
    batch = task.collate([task.train[i] for i in range(4)])
    assert batch["input_ids"].shape[1] % 8 == 0
    assert torch.equal(batch["index"], torch.arange(4))
