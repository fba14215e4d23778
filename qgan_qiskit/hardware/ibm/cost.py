"""Estimates of what images cost on a device, before anything is sent.

IBM's rule of thumb for Heron at its default delay of 250 µs between shots: 2 s per job and 0.35 ms per execution of a circuit
(guide "Estimate job run time", 2026); a longer delay costs in proportion. These are estimates; we measured none on a device.

PEC: canceling the errors of a layer multiplies shots by gamma^2 with gamma = exp(2 * sum of rates) (van den Berg et al., Nature
Physics 19, 1116, 2023). The factors of all layers multiply, and those of all sub-generators that share a circuit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import PauliList
from qiskit.transpiler import Target
from qiskit_ibm_runtime.options_models import NoiseLearnerV3Options

from qgan_qiskit.circuits import CircuitSpec
from qgan_qiskit.config import HardwareConfig

_SECONDS_PER_JOB, _SECONDS_PER_EXECUTION = 2.0, 0.00035
_DEFAULT_DELAY = 250e-6
# Enough to learn all two-qubit Paulis of a layer at once (documentation of NoiseLearnerV3Options).
_LEARNING_BASES = 9
_FORMULA = "2 s per job + 0.35 ms per execution at 250 µs between shots (IBM's guide to run times)"


@dataclass(frozen=True)
class LearningCost:
    """Cost of learning the noise of gate layers."""

    layers: int  # distinct layers of two-qubit gates in the circuits
    depths: int  # number of depths at which a layer is repeated
    randomizations: int  # random circuits for each layer, depth and basis
    shots: int  # of each
    slowdown: float  # of the device's delay between shots, in times the default

    @property
    def seconds(self) -> float:
        """Estimated QPU time."""
        return self.executions * _SECONDS_PER_EXECUTION * self.slowdown + _SECONDS_PER_JOB

    @property
    def executions(self) -> int:
        """Total number of shots."""
        return self.layers * self.depths * _LEARNING_BASES * self.randomizations * self.shots

    def format_line(self) -> str:
        """Return the formula with its numbers."""
        return (
            f"{self.executions:,} executions, about {self.seconds:,.0f} s, learn the noise: {self.layers} layers x "
            f"{self.depths} depths x {_LEARNING_BASES} bases x {self.randomizations} randomizations x {self.shots} "
            "shots (--noise-learning-randomizations, --noise-learning-shots)"
        )


@dataclass(frozen=True)
class Cost:
    """Cost of a submission."""

    jobs: int  # number of jobs, including the one that learns noise
    circuits: int  # packed circuits per image
    pubs: int  # over all jobs
    executions: int  # shots over all jobs, including those of mitigation and learning
    seconds: float  # estimated QPU time
    baseline_pubs: int  # PUBs with one circuit per sub-generator and a PUB per observable, as EstimatorQNN submits
    baseline_executions: int  # the same in shots
    learning: LearningCost | None = None  # the part that learns the noise; None where it is not needed

    def format_lines(self) -> list[str]:
        """Return the cost in lines for a person."""
        totals = f"{_count(self.jobs, 'job')}, {_count(self.pubs, 'PUB')}, {self.executions:,} executions"
        return [
            f"{totals}; about {self.seconds:,.0f} s on the device: {_FORMULA}",
            *([] if self.learning is None else [f"of these {self.learning.format_line()}"]),
            f"as EstimatorQNN submits: {self.baseline_pubs:,} PUBs, {self.baseline_executions:,} executions, "
            f"{self.baseline_executions / self.executions:.1f} times as many",
        ]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def estimate_cost(
    images: int,
    sub_generators: int,
    observables: int,
    packed: int,
    bases: int,
    config: HardwareConfig,
    rep_delay: float | None = None,
    layers: int = 0,
) -> Cost:
    """Estimate what images cost.

    Args:
        images: number of images.
        sub_generators: of an image.
        observables: of a sub-generator.
        packed: sub-generators per circuit.
        bases: measurement bases of the observables, 1 for ⟨Z⟩ on every qubit.
        config: shots, mitigation, images per job.
        rep_delay: seconds between shots on the device, if known.
        layers: distinct gate layers whose noise is learned.
    """
    jobs = math.ceil(images / config.images_per_job)
    circuits = math.ceil(sub_generators / packed)
    # PEC takes up to its maximum; how much, only the learned noise tells.
    overhead = len(config.noise_factors()) if config.uses_zne() else config.pec_max_overhead if config.pec else 1
    executions = round(images * circuits * bases * config.shots * overhead)
    if config.uses_trex():
        # TREX calibrates each circuit of a job with as many shots again.
        executions += jobs * circuits * config.shots
    slowdown = max(1.0, (rep_delay or _DEFAULT_DELAY) / _DEFAULT_DELAY)
    seconds = jobs * _SECONDS_PER_JOB + executions * _SECONDS_PER_EXECUTION * slowdown
    baseline_executions = round(images * sub_generators * observables * config.shots * overhead)
    learning = None
    if layers:
        depths = len(NoiseLearnerV3Options().layer_pair_depths)
        randomizations, shots = config.noise_learning_randomizations, config.noise_learning_shots
        learning = LearningCost(layers, depths, randomizations, shots, slowdown)
    return Cost(
        jobs + (learning is not None),
        circuits,
        jobs * circuits,
        executions + (learning.executions if learning else 0),
        seconds + (learning.seconds if learning else 0.0),
        jobs * sub_generators * observables,
        # The noise would have to be learned there, too.
        baseline_executions + (learning.executions if learning else 0),
        learning,
    )


def count_measurement_bases(spec: CircuitSpec) -> int:
    """Return the number of groups of qubit-wise commuting terms, each of which needs its own circuit."""
    terms = {label for observable in spec.observables for label in observable.paulis.to_labels()}
    return len(PauliList(sorted(terms)).group_commuting(qubit_wise=True))


def estimate_pec_overhead(circuit: QuantumCircuit, target: Target) -> float:
    """Return gamma^2 of a circuit whose two-qubit gates depolarize by their calibrated error.

    A depolarizing channel of average infidelity r scales every Pauli by f = 1 - 4r/3; its fifteen rates are -ln(f)/16 each, so
    gamma^2 of a gate is f^(-15/4). Other learned noise (idling, crosstalk, one-qubit gates) comes on top.

    Args:
        circuit: in the device's gates, on all its qubits.
        target: the device.

    Returns:
        At least 1; infinite where a gate does not work.
    """
    log_overhead = 0.0
    for instruction in circuit.data:
        if instruction.operation.num_qubits == 2:
            qubits = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
            properties = target[instruction.operation.name][qubits]
            fidelity = 1 - 4 * ((properties.error if properties else None) or 0.0) / 3
            log_overhead += math.inf if fidelity <= 0 else -15 * math.log(fidelity) / 4
    return math.exp(min(log_overhead, 700.0)) if math.isfinite(log_overhead) else math.inf


def format_pec_overhead(overhead: float, members: int, max_overhead: float) -> str:
    """Return a line on the PEC overhead of a packed circuit, and of one of its sub-generators alone."""
    line = f"PEC overhead by the calibration: about {_format_factor(overhead)} times the shots"
    if overhead > max_overhead:
        line += f"; limited to the {max_overhead:g} counted above (--pec-max-overhead), so some of the error remains"
    else:
        line += f"; {max_overhead:g} are counted above, the most that can be used (--pec-max-overhead)"
    if members > 1:
        alone = _format_factor(overhead ** (1 / members))
        line += f"; it multiplies over the {members} side by side, one alone takes about {alone} (--pack 1)"
    return line


def _format_factor(factor: float) -> str:
    return f"{factor:,.1f}" if factor < 1e6 else f"{factor:.0e}"
