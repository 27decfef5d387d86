"""The documents tell the truth: links lead somewhere, commands parse, code runs."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from prune import cli, compose

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
README = (ROOT / "README.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """The words of every `$ ...` line in the console blocks of a page, comments dropped."""
    lines = [line for block in blocks(text, "console") for line in block.splitlines()]
    return [shlex.split(line[2:], comments=True) for line in lines if line.startswith("$ ")]


COMMANDS = sorted({tuple(words) for page in PAGES for words in commands(page.read_text())})


def prune(*words: str, cwd: Path) -> str:
    command = [sys.executable, "-P", "-m", "prune", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(there), f"{page.name} links to {target}"


def test_the_readme_begins_with_the_picture_and_the_commands() -> None:
    first = README[: README.index("## ")]
    assert re.search(r"!\[[^\]]+\]\(docs/images/", first)
    assert [" ".join(words) for words in commands(first)] == ["make demo", "make test"]
    shown = {words[1] for words in commands(README) if words[0] == "prune"}
    assert {"train", "sweep", "report"} <= shown


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_in_a_page_can_be_typed(words: tuple[str, ...], tmp_path: Path) -> None:
    if words[0] == "make":
        targets = re.findall(r"^([\w-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in words[1:] if "=" not in word} <= set(targets)
    elif words[0] == "prune":
        check_prune(list(words[1:]), tmp_path)
    else:
        assert words[0] in ("git", "cd", "python", "echo", "export"), f"unchecked: {words}"


def check_prune(words: list[str], folder: Path) -> None:
    """`words` name a command; its flags are in its help; its overrides compose."""
    name, rest = words[0], words[1:]
    assert name in cli.COMMANDS
    text = prune(name, "--help", cwd=folder)
    for word in rest:
        if word.startswith("--"):
            assert re.search(rf"(?<![\w-]){word.partition('=')[0]}(?![\w-])", text), word
    values = [word for word in rest if "=" in word and not word.startswith("-")]
    if name == "train":
        compose.load([v for v in values if not v.startswith("from_run=")])
    elif name == "sweep":
        plan = [word for word in rest if not word.startswith("-")]
        assert "prune train" in prune("sweep", *plan, "--dry-run", cwd=folder)


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_command_has_help_with_an_example_of_its_own(name: str, tmp_path: Path) -> None:
    text = prune(name, "--help", cwd=tmp_path)
    examples = re.findall(rf"prune {name}\b.*", text[text.lower().rindex("example") :])
    assert examples, text
    check_prune(shlex.split(examples[0])[1:], tmp_path)


@pytest.mark.parametrize(("quick", "batches"), [([], ["8,32", "8"]), (["--quick"], ["8", "8"])])
def test_the_gpu_figures_ask_for_what_scripts_and_commands_know(
    quick: list[str], batches: list[str], tmp_path: Path
) -> None:
    files = ["--model", str(tmp_path), "--squad", str(tmp_path), "--shapes", "shapes.csv"]
    script = ROOT / "benchmarks" / "gpu.sh"
    command = ["bash", str(script), "--dry", "--out", str(tmp_path), *files, *quick]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    asked = [shlex.split(line[2:]) for line in said.splitlines() if line.startswith("+ ")]
    scripts = [words[1:] for words in asked if words[1].endswith(".py")]
    assert len(scripts) == 7 and len(asked) == 9
    for path, *words in scripts:
        for word in words:
            assert not word.startswith("--") or f'"{word}"' in Path(path).read_text(), word
    parts = [words for words in scripts if words[0].endswith("published_shapes.py")]
    assert [words[words.index("--batch") + 1] for words in parts] == batches
    for words in (words for words in asked if not words[1].endswith(".py")):
        assert words[1:4] == ["-P", "-m", "prune"]
        check_prune(words[4:], tmp_path)


def test_the_tables_are_made_from_the_result_files() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "table.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = ROOT / "benchmarks" / "results"
    text = (ROOT / "docs" / "performance.md").read_text()
    assert [*results.glob("*/*.json")]
    for path in results.rglob("*.json"):
        assert f"benchmarks/results/{path.relative_to(results)}" in text
    text = (ROOT / "docs" / "cost.md").read_text()
    for path in (ROOT / "benchmarks" / "recorded").glob("front_cost_*.json"):
        assert f"<!-- {path.stem}: made by benchmarks/table.py -->" in text


def test_the_code_in_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from transformers import BertConfig, BertForQuestionAnswering, BertTokenizer, TrainingArguments

    torch.manual_seed(0)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = BertForQuestionAnswering(
        BertConfig(vocab_size=len(words), intermediate_size=128, **sizes)
    )
    ids = torch.randint(5, len(words), (4, 16))
    ends = torch.randint(0, 16, (4,))
    batch = {"input_ids": ids, "start_positions": ends, "end_positions": ends}
    names = {
        "model": model,
        "loader": [batch] * 10,
        "epochs": 2,
        "tokenizer": BertTokenizer(str(tmp_path / "vocab.txt")),
        "dataset": [{key: value[i] for key, value in batch.items()} for i in range(4)] * 8,
        "args": TrainingArguments(
            str(tmp_path), max_steps=20, report_to="none", use_cpu=True, disable_tqdm=True
        ),
    }
    monkeypatch.chdir(tmp_path)
    loading, loop, trainer = blocks(README, "python")
    exec(compile(loop, "README.md", "exec"), names)
    small = names["small"]
    assert isinstance(small, torch.nn.Module)
    for code in ("", loading):
        exec(compile(code, "README.md", "exec"), names)
        again = names.pop("again")
        assert isinstance(again, torch.nn.Module)
        with torch.no_grad():
            expected = small.eval()(input_ids=ids).start_logits
            torch.testing.assert_close(again(input_ids=ids).start_logits, expected)
    names["model"] = BertForQuestionAnswering(model.config)
    exec(compile(trainer, "README.md", "exec"), names)
    small = names["small"]
    assert isinstance(small, torch.nn.Module)
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in model.parameters())
