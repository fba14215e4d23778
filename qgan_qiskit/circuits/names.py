"""The names of circuit parameters: ``x_000`` for inputs and ``theta_000`` for weights.

After an OpenQASM 3 round trip Qiskit sorts parameters by name, and ``theta[10]`` comes before ``theta[2]``. The
zero-padded names sort by number, so binding values in the order of the names always reaches the right gate.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from qiskit.circuit import Parameter

from qgan_qiskit.errors import CircuitError

_NAME = re.compile(r"(x|theta)_([0-9]{3,})")


def numbered_parameters(prefix: str, count: int) -> tuple[Parameter, ...]:
    """Return ``count`` parameters whose names sort by number.

    Args:
        prefix: ``x`` or ``theta``.
        count: how many; beyond 1000 all names get the wider numbers.

    Returns:
        Parameters named ``prefix_000``, ``prefix_001``, ….
    """
    width = max(3, len(str(count - 1)))
    return tuple(Parameter(f"{prefix}_{number:0{width}d}") for number in range(count))


def split_by_name(parameters: Iterable[Parameter]) -> tuple[tuple[Parameter, ...], tuple[Parameter, ...]]:
    """Return the inputs (``x_NNN``) and the weights (``theta_NNN``), each in the order of their numbers.

    Raises:
        CircuitError: naming a parameter of another name, or two with the same number (``x_001`` and ``x_0001``).
    """
    numbered: dict[str, dict[int, Parameter]] = {"x": {}, "theta": {}}
    for parameter in parameters:
        match = _NAME.fullmatch(parameter.name)
        if match is None:
            raise CircuitError(
                f"parameter '{parameter.name}' is neither an input nor a weight; name it x_NNN or theta_NNN (as x_000)"
            )
        kind, number = numbered[match[1]], int(match[2])
        if number in kind:
            raise CircuitError(
                f"parameters '{kind[number].name}' and '{parameter.name}' have the same number; rename one"
            )
        kind[number] = parameter
    inputs, weights = (tuple(kind[number] for number in sorted(kind)) for kind in numbered.values())
    return inputs, weights
