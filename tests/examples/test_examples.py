"""Every example runs with small arguments, and what it prints and writes is what its text promises."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from qgan_qiskit.circuits import read_ansatz

EXAMPLES = Path(__file__).parents[2] / "examples"
TRIED_HERE = {"circuit_to_connector", "train_hybridq", "own_circuit", "noisy_estimator"}


@pytest.fixture
def example(monkeypatch, tmp_path) -> Callable[[str], ModuleType]:
    """Load an example by name, to be run in an empty folder with a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def differences(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"largest difference (\S+)", text)]


def test_every_example_is_tried_here():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == TRIED_HERE


@pytest.mark.parametrize("name", sorted(TRIED_HERE))
def test_an_example_says_how_to_run_it(name, example):
    module = example(name)
    assert f"python examples/{name}.py" in module.__doc__
    assert callable(module.main)


def test_circuit_to_connector(example, capsys):
    example("circuit_to_connector").main(
        ["--num-qubits", "2", "--reps", "1", "--count", "2", "--batch", "3", "--steps", "5"]
    )
    text = capsys.readouterr().out
    assert "theta_001" in text
    exact, together = differences(text)[:3], differences(text)[3:]
    assert max(exact) < 1e-10
    # The connectors and the fused path compute in single precision.
    assert len(together) == 2
    assert max(together) < 1e-4
    before, after = map(float, re.search(r"loss (\S+) before, (\S+) after", text).groups())
    assert after < before


def test_train_hybridq(example, capsys):
    example("train_hybridq").main(
        [
            *("--steps", "3", "--batch-size", "4", "--num-qubits", "2", "--sub-generators", "2"),
            *("--resolution", "16", "--outdir", "home"),
        ]
    )
    text = capsys.readouterr().out
    [run] = Path("home").iterdir()
    assert str(run) in text
    assert json.loads((run / "config.json").read_text())["training"]["steps"] == 3
    # Four by four images of 16 pixels, two pixels apart and around.
    assert Image.open(run / "sixteen.png").size == (74, 74)


def test_own_circuit(example, capsys):
    module = example("own_circuit")
    module.main(["--num-qubits", "2", "--layers", "2", "--sub-generators", "2", "--steps", "3"])
    text = capsys.readouterr().out
    assert "2 inputs, 6 weights, 3 observables" in text
    [difference] = differences(text)
    assert difference < 1e-6
    ansatz = read_ansatz("my_circuits/reuploading.qasm")
    assert [observable.to_list()[0][0] for observable in ansatz.observables] == ["IZ", "ZI", "ZZ"]
    [run] = Path("runs").iterdir()
    assert module.largest_difference(ansatz, read_ansatz(run / "circuit.qasm")) < 1e-6
    assert (run / "sixteen.png").is_file()


def test_noisy_estimator(example, capsys):
    example("noisy_estimator").main(["--num-qubits", "2", "--reps", "1", "--batch", "12"])
    text = capsys.readouterr().out
    errors = [float(error) for error in re.findall(r"precision \S+ root mean square error (\S+)", text)]
    # 48 draws: their root mean square is within a third of the precision with certainty for any practical purpose.
    assert errors == pytest.approx([0.1, 0.01, 0.001], rel=0.34)
    assert float(re.search(r"cosine of their angle (\S+)", text)[1]) > 0.95
    shrunk = re.search(r"expectations (\S+) times as large", text)
    assert shrunk is None or float(shrunk[1]) < 1
    assert "images of shape (2, 3, 16, 16)" in text


def test_noisy_estimator_without_aer(example, capsys, monkeypatch):
    module = example("noisy_estimator")
    monkeypatch.setitem(sys.modules, "qiskit_aer.noise", None)
    module.main(["--num-qubits", "2", "--reps", "1", "--batch", "2"])
    assert "qiskit-aer is not installed" in capsys.readouterr().out
