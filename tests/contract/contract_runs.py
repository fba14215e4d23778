"""Small runs of every model whose numbers no refactoring may change: losses, final weights and samples.

    python tests/contract/contract_runs.py        record the digests of this machine into digests.json

Record only when a change of the numbers is meant, and say so in the commit.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tiny_runs import DATA, DCGAN, MEDIQ, MODEL, TRAINING

from qgan_qiskit.config import RunConfig
from qgan_qiskit.runs.load import load_discriminator, load_generator
from qgan_qiskit.runs.sample import sample
from qgan_qiskit.simulation.llvm.target import vector_unit
from qgan_qiskit.workflows.fit import fit_into

DIGESTS = Path(__file__).with_name("digests.json")
STEPS = 20
HYBRIDQ = {"name": "hybridq", **MODEL}
TRANSFER = {"name": "transfer", "num_qubits": 3, "reps": 1, "decoder_width": 16}
GRAY_8 = {"resolution": 8, "color": "grayscale"}
RUNS: dict[str, dict[str, dict]] = {
    "hybridq_image": {"model": {**HYBRIDQ, "decoder": "modulated", "minibatch_std": True}},
    "hybridq_full_size": {"model": {"name": "hybridq", "decoder_width": 64}, "data": {"resolution": 64}},
    "hybridq_latent": {"model": {**HYBRIDQ, "mode": "latent"}},
    "hybridq_fusion": {"model": {**HYBRIDQ, "mode": "fusion"}, "training": {"lr_quantum": 0.05}},
    "hybridq_baseline": {"model": {**HYBRIDQ, "classical_baseline": True}},
    "hybridq_adaptive": {"model": {**HYBRIDQ, "latent_range": "adaptive"}},
    "dcgan": {"model": DCGAN},
    "mosaiq": {"model": {"name": "mosaiq", "sub_generators": 2, "num_qubits": 3, "reps": 2}},
    "mediq": {"model": {**MEDIQ, "angle_norm": "layer"}, "data": {"class_name": "nevus,melanoma"}},
    "mediq_wgan": {
        "model": MEDIQ,
        "training": {"loss": "wgan-gp", "critic_steps": 3},
    },
    "mediq_baseline": {"model": {**MEDIQ, "classical_baseline": True}},
    "transfer": {"model": {**TRANSFER, "head_angles": "linear"}, "data": {"resolution": 32}},
    "transfer_none": {"model": {**TRANSFER, "quantum": "none"}, "data": {"resolution": 32}},
    "qgpatch": {"model": {"name": "qgpatch", "num_qubits": 5, "reps": 2}, "data": GRAY_8},
}


def machine() -> str:
    """Return what decides the last digit of sums: processor features, thread count aside, and the versions of torch."""
    return f"{platform.machine()} {vector_unit()} {torch.backends.cpu.get_cpu_capability()} torch {torch.__version__}"


def run_contract(name: str, folder: Path) -> dict[str, object]:
    """Train one small run and return its losses, and the SHA-256 of its losses, final weights and eight samples."""
    changes = RUNS[name]
    training = {"steps": STEPS, "snap": STEPS, "grid_every": STEPS, "threads": 1, **changes.get("training", {})}
    data = {**DATA, "cache_dir": str(folder / "cache"), **changes.get("data", {})}
    sections = {"model": changes["model"], "data": data, "training": {**TRAINING, **training}}
    config = RunConfig.model_validate(sections)
    run = fit_into(config, folder / name)
    rows = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    losses = [[row["loss_discriminator"], row["loss_generator"]] for row in rows if "loss_generator" in row]
    generator, _ = load_generator(run)
    discriminator, _ = load_discriminator(run)
    samples = np.stack([image.numpy() for _, image in sample(generator, range(8))])
    weights = [tensor for network in (generator, discriminator) for tensor in network.state_dict().values()]
    # Sorted, as names and order of the networks' parts may change.
    parts = sorted(f"{tuple(w.shape)} {hashlib.sha256(w.contiguous().numpy().tobytes()).hexdigest()}" for w in weights)
    return {
        "losses": [[float(f"{value:.6g}") for value in row] for row in losses],
        "sha256": {
            "losses": hashlib.sha256(json.dumps(losses).encode()).hexdigest(),
            "weights": hashlib.sha256("\n".join(parts).encode()).hexdigest(),
            "samples": hashlib.sha256(samples.tobytes()).hexdigest(),
        },
    }


def main() -> None:
    """Record the digests of this machine."""
    torch.set_num_threads(1)
    kept = json.loads(DIGESTS.read_text()) if DIGESTS.exists() else {"losses": {}, "sha256": {}}
    with tempfile.TemporaryDirectory() as folder:
        results = {name: run_contract(name, Path(folder)) for name in RUNS}
    kept["losses"] = {name: result["losses"] for name, result in results.items()}
    kept["sha256"][machine()] = {name: result["sha256"] for name, result in results.items()}
    DIGESTS.write_text(json.dumps(kept) + "\n")


if __name__ == "__main__":
    main()
