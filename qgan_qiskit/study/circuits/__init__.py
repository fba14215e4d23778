"""What a circuit can do before anything is trained: which states it reaches, how entangled they are, how large its gradients.

``plan.py`` makes the circuits, ``work.py`` measures one of them with ``expressibility.py`` (on the fidelities of ``overlap.py``),
``entangling.py`` and ``gradient_variance.py``. ``report.py`` writes ``tables.py`` and ``pictures.py``.
"""
