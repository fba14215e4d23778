"""The torch device: checking it, its number format for convolutions, its memory layout, and glibc's memory."""

from __future__ import annotations

import contextlib
import ctypes
from contextlib import AbstractContextManager

import torch
from torch import nn

from qgan_qiskit.errors import UsageError

# glibc's mallopt parameters (malloc.h).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def check_device(name: str, devices: int = 1) -> torch.device:
    """Return the torch device of a name: ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        UsageError: this machine has no such device, or fewer than ``devices`` of its kind.
    """
    device = torch.device(name)
    if device.type != "cuda":
        return device
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if (device.index or 0) >= count:
        raise UsageError(f"--device {name}: torch sees {count} CUDA devices here; use --device cpu")
    if devices > 1 and device.index is not None:
        raise UsageError(f"--device {name} is one device: use --device cuda with --devices {devices}")
    if devices > count:
        raise UsageError(f"--devices {devices}: torch sees {count} CUDA devices here; use at most that many")
    return device


def has_native_bfloat16(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 in hardware (AMX or AVX512-BF16 on a processor)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in names)


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which a device's convolutions use a number format.

    ``fp32``, ``bf16``, or ``auto``: bf16 if the device has it in hardware (emulated, it is ten times slower than fp32).
    """
    if precision == "bf16" or (precision == "auto" and has_native_bfloat16(device)):
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()


def to_device(module: nn.Module, device: torch.device) -> nn.Module:
    """Move a module to a device, with convolutions in channels-last layout, which is faster in every number format."""
    return module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def keep_freed_memory() -> None:
    """Make glibc reuse freed memory instead of returning it and faulting it in again at every step."""
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, 1 << 30)
    mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
