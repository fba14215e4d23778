"""The processor at hand, and LLVM (by llvmlite) as a just-in-time compiler for it.

A kernel is compiled when it is first asked for, in some hundredths of a second, and its machine code is kept in the user's
cache folder for later processes. No compiler has to be installed.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

import llvmlite
from llvmlite import binding, ir

_lock = threading.Lock()
_addresses: dict[object, int] = {}


def _reset_after_fork() -> None:
    """Free the lock: the thread that held it does not survive a fork."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


@dataclass(frozen=True)
class VectorUnit:
    """What kernels have to know of a processor.

    Attributes:
        bytes: width of a vector register.
        registers: number of vector registers.
    """

    bytes: int
    registers: int


@functools.cache
def vector_unit() -> VectorUnit:
    """Return the vector unit of this processor: AVX-512, AVX, or 16-byte vectors (SSE, NEON)."""
    features = binding.get_host_cpu_features()
    if features.get("avx512f") and features.get("avx512dq"):
        return VectorUnit(64, 32)
    if features.get("avx"):
        return VectorUnit(32, 16)
    return VectorUnit(16, 32 if "aarch64" in binding.get_default_triple() else 16)


def kernel_address(key: object, build: Callable[[ir.Module, str], None]) -> int:
    """Return the address of a compiled function, compiling it when it is first asked for.

    Args:
        key: equal for equal functions only; so is its ``repr``.
        build: adds the function to a module under the given name.
    """
    with _lock:
        if key not in _addresses:
            name = "kernel_" + hashlib.sha256(f"{_environment()} {key!r}".encode()).hexdigest()[:40]
            code = _load_cached(name)
            if code is None:
                code = _compile(name, build)
                _store_cached(name, code)
            _, engine = _compiler()
            engine.add_object_file(binding.ObjectFileRef.from_data(code))
            engine.finalize_object()
            _addresses[key] = engine.get_function_address(name)
        return _addresses[key]


@functools.cache
def _compiler() -> tuple[binding.TargetMachine, binding.ExecutionEngine]:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=binding.get_host_cpu_features().flatten(), opt=3, jit=True
    )
    return machine, binding.create_mcjit_compiler(binding.parse_assembly(""), machine)


def _compile(name: str, build: Callable[[ir.Module, str], None]) -> bytes:
    machine, _ = _compiler()
    module = ir.Module()
    module.triple = machine.triple
    build(module, name)
    compiled = binding.parse_assembly(str(module))
    compiled.verify()
    # No optimizing passes: kernels are written as they are to run, and passes only make compiling slower.
    return machine.emit_object(compiled)


@functools.cache
def _environment() -> str:
    """Return what machine code depends on besides its key: processor, compiler, and the sources of this package."""
    sources = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        sources.update(source.read_bytes())
    features = binding.get_host_cpu_features().flatten()
    version = ".".join(map(str, binding.llvm_version_info))
    return f"{binding.get_host_cpu_name()} {features} {llvmlite.__version__} {version} {sources.hexdigest()}"


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qgan_qiskit" / "kernels"


def _load_cached(name: str) -> bytes | None:
    """Return machine code from the cache if it is there and undamaged."""
    try:
        content = (_cache_folder() / name).read_bytes()
    except (OSError, RuntimeError):
        return None
    digest, code = content[:32], content[32:]
    return code if hashlib.sha256(code).digest() == digest else None


def _store_cached(name: str, code: bytes) -> None:
    """Write machine code to the cache; where that is impossible it is compiled again next time."""
    with contextlib.suppress(OSError, RuntimeError):
        folder = _cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=folder, delete=False) as file:
            try:
                file.write(hashlib.sha256(code).digest() + code)
                file.close()
                Path(file.name).replace(folder / name)
            except OSError:
                Path(file.name).unlink(missing_ok=True)
