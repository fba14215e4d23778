"""Hybrid quantum-classical GANs for color medical images, on Qiskit and PyTorch.

The rooms, from the command line down to the gate: ``cli``, ``experiment``, ``training`` (beside it ``data`` and
``metrics``), ``models``, ``qnn``, ``simulation``, ``circuits``, ``config``. Importing this package imports none of them.
"""

import logging
from importlib.metadata import version

__version__ = version("qgan_qiskit")
# A library is quiet: the command line, or the program that uses it, installs a handler.
logging.getLogger(__name__).addHandler(logging.NullHandler())
