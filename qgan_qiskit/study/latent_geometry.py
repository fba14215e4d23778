"""``study geometry``: a trained generator as a map: in how many directions its features and images vary, and how evenly.

A cell is one generator: its Jacobians, features, path lengths, fidelities, and images between latents. Every latent is that
of a seed, so ``generate --seeds`` shows its image; circuits are exact (no shots). Files in the study's folder:
``study.json``, ``cells/<run>-<digest>/`` with ``cell.json``, ``arrays.npz`` and ``interpolation.png``, and the report.

Shape letters: N latents or pairs · Z latent size · S singular values · P sub-generators.
"""

from __future__ import annotations

import functools
import io
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from qgan_qiskit.analysis.jacobian import copy_discrete_part, feature_matrix, jacobians
from qgan_qiskit.analysis.path_length import Distance, path_lengths, pixel_distance
from qgan_qiskit.analysis.spectrum import summarize_features, summarize_spectra
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
from qgan_qiskit.runs.load import find_checkpoint, find_run, load_generator
from qgan_qiskit.runs.sample import sample_latents
from qgan_qiskit.stats import geometric_mean_interval, t_interval
from qgan_qiskit.study import engine
from qgan_qiskit.study.executors import Executor
from qgan_qiskit.study.latent_geometry_report import INTERPOLATION, write_report
from qgan_qiskit.study.study_file import Row, Study, flatten, write_output

ARRAYS = "arrays.npz"
Arrays = dict[str, Any]
logger = logging.getLogger(__name__)


class GeometryStudy(Study):
    """Generators measured with equal settings."""

    kind: ClassVar[str] = "geometry"
    settings: GeometryConfig

    def shared(self) -> dict[str, Any]:
        """Return the settings; weights may move, but measuring with them and without differ."""
        weights = self.settings.evaluation.fid_weights
        return flatten(self.settings) | {"evaluation.fid_weights": "none" if weights is None else "a file"}


@dataclass(frozen=True)
class Cell(engine.Cell):
    """One trained generator.

    Attributes:
        source: run or checkpoint as the user names it; absolute.
        checkpoint: the checkpoint that is measured.
        step: of the checkpoint.
        digest: of the averaged generator in it.
    """

    source: Path
    checkpoint: Path
    step: int
    digest: str

    @property
    def name(self) -> str:
        """The run's name and the first digits of the digest: a run that was trained further is another generator."""
        folder = find_run(self.source)
        # A cell of a comparison keeps its run in a folder named "run".
        return f"{folder.parent.name if folder.name == 'run' else folder.name}-{self.digest[:8]}"


def cells_of(study: Path, sources: Sequence[Path]) -> list[Cell]:
    """Return a cell for each run, or checkpoint, of which a run's newest valid one counts.

    Raises:
        UsageError: a generator is named twice.
        CheckpointError: a folder is no run, or has no valid checkpoint.
    """
    cells = []
    for source in sources:
        found = find_checkpoint(source)
        cells.append(Cell(study, "", source.absolute(), found.path.absolute(), found.step, found.digest))
    if len({cell.name for cell in cells}) < len(cells):
        raise UsageError("a run is named twice, or two runs hold the same generator: name each once")
    return cells


def prepare(
    sources: Sequence[Path], settings: GeometryConfig, outdir: Path, command: str
) -> tuple[GeometryStudy, list[Cell]]:
    """Check everything and return the study with its runs; nothing is written.

    Args:
        sources: runs, of which the newest valid checkpoint counts, or checkpoints; at least one.
        settings: what is measured.
        outdir: folder of the study, new or with a study of the same settings.
        command: the command line, for the report.

    Raises:
        QganError: in one line that names the culprit and the remedy.
    """
    check_network(settings)
    settings = settings.model_copy(update={"evaluation": settings.evaluation.with_absolute_weights()})
    cells = cells_of(outdir.absolute(), sources)
    asked = tuple(cell.name for cell in cells)
    study = GeometryStudy(folder=outdir.absolute(), settings=settings, cells=asked, commands=(command,))
    return study.preview(), cells


def check_network(settings: GeometryConfig) -> None:
    """Refuse Inception weights that cannot be used, and options without effect, before anything is measured.

    Raises:
        DataError: the weights cannot be used.
        UsageError: a feature layer or filter is given without weights.
    """
    default = type(settings.evaluation)()
    for name in ("feature_layer", "resize"):
        if settings.evaluation.fid_weights is None and getattr(settings.evaluation, name) != getattr(default, name):
            raise UsageError(f"--{name.replace('_', '-')} has no effect without --fid-weights: leave it out")
    load_inception(settings.evaluation)


def run(study: GeometryStudy, cells: Sequence[Cell], executor: Executor) -> list[Path]:
    """Measure the runs that are left, write the report and return its files; see :func:`engine.run_study`."""
    return engine.run_study(study, cells, run_cell, executor, _describe, write_report)


def report(outdir: Path) -> list[Path]:
    """Write the report on the finished runs alone; see :func:`engine.rewrite_report`."""
    return engine.rewrite_report(GeometryStudy, outdir, write_report)


def run_cell(cell: Cell, *, wait: bool) -> Row:
    """Return a generator's result, measuring it unless that is done; see :func:`engine.run_once`."""
    return engine.run_once(cell.folder, functools.partial(_measure, cell), wait)


def _describe(row: Row) -> str:
    image = row["jacobian"]["image"]
    return (
        f"effective rank of the image's Jacobian {image['effective_rank']['per_latent']['mean']:.1f} of {row['latent_size']}, "
        f"{sum(row['seconds'].values()):.0f} s"
    )


def _measure(cell: Cell, folder: Path) -> Row:
    settings = cell.open_study(GeometryStudy).settings
    generator, config = load_generator(cell.checkpoint)
    seconds: dict[str, float] = {}
    clock = functools.partial(_timed, seconds, cell)
    first_NZ, second_NZ = (sample_latents(generator, range(start, 2 * settings.pairs, 2)) for start in (0, 1))
    row, arrays = _describe_generator(cell, generator, config), Arrays()
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
    _write_interpolations(generator, settings, folder)
    written = io.BytesIO()
    np.savez_compressed(written, **arrays)
    write_output(folder / ARRAYS, written.getvalue())
    return row | {"seconds": {name: round(value, 1) for name, value in seconds.items()}}


@contextmanager
def _timed(seconds: dict[str, float], cell: Cell, name: str, what: str) -> Iterator[None]:
    logger.info(f"{cell}: {what}")
    begun = time.monotonic()
    yield
    seconds[name] = time.monotonic() - begun


def _describe_generator(cell: Cell, generator: Generator, config: RunConfig) -> Row:
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
        # Singular values are per unit of the latent, which models draw from different distributions.
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
            result[name] = {"shape": shapes[name]} | summarize_spectra(arrays[f"{name}_spectra"])
    return result


def _features(generator: QuantumGenerator, number: int, arrays: Arrays) -> dict[str, Any]:
    arrays["features"] = feature_matrix(generator, sample_latents(generator, range(number))).numpy()
    return {"size": arrays["features"].shape[1]} | summarize_features(arrays["features"])


def _paths(
    generator: Generator, first_NZ: Tensor, second_NZ: Tensor, settings: GeometryConfig, arrays: Arrays
) -> dict[str, Any]:
    distances: dict[str, Distance] = {"pixels": pixel_distance}
    opened = load_inception(settings.evaluation)
    if opened is not None:
        distances["inception"] = inception_distance(*opened)
    positions_N = torch.rand(len(first_NZ), dtype=torch.float64, generator=seeded_generator(0, "path length"))
    found = path_lengths(generator, first_NZ, second_NZ, positions_N, settings.path_step, distances)
    squared_lengths_N = (second_NZ - first_NZ).double().square().sum(dim=1).numpy()
    per_latent = {"pixels_per_latent": found["pixels"] / squared_lengths_N}
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
    """Return the distance of two batches (N, C, H, W) by Inception's pooled features: mean squared difference, shape (N,)."""

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
    """Return the percentiles 0 to 100."""
    found: list[float] = np.percentile(values, np.arange(101)).tolist()
    return found


def _write_interpolations(generator: Generator, settings: GeometryConfig, folder: Path) -> None:
    first, second = (
        sample_latents(generator, range(settings.rows)),
        sample_latents(generator, range(1, settings.rows + 1)),
    )
    second = copy_discrete_part(generator, first, second)
    fractions = torch.linspace(0, 1, settings.frames)
    with torch.no_grad():
        rows = [generator(torch.lerp(start, end, fractions[:, None])) for start, end in zip(first, second, strict=True)]
    write_output(folder / INTERPOLATION, synthetic.encode_png(grid_picture(torch.cat(rows), settings.frames), {}))
