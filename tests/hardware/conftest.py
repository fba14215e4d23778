"""A trained run whose circuits are to be run, and the command line with all that it prints."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def trained(tiny, tmp_path_factory) -> Path:
    """The folder of a run: two sub-generators of three qubits."""
    from qgan_qiskit.workflows.fit import fit

    [path] = fit(tiny(), tmp_path_factory.mktemp("runs"))
    return path


@pytest.fixture
def run(trained, tmp_path) -> Path:
    """A copy of the run: its folder gets the submissions."""
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def said() -> list[str]:
    """Everything that commands print."""
    return []


@pytest.fixture
def command(main, said):
    """Return a function: arguments -> exit status, what was printed, with one line at most for an error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        status, out, err = main(*arguments)
        said.extend((out, err))
        assert "Traceback" not in err
        if status not in (0, 130):
            assert err.strip().splitlines()[-1].startswith("error: "), err
        return status, out, err

    return call
