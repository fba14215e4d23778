"""Simulated backends: ``shots``, ``aer:NAME`` (exact channels of a device's noise) and ``fake:NAME`` (IBM's Estimator on Aer).

Circuits are laid out and transpiled as for the real device, and then run one sub-generator at a time. Results depend on the
inputs, settings and seed only, not on the number of processes.

Shape letters: B images · P sub-generators · Q inputs (radians) · K weights (radians) · O observables.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.primitives import BackendEstimatorV2, BaseEstimatorV2
from qiskit.providers import BackendV2, Options
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Target

from qgan_qiskit.circuits import CircuitSpec
from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.errors import UsageError
from qgan_qiskit.hardware import require_hardware_extra
from qgan_qiskit.hardware.noise.noisy_circuit import DeviceNoise, NoisyCircuit
from qgan_qiskit.hardware.noise.noisy_estimator import estimate_expectations
from qgan_qiskit.hardware.packing import (
    build_pub,
    find_layouts,
    pack_sub_generators,
    restrict_observable,
    split_circuit,
)
from qgan_qiskit.hardware.results import ExpectationResult

# Time until a new process has loaded Qiskit and torch.
_PROCESS_START_SECONDS = 8.0


def load_fake_backend(name: str) -> BackendV2:
    """Return IBM's snapshot of a device: its coupling map and its calibration of some past day.

    Args:
        name: such as ``fez`` or ``fake_fez``.

    Raises:
        UsageError: there is none of this name, or IBM's client is not installed.
    """
    with require_hardware_extra():
        from qiskit_ibm_runtime.fake_provider import FakeProviderForBackendV2
    wanted = f"fake_{name.casefold().removeprefix('fake_')}"
    with warnings.catch_warnings():
        # FakeNighthawk warns that it is not typical.
        warnings.simplefilter("ignore")
        backends = {backend.name: backend for backend in FakeProviderForBackendV2().backends()}
    if wanted not in backends:
        known = get_close_matches(wanted, backends, n=3) or sorted(backends)
        choices = ", ".join(match.removeprefix("fake_") for match in known)
        raise UsageError(f"no device snapshot is called '{name}'; choose from {choices}")
    return backends[wanted]


def get_calibration_time(device: BackendV2) -> str | None:
    """Return when a device was last calibrated, as ISO 8601; None if it does not say."""
    properties = device.properties() if hasattr(device, "properties") else None
    updated = getattr(properties, "last_update_date", None)
    return None if updated is None else updated.isoformat()


class BackendSubset(BackendV2):
    """Some qubits of a device, renumbered from 0, with their calibration; a noise description for simulators."""

    def __init__(self, device: BackendV2, qubits: Sequence[int]) -> None:
        """Copy the calibration."""
        super().__init__(name=f"{device.name}_subset")
        index = {qubit: position for position, qubit in enumerate(qubits)}
        full, properties = device.target, device.target.qubit_properties
        self._target = Target(
            num_qubits=len(qubits),
            dt=full.dt,
            qubit_properties=None if properties is None else [properties[qubit] for qubit in qubits],
        )
        for name in full.operation_names:
            operation = full.operation_from_name(name)
            # Control flow is listed as a class; our circuits have none.
            if isinstance(operation, type):
                continue
            kept = {
                tuple(index[qubit] for qubit in support): calibration
                for support, calibration in full[name].items()
                if support is not None and all(qubit in index for qubit in support)
            }
            if kept:
                self._target.add_instruction(operation, kept)

    @property
    def target(self) -> Target:
        """Gates and calibration of the subset."""
        return self._target

    @property
    def max_circuits(self) -> int | None:
        """No limit."""
        return None

    @classmethod
    def _default_options(cls) -> Options:
        return Options()

    def run(self, run_input: Any, **options: Any) -> Any:
        """Raise NotImplementedError."""
        raise NotImplementedError("a subset of a device only describes noise; pass it to AerSimulator.from_backend")


def open_simulated_backend(config: HardwareConfig) -> SimulatedBackend:
    """Return the simulated backend that the settings name.

    For a name that begins with ``ibm_`` the service is asked for today's calibration of the real device, to which nothing is
    sent; all other names are IBM's snapshots.

    Raises:
        UsageError: there is no such device, IBM's Estimator cannot simulate the mitigation, or a package is not installed.
        RemoteError: the account cannot be opened or has no such device.
    """
    kind, name = config.backend_kind, config.device_name
    if kind == "fake" and config.needs_noise_model():
        raise UsageError(f"--backend {config.backend}: pec and pea need a noise model: take --backend aer:{name}")
    if not name.startswith("ibm_"):
        return SimulatedBackend(config, load_fake_backend(name) if name else None)
    if kind != "aer":
        raise UsageError(f"--backend {config.backend}: real devices are simulated by aer: take --backend aer:{name}")
    from qgan_qiskit.hardware.ibm.service import IbmAccount

    return SimulatedBackend(config, IbmAccount.open().get_calibrated_backend(name))


@dataclass(frozen=True, eq=False)
class _Task:
    """One sub-generator's circuit with the inputs of all images."""

    circuit: QuantumCircuit  # on its own qubits
    parameters: tuple[Parameter, ...]  # its inputs
    observables: tuple[SparsePauliOp, ...]  # on its qubits
    angles_BQ: np.ndarray  # inputs, radians
    device: BackendSubset | None  # the qubits it runs on; None for a noiseless backend
    order: tuple[int, ...]  # its qubits in the order of the sub-generator's
    config: HardwareConfig  # backend, shots, mitigation
    seed: int  # of the shots


class SimulatedBackend:
    """A simulated backend.

    Attributes:
        config: shots, mitigation and seed.
        device: whose layouts and noise are simulated; None for noiseless circuits.
        layouts: the physical qubits of each sub-generator that has run.
    """

    def __init__(self, config: HardwareConfig, device: BackendV2 | None) -> None:
        """Take the settings; see :func:`open_simulated_backend`."""
        self.config, self.device = config, device
        self.layouts: dict[int, tuple[int, ...]] = {}

    def describe_plan(self, spec: CircuitSpec, count: int) -> str:
        """Return a line about the layouts of ``count`` sub-generators.

        Raises:
            CircuitError: the circuit does not fit on the device.
        """
        if self.device is None:
            return f"{count} circuits of {spec.num_qubits} qubits, noiseless, {self.config.shots} shots"
        found = find_layouts(spec, self.device.target, min(self.config.pack or count, count))
        copies = len(found.layouts)
        probability = math.exp(-sum(found.costs) / copies)
        updated = get_calibration_time(self.device)
        return (
            f"{count} circuits of {spec.num_qubits} qubits, {copies} side by side on {self.device.name} "
            f"({self.device.num_qubits} qubits), no swaps, {found.adjacent_couplers} couplers between them; each runs without "
            f"error with probability {probability:.2f} by the calibration" + (f" of {updated}" if updated else "")
        )

    def metadata(self) -> dict[str, Any]:
        """Return the device, its calibration time and the layouts, for JSON."""
        if self.device is None:
            return {"name": "ideal"}
        return {
            "name": self.device.name,
            "num_qubits": self.device.num_qubits,
            "calibration": get_calibration_time(self.device),
            "layouts": {str(member): list(layout) for member, layout in sorted(self.layouts.items())},
        }

    def run(self, spec: CircuitSpec, angles_BPQ: np.ndarray, weights_PK: np.ndarray) -> ExpectationResult:
        """Return the expectation values (B, P, O) of every image and sub-generator.

        Raises:
            CircuitError: the circuit does not fit on the device.
        """
        tasks = list(self._build_tasks(spec, angles_BPQ, weights_PK))
        processes = min(self.config.processes or os.cpu_count() or 1, len(tasks))
        results = _run_until_processes_pay(tasks, processes) if self.config.processes is None else []
        rest = tasks[len(results) :]
        with _open_executor(min(processes, len(rest))) as executor:
            results += executor.map(_run_task, rest) if executor else map(_run_task, rest)
        return ExpectationResult.concatenate(results, axis=1)

    def _build_tasks(self, spec: CircuitSpec, angles_BPQ: np.ndarray, weights_PK: np.ndarray) -> Iterator[_Task]:
        if self.device is None:
            for member, weights_K in enumerate(weights_PK):
                circuit = spec.circuit.assign_parameters(
                    dict(zip(spec.weight_parameters, weights_K.tolist(), strict=True))
                )
                angles_BQ, seed = angles_BPQ[:, member], self._derive_seed(member)
                yield _Task(circuit, spec.input_parameters, spec.observables, angles_BQ, None, (), self.config, seed)
            return
        inputs, outputs = spec.num_inputs, spec.num_observables
        for packed in pack_sub_generators(spec, weights_PK, self.device.target, self.config.pack):
            subcircuits = split_circuit(packed.circuit)
            for position, (member, layout) in enumerate(zip(packed.members, packed.layouts, strict=True)):
                self.layouts[member] = layout
                qubits = tuple(sorted(layout))
                observables = packed.observables[position * outputs : (position + 1) * outputs]
                yield _Task(
                    subcircuits[qubits],
                    packed.parameters[position * inputs : (position + 1) * inputs],
                    tuple(restrict_observable(observable, qubits) for observable in observables),
                    angles_BPQ[:, member],
                    BackendSubset(self.device, qubits),
                    tuple(qubits.index(qubit) for qubit in layout),
                    self.config,
                    self._derive_seed(member),
                )

    def _derive_seed(self, member: int) -> int:
        (seed,) = np.random.SeedSequence([self.config.shot_seed, member]).generate_state(1)
        return int(seed) % 2**31


def _run_until_processes_pay(tasks: list[_Task], processes: int) -> list[ExpectationResult]:
    """Run tasks in this process until starting others would finish the rest sooner."""
    results: list[ExpectationResult] = []
    started = time.monotonic()
    while len(results) < len(tasks):
        results.append(_run_task(tasks[len(results)]))
        left = len(tasks) - len(results)
        remaining = left * (time.monotonic() - started) / len(results)
        if remaining > _PROCESS_START_SECONDS + remaining / max(1, min(processes, left)):
            break
    return results


@contextmanager
def _open_executor(processes: int) -> Iterator[Executor | None]:
    if processes <= 1:
        yield None
        return
    # A forked process cannot use OpenMP that its parent has used.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)
    ) as executor:
        yield executor


def _run_task(task: _Task) -> ExpectationResult:
    if task.config.backend_kind == "aer" and task.device is not None:
        circuit = NoisyCircuit(task.circuit, task.parameters, task.order, DeviceNoise.from_backend(task.device))
        return estimate_expectations(circuit, task.observables, task.angles_BQ, task.config, task.seed)
    pub = build_pub(task.circuit, task.parameters, task.observables, task.angles_BQ)
    [result] = _build_estimator(task).run([pub]).result()
    return ExpectationResult.from_pub_data(result.data, 1, len(task.observables))


def _build_estimator(task: _Task) -> BaseEstimatorV2:
    with require_hardware_extra():
        from qiskit_aer import AerSimulator
    config = task.config
    # One thread: there is a process for each core.
    limits = {"max_parallel_threads": 1, "seed_simulator": task.seed}
    if task.device is None:
        simulator = AerSimulator(method="statevector", **limits)
        options = {"default_precision": config.shots**-0.5, "seed_simulator": task.seed}
        return BackendEstimatorV2(backend=simulator, options=options)
    from qgan_qiskit.hardware.ibm.options import build_local_estimator

    return build_local_estimator(AerSimulator.from_backend(task.device, **limits), config, task.seed)
