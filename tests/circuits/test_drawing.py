"""Drawings: text, pictures, LaTeX, and the one-line errors."""

import subprocess
import sys

import pytest
from qiskit.utils import optionals

from qgan_qiskit.circuits import draw, hybridq_ansatz
from qgan_qiskit.errors import CircuitError, StorageError

SMALL = hybridq_ansatz(2, 1)


def test_text():
    assert draw(SMALL, fold=-1) == "\n".join(
        [
            "     ┌───────────┐┌───────────────┐",
            "q_0: ┤ Ry(x_000) ├┤ Ry(theta_000) ├──■──",
            "     ├───────────┤├───────────────┤┌─┴─┐",
            "q_1: ┤ Ry(x_001) ├┤ Ry(theta_001) ├┤ X ├",
            "     └───────────┘└───────────────┘└───┘",
        ]
    )


def test_fold_breaks_lines():
    wide = hybridq_ansatz(3, 4)
    assert max(map(len, draw(wide, fold=60).splitlines())) <= 60
    assert len(draw(wide, fold=-1).splitlines()) == 7


def test_text_goes_to_a_file(tmp_path):
    path = tmp_path / "small.txt"
    assert draw(SMALL, output=path, fold=-1) is None
    assert path.read_text(encoding="utf-8") == draw(SMALL, fold=-1) + "\n"


def test_latex_escapes_the_names_of_parameters():
    source = draw(SMALL, "latex")
    assert source.startswith("\\documentclass")
    assert "\\mathrm{theta\\_001}" in source
    assert "theta_" not in source


@pytest.mark.parametrize(("ending", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".PDF", b"%PDF")])
def test_pictures_by_ending(tmp_path, ending, start):
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    path = tmp_path / f"small{ending}"
    assert draw(SMALL, "mpl", output=path) is None
    assert path.read_bytes().startswith(start)
    assert pyplot.get_fignums() == before


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        ({"style": "ascii"}, "style is 'ascii'"),
        ({"style": "mpl"}, r"no file.*\.png"),
        ({"style": "mpl", "output": "a.txt"}, "'a.txt'"),
        ({"style": "text", "output": "a.png"}, "'a.png'.* style mpl"),
        ({"style": "text", "fold": 19}, "fold is 19.* 20"),
        ({"style": "mpl", "fold": 0, "output": "a.png"}, "fold is 0.* 1"),
    ],
)
def test_invalid_arguments(arguments, pattern):
    with pytest.raises(CircuitError, match=pattern):
        draw(SMALL, **arguments)


@pytest.mark.parametrize(
    ("library", "style", "needs"),
    [
        (optionals.HAS_MATPLOTLIB, "mpl", "matplotlib and pylatexenc"),
        (optionals.HAS_PYLATEX, "mpl", "matplotlib and pylatexenc"),
        (optionals.HAS_PYLATEX, "latex", "pylatexenc"),
    ],
)
def test_missing_library_names_the_extra(tmp_path, library, style, needs):
    output = tmp_path / ("a.png" if style == "mpl" else "a.tex")
    with (
        library.disable_locally(),
        pytest.raises(CircuitError, match=rf"style {style} .*{needs}.*'\.\[draw\]'"),
    ):
        draw(SMALL, style, output=output)
    assert not output.exists()


@pytest.mark.parametrize(("style", "name"), [("text", "a.txt"), ("mpl", "a.png")])
def test_a_folder_that_is_not_there(tmp_path, style, name):
    with pytest.raises(StorageError, match=r"cannot be written \(No such file"):
        draw(SMALL, style, output=tmp_path / "nowhere" / name)


def test_the_package_imports_neither_torch_nor_matplotlib():
    program = "import qgan_qiskit.circuits.reference, sys; print(sorted({'torch', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
