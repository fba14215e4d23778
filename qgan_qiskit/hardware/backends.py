"""What ``--backend`` names: simulated devices by the names of real ones."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from difflib import get_close_matches

from qiskit.providers import BackendV2
from qiskit_ibm_runtime.fake_provider import FakeProviderForBackendV2

from qgan_qiskit.errors import UsageError


def snapshot(name: str) -> BackendV2:
    """Return IBM's snapshot of a device, which has its map and its calibration of some day.

    Args:
        name: such as ``fez`` or ``fake_fez``.

    Raises:
        UsageError: there is none of this name.
    """
    wanted = f"fake_{name.casefold().removeprefix('fake_')}"
    with warnings.catch_warnings():
        # That of Nighthawk is said to be no typical one; its name says what it is.
        warnings.simplefilter("ignore")
        found = FakeProviderForBackendV2().backends()
        for backend in found:
            if backend.name == wanted:
                return backend
    raise UsageError(f"no snapshot of a device is called '{name}'{_near(wanted, (b.name for b in found))}")


def calibration_time(device: BackendV2) -> str | None:
    """Return when a device's calibration was last updated, as ISO 8601; None if it does not say."""
    known = device.properties() if hasattr(device, "properties") else None
    updated = getattr(known, "last_update_date", None)
    return None if updated is None else updated.isoformat()


def _near(wanted: str, names: Iterable[str]) -> str:
    known = sorted(names)
    near = get_close_matches(wanted, known, n=3) or known
    return "; there are " + ", ".join(name.removeprefix("fake_") for name in near)
