"""Cells: done once whatever happens, and two processes that share them out."""

import json
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest

from qgan_qiskit.errors import CheckpointError, StorageError, UsageError
from qgan_qiskit.study.engine import CellLocked, run_all, run_once, worker_of
from qgan_qiskit.study.executors import InProcess
from qgan_qiskit.study.study_file import read_result
from qgan_qiskit.training.signals import Interrupted, interruptible

FORK = multiprocessing.get_context("fork")


def counted(folder: Path, seconds: float = 0.0) -> dict:
    """Work that leaves a line when it begins and one when it ends."""
    with (folder / "begun").open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(seconds)
    with (folder / "ended").open("a") as file:
        file.write(f"{os.getpid()}\n")
    return {"worker": os.getpid()}


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []


def test_a_result_is_kept_and_the_work_not_done_again(tmp_path):
    cell = tmp_path / "deep" / "cell"
    assert read_result(cell) is None
    assert worker_of(cell) is None
    first = run_once(cell, counted)
    before = {path: path.stat().st_mtime_ns for path in cell.iterdir()}
    assert run_once(cell, counted) == first == read_result(cell)
    assert len(lines(cell / "begun")) == 1
    assert {path: path.stat().st_mtime_ns for path in cell.iterdir() if path.name != ".lock"} == {
        path: time for path, time in before.items() if path.name != ".lock"
    }


def test_work_that_fails_leaves_no_result(tmp_path):
    def fail(folder):
        raise UsageError("no")

    with pytest.raises(UsageError, match="no"):
        run_once(tmp_path / "cell", fail)
    assert read_result(tmp_path / "cell") is None
    assert run_once(tmp_path / "cell", counted)["worker"] == os.getpid()


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "\x00"])
def test_a_damaged_result_is_named(tmp_path, text):
    (tmp_path / "cell.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"cell\.json.*remove it"):
        read_result(tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="choose another --outdir"):
        run_once(tmp_path / "file" / "cell", counted)


def test_while_another_process_works(tmp_path):
    """Whoever does not wait is told who works; whoever waits gets the result; a killed one frees the cell."""
    cell = tmp_path / "cell"
    worker = FORK.Process(target=run_once, args=(cell, lambda folder: counted(folder, 1.0)))
    worker.start()
    while not lines(cell / "begun"):
        time.sleep(0.01)
    assert worker_of(cell).startswith(f"process {worker.pid} on ")
    with pytest.raises(CellLocked, match=f"process {worker.pid} on "):
        run_once(cell, counted, wait=False)
    assert run_once(cell, counted) == {"worker": worker.pid}
    worker.join()
    assert worker_of(cell) is None
    assert lines(cell / "begun") == lines(cell / "ended") == [str(worker.pid)]

    other = tmp_path / "other"
    worker = FORK.Process(target=run_once, args=(other, lambda folder: counted(folder, 60.0)))
    worker.start()
    while not lines(other / "begun"):
        time.sleep(0.01)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    assert run_once(other, counted, wait=False) == {"worker": os.getpid()}


class Folder:
    """Work of the kind that a study gives to :func:`run_all`."""

    def __init__(self, seconds=0.0, failing=()):
        self.seconds, self.failing = seconds, failing

    def __call__(self, cell, *, wait):
        if cell.name in self.failing:
            raise StorageError(f"{cell.name} fails")
        return run_once(cell, lambda folder: counted(folder, self.seconds), wait)


def share(cells, seconds, order):
    cells = [cells[place] for place in order]
    for _ in run_all(InProcess(), Folder(seconds), cells):
        pass


def test_two_processes_share_the_cells_out(tmp_path):
    """Neither waits while there is something else to do, and both see all results in the end."""
    cells = [tmp_path / f"cell{number}" for number in range(8)]
    began = time.monotonic()
    workers = [FORK.Process(target=share, args=(cells, 0.4, range(8))) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert time.monotonic() - began < 8 * 0.4
    assert [len(lines(cell / "begun")) for cell in cells] == [1] * 8
    by = {read_result(cell)["worker"] for cell in cells}
    assert by == {worker.pid for worker in workers}


def test_five_processes_in_any_order_and_kills(tmp_path):
    """Whoever is killed, every cell ends with one result, and none is ended twice."""
    rng = random.Random(5)
    cells = [tmp_path / f"cell{number}" for number in range(12)]
    workers = [FORK.Process(target=share, args=(cells, 0.05, rng.sample(range(12), 12))) for _ in range(5)]
    for worker in workers:
        worker.start()
    for worker in workers[:3]:
        time.sleep(rng.uniform(0, 0.1))
        os.kill(worker.pid, signal.SIGKILL)
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers[3:]] == [0, 0]
    for cell in cells:
        row = json.loads((cell / "cell.json").read_text())
        assert lines(cell / "ended")[-1] == str(row["worker"])
        # Killed between its end and its result, a cell is done again: that is what "once" can mean.
        assert 1 <= len(lines(cell / "ended")) <= 2


def test_a_cell_that_fails_stops_no_other(tmp_path):
    cells = [tmp_path / name for name in "abc"]
    found = dict(run_all(InProcess(), Folder(failing=("b",)), cells))
    assert isinstance(found[cells[1]], StorageError)
    assert [found[cell]["worker"] for cell in (cells[0], cells[2])] == [os.getpid()] * 2


def test_a_signal_stops_all(tmp_path):
    def work(cell, *, wait):
        raise Interrupted("stopped", signal.SIGTERM)

    with pytest.raises(Interrupted):
        list(run_all(InProcess(), work, [tmp_path / "a", tmp_path / "b"]))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_at_once_and_handlers_come_back(number):
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as stopped, interruptible():
        os.kill(os.getpid(), number)
        time.sleep(5)
    assert stopped.value.exit_code == 128 + number
    assert signal.getsignal(number) == before
