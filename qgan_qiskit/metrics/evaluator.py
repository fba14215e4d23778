"""Measures sets of generated images against real ones, whose features are computed once.

Shape letters: N real images · M generated images · T training images · H held-out images, then H W C of an image.
"""

from __future__ import annotations

from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from qgan_qiskit.config import PIXEL_METRICS, EvaluationConfig, MetricName
from qgan_qiskit.errors import DataError, UsageError
from qgan_qiskit.metrics.features import FeatureExtractor, FeatureSet, load_inception
from qgan_qiskit.metrics.fid import estimate_fid
from qgan_qiskit.metrics.inception import OFFICIAL, Inception
from qgan_qiskit.metrics.inception_score import estimate_inception_score
from qgan_qiskit.metrics.kid import estimate_kid
from qgan_qiskit.metrics.memorization import NearestImages, NearestTrainingSearch, estimate_memorization
from qgan_qiskit.metrics.precision_recall import MIN_IMAGES, estimate_precision_recall
from qgan_qiskit.metrics.results import Estimate, MetricResult
from qgan_qiskit.metrics.ssim import MIN_SIDE, count_scales, estimate_ms_ssim, estimate_ssim
from qgan_qiskit.stats import Bootstrap, shuffle_indices

# Memorization is missing here: it compares with all training images instead of two sets of equal size.
_ESTIMATORS = {
    "fid": estimate_fid,
    "kid": estimate_kid,
    "is": estimate_inception_score,
    "ssim": estimate_ssim,
    "ms-ssim": estimate_ms_ssim,
    "prdc": estimate_precision_recall,
}
# Images needed on each side, where that is more than one.
_MIN_IMAGES: dict[MetricName, int] = {"fid": 2, "kid": 2, "ms-ssim": 2, "prdc": MIN_IMAGES}
# Libraries of the extra "metrics".
_LIBRARIES: dict[MetricName, str] = {
    "kid": "torch_fidelity",
    "is": "torch_fidelity",
    "ssim": "torchmetrics",
    "ms-ssim": "torchmetrics",
}


class Evaluator:
    """Holds the real images and measures sets of generated images against them.

    Attributes:
        metrics: the metrics that will be measured.
        notes: sentences on what the weights file lacks, and on which metrics are left out and why.
        sample_size: number of real images in a measurement; a fair comparison has as many generated ones.
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
        """Load the weights and refuse what cannot be measured; features are computed with the first measurement.

        Args:
            config: what to measure, and how. With metrics ``all``, what cannot be measured is left out and noted.
            real_NHWC: uint8 of shape (N, H, W, 3); ``config.metrics_number`` of them, chosen by the seed, are used.
            held_out_HHWC: real images that the generator was not trained on, for the memorization metrics.
            training_THWC: the images it was trained on; None: the real ones; empty: not available.
            device: where the network runs; None for the CPU.
            progress: show a progress bar on a terminal while features are computed.
            cache_dir: folder of cached features of real images; None for no cache.

        Raises:
            DataError: weights that cannot be used, images of unequal sizes, or too few for a metric asked for by name.
            UsageError: the library of a metric asked for by name is not installed.
        """
        self.config, self._real_NHWC = config, real_NHWC
        self._training_THWC = real_NHWC if training_THWC is None else training_THWC
        self._check_images(real_NHWC, "real")
        if len(self._training_THWC):
            self._check_images(self._training_THWC, "training")
        if held_out_HHWC is not None:
            self._check_images(held_out_HHWC, "held-out")
        self.sample_size = min(config.metrics_number, len(real_NHWC))
        # The baseline compares two disjoint sets of real images, as large as the measured ones if there are enough.
        self._half = min(config.metrics_number, len(real_NHWC) // 2)
        shuffled = shuffle_indices(len(real_NHWC), config.evaluation_seed, "real images")
        self._rows = shuffled[: max(self.sample_size, 2 * self._half)]
        loaded = load_inception(config)
        self.metrics, self.notes = self._select_metrics(None if loaded is None else loaded[0])
        self._extractor: FeatureExtractor | None = None
        self._search: NearestTrainingSearch | None = None
        if loaded is not None and set(self.metrics) - set(PIXEL_METRICS):
            self._extractor = FeatureExtractor(
                *loaded, "is" in self.metrics, device or torch.device("cpu"), progress=progress, cache_dir=cache_dir
            )
            if "memorization" in self.metrics:
                self._search = NearestTrainingSearch(self._extractor, self._training_THWC, held_out_HHWC)
        self._last: tuple[FeatureSet, NearestImages] | None = None

    def measure(self, fake_NHWC: np.ndarray) -> list[MetricResult]:
        """Return all results of a set of generated images.

        Args:
            fake_NHWC: uint8 of the size of the real images; ``self.sample_size`` of them for a fair comparison.

        Raises:
            DataError: another size than the real images, or too few.
        """
        self._check_images(fake_NHWC, "generated")
        for metric in self.metrics:
            if len(fake_NHWC) < (needed := _MIN_IMAGES.get(metric, 1)):
                raise DataError(
                    f"{metric} cannot be measured: at least {needed} generated images are needed, not {len(fake_NHWC)}"
                )
        fake = FeatureSet.from_outputs(fake_NHWC) if self._extractor is None else self._extractor.extract(fake_NHWC)
        bootstrap = Bootstrap(self.config.bootstrap, self.config.evaluation_seed)
        results = []
        for metric in self.metrics:
            if metric == "memorization":
                assert self._search is not None
                nearest = self._search.find(fake)
                self._last = fake, nearest
                estimates = estimate_memorization(nearest.distances_N, self._search.held_out_distances, bootstrap)
                baselines = [estimate.baseline for estimate in estimates]
            else:
                estimates = _ESTIMATORS[metric](self._real[: self.sample_size], fake, bootstrap)
                baselines = [*self._baselines.get(metric, [None] * len(estimates))]
            pairs = zip(estimates, baselines, strict=True)
            results += [self._make_result(metric, estimate, baseline, len(fake)) for estimate, baseline in pairs]
        return results

    def draw_closest_pairs(self, rows: int = 8) -> Image.Image:
        """Return a picture of those samples of the last measurement that are nearest to training images, beside these.

        Raises:
            ValueError: nothing has been measured, or memorization is not among the metrics.
        """
        if self._search is None or self._last is None:
            raise ValueError("the picture needs a measurement with memorization among its metrics")
        return self._search.draw_closest_pairs(*self._last, rows)

    @cached_property
    def _real(self) -> FeatureSet:
        """The chosen real images in random order."""
        if self._search is not None and self._training_THWC is self._real_NHWC:
            return self._search.training[self._rows]
        real_NHWC = self._real_NHWC[self._rows]
        return (
            FeatureSet.from_outputs(real_NHWC)
            if self._extractor is None
            else self._extractor.extract(real_NHWC, cached=True)
        )

    @cached_property
    def _baselines(self) -> dict[MetricName, list[float | None]]:
        """Each metric between two disjoint halves of the real images, where these are large enough."""
        first, second = self._real[: self._half], self._real[self._half : 2 * self._half]
        no_bootstrap = Bootstrap(0, self.config.evaluation_seed)
        return {
            metric: [estimate.value for estimate in _ESTIMATORS[metric](first, second, no_bootstrap)]
            for metric in self.metrics
            if metric in _ESTIMATORS and self._half >= _MIN_IMAGES.get(metric, 1)
        }

    def _make_result(
        self, metric: MetricName, estimate: Estimate, baseline: float | None, fake_number: int
    ) -> MetricResult:
        low, high = estimate.interval()
        extractor = None if metric in PIXEL_METRICS else self._extractor
        search = self._search if metric == "memorization" else None
        return MetricResult(
            metric=metric,
            name=estimate.name,
            value=estimate.value,
            low=low,
            high=high,
            baseline=baseline,
            baseline_number=None if baseline is None or metric == "memorization" else self._half,
            better=estimate.better,
            real_number=self.sample_size if search is None else len(search.training),
            fake_number=fake_number,
            feature_layer=None if extractor is None or metric == "is" else int(extractor.layer),
            resize=None if extractor is None else self.config.resize,
            weights_digest=None if extractor is None else extractor.network.digest,
            seed=self.config.evaluation_seed,
        )

    def _select_metrics(self, network: Inception | None) -> tuple[tuple[MetricName, ...], tuple[str, ...]]:
        """Return the metrics that can be measured, and sentences about the others."""
        metrics: list[MetricName] = []
        left_out: dict[str, list[str]] = {}
        for metric in self.config.names():
            library, obstacle = _LIBRARIES.get(metric), self._find_obstacle(metric, network)
            if library is not None and find_spec(library) is None:
                obstacle = f'{library} is not installed: pip install "qgan_qiskit[metrics]"'
                if self.config.metrics != "all":
                    raise UsageError(f"{metric} cannot be measured: {obstacle}")
            if obstacle and self.config.metrics != "all":
                raise DataError(f"{metric} cannot be measured: {obstacle}")
            if obstacle:
                left_out.setdefault(obstacle, []).append(metric)
            else:
                metrics.append(metric)
        notes = [f"left out {', '.join(group)}: {obstacle}" for obstacle, group in left_out.items()]
        if network is not None and network.limitation:
            notes.insert(0, f"{network.limitation}; results at different feature layers are not comparable")
        return tuple(metrics), tuple(notes)

    def _find_obstacle(self, metric: MetricName, network: Inception | None) -> str:
        """Return why a metric cannot be measured; empty if it can."""
        needed, side = _MIN_IMAGES.get(metric, 1), self._real_NHWC.shape[1]
        if metric not in PIXEL_METRICS and network is None:
            return f"there are no --fid-weights, a file of Inception weights such as {OFFICIAL}"
        if metric == "is" and network is not None and not network.has_logits:
            return f"{network.limitation}, and no class logits; {OFFICIAL} has them"
        if metric == "memorization" and not len(self._training_THWC):
            return "the training images are not available"
        if len(self._real_NHWC) < needed:
            return f"at least {needed} real images are needed, not {len(self._real_NHWC)}"
        if metric == "ms-ssim" and not count_scales(side):
            return f"images of at least {MIN_SIDE} pixels a side are needed, not {side}"
        return ""

    def _check_images(self, images_NHWC: np.ndarray, kind: str) -> None:
        shape, expected = images_NHWC.shape, self._real_NHWC.shape
        if images_NHWC.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3:
            raise ValueError(f"{kind} images must be uint8 of shape (N, H, W, 3), not {images_NHWC.dtype} {shape}")
        if not len(images_NHWC):
            raise DataError(f"there are no {kind} images to measure")
        if shape[1:] != expected[1:]:
            raise DataError(
                f"{kind} images are {shape[2]}x{shape[1]} pixels and the real ones {expected[2]}x{expected[1]}: "
                "only equal sizes can be compared"
            )
