"""Reports draw with matplotlib, which is an extra."""

from __future__ import annotations

import importlib.util

from qgan_qiskit.errors import UsageError


def check_matplotlib() -> None:
    """Find out whether matplotlib is installed.

    Raises:
        UsageError: it is not.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("the report needs matplotlib: python -m pip install -e '.[draw]'")
