"""What the figures were measured on and with."""

import os
import platform
from importlib import metadata
from pathlib import Path

LIBRARIES = (
    "qgan_qiskit",
    "torch",
    "qiskit",
    "qiskit-machine-learning",
    "pennylane",
    "pennylane-lightning",
    "deepquantum",
    "tensorcircuit-ng",
    "jax",
    "qiskit-torch-module",
)


def about() -> dict:
    """Return processor, threads and versions; a library that is not installed has None."""
    import torch

    return {
        "processor": _processor(),
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in LIBRARIES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
