"""Where torch may compute."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator


def device_name(text: str) -> str:
    """Return the name of a torch device that can be used.

    Raises:
        ValueError: it is of another kind; the message says why.
    """
    if re.fullmatch(r"cpu|cuda(:[0-9]{1,3})?", text):
        return text
    if text.partition(":")[0] == "mps":
        raise ValueError("circuits are computed in float64, which mps does not have: use cpu")
    raise ValueError("a device is cpu, cuda or cuda:N")


DeviceName = Annotated[str, AfterValidator(device_name)]
