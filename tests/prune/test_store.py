"""One run folder through its life: opened, killed, failed, finished, opened again."""

import dataclasses
import json
import multiprocessing
import os
import signal
import socket
import time
from pathlib import Path

import pytest
import yaml
from store_cases import (
    SHA256,
    SIZE,
    config,
    end,
    finished,
    holding,
    interrupted,
    point,
    python,
    record,
    saved,
)

from prune.config import RunConfig, TrainConfig, as_dict, run_id
from prune.errors import Stopped, StoreError
from prune.records import Latency, Record
from prune.store import Store
from prune.store.files import write_atomic
from prune.store.lock import forget


@pytest.fixture
def store(runs: Path) -> Store:
    return Store()


def files(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir()}


def test_a_run_from_open_to_done(store: Store, runs: Path) -> None:
    asked = config(seed=3)
    with store.open_run(asked, ["seed=3", "train.epochs=20"]) as folder:
        assert folder.path == runs / "single" / run_id(asked)
        assert folder.model_dir == folder.path / "model"
        running = store.find(folder.run_id)
        assert (running.status, running.points) == ("running", [])
        assert (running.experiment, running.task) == ("toy", "toy")
        assert running.started.endswith("+00:00")
        assert store.progress(folder.run_id) is None
        folder.log(10, loss=2.5)
        folder.log(20, loss=1.5)
        saved(folder)
        done = folder.finish(record(asked))
    assert done == record(asked, path=str(folder.path))
    assert store.done(folder.run_id) == done
    assert store.find(folder.run_id[:4]) == done
    assert store.find(f"single/{folder.run_id}…") == done
    assert store.records() == [done]
    progress = store.progress(folder.run_id)
    assert progress is not None
    assert (progress["step"], progress["loss"]) == (20, 1.5)


def test_what_the_folder_holds(store: Store) -> None:
    path = Path(finished(store, seed=4).path)
    expected = {"config.yaml", "overrides.yaml", "env.json", "metrics.jsonl", "result.json"}
    assert files(path) == expected | {"lock", "model"}
    assert yaml.safe_load((path / "config.yaml").read_text()) == as_dict(config(seed=4))
    assert yaml.safe_load((path / "overrides.yaml").read_text()) == ["+experiment=toy", "seed=4"]
    found = json.loads((path / "env.json").read_text())
    assert {"git", "versions", "platform", "cpu", "cores", "started"} <= set(found)
    assert found["versions"]["torch"] and found["versions"]["python"]
    assert "path" not in json.loads((path / "result.json").read_text())


def test_strange_words_survive(store: Store) -> None:
    overrides = ["model.name_or_path=/data/été \udc80", "a='b: #c'", "x=\n\ty", "~z", ""]
    with store.open_run(config(), overrides) as folder:
        assert store.find(folder.run_id).overrides == overrides
        saved(folder)
        folder.finish(record(config(), overrides=overrides, experiment="\udc80\0"))
    assert store.records()[0].overrides == overrides


def test_a_finished_run_is_never_opened_again(store: Store) -> None:
    done = finished(store)
    with pytest.raises(StoreError, match="done already"), store.open_run(config(), []):
        pass
    # not in another group either
    with pytest.raises(StoreError, match=done.path), store.open_run(config(group="other"), []):
        pass


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"points": []}, "no point"),
        ({"points": [point(latency=[])]}, "no latency"),
        ({"points": [point(quality={})]}, "no quality"),
        ({"points": [point(sha256="")]}, "no hash"),
        ({"points": [point(quality={"f1": float("nan")})]}, r"points\[0\].quality.f1=nan"),
        ({"points": [point(size_mb=float("inf"))]}, r"points\[0\].size_mb=inf"),
        ({"reference": {"f1": float("-inf")}}, "reference.f1=-inf"),
        ({"config": {"train": {"lr": [float("nan")]}}}, r"config.train.lr\[0\]=nan"),
        ({"seconds": float("nan")}, "seconds=nan"),
        ({"points": [point(latency=[Latency(1, 8, "eager", 1, float("nan"), 1, 1, 1, 7)])]}, "ms"),
        ({"run_id": "00000000"}, "it is of run 00000000"),
        ({"status": "failed"}, "failed"),
        ({"status": "running"}, "running"),
    ],
)
def test_nothing_without_evidence_enters(store: Store, changes: object, problem: str) -> None:
    with store.open_run(config(), []) as folder:
        saved(folder)
        with pytest.raises(StoreError, match=problem) as caught:
            folder.finish(record(config(), **changes))  # type: ignore[arg-type]
        assert str(caught.value).startswith(f"run {folder.run_id} has no evidence")
        assert not (folder.path / "result.json").exists()
        folder.finish(record(config()))


OTHER = dataclasses.replace(point().latency[0], runtime="int8", sha256="cd" * 32)


@pytest.mark.parametrize(
    ("size", "changes", "problem"),
    [
        (None, {}, "model.safetensors is not there"),
        (SIZE - 1, {}, "not what was measured"),
        (SIZE, {"sha256": "ab" * 32}, "not what was measured"),
        (SIZE, {"size_mb": 5.0}, "size_mb=5, and .* has 14.9"),
        (SIZE, {"artifact": "../elsewhere"}, "no folder of the run"),
        (SIZE, {"artifact": ""}, "no folder of the run"),
        (SIZE, {"artifact": ".."}, "no folder of the run"),
        (SIZE, {"latency": [point().latency[0], OTHER]}, "32x128 int8 is of other weights"),
    ],
)
def test_a_point_about_another_artifact_does_not_enter(
    store: Store, size: int | None, changes: dict[str, object], problem: str
) -> None:
    with store.open_run(config(), []) as folder:
        if size is not None:
            saved(folder, size)
        with pytest.raises(StoreError, match=problem):
            folder.finish(record(config(), points=[point(**changes)]))
        assert not (folder.path / "result.json").exists()
        saved(folder)
        own = dataclasses.replace(OTHER, sha256=SHA256)
        folder.finish(record(config(), points=[point(latency=[own])]))


def test_a_configuration_that_json_cannot_hold_is_refused_before_training(store: Store) -> None:
    endless = RunConfig(train=TrainConfig(clip=float("inf")))
    with pytest.raises(StoreError, match=r"train\.clip=inf"), store.open_run(endless, []):
        pass
    assert store.records() == []


@pytest.mark.parametrize("group", ["../x", "a/b", ".hidden", "", "a b"])
def test_a_group_is_a_folder_name(store: Store, group: str) -> None:
    with pytest.raises(StoreError, match="group="), store.open_run(config(group=group), []):
        pass


def test_an_exception_is_recorded_and_the_run_can_be_tried_again(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.open_run(config(), ["a=1"]) as folder:
        folder.log(7, loss=float("nan"), lr=0.5)
        raise ZeroDivisionError("by\n\nzero")
    failed = store.find(folder.run_id)
    assert (failed.status, failed.error) == ("failed", "ZeroDivisionError: by; zero")
    assert (failed.steps, failed.overrides, failed.experiment) == (7, ["a=1"], "toy")
    assert store.done(folder.run_id) is None
    assert store.records(status="failed") == [failed]
    metrics = json.loads((folder.path / "metrics.jsonl").read_text())
    assert "loss" not in metrics and metrics["lr"] == 0.5

    assert finished(store).status == "done"
    assert json.loads((folder.path / "result.failed.json").read_text())["status"] == "failed"
    assert json.loads((folder.path / "metrics.1.jsonl").read_text()) == metrics


def test_an_error_of_ours_is_recorded_in_its_own_words(store: Store) -> None:
    with pytest.raises(StoreError), store.open_run(config(), []) as folder:
        raise StoreError("first\nsecond")
    assert store.find(folder.run_id).error == "first; second"


def test_an_exception_after_the_result_does_not_change_it(store: Store) -> None:
    with pytest.raises(OSError), store.open_run(config(), []) as folder:
        saved(folder)
        folder.finish(record(config()))
        raise OSError("too late")
    assert store.find(folder.run_id).status == "done"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, Stopped])
def test_being_stopped_is_no_failure(store: Store, error: type[BaseException]) -> None:
    with pytest.raises(error), store.open_run(config(), ["a=1"]) as folder:
        raise error
    found = store.records()
    assert [(r.status, r.overrides) for r in found] == [("interrupted", ["a=1"])]
    assert not (folder.path / "result.json").exists()
    assert finished(store).status == "done"


def test_held_by_another_process(store: Store, runs: Path) -> None:
    process = holding(runs)
    who = f"in use by pid {process.pid} on {socket.gethostname()}"
    with pytest.raises(StoreError, match=who), store.open_run(config(), []):
        pass
    with pytest.raises(StoreError, match=who):
        store.remove(run_id(config()))
    assert [r.status for r in store.records()] == ["running"]
    assert end(process) == ""
    assert [r.status for r in store.records()] == ["interrupted"]


def test_held_by_this_process(store: Store) -> None:
    with store.open_run(config(), []):
        with pytest.raises(StoreError, match=f"pid {os.getpid()}"), store.open_run(config(), []):
            pass
        assert store.records()[0].status == "running"


def test_wait_until_it_is_free(store: Store, runs: Path) -> None:
    process = holding(runs)
    waiting = python(
        "import sys; from pathlib import Path; from prune.store import Store\n"
        "from prune.config import RunConfig; print('waiting', flush=True)\n"
        "with Store(Path(sys.argv[1])).open_run(RunConfig(), [], wait=True): print('in')",
        runs,
    )
    assert waiting.stdout and waiting.stdout.readline() == "waiting\n"
    time.sleep(1.0)  # longer than one that does not wait would try
    assert waiting.poll() is None
    end(process)
    assert waiting.communicate(timeout=30) == ("in\n", "")


def test_killed_then_completed(store: Store, runs: Path) -> None:
    process = holding(runs)
    process.send_signal(signal.SIGKILL)
    end(process)
    (killed,) = store.records()
    assert (killed.status, killed.overrides) == ("interrupted", ["seed=0"])
    progress = store.progress(killed.run_id)
    assert progress is not None and progress["step"] == 2  # the last complete line
    note = json.loads((Path(killed.path) / "lock").read_text())
    assert (note["pid"], note["host"]) == (process.pid, socket.gethostname())

    assert finished(store).status == "done"
    assert "model.partial" not in files(Path(killed.path))
    assert len((Path(killed.path) / "metrics.1.jsonl").read_text().splitlines()) == 3
    assert [r.status for r in store.records()] == ["done"]


def test_killed_before_anything_was_written(store: Store, runs: Path) -> None:
    path = runs / "single" / run_id(config())
    path.mkdir(parents=True)
    (path / "lock").touch()
    assert store.records() == [
        Record(path.name, "single", "interrupted", path=str(path)),
    ]
    finished(store)


def test_a_forked_worker_does_not_keep_a_dead_run_alive(store: Store, runs: Path) -> None:
    process = python(
        "import os, sys; from pathlib import Path; from prune.store import Store\n"
        "from prune.config import RunConfig\n"
        "with Store(Path(sys.argv[1])).open_run(RunConfig(), []):\n"
        "    worker = os.fork()\n"
        "    if worker == 0:\n"
        "        sys.stdin.read(); os._exit(0)\n"
        "    print(worker, flush=True)\n"
        "    os.kill(os.getpid(), 9)",
        runs,
    )
    assert process.stdout
    worker = int(process.stdout.readline())
    process.wait(timeout=30)
    deadline = time.monotonic() + 20  # the worker lets go as soon as it gets to run
    while store.records()[0].status == "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert Path(f"/proc/{worker}").exists()
    assert [r.status for r in store.records()] == ["interrupted"]
    end(process)


def test_a_run_on_another_machine_is_believed_to_live(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = interrupted(store)
    note = {"host": "elsewhere", "pid": 7, "started": "2026-01-01"}
    (path / "lock").write_text(json.dumps(note))
    assert store.find(path.name).status == "interrupted"  # on a local disk the lock tells
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\nserver:/export {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr("prune.store.files.MOUNTS", mounts)
    assert store.find(path.name).status == "running"
    with pytest.raises(StoreError, match=r"pid 7 on elsewhere .*delete .*lock"):
        store.remove(path.name)
    forget(path, "elsewhere", 8)  # another one
    assert store.find(path.name).status == "running"
    forget(path, "elsewhere", 7)
    assert store.find(path.name).status == "interrupted"


def _finish(barrier: object, root: Path, seed: int) -> None:
    barrier.wait()  # type: ignore[attr-defined]
    finished(Store(root), seed=seed)


@pytest.mark.parametrize("attempt", range(3))
def test_eight_processes_on_a_fresh_folder(runs: Path, attempt: int) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(8)
    processes = [context.Process(target=_finish, args=(barrier, runs, seed)) for seed in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 8
    assert [r.status for r in Store(runs).records()] == ["done"] * 8


def test_a_result_is_whole_at_every_moment(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    process = python(
        "import sys; from pathlib import Path; from prune.store.files import write_atomic\n"
        "for n in range(10**9): write_atomic(Path(sys.argv[1]), '[' + '7,' * 50000 + '7]')",
        file,
    )
    deadline = time.monotonic() + 1.0
    seen = 0
    while not seen or time.monotonic() < deadline:
        if file.exists():
            assert len(json.loads(file.read_text())) == 50001
            seen += 1
    process.kill()
    end(process)
    assert len(json.loads(file.read_text())) == 50001


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "result.json"
    write_atomic(file, "old")

    def broken(handle: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(StoreError, match=r"result\.json: Input/output error; check that disk"):
        write_atomic(file, "new")
    assert files(tmp_path) == {"result.json"} and file.read_text() == "old"


def test_remove(store: Store, runs: Path) -> None:
    first, second = finished(store, seed=1), finished(store, seed=2)
    store.remove(first.run_id)
    assert not Path(first.path).exists()
    assert store.records() == [second]
    assert [p.name for p in (runs / "single").iterdir()] == [second.run_id]
    with pytest.raises(StoreError, match="no run"):
        store.remove(first.run_id)
    finished(store, seed=1)


def test_find(store: Store) -> None:
    found = [finished(store, seed=seed) for seed in range(8)]
    for done in found:
        assert store.find(done.run_id) == done
    with pytest.raises(StoreError, match="at least 4 hex digits"):
        store.find(found[0].run_id[:3])
    typo = found[0].run_id[:-1] + ("0" if found[0].run_id[-1] != "0" else "1")
    with pytest.raises(StoreError, match=f"nearest: {found[0].run_id}"):
        store.find(typo)


def test_find_lists_the_candidates(store: Store, runs: Path) -> None:
    for name in ("single/abcd0001", "single/abcd0002", "other/abcd0002"):
        (runs / name).mkdir(parents=True)
    with pytest.raises(StoreError) as caught:
        store.find("abcd")
    for name in ("single/abcd0001", "single/abcd0002", "other/abcd0002"):
        assert name in str(caught.value)
    assert store.find("abcd0002").run_id == "abcd0002"
    assert store.find("other/abcd").group == "other"
