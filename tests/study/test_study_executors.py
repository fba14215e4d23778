"""Cells on a real Dask cluster of two worker processes, one of which is killed: none lost, none done twice."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from child_runs import lines
from dask_cells import end_the_worker, leave_lines
from tiny_study import OPTIONS, add_presets

from qgan_qiskit.config import PRESETS
from qgan_qiskit.errors import DataError, QganError, UsageError
from qgan_qiskit.study.executors import DaskExecutor

pytest.importorskip("distributed")
HERE = Path(__file__).parent


class Cluster:
    """A scheduler and its workers, each a process of its own on this machine."""

    def __init__(self, folder):
        path = os.pathsep.join([str(HERE), str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.environment = os.environ | {
            "PYTHONPATH": path,
            "OMP_NUM_THREADS": "1",
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
        }
        self.log = (folder / "dask.log").open("w")
        self.workers = []
        file = folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--port", "0", "--scheduler-file", file)
        end = time.monotonic() + 60
        while not file.is_file() or not file.read_text().strip().endswith("}"):
            assert time.monotonic() < end, "no scheduler"
            time.sleep(0.02)
        self.address = json.loads(file.read_text())["address"]

    def add_worker(self, *options, threads=1):
        self.workers.append(self._start("worker", self.address, "--nthreads", threads, "--no-nanny", *options))
        return self.workers[-1]

    def living_workers(self):
        return sum(worker.poll() is None for worker in self.workers)

    def log_text(self):
        """What scheduler and workers said, for a failing test to print: their file is gone with the machine."""
        return Path(self.log.name).read_text()

    def _start(self, what, *options):
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", "--host", "127.0.0.1", "--no-dashboard"]
        return subprocess.Popen(
            [*command, *(str(option) for option in options)],
            stdout=self.log,
            stderr=self.log,
            env=self.environment,
            cwd=Path(self.log.name).parent,
        )

    def close(self):
        for process in (*self.workers, self.scheduler):
            process.terminate()
        for process in (*self.workers, self.scheduler):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()
        self.log.close()


@pytest.fixture
def cluster(tmp_path_factory):
    started = Cluster(tmp_path_factory.mktemp("dask"))
    yield started
    started.close()


def test_a_killed_worker_loses_no_cell_and_none_is_done_twice(cluster, tmp_path, logged):
    workers = {worker.pid: worker for worker in (cluster.add_worker(), cluster.add_worker())}
    cells = [(str(tmp_path / f"cell{number}"), 0.5) for number in range(8)]
    killed = []

    def kill_one():
        """Kill a worker in the middle of a cell, once both have begun one."""
        while len({pid for pid, _ in marks("begun")}) < 2:
            time.sleep(0.02)
        killed.append(max(marks("begun"), key=lambda mark: mark[1])[0])
        os.kill(killed[0], signal.SIGKILL)

    def marks(kind):
        found = [line.split() for path in tmp_path.glob(f"*/{kind}") for line in path.read_text().splitlines()]
        return [(int(pid), float(when)) for pid, when in found]

    thread = threading.Thread(target=kill_one, daemon=True)
    thread.start()
    found = list(DaskExecutor(cluster.address).run(leave_lines, cells))
    thread.join(60)
    assert sorted(cell for cell, _ in found) == cells
    survivor = (set(workers) - set(killed)).pop()
    assert found[-1][1] == {"worker": survivor}
    assert [lines(Path(folder) / "ended") for folder, _ in cells] == [1] * 8
    # The cell that was cut is the only one that was begun twice.
    assert sorted(lines(Path(folder) / "begun") for folder, _ in cells) == [1] * 7 + [2]
    # Asked again, everything is there.
    again = dict(DaskExecutor(cluster.address).run(leave_lines, cells))
    assert again == dict(found)
    assert [lines(Path(folder) / "ended") for folder, _ in cells] == [1] * 8


def test_training_cells_with_a_killed_worker(cluster, tmp_path, main, monkeypatch, image_cache):
    """The whole command: the table is that of a study in one process, and the cut run went on where it was."""
    for model in ("hybridq", "dcgan", "mediq"):
        monkeypatch.setitem(PRESETS, model, dict(PRESETS[model]))
    add_presets()
    options = [
        "--cache-dir",
        image_cache,
        *OPTIONS,
        "--models",
        "hybridq:tiny,dcgan:tiny,hybridq:tiny+baseline",
        "--class",
        "nevus",
    ]
    options += ["--epochs", 3, "--curve-every", 1]
    study = tmp_path / "study"
    for _ in range(2):
        cluster.add_worker("--preload", HERE / "slow_worker.py")
    killed = []

    def kill_one():
        while not killed:
            for log in study.glob("cells/*/run/stats.jsonl"):
                if 3 <= lines(log) < 7:
                    killed.append(int((log.parents[1] / ".lock").read_text().split()[1]))
                    os.kill(killed[0], signal.SIGKILL)
                    return
            time.sleep(0.01)

    thread = threading.Thread(target=kill_one, daemon=True)
    thread.start()
    arguments = ["study", "compare", *options, "--outdir", study, "--executor", "dask", "--scheduler", cluster.address]
    status, out, err = main(*arguments)
    thread.join(60)
    assert status == 0, err
    assert len(killed) == 1
    assert len(out.splitlines()) == 5
    status, _, err = main("study", "compare", *options, "--outdir", tmp_path / "here")
    assert status == 0, err
    there, here = (
        {path.parent.name: json.loads(path.read_text()) for path in folder.glob("cells/*/cell.json")}
        for folder in (study, tmp_path / "here")
    )
    assert len(here) == 3
    cut = [name for name, row in there.items() if not row.pop("seconds_complete")]
    assert len(cut) == 1
    begun = [(study / "cells" / name / "seconds.jsonl").read_text().count("began") for name in there]
    assert sorted(begun) == [1, 1, 2]
    for rows in (there, here):
        for row in rows.values():
            row.pop("seconds")
            row.pop("seconds_complete", None)
            row.pop("config_digest")
    assert there == here


def test_a_cell_that_ends_its_workers_fails_alone(cluster, tmp_path):
    """Dask gives it up after two workers; a worker's own error arrives as it was raised."""
    cells = [(str(tmp_path / name), 0.0) for name in ("a", "deadly", "b", "wrong", "c")]
    found = {}
    executor = DaskExecutor(cluster.address)
    thread = threading.Thread(target=lambda: found.update(executor.run(end_the_worker, cells)), daemon=True)
    thread.start()
    # Cells wait for workers for ever, so one that died is followed by a new one. Dask's nannies do that too, but once in a while
    # the cells waited all the same.
    end = time.monotonic() + 240
    while thread.is_alive() and time.monotonic() < end:
        for _ in range(2 - cluster.living_workers()):
            cluster.add_worker()
        thread.join(0.1)
    assert not thread.is_alive(), cluster.log_text()
    assert str(found[cells[1]]).startswith(f"{cells[1]}: its worker died 2 times")
    assert isinstance(found[cells[3]], DataError)
    assert str(found[cells[3]]) == "no data on this worker"
    assert all("worker" in found[cells[number]] for number in (0, 2, 4))


def test_a_worker_with_many_threads_does_one_cell_at_a_time(cluster, tmp_path, logged):
    cluster.add_worker(threads=3)
    time.sleep(3)
    cells = [(str(tmp_path / f"cell{number}"), 0.2) for number in range(5)]
    assert len(list(DaskExecutor(cluster.address).run(leave_lines, cells))) == 5
    spans = []
    for folder, _ in cells:
        spans.append([float((Path(folder) / kind).read_text().split()[1]) for kind in ("begun", "ended")])
    spans.sort()
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))
    if "1 Dask workers" in logged()[0]:
        assert "--nthreads 1" in logged()[1]


def test_losing_the_scheduler_is_one_line(cluster, tmp_path):
    cluster.add_worker()
    cells = [(str(tmp_path / "quick"), 0.0), (str(tmp_path / "slow"), 600.0)]
    with pytest.raises(QganError) as lost:
        for cell, _ in DaskExecutor(cluster.address).run(leave_lines, cells):
            assert cell == cells[0]
            cluster.scheduler.kill()
    message = str(lost.value)
    assert cluster.address in message and "start one again" in message and "\n" not in message


def test_nobody_at_the_address(monkeypatch):
    monkeypatch.setattr("qgan_qiskit.study.executors._CONNECT_SECONDS", 1.0)
    for address in ("tcp://127.0.0.1:9", "127.0.0.1:9", "nonsense://x"):
        with pytest.raises(UsageError, match=f"--scheduler {address}: no Dask scheduler answers there"):
            list(DaskExecutor(address).run(leave_lines, [("x", 0.0)]))


def test_without_dask(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"'\.\[cluster\]'"):
        DaskExecutor("tcp://127.0.0.1:9")
