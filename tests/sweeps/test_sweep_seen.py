"""A sweep seen from outside: --status in another shell, and the dashboard on its database."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from conftest import ALONE, ROOT, World, until

from prune import cli
from sweeps.plan import Plan


def test_the_status_of_a_sweep_that_runs_and_of_one_that_is_over(
    world: World, grid: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["sweep", *ALONE, "--status"]) == 2
    assert "was never run" in capsys.readouterr().err
    world.close_gate()
    sweep = world.start(*ALONE)
    world.running(2)
    assert cli.main(["sweep", *ALONE, "--status"]) == 0
    first, *slots, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"toy · run by pid {sweep.pid} on ") and last == "  done 0 of 3"
    assert [line[:12] for line in slots] == ["  slot 0   #", "  slot 1   #"]
    assert all("50 %   loss 2.50   density 0.90   eta" in line for line in slots)
    world.open_gate()
    assert world.ended(sweep).returncode == 0
    (world.runs / "toy" / grid.trials[0].run_id / "result.json").write_text("{")
    assert cli.main(["sweep", *ALONE, "--status"]) == 0
    first, broken, last = capsys.readouterr().out.splitlines()
    assert first == "toy · nobody runs it now" and last.startswith("  done 2 of 3 · front 1 point")
    assert broken.startswith(f"  broken      {grid.trials[0].run_id}  ")
    assert cli.main(["sweep", *ALONE, "--status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["broken"] == [grid.trials[0].run_id] and len(found["done"]) == 2


def test_the_dashboard_serves_the_study(world: World, tmp_path: Path) -> None:
    pytest.importorskip("optuna_dashboard", reason="prune dashboard needs optuna-dashboard")
    assert world.sweep(*ALONE).returncode == 0
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-P", "-m", "prune", "dashboard", "--port", str(port)]
    with (tmp_path / "dashboard").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)

    def studies() -> object:
        assert server.poll() is None, (tmp_path / "dashboard").read_text()
        try:
            with urllib.request.urlopen(f"http://localhost:{port}/api/studies") as answer:
                return json.load(answer)["study_summaries"]
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
            return None

    try:
        found = until(studies)
        assert isinstance(found, list) and found[0]["study_name"].startswith("toy-")
        again = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert again.returncode == 2 and "use another --port" in again.stderr
    finally:
        server.terminate()
        assert server.wait(60) == 75
