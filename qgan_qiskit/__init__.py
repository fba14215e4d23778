"""Hybrid quantum-classical GANs for color medical images, on Qiskit and PyTorch.

The ten names in ``__all__`` are imported on first use, so importing the package imports neither torch nor Qiskit. The library
logs to ``qgan_qiskit`` and is quiet until a program installs a handler.
"""

import importlib
import logging
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qgan_qiskit.circuits import CircuitSpec
    from qgan_qiskit.config import preset
    from qgan_qiskit.qnn import SubGenerators
    from qgan_qiskit.runs.load import load_generator
    from qgan_qiskit.runs.sample import sample
    from qgan_qiskit.simulation import AdjointEstimatorGradient, ExactEstimator
    from qgan_qiskit.workflows.evaluate import evaluate
    from qgan_qiskit.workflows.fit import fit, resume

__version__ = version("qgan_qiskit")
__all__ = [
    "AdjointEstimatorGradient",
    "CircuitSpec",
    "ExactEstimator",
    "SubGenerators",
    "evaluate",
    "fit",
    "load_generator",
    "preset",
    "resume",
    "sample",
]
_MODULES = {
    "AdjointEstimatorGradient": "simulation",
    "CircuitSpec": "circuits",
    "ExactEstimator": "simulation",
    "SubGenerators": "qnn",
    "evaluate": "workflows.evaluate",
    "fit": "workflows.fit",
    "load_generator": "runs.load",
    "preset": "config",
    "resume": "workflows.fit",
    "sample": "runs.sample",
}
logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """List the public names, too."""
    return sorted({*globals(), *__all__})
