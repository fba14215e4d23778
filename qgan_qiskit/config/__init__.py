"""The settings of a run: frozen pydantic models, the only place where defaults, ranges and units are written.

Every field carries one sentence of help, from which the command line is generated. ``config.json`` of a run folder is a
dump of :class:`RunConfig`. A value out of range is refused when the settings are created.
"""

from qgan_qiskit.config.base import Settings
from qgan_qiskit.config.data import DataConfig
from qgan_qiskit.config.evaluation import METRICS, PIXEL_METRICS, EvaluationConfig, MetricName
from qgan_qiskit.config.hardware import HardwareConfig
from qgan_qiskit.config.models import (
    MODELS,
    DcganConfig,
    Encoding,
    Entangler,
    HybridQConfig,
    MediqConfig,
    ModelConfig,
    ModelSettings,
    MosaiqConfig,
    QgpatchConfig,
    Readout,
    TransferConfig,
    weight_files,
)
from qgan_qiskit.config.run import PRESETS, RunConfig, preset
from qgan_qiskit.config.training import RESUMABLE, TrainingConfig

__all__ = [
    "METRICS",
    "MODELS",
    "PIXEL_METRICS",
    "PRESETS",
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
    "ModelSettings",
    "MosaiqConfig",
    "QgpatchConfig",
    "Readout",
    "RunConfig",
    "Settings",
    "TrainingConfig",
    "TransferConfig",
    "preset",
    "weight_files",
]
