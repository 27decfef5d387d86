"""Summaries: read, taught by labels and a teacher, written by a pruned T5 and BART, and scored."""

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import prune
from prune import tasks
from prune.cli import main
from prune.config import TaskConfig
from prune.errors import ConfigError, MissingInputError
from prune.store import Store
from prune.tasks import rouge
from prune.tasks.summarization import IGNORED, Summarization
from prune.tasks.writing import writing
from prune.training.distillation import Distillation, OnlineTeacher
from tests.tasks import tiny_seq2seq

WEATHER = ["sun", "moon", "rain", "snow", "wind", "fog"]
FILLING = ["the", "a", "it", "was", "very", "then", "and", "so", "we", "saw"]
KINDS = ("t5", "bart")


def rows(count: int, seed: int) -> str:
    """A word of the weather among others; the summary says which it was."""
    source, lines = random.Random(seed), []
    for _ in range(count):
        words, weather = [source.choice(FILLING) for _ in range(5)], source.choice(WEATHER)
        words[source.randrange(5)] = weather
        lines.append({"text": " ".join(words), "summary": f"there was {weather}"})
    return "".join(json.dumps(line) + "\n" for line in lines)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, and a `t5` and a `bart` beside it."""
    found = tmp_path_factory.mktemp("summaries")
    (found / "train.jsonl").write_text(rows(300, 0))
    (found / "validation.jsonl").write_text(rows(40, 1))
    for kind in KINDS:
        tiny_seq2seq.save(found / kind, [*WEATHER, *FILLING, "there"], kind)
    return found


def task_of(folder: Path, kind: str = "t5", data: Path | None = None, **changes: Any) -> Any:
    own = {"max_length": 16, "summary_length": 8, "label_column": "summary"}
    config = TaskConfig("summarization", str(data or folder), **{**own, **changes})
    return tasks.get(config, tasks.processor_for(config, str(folder / kind)))


# --- a run ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_to_write_is_pruned_and_still_writes(
    kind: str, folder: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    length = ["task.max_length=16", "measure.rounds=3", "measure.grid=[[4,16]]", "train.lr=3e-3"]
    dense = f"experiment:dense_summarization model.name_or_path={folder / kind} "
    dense += "train.epochs=4 " + " ".join(length[1:])
    command = ["train", "+experiment=hybrid_summarization", f"task.data_dir={folder}", *length]
    command += [f"model.name_or_path='{dense}'", f"teacher.name_or_path='{dense}'"]
    command += ["task.summary_length=8", "train.epochs=4", "train.scores_lr=3e-2"]
    command += ["attention.block=[16,16]", "target.density=0.5"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "decoder_attention" in out and "decoder_ffn" in out and "asked in every step" in out
    first, second = Store(runs).records()
    point = second.points[0]
    assert first.points[0].quality["rougeL"] > 90 and point.quality["rougeL"] > 70
    assert second.metric == "rougeL" and set(point.quality) == set(rouge.NAMES)
    assert point.density.nonzero < 0.55 and point.density.model < 0.9
    assert point.latency[0].length == 16 and sum(point.widths) < 256
    saved = Path(second.path) / "model"
    model = prune.load(saved)
    again = task_of(saved, ".", data=folder)
    assert again.evaluate(model, 7) == point.quality  # by the tokenizer beside the model
    beams = task_of(saved, ".", data=folder, beams=3)
    assert beams.evaluate(model, 16)["rougeL"] > 70


# --- batches -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_decoder_reads_the_labels_moved_by_one(kind: str, folder: Path) -> None:
    task = task_of(folder, kind)
    model = task.load_model(str(folder / kind))
    task.check(model, "it")
    batch = task.collate([task.train[i] for i in range(6)])
    index = batch.pop("index")
    assert index.tolist() == list(range(6)) and batch["labels"].shape == (6, 8)
    real = batch["decoder_attention_mask"].bool()
    assert torch.equal(real, batch["labels"] != IGNORED) and 0 < real.sum() < real.numel()
    theirs = model.prepare_decoder_input_ids_from_labels(labels=batch["labels"])
    assert torch.equal(batch["decoder_input_ids"][real], theirs[real])
    ours = model(**batch)
    plain = {n: batch[n] for n in ("input_ids", "attention_mask", "labels")}
    assert ours.loss.item() == pytest.approx(model(**plain).loss.item(), abs=1e-5)
    sample = task.sample_batches(4, 2)
    assert len(sample) == 2 and "labels" not in sample[0] and model(**sample[0]).logits.ndim == 3


def test_texts_are_cut_and_begin_with_the_prefix(folder: Path) -> None:
    task = task_of(folder, "bart", max_length=8, summary_length=4, prefix="fog: ")
    assert task.train[0]["input_ids"][:2] == [0, tiny_seq2seq.UNKNOWN]  # `fog:` is no word of its
    assert task.train[0]["length"] == 8  # <s>, the prefix, five words, </s>
    assert len(task.train[0]["labels"]) == 4 and task.train[0]["labels"][-1] == tiny_seq2seq.END
    assert task.fingerprint() != task_of(folder, "bart").fingerprint()


@pytest.mark.parametrize("kind", KINDS)
def test_padding_is_not_distilled(kind: str, folder: Path) -> None:
    task = task_of(folder, kind)
    model = task.load_model(str(folder / kind)).eval()
    teacher = task.load_model(str(folder / kind)).eval()
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.mul_(1.2)
    distillation = Distillation(OnlineTeacher(teacher, task.logit_names), task.logit_names)
    features = [task.train[i] for i in range(3)]
    batch = task.collate(features)
    loss = distillation.loss(model(**{k: v for k, v in batch.items() if k != "index"}), batch)
    losses = []
    for feature in features:  # alone, and without padding
        one = task.collate([feature])
        length = len(feature["labels"])
        cut = {n: v[:, :length] for n, v in one.items() if n.startswith(("decoder", "labels"))}
        one = {**one, **cut}
        assert one["decoder_attention_mask"].all()
        own = distillation.loss(model(**{k: v for k, v in one.items() if k != "index"}), one)
        losses.append(own * length)
    mean = sum(losses) / sum(len(f["labels"]) for f in features)
    torch.testing.assert_close(loss, mean, rtol=1e-4, atol=1e-6)
    assert loss > 0.1


# --- writing and scoring -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_writes_as_it_says_but_for_lengths_and_beams(kind: str, folder: Path) -> None:
    task = task_of(folder, kind)
    model = task.load_model(str(folder / kind)).eval()
    own = model.generation_config
    own.eos_token_id = 17  # so that it does not end at once, untrained as it is
    batch = task.sample_batches(4, 1)[0]
    plain = task.answer(model, batch)["summaries"]
    assert all(len(row) == 9 for row in plain)  # the start, and as many as asked for
    own.max_length, own.min_length, own.no_repeat_ngram_size = 3, 40, 1
    again = task.answer(model, batch)["summaries"]
    assert all(len(row) == 9 and len(set(row[1:].tolist())) == 8 for row in again)
    own.num_beams = 3
    assert writing(model, 8).num_beams is None and writing(model, 8, beams=1).num_beams == 1
    beamed = task.answer(model, batch)["summaries"]
    greedy = task_of(folder, kind, beams=1).answer(model, batch)["summaries"]
    assert all(torch.equal(a, b) for a, b in zip(again, greedy, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(again, beamed, strict=True))
    both = {n: batch[n] for n in ("input_ids", "attention_mask")}
    assert model.generate(**both, generation_config=writing(model, 5, 5)).shape == (4, 6)


def test_rouge_is_that_of_its_definition() -> None:
    found = rouge.score(["the cats sat on the mat", "rain"], ["the cat sits on a mat", "snow"])
    # Of six words each, stemmed, four are shared: the, cat, on, mat; one pair of five: the cat.
    assert found == pytest.approx({"rouge1": 100 / 3, "rouge2": 10.0, "rougeL": 100 / 3})
    assert rouge.score(["a b c"], ["a b c"]) == dict.fromkeys(rouge.NAMES, 100.0)
    assert rouge.score([""], ["a b"]) == dict.fromkeys(rouge.NAMES, 0.0)


# --- what is wrong gets its line -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"text": "a"}', "train.jsonl line 1: there is no column 'summary' (columns: text)"),
        ('{"text": "a", "summary": " "}', "train.jsonl line 1: the summary is empty"),
        ("", "train.jsonl has no examples"),
    ],
)
def test_a_broken_file_is_named(text: str, message: str, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(text)
    with pytest.raises(MissingInputError, match=re.escape(message)):
        len(task_of(folder, data=tmp_path).train)


def test_what_does_not_fit_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="name one column"):
        len(task_of(folder, text_columns=["a", "b"]).train)
    long = task_of(folder, "bart", summary_length=99)
    with pytest.raises(ConfigError, match=r"task\.summary_length: the model reads 64 tokens"):
        long.check(long.load_model(str(folder / "bart")), "it")
    with pytest.raises(ConfigError, match="needs a pretrained model"):
        tasks.processor_for(TaskConfig("summarization"), None)
    rouge.scorer.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "rouge_score.rouge_scorer", None)
    with pytest.raises(MissingInputError, match=r"pip install 'prune\[summarization\]'"):
        task_of(folder)


# --- real articles -------------------------------------------------------------------------------


@pytest.mark.slow
def test_real_articles_are_read_scored_and_run_through(
    shared: Path, tmp_path: Path, runs: Path
) -> None:
    data, file = shared / "data/cnn_dailymail", "sample-200.jsonl"
    columns = {"train_file": file, "eval_file": file, "text_columns": ["article"]}
    tiny_seq2seq.save(tmp_path / "t5", ["the of a in to and was said he she it for on at"])
    task = task_of(tmp_path, data=data, **columns, label_column="highlights")
    assert isinstance(task, Summarization) and len(task._eval_pairs) == 200
    leads = [". ".join(text.split(". ")[:8]) for text, _ in task._eval_pairs]
    found = rouge.score(leads, [summary for _, summary in task._eval_pairs])
    assert 25 < found["rouge1"] < 45 and 8 < found["rouge2"] < 20  # published lead-3: 40 and 18
    command = ["train", "+experiment=hybrid_summarization", f"task.data_dir={data}"]
    command += [f"task.{name}={value}".replace("'", "") for name, value in columns.items()]
    command += ["task.label_column=highlights", f"model.name_or_path={tmp_path / 't5'}"]
    command += ["task.prefix='summarize: '", "task.max_train_samples=32", "task.max_eval_samples=8"]
    command += ["train.max_steps=4", "train.batch_size=4", "attention.block=[16,16]"]
    command += ["teacher=none", "measure.grid=[[2,512]]", "measure.rounds=3", "schedule.final=0"]
    assert main(command) == 0
    point = Store(runs).records()[0].points[0]
    assert set(point.quality) == set(rouge.NAMES)
