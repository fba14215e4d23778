"""Sub-generators on simulated devices: placed and written as for the real one, run part by part.

Shape letters: B images · P sub-generators · Q inputs · O observables.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.primitives import BackendEstimatorV2, BaseEstimatorV2
from qiskit.providers import BackendV2
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator

from qgan_qiskit.circuits import CircuitSpec
from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.errors import UsageError
from qgan_qiskit.hardware.backends import calibration_time, snapshot
from qgan_qiskit.hardware.ibm.options import Mitigation, estimator_options
from qgan_qiskit.hardware.ibm.service import IbmAccount
from qgan_qiskit.hardware.noise.calibration import DeviceNoise
from qgan_qiskit.hardware.noise.noisy_circuit import NoisyCircuit
from qgan_qiskit.hardware.noise.noisy_estimator import noisy_readings
from qgan_qiskit.hardware.packing import packed, placed
from qgan_qiskit.hardware.results import ExpectationResult, from_pub
from qgan_qiskit.hardware.subcircuits import DevicePart, on_qubits, parts

# What a process takes until it can work: it loads Qiskit and torch.
_SECONDS_TO_START = 8.0


@dataclass(frozen=True, eq=False)
class _Task:
    """One sub-generator's circuit with the values of its inputs for all images."""

    circuit: QuantumCircuit
    parameters: tuple[Parameter, ...]
    observables: tuple[SparsePauliOp, ...]
    angles_BQ: np.ndarray
    device: DevicePart | None
    order: tuple[int, ...]
    config: HardwareConfig
    seed: int


def open_local(config: HardwareConfig) -> LocalDevice:
    """Return the simulated device that settings name: ``shots``, ``aer:NAME`` or ``fake:NAME``.

    Names that begin with ``ibm_`` are real devices: their calibration of now is asked for, nothing is sent to them. All others
    are IBM's snapshots.

    Raises:
        UsageError: there is none of that name, or IBM's Estimator cannot simulate what is asked for.
        RemoteError: the account has no such device, or cannot be opened.
    """
    kind, _, name = config.backend.partition(":")
    if kind == "fake" and config.learns_noise():
        raise UsageError(
            f"--backend {config.backend}: pec and pea have no noise model there: take --backend aer:{name}"
        )
    if not name.startswith("ibm_"):
        return LocalDevice(config, snapshot(name) if name else None)
    if kind != "aer":
        raise UsageError(f"--backend {config.backend}: real devices are simulated by aer: take --backend aer:{name}")
    return LocalDevice(config, IbmAccount.open().calibrated(name))


class LocalDevice:
    """A simulated device; the same images, settings and seed give the same readings.

    Attributes:
        places: the physical qubits of each sub-generator that has run.
    """

    def __init__(self, config: HardwareConfig, device: BackendV2 | None) -> None:
        """Keep the settings.

        Args:
            config: shots, mitigation and seed; ``backend`` says how: ``fake:…`` through IBM's Estimator on Aer, ``aer:…`` by
                exact probabilities, ``shots`` through Qiskit's own Estimator on Aer.
            device: whose places and noise are simulated; None for circuits as they are, without noise.
        """
        self.config, self.device = config, device
        self.places: dict[int, tuple[int, ...]] = {}

    def plan(self, ansatz: CircuitSpec, count: int) -> str:
        """Return a line on where so many sub-generators go.

        Raises:
            CircuitError: nowhere.
        """
        if self.device is None:
            return f"{count} circuits of {ansatz.num_qubits} qubits, ideal, {self.config.shots} shots"
        placement = placed(ansatz, self.device.target, min(self.config.pack or count, count))
        chip = f"{self.device.name} ({self.device.num_qubits} qubits)"
        fit = len(placement.places)
        probability = math.exp(-sum(placement.costs) / fit)
        updated = calibration_time(self.device)
        return (
            f"{count} circuits of {ansatz.num_qubits} qubits, {fit} side by side on {chip}, no swaps; {placement.beside} "
            f"couplers between them; a circuit runs without error with probability {probability:.2f}, says the calibration"
            + (f" of {updated}" if updated else "")
        )

    def description(self) -> dict[str, Any]:
        """Return what is known of the device and where circuits went, for JSON."""
        if self.device is None:
            return {"name": "ideal"}
        return {
            "name": self.device.name,
            "num_qubits": self.device.num_qubits,
            "calibration": calibration_time(self.device),
            "places": {str(member): list(place) for member, place in sorted(self.places.items())},
        }

    def readings(self, ansatz: CircuitSpec, angles_BPQ: np.ndarray, weights_PK: np.ndarray) -> ExpectationResult:
        """Return the expectations of every image and sub-generator.

        Args:
            ansatz: the circuit of all sub-generators.
            angles_BPQ: inputs, radians.
            weights_PK: weights, radians.

        Raises:
            CircuitError: the circuit fits nowhere on the device.
        """
        tasks = list(self._tasks(ansatz, angles_BPQ, weights_PK))
        processes = min(self.config.processes or os.cpu_count() or 1, len(tasks))
        done: list[ExpectationResult] = []
        if self.config.processes is None:
            done = _until_worth_it(tasks, processes)
        rest = tasks[len(done) :]
        with _executor(min(processes, len(rest))) as executor:
            done += list(executor.map(_run, rest)) if executor else [_run(task) for task in rest]
        return ExpectationResult.joined(done, axis=1)

    def _tasks(self, ansatz: CircuitSpec, angles_BPQ: np.ndarray, weights_PK: np.ndarray) -> Iterator[_Task]:
        if self.device is None:
            for member, weights_K in enumerate(weights_PK):
                values = dict(zip(ansatz.weight_parameters, weights_K.tolist(), strict=True))
                circuit = ansatz.circuit.assign_parameters(values)
                yield self._task(
                    circuit, ansatz.input_parameters, ansatz.observables, angles_BPQ[:, member], None, (), member
                )
            return
        for pack in packed(ansatz, weights_PK, self.device.target, self.config.pack):
            own, (inputs, outputs) = dict(parts(pack.circuit)), (ansatz.num_inputs, ansatz.num_observables)
            for position, (member, place) in enumerate(zip(pack.members, pack.places, strict=True)):
                self.places[member] = place
                qubits = tuple(sorted(place))
                observables = pack.observables[position * outputs : (position + 1) * outputs]
                yield self._task(
                    own[qubits],
                    pack.parameters[position * inputs : (position + 1) * inputs],
                    tuple(on_qubits(observable, qubits) for observable in observables),
                    angles_BPQ[:, member],
                    DevicePart(self.device, qubits),
                    tuple(qubits.index(qubit) for qubit in place),
                    member,
                )

    def _task(
        self,
        circuit: QuantumCircuit,
        parameters: tuple[Parameter, ...],
        observables: tuple[SparsePauliOp, ...],
        angles_BQ: np.ndarray,
        device: DevicePart | None,
        order: tuple[int, ...],
        member: int,
    ) -> _Task:
        (seed,) = np.random.SeedSequence([self.config.shot_seed, member]).generate_state(1)
        return _Task(circuit, parameters, observables, angles_BQ, device, order, self.config, int(seed) % 2**31)


def _until_worth_it(tasks: list[_Task], processes: int) -> list[ExpectationResult]:
    """Run tasks here, one after the other, until starting processes for those left would be quicker.

    What a task gives does not depend on where it runs.
    """
    done: list[ExpectationResult] = []
    begun = time.monotonic()
    while len(done) < len(tasks):
        done.append(_run(tasks[len(done)]))
        left = len(tasks) - len(done)
        alone = left * (time.monotonic() - begun) / len(done)
        if alone > _SECONDS_TO_START + alone / max(1, min(processes, left)):
            break
    return done


@contextmanager
def _executor(processes: int) -> Iterator[Executor | None]:
    if processes <= 1:
        yield None
        return
    # Forked processes cannot use OpenMP that was in use before.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)
    ) as executor:
        yield executor


def _run(task: _Task) -> ExpectationResult:
    if task.config.backend.startswith("aer:") and task.device is not None:
        circuit = NoisyCircuit(task.circuit, task.parameters, task.order, DeviceNoise.of(task.device))
        mitigation = Mitigation.of(task.config)
        return noisy_readings(circuit, task.observables, task.angles_BQ, task.config, mitigation, task.seed)
    present = set(task.circuit.parameters)
    used = [number for number, parameter in enumerate(task.parameters) if parameter in present]
    values = {tuple(task.parameters[number] for number in used): task.angles_BQ[:, used]}
    pub = (task.circuit, [[observable] for observable in task.observables], values)
    result = _estimator(task).run([pub]).result()
    return from_pub(result[0].data, 1, len(task.observables))


def _estimator(task: _Task) -> BaseEstimatorV2:
    config = task.config
    # One thread: there is a process for each processor.
    limits = {"max_parallel_threads": 1, "seed_simulator": task.seed}
    if task.device is None:
        simulator = AerSimulator(method="statevector", **limits)
        options = {"default_precision": config.shots**-0.5, "seed_simulator": task.seed}
        return BackendEstimatorV2(backend=simulator, options=options)
    from qiskit_ibm_runtime.executor_estimator import Estimator

    options = estimator_options(config)
    options.simulator.seed_simulator = task.seed
    return Estimator(mode=AerSimulator.from_backend(task.device, **limits), options=options)
