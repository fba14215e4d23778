"""One trained generator: its Jacobians, features, path lengths, fidelities, and images between latents.

Every latent is that of a seed, so ``generate --seeds`` shows its image. Single calls of the circuits and networks are exact
(no shots).

Shape letters: N latents or pairs · Z latent size · S singular values · P sub-generators.
"""

from __future__ import annotations

import functools
import io
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from qgan_qiskit.analysis.jacobian import copy_discrete_part, feature_matrix, jacobians
from qgan_qiskit.analysis.path_length import Distance, path_lengths, pixel_distance
from qgan_qiskit.analysis.spectrum import matrix_summary, summary
from qgan_qiskit.analysis.state_fidelity import input_fidelities
from qgan_qiskit.config import RunConfig
from qgan_qiskit.config.studies import GeometryConfig
from qgan_qiskit.data.grids import grid_picture
from qgan_qiskit.errors import CircuitError, UsageError
from qgan_qiskit.metrics import load_inception
from qgan_qiskit.metrics.inception import Inception, Output
from qgan_qiskit.models import Generator, QuantumGenerator
from qgan_qiskit.rng import seeded_generator
from qgan_qiskit.runs import sample as synthetic
from qgan_qiskit.runs.load import load_generator
from qgan_qiskit.runs.sample import sample_latents
from qgan_qiskit.stats import geometric_mean_interval, t_interval
from qgan_qiskit.study.cells import Row, atomic_write, run_once
from qgan_qiskit.study.latent_geometry.plan import Cell

ARRAYS, INTERPOLATION = "arrays.npz", "interpolation.png"
logger = logging.getLogger(__name__)


Arrays = dict[str, Any]


def work_on(cell: Cell, wait: bool) -> Row:
    """Return a generator's row, from its folder if it is done.

    Args:
        cell: the generator.
        wait: for another process that works on it.
    """
    return run_once(cell.folder, functools.partial(_measured, cell), wait)


def _measured(cell: Cell, folder: Path) -> Row:
    settings = cell.settings
    generator, config = load_generator(cell.checkpoint)
    seconds: dict[str, float] = {}
    clock = functools.partial(_timed, seconds, cell)
    first_NZ, second_NZ = (sample_latents(generator, range(start, 2 * settings.pairs, 2)) for start in (0, 1))
    row, arrays = _described(cell, generator, config), Arrays()
    with clock("jacobians", f"Jacobians at {settings.number} latents"):
        row["jacobian"] = _jacobians(generator, settings.number, arrays)
    row["features"] = row["fidelity"] = None
    quantum = generator.quantum
    if quantum is not None:
        with clock("features", f"features of {settings.feature_number:,} latents"):
            row["features"] = _features(quantum, settings.feature_number, arrays)
        if quantum.sub_generators is not None:
            with clock("fidelities", f"fidelities of {settings.pairs} pairs"):
                row["fidelity"] = _fidelities(generator, first_NZ, second_NZ, arrays)
    with clock("paths", f"path lengths of {settings.pairs} pairs"):
        ends_NZ = copy_discrete_part(generator, first_NZ, second_NZ)
        row["paths"] = _paths(generator, first_NZ, ends_NZ, settings, arrays)
    _write_interpolation(generator, settings, folder)
    written = io.BytesIO()
    np.savez_compressed(written, **arrays)
    atomic_write(folder / ARRAYS, written.getvalue())
    return row | {"seconds": {name: round(value, 1) for name, value in seconds.items()}}


@contextmanager
def _timed(seconds: dict[str, float], cell: Cell, name: str, what: str) -> Iterator[None]:
    logger.info(f"{cell}: {what}")
    begun = time.monotonic()
    yield
    seconds[name] = time.monotonic() - begun


def _described(cell: Cell, generator: Generator, config: RunConfig) -> Row:
    quantum = generator.quantum
    some_NS = sample_latents(generator, range(256))[:, : generator.continuous_latent_size]
    return {
        "run": str(cell.source),
        "cell": cell.name,
        "step": cell.step,
        "digest": cell.digest,
        "model": config.model.name + ("+baseline" if config.model.is_baseline else ""),
        "preset": config.preset,
        "class": config.data.class_name,
        "latent_high": None if quantum is None or quantum.latent_high is None else quantum.latent_high.item(),
        "circuits": quantum is not None and quantum.sub_generators is not None,
        "latent_size": some_NS.shape[1],
        # Singular values are per unit of the latent, and models draw it from different distributions.
        "latent_deviation": float(some_NS.std(dim=0).square().mean().sqrt()),
    }


def _jacobians(generator: Generator, number: int, arrays: Arrays) -> dict[str, Any]:
    spectra: dict[str, list[np.ndarray]] = {"image": [], "features": []}
    shapes: dict[str, list[int]] = {}
    for z_Z in sample_latents(generator, range(number)):
        found = jacobians(generator, z_Z)
        for name, matrix in (("image", found.image_DS), ("features", found.features_FS)):
            if matrix is not None:
                spectra[name].append(torch.linalg.svdvals(matrix).numpy())
                shapes[name] = list(matrix.shape)
    result: dict[str, Any] = {"image": None, "features": None}
    for name, rows in spectra.items():
        if rows:
            arrays[f"{name}_spectra"] = np.stack(rows)
            result[name] = {"shape": shapes[name]} | summary(arrays[f"{name}_spectra"])
    return result


def _features(generator: QuantumGenerator, number: int, arrays: Arrays) -> dict[str, Any]:
    arrays["features"] = feature_matrix(generator, sample_latents(generator, range(number))).numpy()
    return {"size": arrays["features"].shape[1]} | matrix_summary(arrays["features"])


def _paths(
    generator: Generator, first_NZ: Tensor, second_NZ: Tensor, settings: GeometryConfig, arrays: Arrays
) -> dict[str, Any]:
    distances: dict[str, Distance] = {"pixels": pixel_distance}
    opened = load_inception(settings.evaluation)
    if opened is not None:
        distances["inception"] = inception_distance(*opened)
    places_N = torch.rand(len(first_NZ), dtype=torch.float64, generator=seeded_generator(0, "path length"))
    found = path_lengths(generator, first_NZ, second_NZ, places_N, settings.path_step, distances)
    squares_N = (second_NZ - first_NZ).double().square().sum(dim=1).numpy()
    per_latent = {"pixels_per_latent": found["pixels"] / squares_N}
    result: dict[str, Any] = {"number": len(first_NZ), "step": settings.path_step}
    for name, values_N in (found | per_latent).items():
        arrays[f"paths_{name}"] = values_N
        result[name] = t_interval(values_N) | {"percentiles": _percentiles(values_N)}
    if opened is not None:
        network, layer = opened
        result["network"] = {
            "feature_layer": int(layer),
            "resize": settings.evaluation.resize,
            "weights_digest": network.digest,
        }
    return result


def inception_distance(network: Inception, layer: Output) -> Distance:
    """Return the mean squared difference of Inception's averaged features, (N, C, H, W) twice to (N,)."""

    def features(images_NCHW: Tensor) -> Tensor:
        images_NCHW = images_NCHW.expand(-1, 3, -1, -1)
        return cast(Tensor, network(images_NCHW, [layer])[layer]).double()

    return lambda first, second: (features(first) - features(second)).square().mean(dim=1)


def _fidelities(generator: Generator, first_NZ: Tensor, second_NZ: Tensor, arrays: Arrays) -> dict[str, Any]:
    try:
        fidelities_NP = input_fidelities(generator, first_NZ, second_NZ)
    except CircuitError as error:
        return {"left_out": str(error)}
    arrays["fidelities"] = fidelities_NP
    together_N = fidelities_NP.prod(axis=1)
    return {
        "number": len(fidelities_NP),
        "sub_generator": t_interval(fidelities_NP.mean(axis=1)) | {"percentiles": _percentiles(fidelities_NP)},
        "sub_generators": fidelities_NP.mean(axis=0).tolist(),
        "together": geometric_mean_interval(together_N),
        "trace_distance": t_interval(np.sqrt(1 - fidelities_NP).mean(axis=1)),
    }


def _percentiles(values: np.ndarray) -> list[float]:
    """Return 101 percentiles, from the smallest value to the largest."""
    found: list[float] = np.percentile(values, np.arange(101)).tolist()
    return found


def _write_interpolation(generator: Generator, settings: GeometryConfig, folder: Path) -> None:
    first, second = (
        sample_latents(generator, range(settings.rows)),
        sample_latents(generator, range(1, settings.rows + 1)),
    )
    second = copy_discrete_part(generator, first, second)
    shares = torch.linspace(0, 1, settings.frames)
    with torch.no_grad():
        rows = [generator(torch.lerp(start, end, shares[:, None])) for start, end in zip(first, second, strict=True)]
    atomic_write(folder / INTERPOLATION, synthetic.encode_png(grid_picture(torch.cat(rows), settings.frames), {}))


def check_network(settings: GeometryConfig) -> None:
    """Refuse Inception weights that cannot be used, before anything is measured, and options that would do nothing.

    Raises:
        DataError: the weights cannot be used.
        UsageError: a feature layer or filter without weights.
    """
    default = type(settings.evaluation)()
    for name in ("feature_layer", "resize"):
        if settings.evaluation.fid_weights is None and getattr(settings.evaluation, name) != getattr(default, name):
            raise UsageError(f"--{name.replace('_', '-')} has no effect without --fid-weights: leave it out")
    load_inception(settings.evaluation)
