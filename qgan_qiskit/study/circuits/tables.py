"""The tables of a study of circuits: Markdown for people, CSV with a line per circuit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qgan_qiskit.analysis.expressibility import BINNINGS
from qgan_qiskit.config.studies import CircuitsConfig
from qgan_qiskit.study.cells import Row
from qgan_qiskit.study.markdown import NONE, csv_text, spread_columns, spread_text, table
from qgan_qiskit.study.study_file import StudyFile

_SHARED = ("circuit", "family", "num_qubits", "reps", "num_inputs", "num_weights", "two_qubit_gates", "seconds")


def csv_table(rows: Sequence[Row]) -> str:
    """Return a line per circuit; each figure has three columns: value and interval."""
    lines = []
    for row in rows:
        line: dict[str, Any] = {name: row[name] for name in _SHARED}
        for binning in BINNINGS:
            found = row["expressibility"][binning]
            name = f"expressibility {binning}"
            line |= spread_columns(name, found)
            line |= {f"{name} {part}": found[part] for part in ("haar", "haar_real", "largest")}
        line |= spread_columns("entangling", row["entangling"])
        line |= {f"entangling {part}": row["entangling"][part] for part in ("haar", "haar_real")}
        for observable in ("local", "global"):
            found = row["gradients"][observable]
            line |= spread_columns(f"{observable} gradient variance", found["variance"])
            line |= {f"{observable} gradient variance {part}": found[part] for part in ("first", "largest")}
        lines.append(line)
    return csv_text(lines)


def markdown_table(study: StudyFile[CircuitsConfig], rows: Sequence[Row], decays: Sequence[dict[str, Any]]) -> str:
    """Return the tables of states, of gradients and of their fall, and what a reader must know."""
    parts = [_states(rows), _gradients(rows), _decays(decays), _notes(study)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _states(rows: Sequence[Row]) -> str:
    head = [
        "circuit", "qubits", "reps", "weights", "expressibility", "Haar", "Haar, real", "largest possible",
        "expressibility, equal bins", "Haar", "Haar, real", "entangling capability", "Haar", "Haar, real",
    ]  # fmt: skip
    body = []
    for row in rows:
        cells = [row["circuit"], str(row["num_qubits"]), _reps(row), str(row["num_weights"])]
        for binning in BINNINGS:
            found = row["expressibility"][binning]
            cells += [spread_text(found), f"{found['haar']:.3g}", f"{found['haar_real']:.3g}"]
            if binning == "equal_width":
                cells.append(f"{found['largest']:.4g}")
        found = row["entangling"]
        cells += [spread_text(found), f"{found['haar']:.3f}", f"{found['haar_real']:.3f}"]
        body.append(cells)
    return "## States with random angles\n\n" + table(head, body)


def _gradients(rows: Sequence[Row]) -> str:
    head = ["circuit", "qubits", "reps"]
    for observable in ("local", "global"):
        head += [f"variance, {observable}", "first weight", "largest"]
    body = []
    for row in rows:
        cells = [row["circuit"], str(row["num_qubits"]), _reps(row)]
        for observable in ("local", "global"):
            found = row["gradients"][observable]
            cells += [spread_text(found["variance"]), f"{found['first']:.3g}", f"{found['largest']:.3g}"]
        body.append(cells)
    return "## Variance of the gradient\n\n" + table(head, body)


def _decays(decays: Sequence[dict[str, Any]]) -> str:
    body = [
        [
            decay["family"],
            str(decay["reps"]),
            decay["observable"],
            ", ".join(str(size) for size in decay["qubits"]),
            f"{decay['rate']:.3f} [{decay['low']:.3f}, {decay['high']:.3f}]",
        ]
        for decay in decays
    ]
    head = ["family", "reps", "observable", "qubits", "rate per qubit"]
    return "## Its fall: variance ~ exp(-rate x qubits)\n\n" + table(head, body) if body else ""


def _reps(row: Row) -> str:
    return NONE if row["reps"] is None else str(row["reps"])


def _notes(study: StudyFile[CircuitsConfig]) -> str:
    settings = study.settings
    notes = [
        "All angles, inputs and weights alike, are uniform in [0, 2 pi). In brackets: 95 % intervals.",
        f"Expressibility (Sim et al. 2019): divergence of the fidelities of {settings.samples:,} pairs of states from Haar's, in "
        f"nats, {settings.bins} bins of equal width; lower is nearer to Haar. Equal bins: the same with bins that hold equal "
        "shares of Haar's fidelities, which still says something where nearly all of these lie in one bin of equal width.",
        "Haar: the same estimate for as many true Haar states, which is not 0 for finitely many. Haar, real: for states with "
        "real amplitudes, the nearest that a circuit of RY, CX and CZ can come. Largest possible: a circuit that always makes "
        "one state.",
        f"Entangling capability (Sim et al. 2019): mean Meyer-Wallach entanglement of {settings.samples:,} states; 0 for product "
        "states, 1 at most.",
        f"Variance of the gradient (McClean et al. 2018) over {settings.gradient_samples:,} sets of angles: mean over all "
        "weights, that of the first weight, and the largest. Local: a Pauli on the middle qubit; global: on all qubits.",
        "A 2-design falls at a rate of about ln 2 = 0.69 per qubit.",
    ]
    notes += [f"Made by `{command}`." for command in study.commands]
    return "\n".join(f"- {note}" for note in notes)
