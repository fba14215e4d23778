"""The settings of a run: frozen models that are the only home of defaults, ranges and units.

Every field carries one sentence of help; the command line is generated from these fields, ``config.json`` of a run folder
is a dump of :class:`RunConfig`, and a value out of range is refused when the model is built.
"""

from qgan_qiskit.config.base import Settings
from qgan_qiskit.config.data import DataConfig
from qgan_qiskit.config.evaluation import METRICS, PIXEL_METRICS, EvaluationConfig, MetricName
from qgan_qiskit.config.hardware import HardwareConfig
from qgan_qiskit.config.models import (
    MODEL_FILES,
    DcganConfig,
    Encoding,
    Entangler,
    HybridQConfig,
    MediqConfig,
    ModelConfig,
    MosaiqConfig,
    QgpatchConfig,
    Readout,
    TransferConfig,
    is_conditional,
)
from qgan_qiskit.config.run import RunConfig
from qgan_qiskit.config.training import RESUMABLE, TrainingConfig

__all__ = [
    "METRICS",
    "MODEL_FILES",
    "PIXEL_METRICS",
    "RESUMABLE",
    "DataConfig",
    "DcganConfig",
    "Encoding",
    "Entangler",
    "EvaluationConfig",
    "HardwareConfig",
    "HybridQConfig",
    "MediqConfig",
    "MetricName",
    "ModelConfig",
    "MosaiqConfig",
    "QgpatchConfig",
    "Readout",
    "RunConfig",
    "Settings",
    "TrainingConfig",
    "TransferConfig",
    "is_conditional",
]
