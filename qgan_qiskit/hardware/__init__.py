"""Running circuits on real and simulated devices: layouts on the chip, packed circuits, noise, IBM's service.

IBM's client and qiskit-aer are optional (extra ``hardware``) and are imported only by what needs them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from qgan_qiskit.errors import UsageError

_OPTIONAL_MODULES = ("qiskit_aer", "qiskit_ibm_runtime", "samplomatic", "requests", "urllib3")


@contextmanager
def require_hardware_extra() -> Iterator[None]:
    """Translate a failed import of an optional dependency.

    Raises:
        UsageError: a package of the extra ``hardware`` is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _OPTIONAL_MODULES:
            raise
        raise UsageError(
            f'{missing} is not installed, which this backend needs: pip install "qgan_qiskit[hardware]"'
        ) from None
