"""Runs on IBM hardware: the only package that imports IBM's client.

Importing it raises UsageError, which names the extra ``hardware``, where the client is not installed.
"""

from qgan_qiskit.hardware import require_hardware_extra

with require_hardware_extra():
    import qiskit_ibm_runtime  # noqa: F401
    import samplomatic  # noqa: F401
