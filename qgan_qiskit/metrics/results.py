"""One measured figure, with everything that another must share to be compared with it.

Figures of several sets of generated images as one table of plain text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Better = Literal["lower", "higher", "near the floor"]


@dataclass(frozen=True)
class MetricResult:
    """A value, its interval, what real images reach, and how it was measured.

    Attributes:
        metric: the setting that asked for it, such as ``"fid"``.
        name: what it is called in a table, such as ``"FID, 768-d"``.
        value: the figure.
        low: lower end of its 95 % interval; None without resamplings, or with too few images for any.
        high: upper end.
        floor: the same figure of real images against other real images; None where there is none.
        floor_number: images on each side of the floor.
        better: ``"near the floor"`` where both ends are bad, as with a similarity: 1 would be a copy.
        real_number: real images it was measured against.
        fake_number: generated images.
        tap: width of the Inception layer; None where pixels are compared, or class probabilities.
        resize: filter to Inception's size; None where no network is used.
        weights_digest: SHA-256 of the weights file; None where no network is used.
        seed: of the choice of images, pairs and resamplings.
    """

    metric: str
    name: str
    value: float
    low: float | None
    high: float | None
    floor: float | None
    floor_number: int | None
    better: Better
    real_number: int
    fake_number: int
    tap: int | None
    resize: str | None
    weights_digest: str | None
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """Return the attributes, ready for JSON."""
        return asdict(self)


_FLOOR, _BETTER = "real against real", "better"


def table_text(figures: Mapping[str, Sequence[MetricResult]], width: int = 120) -> str:
    """Return rows of runs and columns of figures, with the floor, the better direction, and how all was measured.

    Args:
        figures: label of a run -> its figures; the same ones for each.
        width: characters of a line; a table that is wider is cut into several below each other.
    """
    first = next(iter(figures.values()))
    columns = [["", *figures, _FLOOR, _BETTER]]
    for place, figure in enumerate(first):
        cells = [_cell(row[place]) for row in figures.values()]
        columns.append([figure.name, *cells, _number(figure.floor), figure.better])
    return "\n\n".join([*_blocks(columns, width), _caption(first)])


def _blocks(columns: list[list[str]], width: int) -> list[str]:
    """Return the table in as many blocks as its width takes, each with the labels."""
    padded = [[cell.ljust(max(map(len, column))) for cell in column] for column in columns]
    labels, rest = padded[0], padded[1:]
    blocks = []
    while rest:
        count = 1
        while count < len(rest) and len(labels[0]) + sum(2 + len(c[0]) for c in rest[: count + 1]) <= width:
            count += 1
        rows = zip(labels, *rest[:count], strict=True)
        blocks.append("\n".join("  ".join(row).rstrip() for row in rows))
        rest = rest[count:]
    return blocks


def _cell(figure: MetricResult) -> str:
    if figure.low is None or figure.high is None:
        return _number(figure.value)
    return f"{_number(figure.value)} [{_number(figure.low)}, {_number(figure.high)}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _caption(figures: Sequence[MetricResult]) -> str:
    """Return how the figures were measured; a figure whose number of real images is its own says so."""
    usual = figures[0]
    lines = [f"{usual.real_number:,} real and {usual.fake_number:,} generated images, seed {usual.seed}"]
    networks = {(figure.resize, figure.weights_digest) for figure in figures if figure.weights_digest is not None}
    taps = sorted({figure.tap for figure in figures if figure.tap is not None})
    for resize, digest in networks:
        tap = f"tap {taps[0]}, " if taps else ""
        lines.append(f"Inception: {tap}{resize} to 299x299, weights {str(digest)[:12]}")
    halves = {figure.floor_number for figure in figures if figure.floor_number is not None}
    for number in halves:
        lines.append(f"{_FLOOR}: {number:,} real images against {number:,} others")
    searched = next((figure for figure in figures if figure.metric == "memorization"), None)
    if searched is not None:
        compared = (
            "the floor is that of held-out images" if searched.floor is not None else "there are no held-out images"
        )
        lines.append(f"copies: nearest of all {searched.real_number:,} training images; {compared}")
    if any(figure.low is not None for figure in figures):
        lines.append("in brackets: 95 % intervals")
    return "\n".join(lines)
