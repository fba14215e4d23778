"""Jobs as the service runs them: decode the program's inputs, run its circuits, encode the result as the client decodes it.

Programs: ``executor`` (what the Estimator and Sampler submit, schema v2.0) and ``noise-learner`` (see ``learner``).

Shape letters: B values of the parameters (bindings), P parameters.
"""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .answers import BAD_PROGRAM, NOT_ISA
from .learner import NotIsaError, learn
from .simulate import UnsupportedError, sample

if TYPE_CHECKING:
    from qiskit_ibm_runtime.quantum_program import QuantumProgram

    from .devices import Device


class ProgramError(Exception):
    """The job fails.

    Args:
        code: of the error.
        reason: why.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code, self.reason = code, reason


@dataclass
class Outcome:
    """A finished job."""

    text: str  # the result as the client reads it
    circuits: int  # number of circuits with values for their parameters that were run
    executions: int  # circuits times shots


def run_program(program_id: str, params: str, device: Device, noise: bool, seed: tuple[int, ...]) -> Outcome:
    """Run a job.

    Args:
        program_id: executor or noise-learner.
        params: its inputs, as JSON.
        device: to run on.
        noise: whether the device's errors count.
        seed: of all chance.

    Raises:
        ProgramError: where the service would end the job with an error.
    """
    rng = np.random.default_rng(seed)
    if program_id == "executor":
        return _executor(params, device, noise, rng)
    if program_id == "noise-learner":
        try:
            return Outcome(*learn(params, device, noise))
        except NotIsaError as error:
            raise ProgramError(NOT_ISA, str(error)) from error
    raise ProgramError(BAD_PROGRAM, f"Program {program_id} is not offered by this service.")


def _executor(params: str, device: Device, noise: bool, rng: np.random.Generator) -> Outcome:
    from ibm_quantum_schemas.common import CompressedTensorModel
    from ibm_quantum_schemas.executor.version_2_0 import ParamsModel, QuantumProgramResultModel
    from qiskit_ibm_runtime.quantum_program.converters import quantum_program_from_2_0

    model = ParamsModel.model_validate_json(params)
    program, _ = quantum_program_from_2_0(model)
    started = _now()
    arrays = _run_items(program, device, noise, rng)
    parts = [
        {
            "idx_item": index,
            "size": item.size(),
            "permutation": [*range(len(item.shape))],
            "element_range": (0, item.size(), 1),
        }
        for index, item in enumerate(program.items)
    ]
    result = QuantumProgramResultModel(
        data=[
            {"results": {name: CompressedTensorModel.from_numpy(array) for name, array in item.items()}, "metadata": {}}
            for item in arrays
        ],
        metadata={"chunk_timing": [{"start": started, "stop": _now(), "parts": parts}]},
        passthrough_data=model.quantum_program.passthrough_data,
        semantic_role=model.quantum_program.semantic_role,
    )
    circuits = sum(item.size() for item in program.items)
    return Outcome(result.model_dump_json(), circuits, circuits * program.shots)


def _run_items(
    program: QuantumProgram, device: Device, noise: bool, rng: np.random.Generator
) -> list[dict[str, np.ndarray]]:
    """Return the arrays of every item: what its samplex gave beside parameter values, and what was read."""
    from qiskit_ibm_runtime.fake_provider.executor.broadcast_sample import broadcast_sample
    from samplomatic.quantum_program import SamplexItem

    done = []
    for item in program.items:
        for instruction in item.circuit.data:
            qubits = tuple(item.circuit.find_bit(qubit).index for qubit in instruction.qubits)
            if objection := device.objection(instruction.name, qubits):
                raise ProgramError(NOT_ISA, objection)
        arrays: dict[str, np.ndarray] = {}
        if isinstance(item, SamplexItem):
            # One that came through JSON is not yet ready to draw from.
            item.samplex.finalize()
            arrays = broadcast_sample(item.samplex, item.samplex_arguments, item.shape, rng)
            values = arrays.pop("parameter_values")
        else:
            values = np.asarray(item.circuit_arguments)
        values_BP = values.reshape(item.size(), -1)
        if device.mock:
            read = {
                register.name: rng.random((len(values_BP), program.shots, register.size)) < 0.5
                for register in item.circuit.cregs
            }
        else:
            try:
                read = sample(item.circuit, values_BP, program.shots, device, noise, rng)
            except UnsupportedError as error:
                raise ProgramError(BAD_PROGRAM, str(error)) from error
        done.append(arrays | {name: bits.reshape(*item.shape, *bits.shape[1:]) for name, bits in read.items()})
    return done


def damaged(text: str, how: str) -> str:
    """Return a result that is still valid and no longer of any use.

    Args:
        text: an executor's or a noise learner's result.
        how: "nan" (means over no shots, or rates), "shape" (bits of one qubit only, or noise on one qubit more), "fewer" (one row
            of results missing, or one layer).
    """
    decoded = json.loads(text)
    if "rates" in decoded["data"][0]:
        return _damaged_noise(decoded, how)
    from ibm_quantum_schemas.common import CompressedTensorModel

    for item in decoded["data"]:
        for name, tensor in item["results"].items():
            array = CompressedTensorModel.model_validate(tensor).to_numpy()
            if name.startswith(("measurement_flips", "pauli_signs")) and how != "fewer":
                continue
            cut = {"nan": array[..., :0, :], "shape": array[..., :1], "fewer": array[..., :-1, :, :]}[how]
            item["results"][name] = CompressedTensorModel.from_numpy(cut).model_dump(mode="json")
    return json.dumps(decoded)


def _damaged_noise(decoded: dict[str, Any], how: str) -> str:
    from ibm_quantum_schemas.common import F64TensorModel

    last = decoded["data"][-1]
    if how == "nan":
        rates = F64TensorModel.model_validate(last["rates"]).to_numpy() * np.nan
        last["rates"] = F64TensorModel.from_numpy(rates).model_dump(mode="json")
    elif how == "shape":
        last["num_qubits"] += 1
    else:
        del decoded["data"][-1]
    return json.dumps(decoded)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
