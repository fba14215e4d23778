"""One condition of a noise study: its images, measured against real ones and against the exact ones.

Shape letters: N images · P sub-generators · O observables · H W C image.
"""

from __future__ import annotations

import functools
import io
import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qgan_qiskit.analysis.noise_response import absorbed, recalibrated
from qgan_qiskit.data import cache_folder, to_uint8
from qgan_qiskit.data.grids import grid_picture
from qgan_qiskit.hardware.backends import open_simulated_backend
from qgan_qiskit.hardware.generator_circuits import CircuitInputs, circuit_inputs, require_circuits
from qgan_qiskit.hardware.results import ExpectationResult
from qgan_qiskit.metrics import Evaluator
from qgan_qiskit.models import Generator
from qgan_qiskit.runs import sample as synthetic
from qgan_qiskit.runs.load import load_with_digest
from qgan_qiskit.runs.sample import sample_latents
from qgan_qiskit.study.cells import Row, atomic_write, run_once
from qgan_qiskit.study.noise.plan import Cell, Study
from qgan_qiskit.workflows.evaluate import read_real_images
from qgan_qiskit.workflows.inference import decode_expectations

READINGS, SAMPLES = "readings.npz", "samples.png"
# Images in a row of samples.
logger = logging.getLogger(__name__)


SHOWN = 12


@dataclass(frozen=True, eq=False)
class _Bench:
    """What all conditions of a study share: the generator with its exact expectations, and what measures images."""

    generator: Generator
    seeds: range
    work: CircuitInputs
    exact_NPO: np.ndarray
    against_real: Evaluator
    against_exact: Evaluator

    def images(self, evs_NPO: np.ndarray) -> Tensor:
        return decode_expectations(self.generator, self.seeds, evs_NPO)


def work_on(cell: Cell, wait: bool) -> Row:
    """Return a condition's row, from its folder if it is done.

    Args:
        cell: the condition.
        wait: for another process that works on it.
    """
    return run_once(cell.folder, functools.partial(_measured, cell), wait)


def evaluator_of(study: Study) -> Evaluator:
    """Return what measures against the real images; what cannot be measured is refused.

    Raises:
        DataError: images or weights cannot be used.
    """
    real = read_real_images(study.data, 0)
    config = study.settings.evaluation
    lacking = config.lacking_weights()
    metrics = ",".join(name for name in config.names() if name not in lacking) or "none"
    config = config.model_copy(update={"metrics": metrics, "metrics_number": study.settings.number})
    return Evaluator(config, real.images_NHWC, cache_dir=cache_folder(study.data))


@functools.lru_cache(maxsize=1)
def _bench(study: Study) -> _Bench:
    # Circuits simulated one by one would compute in single precision.
    generator, _, _ = load_with_digest(study.source, "fused")
    seeds = range(study.settings.number)
    work = circuit_inputs(generator, sample_latents(generator, seeds))
    quantum, _ = require_circuits(generator)
    with torch.no_grad():
        exact_NPO = quantum.double_expectations(torch.from_numpy(work.angles_BPQ)).numpy()
    exact_NHWC = to_uint8(decode_expectations(generator, seeds, exact_NPO))
    against_real = evaluator_of(study)
    # Against the exact images there is no floor and no chance in the choice: the seeds are the same.
    config = against_real.config.model_copy(update={"bootstrap": 0})
    return _Bench(generator, seeds, work, exact_NPO, against_real, Evaluator(config, exact_NHWC))


def _measured(cell: Cell, folder: Path) -> Row:
    study = cell.study
    logger.info(f"{cell}: {study.settings.number:,} images")
    bench = _bench(study)
    begun = time.monotonic()
    device: dict[str, Any] = {}
    if cell.hardware.backend == "exact":
        readings = ExpectationResult(bench.exact_NPO, np.zeros_like(bench.exact_NPO))
    else:
        backend = open_simulated_backend(cell.hardware)
        readings = backend.run(bench.work.ansatz, bench.work.angles_BPQ, bench.work.weights_PK)
        readings.check_finite(cell.name)
        device = backend.metadata()
    seconds = time.monotonic() - begun
    images_NCHW = bench.images(readings.evs_BPO)
    row: dict[str, Any] = {
        "condition": cell.name,
        "kind": cell.hardware.backend.partition(":")[0],
        "place": list(cell.place),
        "shots": None if cell.hardware.backend == "exact" else cell.hardware.shots,
        "hardware": cell.hardware.model_dump(mode="json"),
        "device": device,
        "number": study.settings.number,
        "seconds": round(seconds, 1),
        "figures": _figures(bench.against_real, images_NCHW),
    }
    if cell.hardware.backend != "exact":
        undone_NPO, _ = recalibrated(bench.exact_NPO, readings.evs_BPO)
        row |= {
            "figures_to_exact": _figures(bench.against_exact, images_NCHW),
            "figures_recalibrated": _figures(bench.against_real, bench.images(undone_NPO)),
            **absorbed(
                bench.exact_NPO,
                readings.evs_BPO,
                readings.stds_BPO,
                lambda evs_NPO: to_uint8(bench.images(evs_NPO)).astype(np.float32),
                cell.hardware.shot_seed,
            ),
        }
    arrays = io.BytesIO()
    np.savez_compressed(arrays, evs=readings.evs_BPO, stds=readings.stds_BPO)
    atomic_write(folder / SAMPLES, synthetic.encode_png(grid_picture(images_NCHW[:SHOWN], SHOWN), {}))
    atomic_write(folder / READINGS, arrays.getvalue())
    return row


def _figures(evaluator: Evaluator, images_NCHW: Tensor) -> list[dict[str, Any]]:
    if not evaluator.metrics:
        return []
    return [asdict(figure) for figure in evaluator.measure(to_uint8(images_NCHW))]
