"""This machine's vector unit, and LLVM as a compiler for it.

Kernels are written as LLVM intermediate code (by llvmlite, a wheel without further needs: no compiler has to be installed)
and compiled for the processor at hand when a circuit first needs them, in some hundredths of a second each.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import binding, ir

_lock = threading.Lock()


@dataclass(frozen=True)
class VectorUnit:
    """What the kernels have to know of a processor.

    Attributes:
        bytes: width of a vector register.
        registers: number of vector registers.
    """

    bytes: int
    registers: int


@functools.cache
def vector_unit() -> VectorUnit:
    """Look at the processor: AVX-512, AVX, or whatever has 16-byte vectors (SSE, NEON)."""
    features = binding.get_host_cpu_features()
    if features.get("avx512f") and features.get("avx512dq"):
        return VectorUnit(64, 32)
    if features.get("avx"):
        return VectorUnit(32, 16)
    return VectorUnit(16, 32 if "aarch64" in binding.get_default_triple() else 16)


@functools.cache
def _compiler() -> tuple[binding.TargetMachine, binding.ExecutionEngine]:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=binding.get_host_cpu_features().flatten(), opt=3, jit=True
    )
    return machine, binding.create_mcjit_compiler(binding.parse_assembly(""), machine)


_addresses: dict[object, int] = {}


def address(key: object, build: Callable[[ir.Module, str], None]) -> int:
    """Return the address of a compiled function, compiling it when it is first asked for.

    Args:
        key: what tells this function from all others.
        build: adds the function to a module under the given name.
    """
    with _lock:
        if key not in _addresses:
            machine, engine = _compiler()
            name = f"kernel_{len(_addresses)}"
            module = ir.Module()
            module.triple = machine.triple
            build(module, name)
            compiled = binding.parse_assembly(str(module))
            compiled.verify()
            passes = binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(speed_level=2))
            passes.getModulePassManager().run(compiled, passes)
            engine.add_module(compiled)
            engine.finalize_object()
            _addresses[key] = engine.get_function_address(name)
        return _addresses[key]
