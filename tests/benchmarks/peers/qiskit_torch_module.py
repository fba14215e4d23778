"""qiskit-torch-module (Meyer et al., arXiv 2404.06314): named, and not measured.

It asks for qiskit~=1.0 and torch~=2.2 (its README), this library for qiskit>=2.1 and torch>=2.6, so both cannot stand in one
environment, nor be timed in one run.
"""

from case import Case


def prepare(case: Case) -> None:
    """Raise the reason."""
    raise ImportError("it needs qiskit~=1.0 and torch~=2.2, this library qiskit>=2.1 and torch>=2.6")
