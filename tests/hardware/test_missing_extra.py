"""Without the extra ``hardware`` everything but noisy backends works, and those name the extra in one line."""

from __future__ import annotations

import subprocess
import sys

_CODE = """
import sys
for name in ("qiskit_aer", "qiskit_ibm_runtime", "samplomatic", "requests", "urllib3"):
    sys.modules[name] = None
import qgan_qiskit.workflows.evaluate, qgan_qiskit.workflows.fit, qgan_qiskit.workflows.generate
import qgan_qiskit.cli.__main__
from qgan_qiskit.errors import UsageError
import qgan_qiskit.workflows.inference
from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.hardware.backends import open_simulated_backend
from qgan_qiskit.hardware.noise.noisy_circuit import DeviceNoise
import importlib

open_simulated_backend(HardwareConfig(backend="shots"))
for action in (
    lambda: open_simulated_backend(HardwareConfig(backend="fake:manila")),
    lambda: DeviceNoise.from_backend(None),
    lambda: importlib.import_module("qgan_qiskit.workflows.hardware"),
):
    try:
        action()
    except UsageError as error:
        print(error)
"""


def test_the_extra_is_named_and_nothing_else_needs_it():
    done = subprocess.run([sys.executable, "-c", _CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert all('pip install "qgan_qiskit[hardware]"' in line for line in lines)
