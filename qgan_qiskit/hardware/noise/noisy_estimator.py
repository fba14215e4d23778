"""ExpectationResult of one sub-generator on a noisy simulated device, with the mitigation of errors that IBM's Estimator does.

Same options, same meaning: TREX divides by what readouts make of known states, ZNE extrapolates from amplified noise, PEC runs
more shots without the gates' errors. Twirling is averaged over all random circuits, so that its own scatter is missing; PEC and
PEA know the noise that real ones have to learn; PEC's overhead is that of the sub-generator alone, not of all on one chip.

Where each observable is one Pauli string and inputs come first, an expectation scatters as its own shots do, and those of
different observables independently; elsewhere whole outcomes are drawn.

Shape letters: B images · Q inputs · O observables · T terms (Pauli strings) of the observables · F noise factors · n qubits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from qiskit.quantum_info import PauliList, SparsePauliOp

from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.errors import UsageError
from qgan_qiskit.hardware.ibm.options import Mitigation
from qgan_qiskit.hardware.noise.noisy_circuit import Amplified, NoisyCircuit
from qgan_qiskit.hardware.noise.zne import extrapolate_to_zero_noise
from qgan_qiskit.hardware.results import ExpectationResult
from qgan_qiskit.rng import numpy_generator


@dataclass(frozen=True, eq=False)
class _Basis:
    """Terms that are measured together.

    Attributes:
        letters: X, Y, Z for each qubit, qubit 0 first; Z where no term acts.
        signs_TX: values (1, -1) of the terms for each outcome.
        coefficients_OT: of the terms in the observables.
        supports: the qubits of each term.
    """

    letters: str
    signs_TX: np.ndarray
    coefficients_OT: np.ndarray
    supports: tuple[np.ndarray, ...]


@dataclass(frozen=True, eq=False)
class _Shots:
    """What one sub-generator is measured with, whatever its noise is amplified by.

    Attributes:
        circuit: on its place, with the noise there.
        bases: of all terms of the observables.
        scale_T: for each basis, by what readout errors are taken to shrink its terms.
        angles_BQ: values of the inputs, radians.
        twirl_readout: whether readout errors are made symmetric.
        number: of shots.
        gamma: by which what shots scatter grows.
        rng: source of the shots.
    """

    circuit: NoisyCircuit
    bases: Sequence[_Basis]
    scale_T: Sequence[np.ndarray]
    angles_BQ: np.ndarray
    twirl_readout: bool
    number: int
    gamma: float
    rng: np.random.Generator


def noisy_readings(
    circuit: NoisyCircuit,
    observables: Sequence[SparsePauliOp],
    angles_BQ: np.ndarray,
    config: HardwareConfig,
    mitigation: Mitigation,
    seed: int,
) -> ExpectationResult:
    """Return the expectations (B, 1, O) of a circuit's observables.

    Args:
        circuit: on its place, with the noise there.
        observables: on the circuit's qubits.
        angles_BQ: values of the inputs, radians.
        config: shots and the settings of ZNE and PEC.
        mitigation: what is done.
        seed: of the shots.
    """
    rng = numpy_generator(seed)
    bases = _bases(observables, circuit.num_qubits)
    # One Pauli string each: then its expectation decides how its shots scatter.
    single = circuit.inputs_come_first and all(len(observable) == 1 for observable in observables)
    measured = _measured_alone if single else _measured
    scale_T = [_readout_scale(circuit, basis, mitigation, config.shots, rng) for basis in bases]
    shots, gain, gamma = config.shots, 1.0, 1.0
    if mitigation.pec:
        gain, gamma = _pec(circuit.overhead(), config.pec_max_overhead)
        shots = math.ceil(shots * gamma**2)
    asked = _Shots(circuit, bases, scale_T, angles_BQ, mitigation.twirl_readout, shots, gamma, rng)
    if not mitigation.zne:
        amplified = (
            Amplified(gain, "pea", twirled=True) if mitigation.pec else Amplified(twirled=mitigation.twirl_gates)
        )
        evs, stds = measured(asked, amplified)
        return ExpectationResult(evs[:, None], stds[:, None])
    factors = config.factors()
    # Where along the circuit gates are folded is the same for odd factors: everywhere.
    by: Literal["gate_folding", "pea"] = "pea" if config.zne_amplifier == "pea" else "gate_folding"
    if by == "gate_folding" and any(factor % 2 != 1 for factor in factors):
        raise UsageError(
            f"--zne-factors {config.zne_factors}: gates are simulated folded an odd number of times; take 1,3,5 or "
            "--zne-amplifier pea"
        )
    asked = replace(asked, gamma=1.0)
    found = [
        measured(asked, amplified)
        for amplified in (Amplified(factor, by, by == "pea" or mitigation.twirl_gates) for factor in factors)
    ]
    evs_BOF, stds_BOF = (np.stack([pair[which] for pair in found], axis=-1) for which in (0, 1))
    zero = np.array(
        [
            [
                extrapolate_to_zero_noise(factors, evs_F, stds_F, config.extrapolators())
                for evs_F, stds_F in zip(*rows, strict=True)
            ]
            for rows in zip(evs_BOF, stds_BOF, strict=True)
        ]
    )
    more = {"evs_noise_factors": evs_BOF[:, None], "stds_noise_factors": stds_BOF[:, None]}
    return ExpectationResult(zero[:, None, :, 0], zero[:, None, :, 1], more)


def _bases(observables: Sequence[SparsePauliOp], num_qubits: int) -> list[_Basis]:
    labels = sorted({label for observable in observables for label in observable.paulis.to_labels()})
    outcomes = np.arange(2**num_qubits)
    bases = []
    for group in PauliList(labels).group_commuting(qubit_wise=True):
        signs, supports, coefficients = [], [], []
        letters = ["Z"] * num_qubits
        for label in group.to_labels():
            # The last letter of a label is that of qubit 0.
            support = np.array([qubit for qubit, letter in enumerate(reversed(label)) if letter != "I"], dtype=int)
            for qubit in support:
                letters[qubit] = label[num_qubits - 1 - qubit]
            signs.append(
                np.prod([1 - 2 * (outcomes >> qubit & 1) for qubit in support], axis=0) * np.ones(len(outcomes))
            )
            supports.append(support)
            coefficients.append([_coefficient(observable, label) for observable in observables])
        bases.append(_Basis("".join(letters), np.array(signs), np.array(coefficients).T, tuple(supports)))
    return bases


def _coefficient(observable: SparsePauliOp, label: str) -> float:
    return float(
        sum(
            coefficient.real
            for other, coefficient in zip(observable.paulis.to_labels(), observable.coeffs, strict=True)
            if other == label
        )
    )


def _readout_scale(
    circuit: NoisyCircuit, basis: _Basis, mitigation: Mitigation, shots: int, rng: np.random.Generator
) -> np.ndarray:
    """Return by what readout errors shrink each term, learned with as many shots as circuits get; 1 without mitigation."""
    if not mitigation.measure:
        return np.ones(len(basis.supports))
    flip_chance = circuit.noise.readout[:, [1, 0], [0, 1]].mean(1)
    signs = 1 - 2 * (rng.random((shots, circuit.num_qubits)) < flip_chance)
    return np.array([signs[:, support].prod(1).mean() for support in basis.supports])


def _measured_alone(asked: _Shots, amplified: Amplified) -> tuple[np.ndarray, np.ndarray]:
    """Return the same where each observable is one Pauli string: what is measured is followed, not what each image is."""
    strings = [
        "".join(letter if qubit in support else "I" for qubit, letter in enumerate(basis.letters))
        for basis in asked.bases
        for support in basis.supports
    ]
    # Of the observables, by the strings of all bases.
    factors_OT = np.concatenate(
        [basis.coefficients_OT / scale for basis, scale in zip(asked.bases, asked.scale_T, strict=True)], axis=1
    )
    true_BT = np.clip(asked.circuit.expectations(asked.angles_BQ, strings, amplified, asked.twirl_readout), -1, 1)
    seen_BT = 2 * asked.rng.binomial(asked.number, (1 + true_BT) / 2) / asked.number - 1
    evs_BO = (true_BT + asked.gamma * (seen_BT - true_BT)) @ factors_OT.T
    variances_BO = asked.gamma**2 * (1 - seen_BT**2) @ (factors_OT**2).T / asked.number
    return evs_BO, np.sqrt(variances_BO)


def _measured(asked: _Shots, amplified: Amplified) -> tuple[np.ndarray, np.ndarray]:
    """Return expectations and standard errors (B, O) from so many shots."""
    outputs = len(asked.bases[0].coefficients_OT)
    evs_BO, variances_BO = np.zeros((2, len(asked.angles_BQ), outputs))
    values_OX = [
        (basis.coefficients_OT / scale) @ basis.signs_TX
        for basis, scale in zip(asked.bases, asked.scale_T, strict=True)
    ]
    letters = [basis.letters for basis in asked.bases]
    for some, probabilities in asked.circuit.read(asked.angles_BQ, letters, amplified, asked.twirl_readout):
        for chances_BX, value_OX in zip(probabilities, values_OX, strict=True):
            seen_BX = asked.rng.multinomial(asked.number, chances_BX) / asked.number
            mean_BO = seen_BX @ value_OX.T
            true_BO = chances_BX @ value_OX.T
            evs_BO[some] += true_BO + asked.gamma * (mean_BO - true_BO)
            variances_BO[some] += (
                asked.gamma**2 * np.clip(seen_BX @ (value_OX**2).T - mean_BO**2, 0, None) / asked.number
            )
    return evs_BO, np.sqrt(variances_BO)


def _pec(gamma: float, most: float) -> tuple[float, float]:
    """Return which part of the noise is left so that shots grow by no more than ``most``, and gamma then.

    As IBM's Estimator does for ``noise_gain="auto"``.
    """
    if gamma**2 <= most:
        return 0.0, gamma
    gain = 1 - math.log(most) / math.log(gamma**2)
    return gain, gamma ** (1 - gain)
