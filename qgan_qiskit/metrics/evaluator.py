"""Measures sets of generated images against real ones, whose features are computed once.

Shape letters: N real images · M generated images · T training images · H held-out images, then H W C of an image.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from qgan_qiskit.config import PIXEL_METRICS, EvaluationConfig, MetricName
from qgan_qiskit.errors import DataError
from qgan_qiskit.metrics import estimates as measures
from qgan_qiskit.metrics.estimates import Estimate
from qgan_qiskit.metrics.features import FeatureCache, FeatureExtractor, FeatureSet, open_network
from qgan_qiskit.metrics.inception import OFFICIAL, Inception
from qgan_qiskit.metrics.memorization import CopySearch, Found
from qgan_qiskit.metrics.precision_recall import FEWEST as FEWEST_NEIGHBOURS
from qgan_qiskit.metrics.results import MetricResult
from qgan_qiskit.metrics.ssim import scales
from qgan_qiskit.stats import Bootstrap, shuffle_indices

# Images needed on each side, where that is more than one.
_FEWEST: dict[MetricName, int] = {"fid": 2, "kid": 2, "ms-ssim": 2, "prdc": FEWEST_NEIGHBOURS}
_MEASURES = {
    "fid": measures.fid,
    "kid": measures.kid,
    "is": measures.inception,
    "ssim": measures.ssim_to_nearest,
    "ms-ssim": measures.ms_ssim_of_pairs,
    "prdc": measures.neighbors,
}


class Evaluator:
    """Holds the real images, and measures one set of generated images after the other against them.

    Attributes:
        names: metrics that will be measured.
        notes: sentences on what the weights file lacks, and on what is left out and why.
        number: real images of each measurement; as many generated ones are the fair number.
    """

    def __init__(
        self,
        config: EvaluationConfig,
        real_NHWC: np.ndarray,
        held_out_HHWC: np.ndarray | None = None,
        *,
        training_THWC: np.ndarray | None = None,
        device: torch.device | None = None,
        progress: bool = False,
        cache_dir: Path | None = None,
    ) -> None:
        """Read the weights and refuse what cannot be measured; features are computed with the first measurement.

        Args:
            config: what to measure, and how. With metrics ``all``, what cannot be measured is left out and noted.
            real_NHWC: uint8 of shape (N, H, W, 3); a seeded choice of ``config.metrics_number`` is measured against.
            held_out_HHWC: real images that the generator was not trained on, for the search for copies.
            training_THWC: the images it was trained on; None: the real ones; empty: they are not at hand.
            device: where the network runs; None for the processor.
            progress: show a bar on a terminal while features are computed.
            cache_dir: folder in which features of real images are kept; None: they are not.

        Raises:
            DataError: weights that cannot be used, images of unequal sizes, or too few for a metric asked for by name.
        """
        self.config, self._real_NHWC = config, real_NHWC
        training_THWC = real_NHWC if training_THWC is None else training_THWC
        self._check(real_NHWC, "real")
        if len(training_THWC):
            self._check(training_THWC, "training")
        if held_out_HHWC is not None:
            self._check(held_out_HHWC, "held-out")
        self.number = min(config.metrics_number, len(real_NHWC))
        # Two disjoint sets of real images, as large as the measured ones if there are enough.
        self._half = min(config.metrics_number, len(real_NHWC) // 2)
        chosen = shuffle_indices(len(real_NHWC), config.evaluation_seed, "real images")
        self._rows = chosen[: max(self.number, 2 * self._half)]
        self._searched_NHWC = training_THWC
        opened = open_network(config)
        self.names, self.notes = self._possible(None if opened is None else opened[0])
        self._reader: FeatureExtractor | None = None
        self._copies: CopySearch | None = None
        if opened is not None and set(self.names) - set(PIXEL_METRICS):
            self._reader = FeatureExtractor(
                *opened,
                "is" in self.names,
                device or torch.device("cpu"),
                progress=progress,
                cache=None if cache_dir is None else FeatureCache(cache_dir),
            )
            if "memorization" in self.names:
                self._copies = CopySearch(self._reader, training_THWC, held_out_HHWC)
        self._measured: tuple[FeatureSet, Found] | None = None

    def measure(self, fake_NHWC: np.ndarray) -> list[MetricResult]:
        """Return all figures of a set of generated images.

        Args:
            fake_NHWC: uint8 of the shape (M, H, W, 3) of the real images; ``self.number`` of them for a fair comparison.

        Raises:
            DataError: another size than the real images, or too few.
        """
        self._check(fake_NHWC, "generated")
        for name in self.names:
            if len(fake_NHWC) < _FEWEST.get(name, 1):
                raise DataError(
                    f"{name} cannot be measured: at least {_FEWEST[name]} generated images are needed, not {len(fake_NHWC)}"
                )
        fake = self._read(fake_NHWC)
        bootstrap = Bootstrap(self.config.bootstrap, self.config.evaluation_seed)
        figures = []
        for name in self.names:
            if name in _MEASURES:
                estimates = _MEASURES[name](self._real[: self.number], fake, bootstrap)
                floors: list[float | None] = [*self._floors.get(name, [None] * len(estimates))]
            else:
                estimates = self._look_for_copies(fake, bootstrap)
                floors = [estimate.floor for estimate in estimates]
            figures += [
                self._figure(name, estimate, floor, len(fake))
                for estimate, floor in zip(estimates, floors, strict=True)
            ]
        return figures

    def pairs_picture(self, rows: int = 8) -> Image.Image:
        """Return a picture of the samples measured last that come nearest to training images, beside these.

        Args:
            rows: pairs, the closest first.

        Raises:
            ValueError: nothing has been measured, or memorization is not among the metrics.
        """
        if self._copies is None or self._measured is None:
            raise ValueError("the picture needs a measurement with memorization among its metrics")
        return self._copies.picture(*self._measured, rows)

    def _look_for_copies(self, fake: FeatureSet, bootstrap: Bootstrap) -> list[Estimate]:
        assert self._copies is not None
        found = self._copies.find(fake)
        self._measured = fake, found
        return measures.copying(found.distances_N, self._copies.held_out_distances, bootstrap)

    @cached_property
    def _real(self) -> FeatureSet:
        """The chosen real images, in their random order."""
        if self._copies is not None and self._searched_NHWC is self._real_NHWC:
            return self._copies.training[self._rows]
        real_NHWC = self._real_NHWC[self._rows]
        return FeatureSet.unread(real_NHWC) if self._reader is None else self._reader.read_real(real_NHWC)

    @cached_property
    def _floors(self) -> dict[MetricName, list[float]]:
        """Each metric between two disjoint halves of the real images, where they have enough images."""
        first, second = self._real[: self._half], self._real[self._half : 2 * self._half]
        once = Bootstrap(0, self.config.evaluation_seed)
        return {
            name: [estimate.value for estimate in _MEASURES[name](first, second, once)]
            for name in self.names
            if name in _MEASURES and self._half >= _FEWEST.get(name, 1)
        }

    def _read(self, images_NHWC: np.ndarray) -> FeatureSet:
        return FeatureSet.unread(images_NHWC) if self._reader is None else self._reader.read(images_NHWC)

    def _figure(self, metric: MetricName, estimate: Estimate, floor: float | None, number: int) -> MetricResult:
        low, high = estimate.interval()
        reader = None if metric in PIXEL_METRICS else self._reader
        searched = self._copies if metric == "memorization" else None
        halves = floor is not None and metric != "memorization"
        return MetricResult(
            metric=metric,
            name=estimate.name,
            value=estimate.value,
            low=low,
            high=high,
            floor=floor,
            floor_number=self._half if halves else None,
            better=estimate.better,
            real_number=self.number if searched is None else len(searched.training),
            fake_number=number,
            tap=None if reader is None or metric == "is" else int(reader.tap),
            resize=None if reader is None else self.config.resize,
            weights_digest=None if reader is None else reader.network.digest,
            seed=self.config.evaluation_seed,
        )

    def _possible(self, network: Inception | None) -> tuple[tuple[MetricName, ...], tuple[str, ...]]:
        """Return the metrics that can be measured, and sentences about the others."""
        names: list[MetricName] = []
        left_out: dict[str, list[str]] = {}
        for name in self.config.names():
            obstacle = self._obstacle(name, network)
            if obstacle and self.config.metrics != "all":
                raise DataError(f"{name} cannot be measured: {obstacle}")
            if obstacle:
                left_out.setdefault(obstacle, []).append(name)
            else:
                names.append(name)
        notes = [f"left out {', '.join(group)}: {obstacle}" for obstacle, group in left_out.items()]
        if network is not None and network.lacks:
            notes.insert(0, f"{network.lacks}; figures at another tap are on another scale")
        return tuple(names), tuple(notes)

    def _obstacle(self, name: MetricName, network: Inception | None) -> str:
        """Return why a metric cannot be measured; empty where it can."""
        fewest, side = _FEWEST.get(name, 1), self._real_NHWC.shape[1]
        if name not in PIXEL_METRICS and network is None:
            return f"there are no --fid-weights, a file of Inception weights such as {OFFICIAL}"
        if name == "is" and network is not None and not network.has_logits:
            return f"{network.lacks}, and no class logits; {OFFICIAL} has them"
        if name == "memorization" and not len(self._searched_NHWC):
            return "the images that were trained on are not at hand"
        if len(self._real_NHWC) < fewest:
            return f"at least {fewest} real images are needed, not {len(self._real_NHWC)}"
        if name == "ms-ssim" and not scales(side):
            return f"images of at least 11 pixels a side are needed, not {side}"
        return ""

    def _check(self, images_NHWC: np.ndarray, what: str) -> None:
        shape = images_NHWC.shape
        if images_NHWC.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3:
            raise ValueError(f"{what} images must be uint8 of shape (N, H, W, 3), not {images_NHWC.dtype} {shape}")
        if not len(images_NHWC):
            raise DataError(f"there are no {what} images to measure")
        wanted = self._real_NHWC.shape
        if shape[1:] != wanted[1:]:
            raise DataError(
                f"{what} images are {shape[2]}x{shape[1]} pixels and the real ones {wanted[2]}x{wanted[1]}: only equal "
                "sizes can be compared"
            )
