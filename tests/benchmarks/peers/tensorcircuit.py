"""tensorcircuit-ng on JAX: one circuit, mapped over images and circuits with vmap, compiled with jit, in complex64.

For HybridQ's circuit only. Two ways to read it: ``expectation_ps`` once per qubit, as its documentation does, and all
expectations as one product of signs and probabilities of the state.
"""

import os
from collections.abc import Callable

import numpy as np
from case import Case


def prepare(case: Case, readout: str) -> Callable[[], tuple]:
    """Return a call that makes one step and waits for its results; the first call compiles."""
    # Everybody is measured on the processor, whatever JAX finds.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax
    import tensorcircuit as tc

    backend = tc.set_backend("jax")
    tc.set_dtype("complex64")
    qubits = case.form.qubits

    def expectations(inputs_Q, weights_K):
        circuit = tc.Circuit(qubits)
        for qubit in range(qubits):
            circuit.ry(qubit, theta=inputs_Q[qubit])
        for layer in range(case.form.layers):
            for qubit in range(qubits):
                circuit.ry(qubit, theta=weights_K[layer * qubits + qubit])
            for qubit in range(qubits - 1):
                circuit.cnot(qubit, qubit + 1)
        if readout == "expectation_ps":
            return backend.stack([backend.real(circuit.expectation_ps(z=[qubit])) for qubit in range(qubits)])
        return _signs(qubits) @ backend.abs(circuit.state()) ** 2

    batched = jax.vmap(jax.vmap(expectations, in_axes=(0, None)), in_axes=(1, 0), out_axes=1)

    @jax.jit
    def step(angles_BPQ, weights_PK, cotangents_BPO):
        values_BPO, pull_back = jax.vjp(batched, angles_BPQ, weights_PK)
        return (values_BPO, *pull_back(cotangents_BPO))

    arguments = [jax.numpy.asarray(t.numpy()) for t in (case.angles_BPQ, case.weights_PK, case.cotangents_BPO)]
    return lambda: jax.block_until_ready(step(*arguments))


def _signs(qubits: int) -> np.ndarray:
    """Return the eigenvalue of Z on each qubit at each basis state (O, amplitudes); qubit 0 is the highest bit."""
    bits = np.arange(1 << qubits) >> np.arange(qubits)[::-1, None] & 1
    return (1 - 2 * bits).astype(np.float32)
