"""Which parameters of a circuit's file are inputs, which are weights, and in which order.

Without more they are called ``x_000`` and ``theta_000``, in the order of the numbers. Files whose parameters have other names
come with patterns or lists that say so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from qiskit.circuit import Parameter

from qgan_qiskit.errors import CircuitError

_NAME = re.compile(r"(x|theta)_([0-9]{3,})")
# What Qiskit's exporter turns into an underscore: θ[0] becomes _θ_0_.
_NOT_IN_NAMES = re.compile(r"[^\w*?]")


@dataclass(frozen=True)
class ParameterNames:
    """How a file calls its inputs and its weights.

    Attributes:
        inputs: patterns in the style of the shell (``*``, ``?``, ``[0-9]``) with commas between them; or a list of names, whose
            order is that of the inputs; None for ``x_NNN``.
        weights: the same of the weights; None for ``theta_NNN``.
    """

    inputs: str | tuple[str, ...] | None = None
    weights: str | tuple[str, ...] | None = None

    def __bool__(self) -> bool:
        """Say whether anything is named."""
        return self.inputs is not None or self.weights is not None


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


def split_by_name(
    parameters: Iterable[Parameter], names: ParameterNames | None = None
) -> tuple[tuple[Parameter, ...], tuple[Parameter, ...]]:
    """Return the inputs and the weights.

    What matches one pattern is in natural order, 2 before 10; several patterns give their matches one after another; a list gives
    its own order.

    Args:
        parameters: all parameters of a file.
        names: what they are called.

    Raises:
        CircuitError: naming a parameter that is called neither or both, a pattern or name that nothing has, or two parameters
            with the same number (``x_001`` and ``x_0001``).
    """
    parameters = tuple(parameters)
    names = names or ParameterNames()
    inputs = _chosen(parameters, "x", names.inputs, "input")
    weights = _chosen(parameters, "theta", names.weights, "weight")
    for parameter in parameters:
        if parameter in inputs and parameter in weights:
            raise CircuitError(f"parameter '{parameter.name}' is named as an input and as a weight; name it once")
        if parameter not in inputs and parameter not in weights:
            remedy = (
                "no pattern or list names it; widen --input-names or --weight-names"
                if names
                else "name it x_NNN or theta_NNN (as x_000), or say which are which with --input-names and --weight-names"
            )
            raise CircuitError(f"parameter '{parameter.name}' is neither an input nor a weight; {remedy}")
    return inputs, weights


def _chosen(
    parameters: Sequence[Parameter], prefix: str, wanted: str | tuple[str, ...] | None, what: str
) -> tuple[Parameter, ...]:
    if wanted is None:
        return _numbered(parameters, prefix)
    chosen: dict[Parameter, None] = {}
    patterns = [part.strip() for part in wanted.split(",")] if isinstance(wanted, str) else wanted
    for pattern in patterns:
        found = [p for p in parameters if (_matches if isinstance(wanted, str) else _is_called)(p.name, pattern)]
        if not found:
            shown = ", ".join(sorted((p.name for p in parameters), key=_natural)[:6]) or "none"
            kind = "name" if not isinstance(wanted, str) else "pattern (as in a shell: * for any text)"
            raise CircuitError(f"no parameter has the {what} {kind} '{pattern}'; the circuit has {shown}")
        if not isinstance(wanted, str) and found[0] in chosen:
            raise CircuitError(f"the {what} '{pattern}' is listed twice; list it once")
        chosen.update(dict.fromkeys(sorted(found, key=lambda parameter: _natural(parameter.name))))
    return tuple(chosen)


def _numbered(parameters: Iterable[Parameter], prefix: str) -> tuple[Parameter, ...]:
    numbered: dict[int, Parameter] = {}
    for parameter in parameters:
        match = _NAME.fullmatch(parameter.name)
        if match is None or match[1] != prefix:
            continue
        number = int(match[2])
        if number in numbered:
            raise CircuitError(
                f"parameters '{numbered[number].name}' and '{parameter.name}' have the same number; rename one"
            )
        numbered[number] = parameter
    return tuple(numbered[number] for number in sorted(numbered))


def _matches(name: str, pattern: str) -> bool:
    """Say whether a name fits a pattern; brackets are a set of characters, or stand for themselves as in ``theta[*]``."""
    literal = re.sub(r"\[", "[[]", pattern)
    return any(fnmatchcase(name, form) for form in (pattern, literal, _as_exported(pattern)))


def _is_called(name: str, wanted: str) -> bool:
    return name in (wanted, _as_exported(wanted))


def _as_exported(name: str) -> str:
    """Return a name as Qiskit's exporter writes it."""
    return "_" + _NOT_IN_NAMES.sub("_", name) if _NOT_IN_NAMES.search(name) else name


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts numbers in names by their value."""
    return [
        (1, int(part), "") if part.isascii() and part.isdigit() else (0, 0, part)
        for part in re.split(r"([0-9]+)", name)
    ]
