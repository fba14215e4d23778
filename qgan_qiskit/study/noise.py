"""``study noise``: what shots, a device's noise and error mitigation do to the images of a trained generator.

A cell is one condition: exact, a number of shots, or a device at a resilience level. All make images of the same seeds. Files
in the study's folder: ``study.json``, ``cells/<condition>/`` with ``cell.json``, ``expectations.npz`` and ``samples.png``,
and the report.

Shape letters: N images · P sub-generators · O observables · H W C image.
"""

from __future__ import annotations

import functools
import io
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from qgan_qiskit.analysis.noise_response import error_response, recalibrate
from qgan_qiskit.config import DataConfig, HardwareConfig
from qgan_qiskit.config.base import first_problem
from qgan_qiskit.config.studies import NoiseChoice, NoiseConfig
from qgan_qiskit.data import cache_folder, to_uint8
from qgan_qiskit.data.grids import grid_picture
from qgan_qiskit.errors import UsageError
from qgan_qiskit.hardware.backends import load_fake_backend, open_simulated_backend
from qgan_qiskit.hardware.generator_circuits import CircuitInputs, circuit_inputs, require_circuits
from qgan_qiskit.hardware.packing import find_layouts
from qgan_qiskit.hardware.results import ExpectationResult
from qgan_qiskit.metrics import Evaluator
from qgan_qiskit.models import Generator
from qgan_qiskit.runs import sample as synthetic
from qgan_qiskit.runs.load import find_checkpoint, load_generator, load_with_digest
from qgan_qiskit.runs.sample import sample_latents
from qgan_qiskit.study import engine
from qgan_qiskit.study.executors import Executor
from qgan_qiskit.study.noise_report import SAMPLES, write_report
from qgan_qiskit.study.study_file import Row, Study, absolute_paths, flatten, write_output
from qgan_qiskit.workflows.evaluate import read_real_images
from qgan_qiskit.workflows.inference import decode_expectations

EXPECTATIONS = "expectations.npz"
# Images in a row of samples.
SHOWN = 12
_KINDS = ("exact", "shots", "aer")
logger = logging.getLogger(__name__)


class NoiseStudy(Study):
    """One generator under several conditions.

    Attributes:
        source: the checkpoint, absolute.
        step: of the checkpoint.
        digest: SHA-256 of the averaged generator's weights.
        data: the real images.
        settings: shared by all conditions.
    """

    kind: ClassVar[str] = "noise"
    source: Path
    step: int
    digest: str
    data: DataConfig
    settings: NoiseConfig

    def shared(self) -> dict[str, Any]:
        """Return what fixes the numbers: the generator, the images and the settings, wherever files lie."""
        data = flatten(self.data, "data.", ("data.path", "data.cache_dir"))
        return (
            {"the generator": self.digest} | data | flatten(self.settings, "", ("processes", "evaluation.fid_weights"))
        )

    def sort(self, rows: dict[str, Row]) -> dict[str, Row]:
        """Return exact first, then shots rising, then devices with levels rising."""
        return dict(sorted(rows.items(), key=lambda item: (_KINDS.index(item[1]["kind"]), item[1]["order"])))


@dataclass(frozen=True)
class Cell(engine.Cell):
    """One condition.

    Attributes:
        condition: ``exact``, ``shots-1024``, ``fez-level1``.
        hardware: where the circuits run.
        order: among conditions of its kind.
    """

    condition: str
    hardware: HardwareConfig
    order: tuple[Any, ...]

    @property
    def name(self) -> str:
        """The condition."""
        return self.condition


def cells_of(study: NoiseStudy, choice: NoiseChoice) -> list[Cell]:
    """Return a cell for each condition asked for."""
    settings = study.settings
    shared = {"shot_seed": settings.shot_seed, "processes": settings.processes}
    make = functools.partial(Cell, study.folder, study.identity)
    cells = [make("exact", HardwareConfig(), ())]
    for shots in choice.shot_numbers():
        cells.append(make(f"shots-{shots}", HardwareConfig(backend="shots", shots=shots, **shared), (shots,)))
    for number, device in enumerate(choice.device_names()):
        for level in choice.resilience_levels():
            hardware = HardwareConfig(
                backend=f"aer:{device}", shots=settings.device_shots, resilience_level=level, **shared
            )
            cells.append(make(f"{device}-level{level}", hardware, (number, device, level)))
    return cells


def prepare(
    source: Path,
    settings: NoiseConfig,
    choice: NoiseChoice,
    changes: dict[str, Any],
    outdir: Path,
    command: str,
) -> tuple[NoiseStudy, list[Cell]]:
    """Check everything and return the study with its conditions; nothing is written.

    Args:
        source: a run, for its newest valid checkpoint, or a checkpoint.
        settings: shared by all conditions.
        choice: shots, devices and levels.
        changes: settings of the real images that differ from the run's own.
        outdir: folder of the study, new or with a study of the same generator and settings.
        command: the command line, for the report.

    Raises:
        QganError: in one line that names the culprit and the remedy.
    """
    found = find_checkpoint(source)
    generator, config = load_generator(found.path)
    _, circuits = require_circuits(generator)
    for name in choice.device_names():
        find_layouts(circuits.ansatz, load_fake_backend(name).target, 1)
    try:
        data = config.updated({"data": changes}).data
        data = data.model_copy(update=absolute_paths(data))
    except ValidationError as error:
        raise UsageError(first_problem(error).message) from None
    study = NoiseStudy(
        folder=outdir.absolute(),
        source=found.path.absolute(),
        step=found.step,
        digest=found.digest,
        data=data,
        settings=settings.model_copy(update={"evaluation": settings.evaluation.with_absolute_weights()}),
        commands=(command,),
    )
    cells = cells_of(study, choice)
    return study.model_copy(update={"cells": tuple(cell.name for cell in cells)}).preview(), cells


def run(study: NoiseStudy, cells: Sequence[Cell], executor: Executor) -> list[Path]:
    """Run the conditions that are left, write the report and return its files; see :func:`engine.run_study`."""
    for note in make_evaluator(study.data, study.settings).notes:
        logger.warning(note)
    if lacking := study.settings.evaluation.lacking_weights():
        logger.warning(
            f"left out {', '.join(lacking)}: there are no --fid-weights; images are still compared with the exact ones"
        )
    return engine.run_study(study, cells, run_cell, executor, _describe, write_report)


def report(outdir: Path) -> list[Path]:
    """Write the report on the finished conditions alone; see :func:`engine.rewrite_report`."""
    return engine.rewrite_report(NoiseStudy, outdir, write_report)


def run_cell(cell: Cell, *, wait: bool) -> Row:
    """Return a condition's result, measuring it unless that is done; see :func:`engine.run_once`."""
    return engine.run_once(cell.folder, functools.partial(_measure, cell), wait)


def _describe(row: Row) -> str:
    parts = [f"{result['name']} {result['value']:.4g}" for result in row["figures"]]
    if "features" in row:
        parts.append(
            f"error of expectations {row['features']['rmse']:.4f}, of images {row['images']['rmse']:.2f} of 255"
        )
    return ", ".join([*parts, f"{row['seconds']:.0f} s"])


@dataclass(frozen=True, eq=False)
class _Setup:
    """What all conditions of a study share: the generator with its exact expectations, and what measures images."""

    generator: Generator
    seeds: range
    work: CircuitInputs
    exact_NPO: np.ndarray
    against_real: Evaluator
    against_exact: Evaluator

    def images(self, evs_NPO: np.ndarray) -> Tensor:
        return decode_expectations(self.generator, self.seeds, evs_NPO)


def make_evaluator(data: DataConfig, settings: NoiseConfig) -> Evaluator:
    """Return what measures against the real images, without the metrics that lack weights.

    Raises:
        DataError: images or weights cannot be used.
    """
    real = read_real_images(data, 0)
    config = settings.evaluation
    lacking = config.lacking_weights()
    metrics = ",".join(name for name in config.names() if name not in lacking) or "none"
    config = config.model_copy(update={"metrics": metrics, "metrics_number": settings.number})
    return Evaluator(config, real.images_NHWC, cache_dir=cache_folder(data))


@functools.lru_cache(maxsize=1)
def _set_up(source: Path, data: DataConfig, settings: NoiseConfig) -> _Setup:
    # Circuits simulated one by one would compute in single precision.
    generator, _, _ = load_with_digest(source, "fused")
    seeds = range(settings.number)
    work = circuit_inputs(generator, sample_latents(generator, seeds))
    quantum, _ = require_circuits(generator)
    with torch.no_grad():
        exact_NPO = quantum.double_expectations(torch.from_numpy(work.angles_BPQ)).numpy()
    exact_NHWC = to_uint8(decode_expectations(generator, seeds, exact_NPO))
    against_real = make_evaluator(data, settings)
    # Against the exact images there is neither a real-vs-real baseline nor sampling error: the seeds are the same.
    config = against_real.config.model_copy(update={"bootstrap": 0})
    return _Setup(generator, seeds, work, exact_NPO, against_real, Evaluator(config, exact_NHWC))


def _measure(cell: Cell, folder: Path) -> Row:
    study = cell.open_study(NoiseStudy)
    logger.info(f"{cell}: {study.settings.number:,} images")
    setup = _set_up(study.source, study.data, study.settings)
    begun = time.monotonic()
    device: dict[str, Any] = {}
    if cell.hardware.backend == "exact":
        readings = ExpectationResult(setup.exact_NPO, np.zeros_like(setup.exact_NPO))
    else:
        backend = open_simulated_backend(cell.hardware)
        readings = backend.run(setup.work.ansatz, setup.work.angles_BPQ, setup.work.weights_PK)
        readings.check_finite(cell.name)
        device = backend.metadata()
    seconds = time.monotonic() - begun
    images_NCHW = setup.images(readings.evs_BPO)
    row: dict[str, Any] = {
        "condition": cell.name,
        "kind": cell.hardware.backend.partition(":")[0],
        "order": list(cell.order),
        "shots": None if cell.hardware.backend == "exact" else cell.hardware.shots,
        "hardware": cell.hardware.model_dump(mode="json"),
        "device": device,
        "number": study.settings.number,
        "seconds": round(seconds, 1),
        "figures": _evaluate(setup.against_real, images_NCHW),
    }
    if cell.hardware.backend != "exact":
        recalibrated_NPO, _ = recalibrate(setup.exact_NPO, readings.evs_BPO)
        row |= {
            "figures_to_exact": _evaluate(setup.against_exact, images_NCHW),
            "figures_recalibrated": _evaluate(setup.against_real, setup.images(recalibrated_NPO)),
            **error_response(
                setup.exact_NPO,
                readings.evs_BPO,
                readings.stds_BPO,
                lambda evs_NPO: to_uint8(setup.images(evs_NPO)).astype(np.float32),
                cell.hardware.shot_seed,
            ),
        }
    arrays = io.BytesIO()
    np.savez_compressed(arrays, evs=readings.evs_BPO, stds=readings.stds_BPO)
    write_output(folder / SAMPLES, synthetic.encode_png(grid_picture(images_NCHW[:SHOWN], SHOWN), {}))
    write_output(folder / EXPECTATIONS, arrays.getvalue())
    return row


def _evaluate(evaluator: Evaluator, images_NCHW: Tensor) -> list[dict[str, Any]]:
    if not evaluator.metrics:
        return []
    return [asdict(result) for result in evaluator.measure(to_uint8(images_NCHW))]
