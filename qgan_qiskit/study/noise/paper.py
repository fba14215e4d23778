"""What the HybridQ paper's FID lost on IBM Brisbane against its simulator (arXiv 2506.21015v1, Table 1).

Another scale than ours (the paper names neither Inception layer nor number of images), so only the ratio can be set beside ours.
"""

from __future__ import annotations

SOURCE = "arXiv 2506.21015v1, Table 1"
# Class: simulator, IBM Brisbane (127 qubits).
PRINTED = {
    "MEL": (14.93, 23.25),
    "NV": (21.76, 24.76),
    "BCC": (13.29, 15.59),
    "benign": (18.34, 21.65),
    "malignant": (13.29, 18.75),
    "non-neoplastic": (9.99, 10.25),
}


def differences() -> list[tuple[str, float, float]]:
    """Return for each class the difference and the ratio of the two."""
    return [(name, device - simulator, device / simulator) for name, (simulator, device) in PRINTED.items()]
