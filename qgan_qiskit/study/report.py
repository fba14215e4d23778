"""What the reports of all studies share: templates, number formats, CSV, pictures."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
from PIL import Image

from qgan_qiskit.errors import CheckpointError, UsageError
from qgan_qiskit.study.study_file import write_output

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NONE = "–"


def check_matplotlib() -> None:
    """Refuse to start without matplotlib, which draws the reports.

    Raises:
        UsageError: it is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("the report needs matplotlib: python -m pip install -e '.[draw]'")


def write_files(folder: Path, files: Mapping[str, bytes | str | None]) -> list[Path]:
    """Write the files of a report, leaving out those that are None, and return their paths.

    Raises:
        StorageError: a file cannot be written.
    """
    paths = []
    for name, content in files.items():
        if content is not None:
            paths.append(folder / name)
            data = content.encode() if isinstance(content, str) else content
            write_output(paths[-1], data, "repeat the command with --report")
    return paths


def results_json(content: Any) -> str:
    """Return ``results.json``: strict JSON, in which numbers that are not finite are null."""
    return json.dumps(_finite(content), indent=1, allow_nan=False, default=str) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV; what a row does not have stays empty."""
    text = io.StringIO()
    columns = list(dict.fromkeys(column for row in rows for column in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def interval_columns(name: str, estimate: Mapping[str, float] | None) -> dict[str, float]:
    """Return the three CSV columns of an estimate: value and both ends of its interval."""
    if estimate is None:
        return {}
    return {name: estimate["mean"], f"{name} low": estimate["low"], f"{name} high": estimate["high"]}


def render(template: str, **context: Any) -> str:
    """Return the page that ``templates/NAME.md.j2`` makes of its context."""
    return _environment().get_template(f"{template}.md.j2").render(**context)


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(  # noqa: S701 - Markdown, not HTML
        loader=jinja2.PackageLoader("qgan_qiskit.study"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "cell": lambda value: str(value).replace("|", "\\|"),
        "fmt": format_value,
        "number": format_number,
        "estimate": format_estimate,
    }
    return environment


def format_value(value: Any, spec: str) -> str:
    """Return a value in a format such as ``.3f``, a dash for None."""
    return NONE if value is None else format(value, spec)


def format_number(value: float | None) -> str:
    """Return three significant digits, never in powers of ten; a dash for None."""
    if value is None:
        return NONE
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3 if size >= 0.01 or size == 0 else 5
    return f"{value:,.{digits}f}"


def format_estimate(estimate: Mapping[str, float] | None, spec: str = ".3g") -> str:
    """Return a value with its interval, such as ``12.3 [11.9, 12.7]``; a dash for None."""
    if estimate is None:
        return NONE
    return f"{estimate['mean']:{spec}} [{estimate['low']:{spec}}, {estimate['high']:{spec}}]"


def to_png(figure: Figure, dpi: int = 110) -> bytes:
    """Return a figure as PNG, without the library's version: equal results give equal bytes."""
    buffer = io.BytesIO()
    metadata: dict[str, Any] = {"Software": None}
    figure.savefig(buffer, format="png", dpi=dpi, metadata=metadata)
    return buffer.getvalue()


def add_legend(axes: Axes, fontsize: int = 7) -> None:
    """Add a legend to axes that have anything to name."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=fontsize)


def read_picture(path: Path) -> np.ndarray:
    """Return the RGB pixels (H, W, 3) of a cell's picture.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    try:
        with Image.open(path) as picture:
            return np.array(picture.convert("RGB"))
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error}); remove the cell.json beside it to run the cell again"
        ) from None
