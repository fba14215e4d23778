"""What one job of a submission does: the images of a shard, or learning the noise. Each is run once.

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
from qiskit_ibm_runtime import EstimatorV2, IBMBackend, RuntimeJobV2
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.noise_learner_v3 import NoiseLearnerV3

from qgan_qiskit.errors import RemoteError
from qgan_qiskit.hardware.ibm import learned_noise as noise_model
from qgan_qiskit.hardware.ibm.learned_noise import Layer, find_layers
from qgan_qiskit.hardware.ibm.legacy import legacy_options
from qgan_qiskit.hardware.ibm.options import estimator_options, learner_options
from qgan_qiskit.hardware.ibm.submission import Ledger, Submission
from qgan_qiskit.hardware.packing import PackedCircuit
from qgan_qiskit.hardware.results import ExpectationResult, from_pub


class Work:
    """What a submission's jobs are made of; each part is read or computed when it is first needed.

    Attributes:
        submission: whose jobs.
        packs: its circuits, written for its device.
    """

    def __init__(self, submission: Submission, backend: IBMBackend, packs: Sequence[PackedCircuit]) -> None:
        """Take the circuits of a submission."""
        self.submission, self.packs, self._backend = submission, packs, backend

    @cached_property
    def angles_NPQ(self) -> np.ndarray:
        """Inputs of all images, radians."""
        return self.submission.work()[0]

    @cached_property
    def layers(self) -> list[tuple[Layer, CircuitInstruction]]:
        """Layers of gates whose noise is learned."""
        return find_layers(self._backend, self.submission.described.settings, self.packs)

    @cached_property
    def noise_model(self) -> list[tuple[CircuitInstruction, PauliLindbladMap]]:
        """Layers of gates with what was learned of their noise."""
        learned = self.submission.noise(noise_model.from_json) if self.layers else {}
        if any(layer not in learned for layer, _ in self.layers):
            raise RemoteError(_OTHER_GATES)
        return [(instruction, learned[layer]) for layer, instruction in self.layers]


_OTHER_GATES = "the device's gates are others than when the images were submitted; submit again"


class RemoteTask(ABC):
    """A job's worth of work.

    Attributes:
        submission: that it is part of.
        shard: its number in the ledger.
        ledger: what became of it.
        name: for messages.
        more: what a message says beside.
        tag: by which its jobs are found.
    """

    submission: Submission
    shard: int
    ledger: Ledger
    name: str
    more: str
    tag: str

    def tags(self) -> list[str]:
        """Return the tags of its jobs: its own, and that of the submission."""
        return [self.tag, f"qgan-{self.submission.described.identity}"]

    @abstractmethod
    def prepared(self, mode: Any, work: Work) -> tuple[Any, Any]:
        """Return one of IBM's primitives, and what its ``run`` takes.

        Args:
            mode: backend, session or batch that it runs in.
            work: of the submission.

        Raises:
            RemoteError: the device's gates have changed.
        """

    @abstractmethod
    def keep(self, job: RuntimeJobV2, what: str) -> None:
        """Publish the result of a job that is done.

        Args:
            job: done.
            what: its name, for messages.

        Raises:
            RemoteError: the result is none.
        """


class Shard(RemoteTask):
    """The circuits of some images."""

    def __init__(self, submission: Submission, shard: int) -> None:
        """Take a shard of a submission."""
        self.submission, self.shard, self.ledger = submission, shard, submission.ledger
        start, stop = submission.described.shards[shard]
        self.name, self.more = f"shard {shard}", f"images {start} to {stop - 1}"
        self.tag = submission.described.tag(shard)

    def prepared(self, mode: Any, work: Work) -> tuple[Any, Any]:
        """Return the Estimator that was asked for, and a PUB for each circuit."""
        described = self.submission.described
        start, stop = described.shards[self.shard]
        pubs = [pack.pub(work.angles_NPQ[start:stop]) for pack in work.packs]
        if described.settings.estimator == "legacy":
            return EstimatorV2(mode=mode, options=legacy_options(described.settings, self.tags())), pubs
        options = estimator_options(described.settings, self.tags())
        if described.settings.learns_noise():
            options.resilience.layer_noise_model = work.noise_model
        return Estimator(mode=mode, options=options), pubs

    def keep(self, job: RuntimeJobV2, what: str) -> None:
        """Publish the expectations of the images."""
        described = self.submission.described
        (start, stop), packs = described.shards[self.shard], described.packs
        results = list(job.result())
        if len(results) != len(packs):
            raise RemoteError(f"{what}: {len(results)} results instead of {len(packs)}; collect again")
        parts = [
            from_pub(result.data, len(pack["members"]), pack["observables"])
            for result, pack in zip(results, packs, strict=True)
        ]
        readings = ExpectationResult.joined(parts, axis=1)
        if len(readings.evs_BPO) != stop - start:
            raise RemoteError(f"{what}: expectations of {len(readings.evs_BPO)} images instead of {stop - start}")
        readings.check(what)
        self.submission.keep(self.shard, readings)


class Learning(RemoteTask):
    """The noise of the circuits' layers of gates, which PEC and PEA need before the images."""

    def __init__(self, submission: Submission) -> None:
        """Take the learning of a submission that needs it."""
        self.submission, self.shard, self.ledger = submission, 0, submission.noise_ledger
        self.layers = [Layer.from_json(layer) for layer in submission.described.layers]
        self.name, self.more = "noise learning", f"{len(self.layers)} layers of gates"
        self.tag = submission.described.noise_tag

    def prepared(self, mode: Any, work: Work) -> tuple[Any, Any]:
        """Return IBM's noise learner, and the layers in the order in which the submission lists them."""
        found = dict(work.layers)
        if set(found) != set(self.layers):
            raise RemoteError(_OTHER_GATES)
        learner = NoiseLearnerV3(mode=mode, options=learner_options(self.submission.described.settings, self.tags()))
        return learner, [found[layer] for layer in self.layers]

    def keep(self, job: RuntimeJobV2, what: str) -> None:
        """Publish the maps of the layers."""
        maps = job.result().to_pauli_lindblad_maps()
        noise_model.check(maps, self.layers, what)
        self.submission.keep_noise(noise_model.to_json(maps, self.layers))
