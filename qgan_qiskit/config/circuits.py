"""Settings of the study of circuits: which ones, and how many random angles stand behind each figure."""

from __future__ import annotations

from pydantic import Field, field_validator

from qgan_qiskit.config.models import Encoding, Entangler, HybridQConfig, Readout
from qgan_qiskit.config.settings import Settings

_MODEL = HybridQConfig.model_fields
_NUMBERS = r"^\d+(,\d+)*$"
# The overlap of two states is read as 2^qubits Pauli strings.
MOST_QUBITS = 16
MOST_REPS = 200


class CircuitsChoice(Settings):
    """Which circuits of the built-in family. A study may grow in these, so they are no settings that its cells share."""

    num_qubits: str = Field(
        "2,4,6,8,10", pattern=_NUMBERS, description=f"Numbers of qubits, as a list of 1 to {MOST_QUBITS}."
    )
    reps: str = Field(
        "1,2,4,8",
        pattern=_NUMBERS,
        description=f"Repetitions of the rotation + entangler layer, as a list of 1 to {MOST_REPS}.",
    )
    encoding: Encoding = Field(_MODEL["encoding"].default, description=_MODEL["encoding"].description)
    entangler: Entangler = Field(_MODEL["entangler"].default, description=_MODEL["entangler"].description)
    readout: Readout = Field(
        _MODEL["readout"].default, description="Pauli measured: on the middle qubit (local) and on all (global)."
    )

    @field_validator("num_qubits")
    @classmethod
    def _check_qubits(cls, value: str) -> str:
        if not all(1 <= int(part) <= MOST_QUBITS for part in value.split(",")):
            raise ValueError(f"qubits are between 1 and {MOST_QUBITS}")
        return value

    @field_validator("reps")
    @classmethod
    def _check_reps(cls, value: str) -> str:
        if not all(1 <= int(part) <= MOST_REPS for part in value.split(",")):
            raise ValueError(f"repetitions are between 1 and {MOST_REPS}")
        return value

    def qubit_numbers(self) -> tuple[int, ...]:
        """Return the numbers of qubits, rising, each once."""
        return tuple(sorted({int(part) for part in self.num_qubits.split(",")}))

    def repetitions(self) -> tuple[int, ...]:
        """Return the repetitions, rising, each once."""
        return tuple(sorted({int(part) for part in self.reps.split(",")}))


class CircuitsConfig(Settings):
    """What all circuits of a study share."""

    samples: int = Field(
        5000,
        ge=40,
        le=1_000_000,
        description="Pairs of random states behind the expressibility, and random states behind the entangling capability.",
    )
    bins: int = Field(75, ge=2, le=1000, description="Bins of the fidelities' histogram.")
    gradient_samples: int = Field(500, ge=40, le=1_000_000, description="Random angles behind each gradient variance.")
    circuit_seed: int = Field(0, ge=0, lt=2**63, description="Seed of all random angles.")
