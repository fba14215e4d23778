"""Expectation values of one sub-generator on a noisy simulated device, with the error mitigation of IBM's Estimator.

An observable O = sum_T c_T P_T is measured in bases of qubit-wise commuting Pauli strings, with N shots each. From the
frequencies f_X of outcomes X, where P_T has the value sign_T(X) = ±1:

    v(X) = sum_T c_T sign_T(X) / s_T        ev = sum_X f_X v(X)        std^2 = (sum_X f_X v(X)^2 - ev^2) / N, summed over bases

TREX: s_T is ⟨P_T⟩ measured on |0…0⟩ with twirled readout; without it s_T = 1.
ZNE: ev is extrapolated from amplified noise to none.
PEC: gate noise is scaled by a gain g (0 if the overhead allows it); N grows by gamma^2, and sampling errors grow by gamma.

Unlike on a device, twirling is averaged exactly, PEC and PEA know the noise instead of learning it, and PEC's overhead is that of
this sub-generator alone. Where each observable is one Pauli string and :attr:`NoisyCircuit.encodes_before_entangling` holds, each
expectation value is sampled from its own binomial distribution, so that correlations between observables are left out.

Shape letters: B images · Q inputs (radians) · O observables · T terms · F noise factors · X outcomes (2^n) · n qubits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from qiskit.quantum_info import PauliList, SparsePauliOp

from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.errors import UsageError
from qgan_qiskit.hardware.noise.noisy_circuit import NoiseAmplification, NoisyCircuit
from qgan_qiskit.hardware.noise.zne import extrapolate_to_zero_noise
from qgan_qiskit.hardware.results import ExpectationResult


def estimate_expectations(
    circuit: NoisyCircuit,
    observables: Sequence[SparsePauliOp],
    angles_BQ: np.ndarray,
    config: HardwareConfig,
    seed: int,
) -> ExpectationResult:
    """Return the expectation values (B, 1, O) of a circuit's observables.

    Raises:
        UsageError: gate folding with noise factors that are not odd.
    """
    rng = np.random.default_rng(seed)
    bases = _group_terms(observables, circuit.num_qubits)
    if config.uses_trex():
        coefficients = [basis.coefficients_OT / _readout_scales(circuit, basis, config.shots, rng) for basis in bases]
    else:
        coefficients = [basis.coefficients_OT for basis in bases]
    single = all(len(observable) == 1 for observable in observables)
    sampler = _Sampler(circuit, bases, coefficients, angles_BQ, config.twirls_measurements(), single, rng)
    if config.uses_zne():
        return _run_zne(sampler, config)
    if config.pec:
        gain, gamma = _limit_pec_overhead(circuit.pec_gamma(), config.pec_max_overhead)
        shots = math.ceil(config.shots * gamma**2)
        evs, stds = sampler.sample(NoiseAmplification(gain, "pea", twirled=True), shots, gamma)
    else:
        evs, stds = sampler.sample(NoiseAmplification(twirled=config.twirls_gates()), config.shots)
    return ExpectationResult(evs[:, None], stds[:, None])


@dataclass(frozen=True, eq=False)
class _Basis:
    """Terms that are measured together."""

    letters: str  # X, Y, Z for each qubit, qubit 0 first; Z where no term acts
    signs_TX: np.ndarray  # values ±1 of the terms for each outcome
    coefficients_OT: np.ndarray  # of the terms in the observables
    supports: tuple[np.ndarray, ...]  # the qubits on which each term acts

    def strings(self) -> list[str]:
        """Return the terms as a letter (I, X, Y, Z) per qubit, qubit 0 first."""
        return [
            "".join(letter if qubit in support else "I" for qubit, letter in enumerate(self.letters))
            for support in self.supports
        ]


def _group_terms(observables: Sequence[SparsePauliOp], num_qubits: int) -> list[_Basis]:
    labels = sorted({label for observable in observables for label in observable.paulis.to_labels()})
    outcomes = np.arange(2**num_qubits)
    bases = []
    for group in PauliList(labels).group_commuting(qubit_wise=True):
        signs, supports, coefficients = [], [], []
        letters = ["Z"] * num_qubits
        for label in group.to_labels():
            # Qubit 0 is the last letter of a label.
            support = np.array([qubit for qubit, letter in enumerate(reversed(label)) if letter != "I"], dtype=int)
            for qubit in support:
                letters[qubit] = label[num_qubits - 1 - qubit]
            parities = [1 - 2 * (outcomes >> qubit & 1) for qubit in support]
            signs.append(np.prod(parities, axis=0) * np.ones(len(outcomes)))
            supports.append(support)
            coefficients.append([_coefficient_of(label, observable) for observable in observables])
        bases.append(_Basis("".join(letters), np.array(signs), np.array(coefficients).T, tuple(supports)))
    return bases


def _coefficient_of(label: str, observable: SparsePauliOp) -> float:
    terms = zip(observable.paulis.to_labels(), observable.coeffs, strict=True)
    return float(sum(coefficient.real for other, coefficient in terms if other == label))


def _readout_scales(circuit: NoisyCircuit, basis: _Basis, shots: int, rng: np.random.Generator) -> np.ndarray:
    """Sample the TREX calibration: by which factor readout errors shrink each term, (T,)."""
    flip_probability = circuit.noise.readout[:, [1, 0], [0, 1]].mean(1)
    signs = 1 - 2 * (rng.random((shots, circuit.num_qubits)) < flip_probability)
    return np.array([signs[:, support].prod(1).mean() for support in basis.supports])


@dataclass(frozen=True, eq=False)
class _Sampler:
    """Measures one circuit's observables with any shots and noise amplification."""

    circuit: NoisyCircuit  # with its noise
    bases: Sequence[_Basis]  # of all terms of the observables
    coefficients: Sequence[np.ndarray]  # for each basis, c_T / s_T of each observable, (O, T)
    angles_BQ: np.ndarray  # inputs, radians
    twirl_readout: bool  # whether readout errors are symmetrized
    single_terms: bool  # whether each observable is one Pauli string
    rng: np.random.Generator  # source of the shots

    def sample(
        self, amplification: NoiseAmplification, shots: int, gamma: float = 1.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return expectation values and standard errors, (B, O); sampling errors are multiplied by ``gamma``."""
        if self.single_terms and self.circuit.encodes_before_entangling:
            return self._sample_strings(amplification, shots, gamma)
        return self._sample_outcomes(amplification, shots, gamma)

    def _sample_strings(
        self, amplification: NoiseAmplification, shots: int, gamma: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sample each Pauli string's expectation value from a binomial distribution."""
        strings = [string for basis in self.bases for string in basis.strings()]
        coefficients_OT = np.concatenate(self.coefficients, axis=1)
        exact_BT = self.circuit.compute_expectations(self.angles_BQ, strings, amplification, self.twirl_readout)
        exact_BT = np.clip(exact_BT, -1, 1)
        sampled_BT = 2 * self.rng.binomial(shots, (1 + exact_BT) / 2) / shots - 1
        evs_BO = (exact_BT + gamma * (sampled_BT - exact_BT)) @ coefficients_OT.T
        variances_BO = gamma**2 * (1 - sampled_BT**2) @ (coefficients_OT**2).T / shots
        return evs_BO, np.sqrt(variances_BO)

    def _sample_outcomes(
        self, amplification: NoiseAmplification, shots: int, gamma: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sample whole outcomes from a multinomial distribution."""
        evs_BO, variances_BO = np.zeros((2, len(self.angles_BQ), len(self.bases[0].coefficients_OT)))
        values = [
            coefficients_OT @ basis.signs_TX
            for basis, coefficients_OT in zip(self.bases, self.coefficients, strict=True)
        ]
        letters = [basis.letters for basis in self.bases]
        for images, probabilities in self.circuit.compute_probabilities(
            self.angles_BQ, letters, amplification, self.twirl_readout
        ):
            for probabilities_BX, values_OX in zip(probabilities, values, strict=True):
                frequencies_BX = self.rng.multinomial(shots, probabilities_BX) / shots
                mean_BO, exact_BO = frequencies_BX @ values_OX.T, probabilities_BX @ values_OX.T
                variance_BO = np.clip(frequencies_BX @ (values_OX**2).T - mean_BO**2, 0, None)
                evs_BO[images] += exact_BO + gamma * (mean_BO - exact_BO)
                variances_BO[images] += gamma**2 * variance_BO / shots
        return evs_BO, np.sqrt(variances_BO)


def _run_zne(sampler: _Sampler, config: HardwareConfig) -> ExpectationResult:
    """Sample at each noise factor and extrapolate to zero noise."""
    factors = config.noise_factors()
    # Where gates are folded (front, back, all over) does not matter for odd factors: every gate is.
    method: Literal["gate_folding", "pea"] = "pea" if config.zne_amplifier == "pea" else "gate_folding"
    if method == "gate_folding" and any(factor % 2 != 1 for factor in factors):
        raise UsageError(
            f"--zne-factors {config.zne_factors}: simulated gate folding needs odd factors; take 1,3,5 or "
            "--zne-amplifier pea"
        )
    twirled = method == "pea" or config.twirls_gates()
    sampled = [sampler.sample(NoiseAmplification(factor, method, twirled), config.shots) for factor in factors]
    evs_BOF, stds_BOF = (np.stack(arrays, axis=-1) for arrays in zip(*sampled, strict=True))
    zero_noise_BO2 = np.empty((*evs_BOF.shape[:2], 2))
    for index in np.ndindex(evs_BOF.shape[:2]):
        zero_noise_BO2[index] = extrapolate_to_zero_noise(
            factors, evs_BOF[index], stds_BOF[index], config.extrapolators()
        )
    auxiliary = {"evs_noise_factors": evs_BOF[:, None], "stds_noise_factors": stds_BOF[:, None]}
    return ExpectationResult(zero_noise_BO2[:, None, :, 0], zero_noise_BO2[:, None, :, 1], auxiliary)


def _limit_pec_overhead(gamma: float, max_overhead: float) -> tuple[float, float]:
    """Return the noise gain at which gamma^2 stays within ``max_overhead``, and gamma there.

    As IBM's Estimator with ``noise_gain="auto"``.
    """
    if gamma**2 <= max_overhead:
        return 0.0, gamma
    gain = 1 - math.log(max_overhead) / math.log(gamma**2)
    return gain, gamma ** (1 - gain)
