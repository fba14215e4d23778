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

from qgan_qiskit.circuits import read_circuit_spec

EXAMPLES = Path(__file__).parents[2] / "examples"
TRIED_HERE = {
    "circuit_to_connector",
    "train_hybridq",
    "own_circuit",
    "noisy_estimator",
    "run_on_hardware",
    "train_mediq",
    "transfer_learning",
}


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
    ansatz = read_circuit_spec("my_circuits/reuploading.qasm")
    assert [observable.to_list()[0][0] for observable in ansatz.observables] == ["IZ", "ZI", "ZZ"]
    [run] = Path("runs").iterdir()
    assert module.largest_difference(ansatz, read_circuit_spec(run / "circuit.qasm")) < 1e-6
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


def test_run_on_hardware(example, capsys):
    module = example("run_on_hardware")
    module.main(["--steps", "2", "--images", "3", "--backend", "fake:manila"])
    text = "".join(capsys.readouterr())
    # Five qubits in a line hold one circuit of four.
    assert "1 side by side on fake_manila" in text
    without, mitigated = (float(found) for found in re.findall(r"images (\S+) of 255 from the exact ones", text))
    assert 0 < mitigated < 40
    assert 0 < without < 40
    [run] = Path("runs").iterdir()
    # Three rows of three images of 32 pixels.
    assert Image.open(run / "on_hardware.png").size == (104, 104)
    module.main(["--run", str(run), "--images", "2", "--backend", "aer:manila"])
    assert "images per minute" in "".join(capsys.readouterr())


def test_train_mediq(example, capsys):
    example("train_mediq").main(["--steps", "3", "--num-qubits", "2", "--resolution", "16"])
    text = "".join(capsys.readouterr())
    assert "2 prototypes of 32 features from 400 images" in text
    first, run = sorted(Path("runs").iterdir())
    assert (first / "prototypes.npz").is_file()
    assert json.loads((run / "config.json").read_text())["model"]["prototype_width"] == 32
    # Two rows of eight images of 16 pixels.
    assert Image.open(run / "by_class.png").size == (146, 38)
    assert float(re.search(r"differ by (\S+) of 255", text)[1]) > 0


def test_transfer_learning(example, capsys):
    example("transfer_learning").main(["--steps", "1", "--resolution", "16"])
    text = capsys.readouterr().out
    counted = re.findall(r"1\. (\w+): blocks of 15 and 15 weights, (\S+) parameters", text)
    assert [name for name, _ in counted] == ["none", "generator", "discriminator", "both"]
    assert len({number for _, number in counted}) == 1
    assert float(re.search(r"discriminator's circuit: (\S+)", text)[1]) > 0
    assert len(list(Path("runs").iterdir())) == 2
