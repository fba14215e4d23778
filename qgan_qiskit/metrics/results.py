"""What metrics return: an estimate, the measured result with the conditions it depends on, and a plain-text table of results.

Shape letters: N images · R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from qgan_qiskit.errors import UsageError
from qgan_qiskit.stats import Bootstrap, normal_interval, wilson_interval

Better = Literal["lower", "higher", "near the baseline"]
BASELINE = "real-vs-real baseline"


@contextmanager
def explain_missing_extra() -> Iterator[None]:
    """Turn a failed import of an optional library into an error that says how to install it.

    Raises:
        UsageError: the library is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = str(error.name).partition(".")[0]
        raise UsageError(f'{library} is not installed: pip install "qgan_qiskit[metrics]"') from None


@dataclass(frozen=True, eq=False)
class Estimate:
    """The value of one metric on the whole sets, with what its interval follows from."""

    name: str  # column title, such as "FID, 768-d"
    value: float
    better: Better
    resampled_R: np.ndarray | None = None  # the metric on each resample; None without resampling
    lowest: float = -math.inf  # bounds of the metric
    highest: float = math.inf
    fraction_of: int | None = None  # number of images the value is a fraction of, if it is one
    baseline: float | None = None  # what new real images reach, unless that comes from two halves of the real images

    def interval(self) -> tuple[float, float] | tuple[None, None]:
        """Return the 95 % interval, or (None, None) without resampling."""
        if self.resampled_R is None:
            return None, None
        low, high = normal_interval(self.value, self.resampled_R, self.lowest, self.highest)
        if self.fraction_of is not None:
            wilson_low, wilson_high = wilson_interval(self.value, self.fraction_of)
            low, high = min(low, wilson_low), max(high, wilson_high)
        return low, high


def estimate_mean(
    name: str,
    values_N: np.ndarray,
    better: Better,
    bootstrap: Bootstrap,
    purpose: str,
    *,
    lowest: float,
    highest: float,
    fraction: bool = False,
) -> Estimate:
    """Return the estimate of a metric that is the mean of one value per image; of a fraction, these are 0 or 1."""
    resampled = bootstrap.resample(purpose, lambda values_N, counts_RN: counts_RN @ values_N / len(values_N), values_N)
    of = len(values_N) if fraction else None
    return Estimate(name, float(values_N.mean()), better, resampled, lowest, highest, of)


@dataclass(frozen=True)
class MetricResult:
    """A metric's value and 95 % interval, its real-vs-real baseline, and the conditions that comparable results share."""

    metric: str  # the setting that asked for it, such as "fid"
    name: str  # column title, such as "FID, 768-d"
    value: float
    low: float | None  # None without resampling, or with too few images
    high: float | None
    baseline: float | None  # the same metric of real images against other real images
    baseline_number: int | None  # images on each side of the baseline
    better: Better  # "near the baseline" if both extremes are bad, as with a similarity: 1 would be a copy
    real_number: int
    fake_number: int
    feature_layer: int | None  # width of the Inception layer; None if pixels or class probabilities are compared
    resize: str | None  # filter to Inception's size; None without a network
    weights_digest: str | None  # SHA-256 of the weights file; None without a network
    seed: int  # of the choice of images, pairs and resamples

    def as_dict(self) -> dict[str, Any]:
        """Return the attributes, ready for JSON."""
        return asdict(self)


def format_table(results: Mapping[str, Sequence[MetricResult]], width: int = 120) -> str:
    """Return one row per run and one column per metric, the baseline, the better direction, and the conditions.

    Args:
        results: label of a run -> its results; the same metrics for each.
        width: characters per line; a wider table is split into blocks of columns.
    """
    first = next(iter(results.values()))
    columns = [["", *results, BASELINE, "better"]]
    for index, result in enumerate(first):
        cells = [_format_cell(row[index]) for row in results.values()]
        columns.append([result.name, *cells, _format_number(result.baseline), result.better])
    return "\n\n".join([*_split_columns(columns, width), "\n".join(_describe_conditions(first))])


def _split_columns(columns: list[list[str]], width: int) -> Iterator[str]:
    """Yield blocks of columns that fit the width, each with the row labels."""
    labels, *rest = [[cell.ljust(max(map(len, column))) for cell in column] for column in columns]
    while rest:
        count = 1
        while count < len(rest) and len(labels[0]) + sum(2 + len(c[0]) for c in rest[: count + 1]) <= width:
            count += 1
        rows = zip(labels, *rest[:count], strict=True)
        yield "\n".join("  ".join(row).rstrip() for row in rows)
        rest = rest[count:]


def _format_cell(result: MetricResult) -> str:
    if result.low is None or result.high is None:
        return _format_number(result.value)
    return f"{_format_number(result.value)} [{_format_number(result.low)}, {_format_number(result.high)}]"


def _format_number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _describe_conditions(results: Sequence[MetricResult]) -> Iterator[str]:
    """Yield lines on the images, network, baseline and intervals behind the results of one run."""
    first = results[0]
    yield f"{first.real_number:,} real and {first.fake_number:,} generated images, seed {first.seed}"
    layer = next((f"feature layer {r.feature_layer}, " for r in results if r.feature_layer is not None), "")
    for resize, digest in {(r.resize, r.weights_digest) for r in results if r.weights_digest is not None}:
        yield f"Inception: {layer}{resize} to 299x299, weights {str(digest)[:12]}"
    for number in {result.baseline_number for result in results if result.baseline_number is not None}:
        yield f"{BASELINE}: {number:,} real images against {number:,} others"
    memorization = next((result for result in results if result.metric == "memorization"), None)
    if memorization is not None:
        held_out = "there are no held-out images" if memorization.baseline is None else "baseline: held-out images"
        yield f"memorization: nearest of all {memorization.real_number:,} training images; {held_out}"
    if any(result.low is not None for result in results):
        yield "in brackets: 95 % intervals"
