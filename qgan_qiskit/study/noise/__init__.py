"""What shots, a device's noise and mitigation do to the images of a trained generator.

``plan.py`` makes the conditions and keeps what they share, ``work.py`` runs and measures one of them, ``absorbed.py`` asks how
much of the circuits' errors the networks behind them let through. ``report.py`` writes ``tables.py`` and ``pictures.py``, with
``paper.py`` for what the paper measured on its device.
"""
