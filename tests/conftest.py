"""What all tests share: ``--run-slow``, one processor thread, settings of tiny runs and the command line in this process."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples every time, and no failure because the machine was busy.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")

# For the processes that tests start; in this one see one_thread().
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-slow", action="store_true", help="also run the tests that take longer than a minute")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--run-slow"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="slow: run with --run-slow"))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Compute on one thread: quick for small tensors, and sums come out the same everywhere. Never imports torch itself."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture
def ram_path(tmp_path: Path) -> Iterator[Path]:
    """Return a new folder in memory where there is such a place: hundreds of saves need not wait for a disk to sync."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def image_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which the tests' synthetic lesions are kept, instead of the user's."""
    return tmp_path_factory.mktemp("image_cache")


@pytest.fixture(scope="session")
def tiny(image_cache: Path) -> Callable[..., object]:
    """Return a function (model=…, data=…, training=…) -> RunConfig of a run that takes a second."""
    from tiny_runs import tiny_config

    return lambda **sections: tiny_config(image_cache, **sections)


@pytest.fixture(scope="session")
def tiny_options(image_cache: Path) -> list[str]:
    """Return the command-line options of such a run."""
    from tiny_runs import options_of_tiny

    return options_of_tiny(image_cache)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return a function that gives the lines the package has logged in this test so far."""
    caplog.set_level(logging.INFO, "qgan_qiskit")
    return lambda: [record.getMessage() for record in caplog.records if record.name.startswith("qgan_qiskit")]


@pytest.fixture
def own_circuit_options(tiny_options: list[str]) -> list[str]:
    """Return these options without the sizes that a circuit of the user's own brings itself."""
    from tiny_runs import without

    return without(tiny_options, "--num-qubits", "--reps")


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., tuple]]:
    """Return a function that runs the command line in this process: arguments -> (exit status, stdout, stderr)."""
    from qgan_qiskit.cli.__main__ import main as entry

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["qgan-qiskit", *[str(argument) for argument in arguments]])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            entry()
        shown = capsys.readouterr()
        return ended.value.code or 0, shown.out, shown.err

    return run


@pytest.fixture(scope="session")
def main_once() -> Callable[..., str]:
    """Return a function that runs the command line for a fixture that outlives a test: arguments -> stdout; it must succeed."""
    from qgan_qiskit.cli.__main__ import main as entry

    def run(*arguments: object) -> str:
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            patch.setattr(sys, "argv", ["qgan-qiskit", *[str(argument) for argument in arguments]])
            with pytest.raises(SystemExit) as ended:
                entry()
        assert not ended.value.code, err.getvalue()
        return out.getvalue()

    return run
