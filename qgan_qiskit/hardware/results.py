"""What devices answer: expectations with their errors, and whatever they say beside.

Shape letters: B images · P sub-generators · O observables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from qgan_qiskit.errors import RemoteError


@dataclass(frozen=True, eq=False)
class ExpectationResult:
    """Expectations of some images' sub-generators.

    Attributes:
        evs_BPO: expectations; mitigated ones may lie a little beyond [-1, 1].
        stds_BPO: their standard errors.
        more: other arrays of the same first dimensions, by the name that IBM gives them (the raw values behind ZNE).
    """

    evs_BPO: np.ndarray
    stds_BPO: np.ndarray
    more: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def joined(cls, members: Sequence[ExpectationResult], axis: int) -> ExpectationResult:
        """Return several readings as one, behind each other along images (0) or sub-generators (1)."""
        names = [name for name in members[0].more if all(name in member.more for member in members)]
        return cls(
            np.concatenate([member.evs_BPO for member in members], axis),
            np.concatenate([member.stds_BPO for member in members], axis),
            {name: np.concatenate([member.more[name] for member in members], axis) for name in names},
        )

    def check(self, source: str) -> None:
        """Refuse what cannot be an expectation.

        Args:
            source: whose answer it is, for the message.

        Raises:
            RemoteError: values that are not finite.
        """
        if not np.isfinite(self.evs_BPO).all():
            raise RemoteError(f"{source}: expectations that are not finite; submit its images again")


def from_pub(data: object, members: int, observables: int) -> ExpectationResult:
    """Return the readings in a PUB's result, whose values have the shape (members * observables, images, …)."""
    arrays = {name: np.asarray(getattr(data, name)) for name in data.keys()}  # type: ignore[attr-defined]  # noqa: SIM118
    shaped = {
        name: np.moveaxis(array.reshape(members, observables, *array.shape[1:]), 2, 0)
        for name, array in arrays.items()
        if array.ndim >= 2 and array.shape[0] == members * observables
    }
    evs, stds = shaped.pop("evs"), shaped.pop("stds")
    return ExpectationResult(evs, stds, shaped)
