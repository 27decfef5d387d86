"""SQuAD v2.0: questions without an answer, and the metric at the best threshold."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prune import tasks
from prune.config import TaskConfig
from prune.tasks.squad_answers import Answer
from prune.tasks.squad_features import answer_tokens
from prune.tasks.squad_v2 import SquadV2, best_threshold, score
from prune.tasks.toy import toy_tokenizer

ROWS = st.lists(
    st.tuples(st.integers(-3, 3), st.integers(0, 4), st.integers(0, 1)), min_size=1, max_size=12
)


@settings(deadline=None)
@given(ROWS)
def test_the_best_threshold_is_the_best_of_all(rows: list[tuple[int, int, int]]) -> None:
    margins, answered = [float(m) for m, _, _ in rows], [a / 4 for _, a, _ in rows]
    silent = [float(s) for _, _, s in rows]

    def total(threshold: float) -> float:
        pairs = zip(margins, answered, silent, strict=True)
        return sum(a if m <= threshold else s for m, a, s in pairs)

    best, threshold = best_threshold(margins, answered, silent)
    assert best == pytest.approx(max(total(t) for t in [min(margins) - 1, *margins]))
    assert total(threshold) == pytest.approx(best)


def test_answers_and_silence_are_both_scored() -> None:
    predictions = {
        "sure": Answer("the big cat", score=5, none=1),
        "unsure": Answer("dog", score=1, none=3),
        "wrongly sure": Answer("cat", score=4, none=3.5),
        "rightly silent": Answer("cat", score=1, none=9),
    }
    references = {"sure": ["big cat"], "unsure": ["big dog"], "wrongly sure": []}
    references["rightly silent"] = []
    found = score(predictions, references)
    assert found["exact_match"] == 50 and found["f1"] == 50  # sure, and rightly silent
    assert found["best_exact"] == 75 and found["best_f1"] == 75  # below the margin of -0.5
    assert found["best_f1_threshold"] == -4


def write(folder: Path) -> None:
    context = "Anna bought 12 eggs in Turin on 3 May ."
    answer = {"text": "Anna", "answer_start": 0}
    asked = [
        {"id": "a", "question": "Who bought it ?", "answers": [answer], "is_impossible": False},
        {"id": "b", "question": "Who sold it ?", "answers": [], "is_impossible": True},
    ]
    text = json.dumps({"data": [{"paragraphs": [{"context": context, "qas": asked}]}]})
    (folder / "train-v2.0-part.json").write_text(text)
    (folder / "dev-v2.0.json").write_text(text)


def test_a_question_without_an_answer_points_at_the_first_token(tmp_path: Path) -> None:
    write(tmp_path)
    task = tasks.get(TaskConfig("squad_v2", str(tmp_path), max_length=64), toy_tokenizer())
    assert task.train["start_positions"][1] == task.train["end_positions"][1] == 0
    assert task.train["start_positions"][0] > 0 and len(task.eval) == 2


def test_gold_answers_score_a_hundred_on_the_real_dev_set(shared: Path) -> None:
    tokenizer = tasks.processor_for(TaskConfig("squad"), str(shared / "models/minilm-l6"))
    config = TaskConfig(
        "squad_v2", str(shared / "data/squad_v2"), max_length=192, max_eval_samples=200
    )
    task = tasks.get(config, tokenizer)
    assert isinstance(task, SquadV2)
    assert len(task.read("train")) == 4719
    examples, found = task.eval_windows
    logits: dict[str, list[torch.Tensor]] = {"start_logits": [], "end_logits": []}
    for window in found:
        answers = examples[window.example].answers
        first, last = answer_tokens(window, *answers[0]) if answers else (0, 0)
        for name, token in (("start_logits", first), ("end_logits", last)):
            values = torch.zeros(len(window.inputs["input_ids"]))
            values[token] = 10.0
            logits[name].append(values)
    scores = task.score(logits)
    assert scores["best_f1"] >= scores["f1"] > 99 and scores["exact_match"] > 98.5
    assert 60 < sum(not e.answers for e in examples) < 140
