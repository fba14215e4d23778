"""Drawings of circuits by Qiskit's drawer, as text, picture or LaTeX, with one-line errors."""

from __future__ import annotations

from pathlib import Path

from qiskit.circuit import QuantumCircuit
from qiskit.exceptions import MissingOptionalLibraryError

from qgan_qiskit.circuits.circuit_spec import CircuitSpec
from qgan_qiskit.errors import CircuitError, StorageError

STYLES = ("text", "mpl", "latex")
_LIBRARIES = {"mpl": "matplotlib and pylatexenc", "latex": "pylatexenc"}
_PICTURE_SUFFIXES = (".png", ".svg", ".pdf")


def draw(
    circuit: CircuitSpec | QuantumCircuit,
    style: str = "text",
    *,
    output: str | Path | None = None,
    fold: int | None = None,
) -> str | None:
    """Draw a circuit, trainable or not.

    Args:
        circuit: what to draw.
        style: ``text`` (box drawing), ``mpl`` (a picture by matplotlib) or ``latex`` (source for the qcircuit package).
        output: file to write. Required for a picture, whose format is the suffix: .png, .svg or .pdf.
        fold: line length: columns of text (at least 20) or layers of a picture (at least 1); -1 never breaks. By default
            text breaks at the width of the terminal and a picture after 25 layers. LaTeX never breaks.

    Returns:
        The drawing or the LaTeX source, or None if it was written to ``output``.

    Raises:
        CircuitError: the style, fold or suffix is invalid, or a library of the ``draw`` extra is missing.
        StorageError: the file cannot be written.
    """
    if style not in STYLES:
        raise CircuitError(f"style is {style!r}; choose one of {', '.join(STYLES)}")
    smallest = 20 if style == "text" else 1
    if fold is not None and fold != -1 and fold < smallest:
        raise CircuitError(f"fold is {fold}; with style {style} give at least {smallest}, or -1 for no line breaks")
    path = None if output is None else Path(output)
    _check_suffix(style, path)
    circuit = circuit.circuit if isinstance(circuit, CircuitSpec) else circuit
    try:
        if style == "mpl" and path is not None:
            _save_picture(circuit, path, fold)
            return None
        drawing = _draw_latex(circuit) if style == "latex" else _draw_text(circuit, fold)
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


def _check_suffix(style: str, path: Path | None) -> None:
    is_picture = path is not None and path.suffix.lower() in _PICTURE_SUFFIXES
    if style == "mpl" and not is_picture:
        given = "no file" if path is None else f"'{path}'"
        raise CircuitError(f"style mpl writes a picture, not {given}; give a file in {', '.join(_PICTURE_SUFFIXES)}")
    if style != "mpl" and is_picture:
        raise CircuitError(f"style {style} writes text, but '{path}' is a picture; use style mpl")


def _draw_text(circuit: QuantumCircuit, fold: int | None) -> str:
    return "\n".join(line.rstrip() for line in str(circuit.draw("text", fold=fold)).splitlines())


def _draw_latex(circuit: QuantumCircuit) -> str:
    source = circuit.draw("latex_source")
    # Qiskit does not escape names, and in math mode theta_000 would lower only the first 0.
    for parameter in circuit.parameters:
        source = source.replace(parameter.name, parameter.name.replace("_", r"\_"))
    return source.rstrip()


def _save_picture(circuit: QuantumCircuit, path: Path, fold: int | None) -> None:
    figure = circuit.draw("mpl", filename=str(path), fold=fold)
    # pyplot keeps every open figure alive.
    from matplotlib import pyplot

    pyplot.close(figure)
