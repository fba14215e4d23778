"""The fast engine: kernels written for a circuit's gates and compiled for the processor at hand.

llvmlite is imported when the engine is first used, so that the package works without it.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

if TYPE_CHECKING:
    from qgan_qiskit.simulation.llvm.engine import LlvmEngine


@functools.cache
def is_available() -> bool:
    """Return whether kernels can be compiled and run here; warn if not."""
    try:
        from qgan_qiskit.simulation.llvm.interpreter import interpreter

        interpreter()
    except (ImportError, OSError, RuntimeError) as error:
        warnings.warn(
            f"circuits are simulated in plain torch, which is slower: kernels cannot be compiled here ({error}); "
            "pip install llvmlite",
            stacklevel=2,
        )
        return False
    return True


def make_engine(
    circuit: QuantumCircuit,
    inputs: Sequence[Parameter],
    weights: Sequence[Parameter],
    observables: Sequence[SparsePauliOp],
    dtype: torch.dtype,
) -> LlvmEngine:
    """Compile a circuit whose parameters are split into inputs (per image) and weights (per instance).

    Raises:
        CircuitError: the circuit cannot be simulated; the message names the offender.
    """
    from qgan_qiskit.simulation.llvm.engine import LlvmEngine
    from qgan_qiskit.simulation.llvm.program import compile_llvm

    return LlvmEngine(compile_llvm(circuit, inputs, weights, observables), dtype)
