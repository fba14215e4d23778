"""What the package exports and what it must not import."""

import subprocess
import sys

import pytest

import qgan_qiskit.data


def test_reading_data_imports_neither_torch_nor_higher_layers():
    code = (
        "import sys, qgan_qiskit.data as data; from qgan_qiskit.config import DataConfig;"
        "data.class_names(DataConfig());"
        "layers = ['qgan_qiskit.' + layer for layer in ('training', 'metrics', 'models', 'cli')] + ['torch', 'qiskit'];"
        "print([layer for layer in layers if layer in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert found == "[]"


def test_every_public_name_is_there():
    for name in qgan_qiskit.data.__all__:
        assert callable(getattr(qgan_qiskit.data, name))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = qgan_qiskit.data.nothing
