"""Tables of reports."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from qgan_qiskit.stats import Interval

NONE = "–"


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; a class or model may have a bar in its name."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def number_text(value: float) -> str:
    """Return three significant digits, never in powers of ten."""
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3 if size >= 0.01 or size == 0 else 5
    return f"{value:,.{digits}f}"


def spread_text(interval: Interval | None, form: str = ".3g") -> str:
    """Return a figure with its interval, such as ``12.3 [11.9, 12.7]``.

    Args:
        interval: the figure; None where there is none.
        form: number format.
    """
    if interval is None:
        return NONE
    return f"{interval['mean']:{form}} [{interval['low']:{form}}, {interval['high']:{form}}]"


def spread_columns(name: str, interval: Interval | None) -> dict[str, float]:
    """Return the three columns of a CSV file that a figure with its interval has."""
    if interval is None:
        return {}
    return {name: interval["mean"], f"{name} low": interval["low"], f"{name} high": interval["high"]}


def csv_text(lines: Sequence[dict[str, Any]]) -> str:
    """Return lines as CSV; what a line does not have is empty."""
    text = io.StringIO()
    columns = list(dict.fromkeys(column for line in lines for column in line))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()
