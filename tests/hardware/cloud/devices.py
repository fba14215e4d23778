"""Devices of the service: configuration and properties as the API sends them, taken from the client's snapshots of real ones.

A device is named by its snapshot: ``FakeFez`` is all of it, ``FakeFez:10`` a chain of ten qubits cut out of it, numbered 0 to 9.
The files are read without importing the client, so that a service in a process of its own is up at once.
"""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

State = Literal["online", "maintenance", "retired"]
# Lists per qubit or per channel of the whole chip, which the client does not need.
_WHOLE_CHIP = (
    "acquisition_latency",
    "channels",
    "conditional_latency",
    "coords",
    "hamiltonian",
    "meas_lo_range",
    "qubit_channel_mapping",
    "qubit_lo_range",
    "u_channel_lo",
)


@dataclass
class Device:
    """A device as the service knows it."""

    name: str  # under which the account sees it
    configuration: dict[str, Any]  # as the API answers it
    properties: dict[str, Any]  # calibration as the API answers it
    state: State = "online"  # online, in maintenance (jobs wait) or retired (unknown to the API)
    mock: bool = False  # whether it only pretends (dry_run) and answers at random

    @property
    def num_qubits(self) -> int:
        """Number of qubits."""
        return self.configuration["n_qubits"]

    @cached_property
    def gate_errors(self) -> dict[tuple[str, tuple[int, ...]], float]:
        """Error of every calibrated gate, by name and qubits."""
        return {
            (gate["gate"], tuple(gate["qubits"])): parameter["value"]
            for gate in self.properties["gates"]
            for parameter in gate["parameters"]
            if parameter["name"] == "gate_error"
        }

    @cached_property
    def readout_errors(self) -> list[tuple[float, float]]:
        """Probabilities to read 1 from 0 and 0 from 1, per qubit."""
        named = [{value["name"]: value["value"] for value in qubit} for qubit in self.properties["qubits"]]
        return [(values["prob_meas1_prep0"], values["prob_meas0_prep1"]) for values in named]

    @cached_property
    def _allowed(self) -> set[tuple[str, tuple[int, ...]]]:
        return {
            (gate["name"], tuple(qubits))
            for gate in self.configuration["gates"]
            for qubits in gate.get("coupling_map", [])
        }

    def objection(self, name: str, qubits: tuple[int, ...]) -> str:
        """Return why the device cannot run an instruction, in the words of the client; "" if it can."""
        everywhere = name in ("barrier", "measure", "delay", "reset", "store")
        if max(qubits, default=0) < self.num_qubits and (everywhere or (name, qubits) in self._allowed):
            return ""
        return f"The instruction {name} on qubits {qubits} is not supported by the target system."


def snapshot(name: str, source: str, mock: bool = False) -> Device:
    """Return a device made from one of the client's snapshots.

    Args:
        name: under which the account sees it.
        source: the snapshot's class, with ``:N`` for a chain of N qubits of it.
        mock: whether it answers at random.
    """
    snapshot_name, _, length = source.partition(":")
    folder = re.sub(r"^Fake|V2$", "", snapshot_name).lower()
    package = importlib.util.find_spec("qiskit_ibm_runtime")
    assert package is not None and package.origin is not None
    files = Path(package.origin).parent / "fake_provider" / "backends" / folder
    configuration = json.loads((files / f"conf_{folder}.json").read_text())
    properties = json.loads((files / f"props_{folder}.json").read_text())
    if length:
        configuration, properties = _cut(configuration, properties, int(length))
    configuration["backend_name"] = properties["backend_name"] = name
    return Device(name, configuration, properties, mock=mock)


def _cut(configuration: dict[str, Any], properties: dict[str, Any], length: int) -> tuple[dict, dict]:
    """Return configuration and properties of a chain of neighbors."""
    chain = _chain(configuration["coupling_map"], length)
    new = {qubit: index for index, qubit in enumerate(chain)}

    def renumbered(groups: list[list[int]]) -> list[list[int]]:
        return [[new[q] for q in group] for group in groups if all(q in new for q in group)]

    small = {key: value for key, value in configuration.items() if key not in _WHOLE_CHIP}
    small |= {
        "n_qubits": length,
        "n_uchannels": 0,
        "u_channel_lo": [],
        "meas_map": [list(range(length))],
        "coupling_map": renumbered(configuration["coupling_map"]),
        "gates": [
            gate | {"coupling_map": renumbered(gate["coupling_map"])} if "coupling_map" in gate else gate
            for gate in configuration["gates"]
        ],
    }
    gates = [
        gate
        | {
            "qubits": [new[q] for q in gate["qubits"]],
            "name": gate["gate"] + "_".join(str(new[q]) for q in gate["qubits"]),
        }
        for gate in properties["gates"]
        if all(q in new for q in gate["qubits"])
    ]
    calibration = properties | {
        "qubits": [properties["qubits"][q] for q in chain],
        "gates": gates,
        "general": [],
        "general_qlists": [],
    }
    return small, calibration


def _chain(coupling: list[list[int]], length: int) -> list[int]:
    """Return the first path of so many neighbors that a search in depth finds."""
    near: dict[int, set[int]] = {}
    for a, b in coupling:
        near.setdefault(a, set()).add(b)
        near.setdefault(b, set()).add(a)

    def extended(path: list[int]) -> list[int] | None:
        if len(path) == length:
            return path
        for neighbor in sorted(near[path[-1]] - set(path)):
            if found := extended([*path, neighbor]):
                return found
        return None

    for start in sorted(near):
        if found := extended([start]):
            return found
    raise ValueError(f"no chain of {length} qubits in this coupling map")
