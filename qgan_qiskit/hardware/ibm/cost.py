"""In how many bases an ansatz has to be measured for all its observables.

What images on a device cost, before anything is sent.

IBM's rule of thumb for Heron at its default delay of 250 µs between shots: a job takes 2 s and 0.35 ms for each execution of a
circuit (guide "Estimate job run time", 2026). A device that waits longer between shots, as Nighthawk does, costs more in
proportion. It is an estimate; nothing of it was measured on a device by us.

Learning the noise of a layer runs random circuits for each depth and each of nine measurement bases, which are enough for all
two-qubit Paulis of the layer at once (documentation of ``NoiseLearnerV3Options``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from qiskit.quantum_info import PauliList
from qiskit_ibm_runtime.options_models import NoiseLearnerV3Options

from qgan_qiskit.circuits import CircuitSpec
from qgan_qiskit.config import HardwareConfig


def measurement_bases(ansatz: CircuitSpec) -> int:
    """Return the number of groups of qubit-wise commuting terms: one circuit has to be run for each."""
    terms = {label for observable in ansatz.observables for label in observable.paulis.to_labels()}
    return len(PauliList(sorted(terms)).group_commuting(qubit_wise=True))


_SECONDS_OF_A_JOB, _SECONDS_OF_AN_EXECUTION = 2.0, 0.00035
_USUAL_DELAY = 250e-6
_LEARNING_BASES = 9
FORMULA = "2 s per job + 0.35 ms per execution at 250 µs between shots (IBM's guide to run times)"


@dataclass(frozen=True)
class LearningCost:
    """What learning the noise takes.

    Attributes:
        layers: different layers of two-qubit gates in the circuits.
        depths: how often a layer is repeated, different numbers of times.
        randomizations: random circuits for each layer, depth and basis.
        shots: of each.
        times: how often all is learned: once, or with the legacy Estimator in every job.
        seconds: estimated time on the device.
    """

    layers: int
    depths: int
    randomizations: int
    shots: int
    times: int
    seconds: float = 0.0

    @property
    def executions(self) -> int:
        """Shots over all of it."""
        return self.layers * self.depths * _LEARNING_BASES * self.randomizations * self.shots * self.times

    def line(self) -> str:
        """Return the formula with its numbers."""
        often = f" x {self.times} jobs" if self.times > 1 else ""
        return (
            f"{self.executions:,} executions, about {self.seconds:,.0f} s, learn the noise: {self.layers} layers x "
            f"{self.depths} depths x {_LEARNING_BASES} bases x {self.randomizations} randomizations x {self.shots} "
            f"shots{often} (--noise-learning-randomizations, --noise-learning-shots)"
        )


@dataclass(frozen=True)
class Cost:
    """What some images take.

    Attributes:
        jobs: submissions.
        circuits: circuits of an image, each with all sub-generators that are packed on it.
        pubs: circuits with the angles of all images of a job, over all jobs.
        executions: shots over all jobs, those that mitigation adds included.
        seconds: estimated time on the device.
        by_hand_pubs: PUBs with EstimatorQNN's own submission, one for each sub-generator and observable.
        by_hand_executions: the same in shots.
        learning: the part of it that learns the noise; None where that is not needed.
    """

    jobs: int
    circuits: int
    pubs: int
    executions: int
    seconds: float
    by_hand_pubs: int
    by_hand_executions: int
    learning: LearningCost | None = None

    def lines(self) -> list[str]:
        """Return what a person should know, a sentence each."""
        runs = f"{_counted(self.jobs, 'job')}, {_counted(self.pubs, 'PUB')}, {self.executions:,} executions"
        return [
            f"{runs}; about {self.seconds:,.0f} s on the device: {FORMULA}",
            *([] if self.learning is None else [f"of these {self.learning.line()}"]),
            f"by EstimatorQNN's own submission: {self.by_hand_pubs:,} PUBs, {self.by_hand_executions:,} executions, "
            f"{self.by_hand_executions / self.executions:.1f} times as many",
        ]


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def cost(
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
        images: how many.
        sub_generators: of an image.
        observables: of a sub-generator.
        packed: sub-generators on one circuit.
        bases: measurement bases that the observables need, 1 for ⟨Z⟩ on every qubit.
        config: shots, mitigation, images of a job.
        rep_delay: seconds between shots, where the device's own are known.
        layers: different layers of gates whose noise is learned.
    """
    jobs = math.ceil(images / config.images_per_job)
    circuits = math.ceil(sub_generators / packed)
    zne = config.zne if config.zne is not None else config.resilience_level == 2
    trex = config.measure_mitigation if config.measure_mitigation is not None else config.resilience_level > 0
    # PEC draws up to so many times the shots; how many, only the learned noise says.
    repeated = len(config.factors()) if zne else config.pec_max_overhead if config.pec else 1
    executions = round(images * circuits * bases * config.shots * repeated)
    if trex:
        # The readout is learned once for each circuit of a job, with as many shots again.
        executions += jobs * circuits * config.shots
    slower = max(1.0, (rep_delay or _USUAL_DELAY) / _USUAL_DELAY)
    learning = _learning(layers, jobs, config, slower) if layers else None
    seconds = jobs * _SECONDS_OF_A_JOB + executions * _SECONDS_OF_AN_EXECUTION * slower
    by_hand = images * sub_generators * observables * config.shots
    return Cost(
        jobs + (learning is not None and config.estimator != "legacy"),
        circuits,
        jobs * circuits,
        executions + (learning.executions if learning else 0),
        seconds + (learning.seconds if learning else 0.0),
        jobs * sub_generators * observables,
        # That way the noise would have to be learned, too.
        round(by_hand * repeated) + (learning.executions if learning else 0),
        learning,
    )


def _learning(layers: int, jobs: int, config: HardwareConfig, slower: float) -> LearningCost:
    legacy = config.estimator == "legacy"
    found = LearningCost(
        layers,
        len(NoiseLearnerV3Options().layer_pair_depths),
        config.noise_learning_randomizations,
        config.noise_learning_shots,
        jobs if legacy else 1,
    )
    # The legacy Estimator learns within its jobs.
    seconds = found.executions * _SECONDS_OF_AN_EXECUTION * slower + (0.0 if legacy else _SECONDS_OF_A_JOB)
    return replace(found, seconds=seconds)
