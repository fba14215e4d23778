"""What a device's calibration says about its errors, as qiskit-aer reads it: channels after gates, and misread qubits."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from qiskit.providers import BackendV2
from qiskit.quantum_info import PTM, SuperOp
from qiskit_aer.noise.device import basic_device_gate_errors, basic_device_readout_errors


@dataclass(frozen=True, eq=False)
class DeviceNoise:
    """Errors of a device's gates and readouts.

    Attributes:
        gates: for a gate's name and qubits, the Pauli transfer matrix of the error that follows it, (4^k, 4^k); Paulis in the
            order I, X, Y, Z, those of the gate's first qubit changing fastest.
        readout: for each qubit, probabilities of what is read (row) given what it is (column), (qubits, 2, 2).
    """

    gates: dict[tuple[str, tuple[int, ...]], np.ndarray]
    readout: np.ndarray

    @classmethod
    def of(cls, device: BackendV2) -> DeviceNoise:
        """Return the errors of a device: depolarizing of the calibrated size, thermal relaxation, misread qubits.

        As in ``NoiseModel.from_backend``; errors of waiting are left out.
        """
        readout = np.tile(np.eye(2), (device.num_qubits, 1, 1))
        with warnings.catch_warnings():
            # A snapshot without some qubit's T1 or T2: that qubit does not relax.
            warnings.simplefilter("ignore")
            gate_errors = basic_device_gate_errors(target=device.target)
            readout_errors = basic_device_readout_errors(target=device.target)
        for qubits, error in readout_errors:
            readout[qubits[0]] = np.asarray(error.probabilities).T
        gates = {
            (name, tuple(qubits)): np.real(PTM(SuperOp(error)).data)
            for name, qubits, error in gate_errors
            if not error.ideal()
        }
        return cls(gates, readout)

    @classmethod
    def none(cls, num_qubits: int) -> DeviceNoise:
        """Return the errors of a device that makes none."""
        return cls({}, np.tile(np.eye(2), (num_qubits, 1, 1)))
