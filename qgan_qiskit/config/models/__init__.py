"""Settings of each model. A model owns what is known about it: settings, rules between them, presets and traits.

To add a model, write ``config/models/NAME.py`` and ``models/NAME.py``, and import its settings below: one line.
"""

import functools
import operator
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from qgan_qiskit.config.models.base import Encoding, Entangler, ModelSettings, Preset, Readout

# The models, in the order in which the command line lists them.
# isort: off
from qgan_qiskit.config.models.hybridq import HybridQConfig
from qgan_qiskit.config.models.dcgan import DcganConfig
from qgan_qiskit.config.models.mosaiq import MosaiqConfig
from qgan_qiskit.config.models.qgpatch import QgpatchConfig
from qgan_qiskit.config.models.mediq import MediqConfig
from qgan_qiskit.config.models.transfer import TransferConfig
# isort: on

MODELS: dict[str, type[ModelSettings]] = {
    model.model_fields["name"].default: model for model in ModelSettings.__subclasses__()
}
if TYPE_CHECKING:
    # Code outside of a model may only use what all models have.
    ModelConfig = ModelSettings
else:
    ModelConfig = Annotated[functools.reduce(operator.or_, MODELS.values()), Field(discriminator="name")]


def weight_files(model: str) -> tuple[str, ...]:
    """Return the settings of a model that name files of weights; none for a model that there is not."""
    return MODELS[model].weight_files if model in MODELS else ()


__all__ = [
    "MODELS",
    "DcganConfig",
    "Encoding",
    "Entangler",
    "HybridQConfig",
    "MediqConfig",
    "ModelConfig",
    "ModelSettings",
    "MosaiqConfig",
    "Preset",
    "QgpatchConfig",
    "Readout",
    "TransferConfig",
    "weight_files",
]
