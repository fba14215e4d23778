"""A model is added as CONTRIBUTING says: two files and one line of a list."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import qgan_qiskit

REPOSITORY = Path(__file__).parents[2]
DATA = ["--resolution", "16", "--synthetic-per-class", "16", "--class", "nevus"]


@pytest.fixture
def package(tmp_path):
    """Return a folder with a copy of the package to which the toy of CONTRIBUTING was added."""
    shutil.copytree(
        Path(qgan_qiskit.__file__).parent, tmp_path / "qgan_qiskit", ignore=shutil.ignore_patterns("__pycache__")
    )
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    *files, line = re.findall(
        r"```python\n(.*?)```", text.partition("## Add a model")[2].partition("\n## ")[0], re.DOTALL
    )
    paths = [tmp_path / re.match(r"# (\S+)\n", file)[1] for file in files]
    assert len(files) == 2
    assert not any(path.exists() for path in paths)
    for path, file in zip(paths, files, strict=True):
        path.write_text(file)
    listing = tmp_path / "qgan_qiskit" / "config" / "models" / "__init__.py"
    assert line.count("\n") == 1
    listing.write_text(listing.read_text().replace("# isort: on\n", f"{line}# isort: on\n"))
    return tmp_path


COMMANDS = """
import sys
from qgan_qiskit.cli import cli
from qgan_qiskit.console import log_to_stderr

log_to_stderr()
data = sys.argv[1:]
cli(["fit", "--model", "toy", "--num-qubits", "4", "--steps", "2", *data], standalone_mode=False)
cli(["generate", "runs/00000-toy-default-nevus", "-n", "2", "--output", "images"], standalone_mode=False)
"""


def test_two_files_and_one_line_make_a_model_that_trains_and_generates(package, image_cache):
    command = [sys.executable, "-c", COMMANDS, "--cache-dir", str(image_cache), *DATA]
    environment = {**os.environ, "PYTHONPATH": str(package)}
    done = subprocess.run(command, cwd=package, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "8 quantum" in done.stderr
    [folder] = (package / "runs").iterdir()
    assert "toy" in (folder / "config.json").read_text()
    assert "ry" in (folder / "circuit.qasm").read_text()
    assert len(list((package / "images").rglob("*.png"))) == 2
