"""Drawings of a circuit, by Qiskit's own drawer."""

from __future__ import annotations

from pathlib import Path

from qiskit.circuit import QuantumCircuit
from qiskit.exceptions import MissingOptionalLibraryError

from qgan_qiskit.circuits.circuit_spec import CircuitSpec
from qgan_qiskit.errors import CircuitError, StorageError

STYLES = ("text", "mpl", "latex")
_LIBRARIES = {"mpl": "matplotlib and pylatexenc", "latex": "pylatexenc"}
_PICTURES = (".png", ".svg", ".pdf")


def draw(
    ansatz: CircuitSpec | QuantumCircuit,
    style: str = "text",
    *,
    output: str | Path | None = None,
    fold: int | None = None,
) -> str | None:
    """Draw a circuit.

    Args:
        ansatz: what to draw; or a circuit that need not be one that can be trained.
        style: ``text`` (box drawing), ``mpl`` (a picture by matplotlib) or ``latex`` (source for the qcircuit package).
        output: file to write. A picture needs one; its name ends in .png, .svg or .pdf, and that decides the format.
        fold: where to break lines: columns of text (at least 20) or layers of a picture (at least 1); -1 never breaks.
            Without it text breaks at the width of the terminal and a picture after 25 layers. LaTeX never breaks.

    Returns:
        The drawing or the LaTeX source, or None if it went to ``output``.

    Raises:
        CircuitError: if the style, the fold or the file's ending does not fit, or if a library of the ``draw`` extra is
            missing.
        StorageError: if the file cannot be written.
    """
    if style not in STYLES:
        raise CircuitError(f"style is {style!r}; choose one of {', '.join(STYLES)}")
    smallest = 20 if style == "text" else 1
    if fold is not None and fold != -1 and fold < smallest:
        raise CircuitError(f"fold is {fold}; with style {style} give at least {smallest}, or -1 for no breaks")
    path = None if output is None else Path(output)
    _check_ending(style, path)
    circuit = ansatz.circuit if isinstance(ansatz, CircuitSpec) else ansatz
    try:
        if style == "mpl" and path is not None:
            _save_picture(circuit, path, fold)
            return None
        drawing = _latex(circuit) if style == "latex" else _text(circuit, fold)
        if path is None:
            return drawing
        path.write_text(drawing + "\n", encoding="utf-8", newline="\n")
    except MissingOptionalLibraryError as error:
        raise CircuitError(
            f"style {style} needs {_LIBRARIES[style]}; install with: python -m pip install -e '.[draw]'"
        ) from error
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror or error})") from error
    return None


def _check_ending(style: str, path: Path | None) -> None:
    picture = path is not None and path.suffix.lower() in _PICTURES
    if style == "mpl" and not picture:
        name = "no file" if path is None else f"'{path}'"
        raise CircuitError(
            f"style mpl writes a picture, and {name} was given; name one ending in {', '.join(_PICTURES)}"
        )
    if style != "mpl" and picture:
        raise CircuitError(f"style {style} writes text, and '{path}' is a picture; use style mpl")


def _text(circuit: QuantumCircuit, fold: int | None) -> str:
    drawing = str(circuit.draw("text", fold=fold))
    return "\n".join(line.rstrip() for line in drawing.splitlines())


def _latex(circuit: QuantumCircuit) -> str:
    source = circuit.draw("latex_source")
    # Qiskit writes a name as it is, and in math mode theta_000 would be a theta with one lowered 0 and two beside it.
    for parameter in circuit.parameters:
        source = source.replace(parameter.name, parameter.name.replace("_", r"\_"))
    return source.rstrip()


def _save_picture(circuit: QuantumCircuit, path: Path, fold: int | None) -> None:
    figure = circuit.draw("mpl", filename=str(path), fold=fold)
    # pyplot keeps every open figure alive.
    from matplotlib import pyplot

    pyplot.close(figure)
