"""From a trained run to images from a device: simulated here, and the lines that change for a real one.

Angles go to the backend, expectation values come back, and images are decoded here; weights, ``TorchConnector``s and seeds stay
the same. This program

1. trains a small HybridQ, unless ``--run`` names a run;
2. makes its images exactly;
3. makes the same images on IBM's snapshot of a device, through IBM's own Estimator in its local mode, without and with error
   mitigation, and prints how far expectation values and images are from the exact ones;
4. draws all of them, one row each.

Run it with ``python examples/run_on_hardware.py``. Circuits of ten qubits are slow through IBM's Estimator: with ``--run`` take
``--backend aer:fez``, which computes the same noise exactly and quickly. ``--backend ibm:least-busy`` runs on a real device, with
the account that IBM's client finds (see ``docs/how-to/ibm-hardware.md``).

Shape letters: N images · C H W image.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from qgan_qiskit.config import HardwareConfig, preset
from qgan_qiskit.console import log_to_stderr
from qgan_qiskit.data.grids import grid_picture
from qgan_qiskit.runs.load import load_generator
from qgan_qiskit.runs.sample import sample
from qgan_qiskit.workflows import hardware as remote
from qgan_qiskit.workflows.fit import fit
from qgan_qiskit.workflows.inference import BackendImages, generate_on_simulator


def train(outdir: Path, steps: int) -> Path:
    """Return the folder of a small run on synthetic lesions."""
    config = preset("hybridq", "quick").updated(
        {
            "data": {"class_name": "melanoma", "resolution": 32, "synthetic_per_class": 200},
            "model": {"num_qubits": 4, "sub_generators": 4, "reps": 3},
            "training": {"steps": steps, "batch_size": 16},
        }
    )
    [run] = fit(config, outdir)
    return run


def on_simulated_device(run: Path, seeds: Sequence[int], backend: str, level: int) -> BackendImages:
    """Return the images of seeds from a simulated device."""
    generator, _ = load_generator(run)
    config = HardwareConfig(backend=backend, resilience_level=level)
    return generate_on_simulator(generator, seeds, config)


def on_real_device(run: Path, seeds: Sequence[int], backend: str, level: int) -> BackendImages:
    """Return the images of seeds from a real device: submit, wait, collect; collecting later works as well."""
    config = HardwareConfig(backend=backend, resilience_level=level, execution_mode="batch", max_qpu_seconds=120)
    submission, result = remote.collect(remote.submit(run, seeds, config))
    assert result is not None
    return remote.decode_images(submission, result)


def main(argv: Sequence[str] | None = None) -> None:
    """Make the images on each backend and draw them."""
    log_to_stderr()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--run", type=Path, help="a trained run (default: train a small one)")
    parser.add_argument("--steps", type=int, default=300, help="training steps of the small run (default: %(default)s)")
    parser.add_argument("--backend", default="fake:fez", help="the device (default: %(default)s)")
    parser.add_argument("--images", type=int, default=16, help="number of images (default: %(default)s)")
    parser.add_argument(
        "--outdir", type=Path, default=Path("runs"), help="parent folder of the run (default: %(default)s)"
    )
    arguments = parser.parse_args(argv)

    run = arguments.run or train(arguments.outdir, arguments.steps)
    seeds = range(arguments.images)
    generator, _ = load_generator(run)
    exact_NCHW = torch.stack([image for _, image in sample(generator, seeds)])

    run_on = on_real_device if arguments.backend.startswith("ibm:") else on_simulated_device
    rows = [exact_NCHW]
    for level, name in ((0, "without mitigation"), (1, "with readout mitigation")):
        found = run_on(run, seeds, arguments.backend, level)
        error = (found.images_NCHW - exact_NCHW).square().mean().sqrt() * 127.5
        sampling_error = np.sqrt(np.mean(found.result.stds_BPO**2))
        print(
            f"{name}: standard error of expectation values {sampling_error:.4f}, images {error:.1f} of 255 from the exact ones"
        )
        rows.append(found.images_NCHW)
    picture = run / "on_hardware.png"
    grid_picture(torch.cat(rows), columns=arguments.images).save(picture)
    print(f"exact, without and with mitigation, one row each: {picture}")


if __name__ == "__main__":
    main()
