"""The loss against a slow reference, and the cache against the teacher that is asked each time."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from prune.training.distillation import Distillation, OnlineTeacher, kd_loss
from prune.training.teacher_cache import cache_key, cached
from tests import tiny

NAMES = ("start_logits", "end_logits")


def by_hand(student: Tensor, teacher: Tensor, mask: Tensor, temperature: float) -> float:
    """KL row by row, over real tokens only, in float64."""
    total = 0.0
    for ours, theirs, row in zip(student.double(), teacher.double(), mask.bool(), strict=True):
        p = torch.softmax(theirs[row] / temperature, 0)
        q = torch.softmax(ours[row] / temperature, 0)
        total += float((p * (p / q).log()).sum()) * temperature**2
    return total / len(student)


def test_the_loss_is_the_mean_over_heads_and_rows_without_padding() -> None:
    torch.manual_seed(0)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    student, teacher = torch.randn(2, 2, 4), torch.randn(2, 2, 4)
    loss = kd_loss(list(student), list(teacher), NAMES, mask, 2.0)
    expected = sum(by_hand(s, t, mask, 2.0) for s, t in zip(student, teacher, strict=True)) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    teacher[:, 1, 2:] = 100.0  # padding: changes nothing
    assert kd_loss(list(student), list(teacher), NAMES, mask, 2.0).item() == pytest.approx(
        expected, rel=1e-5
    )


def test_classes_and_tokens() -> None:
    torch.manual_seed(0)
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])
    classes = torch.randn(2, 5)
    assert kd_loss([classes], [classes], ["logits"], mask, 1.0).item() == pytest.approx(0, abs=1e-6)
    tokens = torch.randn(2, 3, 5)
    other = tokens.clone()
    other[1, 1:] += torch.randn(2, 5)  # padding
    assert kd_loss([tokens], [other], ["logits"], mask, 1.0).item() == pytest.approx(0, abs=1e-6)


def test_cached_is_online(tmp_path: Path) -> None:
    teacher = tiny.bert(seed=1)
    examples = {**tiny.batch(rows=6), "index": torch.arange(6)}
    online = OnlineTeacher(teacher, NAMES)

    def produce() -> list[tuple[list[int], list[Tensor]]]:
        return [
            (rows, online.logits({k: v[rows] for k, v in examples.items()}))
            for rows in ([4, 1, 0], [2, 3, 5])
        ]

    cache = cached(tmp_path, cache_key("a"), (6, 2, 10), produce)
    rows = torch.tensor([5, 0, 3])
    batch = {name: value[rows] for name, value in tiny.labelled(6).items()} | {"index": rows}
    batch |= {name: value[rows] for name, value in tiny.batch(rows=6).items()}
    outputs = tiny.bert(seed=2)(**{k: v for k, v in batch.items() if k != "index"})
    losses = [Distillation(t, NAMES).loss(outputs, batch) for t in (online, cache)]
    assert losses[0].item() == pytest.approx(losses[1].item(), abs=1e-3)


def _make(folder: Path, log: Path) -> None:
    def produce() -> list[tuple[list[int], list[Tensor]]]:
        with log.open("a") as file:
            file.write("computed\n")
        return [([0, 1], [torch.ones(2, 3)])]

    assert np.all(cached(folder, "key", (2, 1, 3), produce).values == 1)


def test_of_eight_at_once_one_computes(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    log = tmp_path / "log"
    children = [context.Process(target=_make, args=(tmp_path / "c", log)) for _ in range(8)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 8
    assert log.read_text() == "computed\n"


def test_a_writer_that_died_leaves_nothing_to_believe(tmp_path: Path) -> None:
    def dies() -> list[tuple[list[int], list[Tensor]]]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path, "key", (2, 1, 3), dies)
    fresh = cached(tmp_path, "key", (2, 1, 3), lambda: [([0, 1], [torch.ones(2, 3)])])
    assert np.all(fresh.values == 1)
