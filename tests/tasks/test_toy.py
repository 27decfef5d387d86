"""The embedded task: its text, its tokenizer, and what it takes to answer."""

from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from prune import tasks
from prune.config import TaskConfig
from prune.errors import ConfigError
from prune.tasks import squad_metric, toy_text
from prune.tasks.squad_reader import Example, from_content
from prune.tasks.toy import Toy, toy_tokenizer

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}


@cache
def examples(split: str, seed: int = 0) -> list[Example]:
    return from_content(toy_text.generate(split, seed), "the toy task")


@cache
def toy(train: int = 64, evaluated: int = 40) -> Toy:
    config = TaskConfig("toy", max_length=64, max_train_samples=train, max_eval_samples=evaluated)
    task = tasks.get(config, tasks.processor_for(config, None))
    assert isinstance(task, Toy)
    return task


def test_a_seed_says_all() -> None:
    assert toy_text.generate("eval", 3) == toy_text.generate("eval", 3)
    assert toy_text.generate("eval", 3) != toy_text.generate("eval", 4)


def test_no_story_of_the_eval_split_is_in_the_train_split() -> None:
    told = {example.context for example in examples("train")}
    assert len(told) == len(examples("train"))
    assert not told & {example.context for example in examples("eval")}


def test_every_part_of_a_story_is_asked_for() -> None:
    kinds = Counter(example.question.split()[0] for example in examples("eval"))
    assert set(kinds) == {"Who", "Where", "In", "From", "When", "On", "Before", "How"}


def test_knowing_the_answers_by_heart_does_not_help() -> None:
    """The commonest train answer to the same words, names and goods left out, is seldom right."""

    def words(question: str) -> str:
        names = {w for kind in toy_text.LISTS.values() for w in kind}
        return " ".join(w for w in question.strip("?").split() if w not in names)

    heard: dict[str, Counter[str]] = defaultdict(Counter)
    for example in examples("train"):
        heard[words(example.question)][example.answers[0][0]] += 1
    guesses = {e.id: heard[words(e.question)].most_common(1)[0][0] for e in examples("eval")}
    references = {e.id: [text for text, _ in e.answers] for e in examples("eval")}
    assert squad_metric.score(guesses, references)["f1"] < 10


def test_the_tokenizer_knows_every_word_and_saves(tmp_path: Path) -> None:
    tokenizer = toy_tokenizer()
    texts = [e.context + " " + e.question for s in ("train", "eval") for e in examples(s)]
    encoded = tokenizer(texts)["input_ids"]
    assert tokenizer.unk_token_id not in {token for ids in encoded for token in ids}
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again(texts[:50])["input_ids"] == encoded[:50] and len(again) == len(tokenizer)


def test_all_fits_in_64_tokens() -> None:
    task = tasks.get(TaskConfig("toy", max_length=64), toy_tokenizer())
    assert len(task.train) == 4000 and len(task.eval) == 400
    assert max(task.train["length"]) < 64 and min(task.train["start_positions"]) > 0


def test_batches_are_padded_to_the_longest_and_keep_the_index() -> None:
    task = toy()
    rows = [task.train[i] for i in (5, 2, 9)]
    batch = task.collate(rows)
    assert batch["index"].tolist() == [5, 2, 9] and batch["input_ids"].shape[1] % 8 == 0
    for number, row in enumerate(rows):
        length = row["length"]
        assert batch["input_ids"][number, :length].tolist() == row["input_ids"]
        assert batch["attention_mask"][number].sum() == length
        start, end = batch["start_positions"][number], batch["end_positions"][number]
        answer = task.tokenizer.decode(batch["input_ids"][number, start : end + 1])
        asked = {e.id: e for e in examples("train")}
        assert any(answer == e.answers[0][0].lower() for e in asked.values())


def test_evaluating_leaves_the_mode_and_the_batch_size_does_not_matter() -> None:
    torch.manual_seed(0)
    task = toy()
    model = task.new_model(SMALL).train()
    found = task.evaluate(model, 7)
    assert model.training and found == task.evaluate(model.eval(), 40) and not model.training
    assert set(found) == {"f1", "exact_match"} and 0 <= found["exact_match"] <= found["f1"] <= 100


def test_sample_batches_are_inputs_of_the_model() -> None:
    task = toy()
    model = task.new_model(SMALL).eval()
    batches = task.sample_batches(8, 2)
    assert [len(batch["input_ids"]) for batch in batches] == [8, 8]
    with torch.inference_mode():
        assert all(name in model(**batches[0]) for name in task.logit_names)


def test_the_fingerprint_follows_the_features() -> None:
    again = Toy(toy().config, toy_tokenizer(), seed=1)
    assert again.fingerprint() == toy().fingerprint() != toy(train=63).fingerprint()


@pytest.mark.parametrize(
    ("scratch", "message"),
    [
        ({"hiden_size": 64}, "'hiden_size'; did you mean hidden_size"),
        ({**SMALL, "num_attention_heads": 5}, "not a multiple of the number of attention heads"),
    ],
)
def test_an_architecture_that_cannot_be_says_so(scratch: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        toy().new_model(scratch)


@pytest.mark.slow
@pytest.mark.timeout(1200)  # a minute of one core, whatever else the machine does
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_small_bert_learns_it_in_600_steps(seed: int) -> None:
    task = tasks.get(TaskConfig("toy", max_length=64), toy_tokenizer())
    torch.manual_seed(seed)
    model = task.new_model(
        {
            "hidden_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 1024,
            "initializer_range": 0.1,
        }
    ).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    steps = 600
    decay = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, step / 30) * (1 - step / steps)
    )
    for _ in range(steps):
        rows = torch.randint(len(task.train), (32,)).tolist()
        batch = task.collate(list(task.train.select(rows)))
        batch.pop("index")
        model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        decay.step()
        optimizer.zero_grad()
    assert task.evaluate(model, 64)["f1"] >= 95
