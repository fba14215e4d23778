"""One measured figure, with everything that another must share to be compared with it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Better = Literal["lower", "higher", "near the floor"]


@dataclass(frozen=True)
class Figure:
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
