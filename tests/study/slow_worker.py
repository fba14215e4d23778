"""Preloaded by Dask workers in tests: every training step lasts a tenth of a second longer, so that there is time to kill."""

from __future__ import annotations

import time

from qgan_qiskit.training import loop

# Dask runs a preloaded file twice.
if loop.train_step.__name__ != "slow_step":
    _step = loop.train_step

    def slow_step(*arguments: object, **named: object) -> object:
        time.sleep(0.1)
        return _step(*arguments, **named)

    loop.train_step = slow_step
