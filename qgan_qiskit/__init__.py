"""Hybrid quantum-classical GANs for color medical images, on Qiskit and PyTorch.

The rooms, from the command line down to the gate: ``cli``, ``experiment``, ``training`` (beside it ``data`` and
``metrics``), ``models``, ``qnn``, ``simulation``, ``circuits``, ``config``. Importing this package imports none of them.
"""

from importlib.metadata import version

__version__ = version("qgan_qiskit")
