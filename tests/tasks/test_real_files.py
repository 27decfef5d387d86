"""Every task with real files at hand, from the command line to the record, on a tiny encoder."""

import shutil
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel

from prune.cli import main
from prune.store import Store
from prune.tasks.glue import GLUE

QUICK = ["train.max_steps=2", "task.max_train_samples=64", "task.max_eval_samples=64"]
QUICK += ["teacher=none", "measure.rounds=3", "measure.grid=[[2,64]]", "task.max_length=64"]
CASES = [(name, "glue") for name in GLUE if name not in ("qnli", "qqp")]  # they have no train file


@pytest.fixture(scope="module")
def encoder(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Tiny and untrained, with a real vocabulary."""
    folder = tmp_path_factory.mktemp("encoder")
    for file in (shared / "models/minilm-l6").glob("*token*"):
        shutil.copy(file, folder)
    for file in (shared / "models/minilm-l6").glob("vocab*"):
        shutil.copy(file, folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(num_hidden_layers=1, **sizes)).save_pretrained(folder)
    return str(folder)


@pytest.mark.slow
@pytest.mark.parametrize(("task", "data"), [*CASES, ("squad_v2", "squad_v2"), ("squad", "squad")])
def test_a_run_on_the_real_files(
    task: str, data: str, shared: Path, encoder: str, runs: Path
) -> None:
    command = ["train", f"+experiment=hybrid_{task}", f"task.data_dir={shared / 'data' / data}"]
    assert main([*command, f"model.name_or_path={encoder}", *QUICK]) == 0
    (record,) = Store(runs).records()
    found = record.points[0].quality
    wanted = {"squad": {"f1", "exact_match"}, "squad_v2": {"f1", "best_f1", "best_exact"}}
    if task in GLUE:
        suffixes = ("", "_mismatched") if task == "mnli" else ("",)
        wanted[task] = {name + end for name in GLUE[task].metrics for end in suffixes}
    assert found.keys() >= wanted[task] and record.metric in found
