"""Fixtures every room uses. Real data is found, never copied: PRUNE_SHARED or ../shared."""

import os
import signal
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing may be downloaded by a test
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # many small networks: threads only get in the way
# A shell has its background jobs ignore Ctrl-C, which their children would do too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data sets and a real encoder; without it the test is skipped."""
    folder = Path(os.environ.get("PRUNE_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"needs the real data: set PRUNE_SHARED (looked in {folder})")
    return folder


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty runs folder that the whole program uses."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("PRUNE_RUNS", str(folder))
    monkeypatch.delenv("PRUNE_DB", raising=False)
    return folder
