"""Tasks of a submission, one per job: a shard's images, or learning the noise. Each runs exactly once.

Shape letters: N images · P sub-generators · Q inputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from qiskit.circuit import CircuitInstruction
from qiskit.quantum_info import PauliLindbladMap
from qiskit_ibm_runtime import IBMBackend, RuntimeJobV2
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.noise_learner_v3 import NoiseLearnerV3

from qgan_qiskit.errors import RemoteError
from qgan_qiskit.hardware.ibm.learned_noise import (
    GateLayer,
    check_maps,
    find_layers,
    format_noise_model,
    parse_noise_model,
)
from qgan_qiskit.hardware.ibm.options import build_estimator_options, build_learner_options
from qgan_qiskit.hardware.ibm.submission import Ledger, Submission
from qgan_qiskit.hardware.packing import PackedCircuit
from qgan_qiskit.hardware.results import ExpectationResult

_GATES_CHANGED = "the device's gates have changed since the images were submitted; submit again"


class SubmissionContext:
    """What the tasks of a submission share; each part is loaded or computed when it is first needed.

    Attributes:
        submission: whose tasks.
        circuits: its packed circuits, transpiled for its device.
    """

    def __init__(self, submission: Submission, backend: IBMBackend, circuits: Sequence[PackedCircuit]) -> None:
        """Take the circuits and the device of a submission."""
        self.submission, self.circuits, self._backend = submission, circuits, backend

    @cached_property
    def angles_NPQ(self) -> np.ndarray:
        """Inputs of all images, radians."""
        return self.submission.load_inputs()[0]

    @cached_property
    def layers(self) -> list[tuple[GateLayer, CircuitInstruction]]:
        """Gate layers whose noise is learned."""
        return find_layers(self._backend, self.submission.manifest.settings, self.circuits)

    @cached_property
    def noise_model(self) -> list[tuple[CircuitInstruction, PauliLindbladMap]]:
        """Gate layers with their learned noise."""
        maps = self.submission.load_noise_model(parse_noise_model) if self.layers else {}
        if any(layer not in maps for layer, _ in self.layers):
            raise RemoteError(_GATES_CHANGED)
        return [(instruction, maps[layer]) for layer, instruction in self.layers]


class RemoteTask(ABC):
    """A task that one job performs."""

    submission: Submission  # that it belongs to
    shard: int  # its index in the ledger
    ledger: Ledger  # its events
    name: str  # for messages
    content: str  # what it covers, for messages
    tag: str  # by which its jobs are found

    def tags(self) -> list[str]:
        """Return the tags of its jobs: its own and the submission's."""
        return [self.tag, self.submission.manifest.tag]

    @abstractmethod
    def build(self, mode: Any, context: SubmissionContext) -> tuple[Any, Any]:
        """Return one of IBM's primitives and the argument of its ``run``.

        Raises:
            RemoteError: the device's gates have changed.
        """

    @abstractmethod
    def store_result(self, job: RuntimeJobV2, source: str) -> None:
        """Check and store the result of a finished job.

        Raises:
            RemoteError: the result is damaged.
        """


class ShardTask(RemoteTask):
    """Runs the circuits of a shard's images."""

    def __init__(self, submission: Submission, shard: int) -> None:
        """Take a shard of a submission."""
        self.submission, self.shard, self.ledger = submission, shard, submission.ledger
        start, stop = submission.manifest.shards[shard]
        self.name, self.content = f"shard {shard}", f"images {start} to {stop - 1}"
        self.tag = submission.manifest.shard_tag(shard)

    def build(self, mode: Any, context: SubmissionContext) -> tuple[Any, Any]:
        """Return IBM's Estimator and a PUB for each circuit."""
        settings = self.submission.manifest.settings
        start, stop = self.submission.manifest.shards[self.shard]
        options = build_estimator_options(settings, self.tags())
        if settings.needs_noise_model():
            options.resilience.layer_noise_model = context.noise_model
        pubs = [packed.build_pub(context.angles_NPQ[start:stop]) for packed in context.circuits]
        return Estimator(mode=mode, options=options), pubs

    def store_result(self, job: RuntimeJobV2, source: str) -> None:
        """Check and store the expectation values of the images."""
        manifest = self.submission.manifest
        start, stop = manifest.shards[self.shard]
        pub_results = list(job.result())
        if len(pub_results) != len(manifest.circuits):
            raise RemoteError(
                f"{source}: {len(pub_results)} results instead of {len(manifest.circuits)}; collect again"
            )
        results = [
            ExpectationResult.from_pub_data(pub_result.data, len(circuit.members), circuit.observables)
            for pub_result, circuit in zip(pub_results, manifest.circuits, strict=True)
        ]
        result = ExpectationResult.concatenate(results, axis=1)
        if len(result.evs_BPO) != stop - start:
            raise RemoteError(
                f"{source}: results of {len(result.evs_BPO)} images instead of {stop - start}; collect again"
            )
        result.check_finite(source)
        self.submission.store_result(self.shard, result)


class NoiseLearningTask(RemoteTask):
    """Learns the noise of the circuits' gate layers, which PEC and PEA need before the images."""

    def __init__(self, submission: Submission) -> None:
        """Take a submission whose images need a noise model."""
        self.submission, self.shard, self.ledger = submission, 0, submission.noise_ledger
        self.layers = [GateLayer.from_json(layer) for layer in submission.manifest.layers]
        self.name, self.content = "noise learning", f"{len(self.layers)} layers of gates"
        self.tag = submission.manifest.noise_tag

    def build(self, mode: Any, context: SubmissionContext) -> tuple[Any, Any]:
        """Return IBM's noise learner and the layers in the manifest's order."""
        instructions = dict(context.layers)
        if set(instructions) != set(self.layers):
            raise RemoteError(_GATES_CHANGED)
        options = build_learner_options(self.submission.manifest.settings, self.tags())
        return NoiseLearnerV3(mode=mode, options=options), [instructions[layer] for layer in self.layers]

    def store_result(self, job: RuntimeJobV2, source: str) -> None:
        """Check and store the layers' Pauli-Lindblad maps."""
        maps = job.result().to_pauli_lindblad_maps()
        check_maps(maps, self.layers, source)
        self.submission.store_noise_model(format_noise_model(maps, self.layers))
