"""Jobs as the service runs them: decode the program's inputs, run its circuits, encode the result as the client decodes it.

Programs: ``executor`` (what the new Estimator and Sampler submit, schema v2.0), ``noise-learner`` (see ``learner``), and the
legacy ``estimator`` and ``sampler``, which are prepared and post-processed here with the client's own code, as the legacy ones
left that to the service.

Shape letters: B values of the parameters (bindings), P parameters.
"""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .answers import BAD_PROGRAM, NOT_ISA
from .learner import NotIsaError, learn, true_map
from .simulate import UnsupportedError, sample

if TYPE_CHECKING:
    from qiskit_ibm_runtime.options_models import EstimatorOptions
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
    """A finished job.

    Attributes:
        text: the result as the client reads it.
        circuits: number of circuits with values for their parameters that were run.
        executions: circuits times shots.
    """

    text: str
    circuits: int
    executions: int


def run_program(program_id: str, params: str, device: Device, noise: bool, seed: tuple[int, ...]) -> Outcome:
    """Run a job.

    Args:
        program_id: executor, noise-learner, estimator or sampler.
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
    if program_id in ("estimator", "sampler"):
        return _legacy(program_id, params, device, noise, rng)
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


def _legacy(program_id: str, params: str, device: Device, noise: bool, rng: np.random.Generator) -> Outcome:
    from qiskit_ibm_runtime import executor_estimator, executor_sampler
    from qiskit_ibm_runtime.decoders.executor_estimator import post_processor_v0_1 as of_estimator
    from qiskit_ibm_runtime.decoders.executor_sampler import post_processor_v0_1 as of_sampler
    from qiskit_ibm_runtime.json import RuntimeDecoder, RuntimeEncoder
    from qiskit_ibm_runtime.options_models import SamplerOptions
    from qiskit_ibm_runtime.results import QuantumProgramItemResult, QuantumProgramResult

    inputs = json.loads(params, cls=RuntimeDecoder)
    options = inputs.get("options", {})
    pubs = [tuple(pub) for pub in inputs["pubs"]]
    if program_id == "estimator":
        asked = _estimator_options(inputs, options)
        _learn_within(asked, pubs, device, noise)
        prepare, finish = executor_estimator.prepare.prepare, of_estimator.estimator_v2_post_processor_v0_1
        program, _ = prepare(pubs, asked)
    else:
        known = {"default_shots": options["default_shots"]} if options.get("default_shots") else {}
        prepare, finish = executor_sampler.prepare.prepare, of_sampler.sampler_v2_post_processor_v0_1
        program, _ = prepare(pubs, SamplerOptions(**known))
    items = [QuantumProgramItemResult(arrays) for arrays in _run_items(program, device, noise, rng)]
    result = finish(QuantumProgramResult(items, passthrough_data=program.passthrough_data))
    result._metadata = {"version": 2}
    circuits = sum(item.size() for item in program.items)
    return Outcome(json.dumps(result, cls=RuntimeEncoder), circuits, circuits * program.shots)


def _estimator_options(inputs: dict[str, Any], options: dict[str, Any]) -> EstimatorOptions:
    """Return the legacy Estimator's options as those of the new one; decoupling changes nothing on a chip without waiting."""
    from qiskit_ibm_runtime.options_models import EstimatorOptions

    known = {key: options[key] for key in ("default_shots", "default_precision", "twirling") if options.get(key)}
    resilience = {key: value for key, value in options.get("resilience", {}).items() if key != "layer_noise_learning"}
    return EstimatorOptions(resilience_level=inputs.get("resilience_level", 1), resilience=resilience, **known)


def _learn_within(options: EstimatorOptions, pubs: list[tuple], device: Device, noise: bool) -> None:
    """Give PEC and PEA the noise of the circuits' layers, which the legacy Estimator learns within its job."""
    from qiskit_ibm_runtime.executor_estimator import finalize_options, prepare, utils
    from qiskit_mitigation import PEA, PEC, find_combined_unique_layers

    final = finalize_options.finalize_estimator_options(options)
    task = prepare.choose_task_class(final.resilience)
    if task in (PEA, PEC):
        boxing = utils.estimator_options_to_boxing_options(
            final.twirling, bool(final.resilience.measure_mitigation), True, True
        )
        layers = find_combined_unique_layers([pub[0] for pub in pubs], [task()] * len(pubs), boxing, "gates")
        options.resilience.layer_noise_model = [(layer, true_map(layer, device, noise)) for layer in layers]


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
        text: an executor's, a noise learner's or an estimator's result.
        how: "nan" (means over no shots, or rates), "shape" (bits of one qubit only, or noise on one qubit more), "fewer" (one row
            of results missing, or one layer).
    """
    decoded = json.loads(text)
    if "schema_version" not in decoded:
        return _damaged_primitive(text, how)
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


def _damaged_primitive(text: str, how: str) -> str:
    from qiskit.primitives.containers import DataBin, PrimitiveResult
    from qiskit_ibm_runtime.json import RuntimeDecoder, RuntimeEncoder
    from qiskit_ibm_runtime.results import EstimatorPubResult

    def damaged_field(value: Any) -> np.ndarray:
        array = np.asarray(value, dtype=float)
        return np.full_like(array, np.nan) if how == "nan" else array.reshape(-1)[:-1]

    pubs = []
    for pub in json.loads(text, cls=RuntimeDecoder):
        fields = {name: damaged_field(value) for name, value in pub.data.items()}
        pubs.append(EstimatorPubResult(DataBin(**fields), pub.metadata))
    return json.dumps(PrimitiveResult(pubs, {"version": 2}), cls=RuntimeEncoder)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
