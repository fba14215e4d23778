"""Expectation values returned by a backend, with standard errors and auxiliary arrays.

Shape letters: B images · P sub-generators · O observables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from qiskit.primitives import DataBin

from qgan_qiskit.errors import RemoteError


@dataclass(frozen=True, eq=False)
class ExpectationResult:
    """Expectation values of the sub-generators of some images."""

    evs_BPO: np.ndarray  # expectation values; error-mitigated ones may lie slightly outside [-1, 1]
    stds_BPO: np.ndarray  # standard errors
    # other arrays (B, P, O, …) under IBM's names, such as the values at each ZNE noise factor
    auxiliary: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def concatenate(cls, results: Sequence[ExpectationResult], axis: int) -> ExpectationResult:
        """Join results along images (axis 0) or sub-generators (axis 1); auxiliary arrays that one lacks are dropped."""
        names = [name for name in results[0].auxiliary if all(name in result.auxiliary for result in results)]
        return cls(
            np.concatenate([result.evs_BPO for result in results], axis),
            np.concatenate([result.stds_BPO for result in results], axis),
            {name: np.concatenate([result.auxiliary[name] for result in results], axis) for name in names},
        )

    @classmethod
    def from_pub_data(cls, data: DataBin, sub_generators: int, observables: int) -> ExpectationResult:
        """Reshape the data of one PUB result, whose arrays are (sub_generators * observables, images, …)."""
        arrays = {name: np.asarray(array) for name, array in data.items()}
        shaped = {
            name: np.moveaxis(array.reshape(sub_generators, observables, *array.shape[1:]), 2, 0)
            for name, array in arrays.items()
            if array.ndim >= 2 and array.shape[0] == sub_generators * observables
        }
        evs, stds = shaped.pop("evs"), shaped.pop("stds")
        return cls(evs, stds, shaped)

    def check_finite(self, source: str) -> None:
        """Check that all expectation values are finite.

        Raises:
            RemoteError: some are not.
        """
        if not np.isfinite(self.evs_BPO).all():
            raise RemoteError(f"{source}: expectation values that are not finite; submit its images again")
