"""The compiled interpreter: it walks instructions for every tile of a batch, on several threads.

A loop is an instruction ``[0, length, count, first word of the body, *steps, *body]``, where the steps are those of
:meth:`~qgan_qiskit.simulation.llvm.codegen.KernelBuilder.for_each_coset`; all others call a kernel.

Threads wait on a queue of their own making: the futures of an executor take as long as some tiles of a small circuit.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from llvmlite import ir

from qgan_qiskit.simulation.llvm.codegen import BYTES, COUNT, I1, I64, KERNEL, WORDS, Instruction
from qgan_qiskit.simulation.llvm.target import kernel_address

_Call = tuple[Callable[..., None], tuple[Any, ...], "SimpleQueue[BaseException | None]"]
_calls: SimpleQueue[_Call] = SimpleQueue()
_num_threads = 0
_lock = threading.Lock()


def run_in_threads(function: Callable[..., None], arguments: list[tuple[Any, ...]]) -> None:
    """Call a function that releases the GIL for each tuple of arguments at the same time: the first in this thread."""
    first, *others = arguments
    if not others:
        function(*first)
        return
    ends: SimpleQueue[BaseException | None] = SimpleQueue()
    if _num_threads < len(others):
        _start_threads(len(others))
    for other in others:
        _calls.put((function, other, ends))
    errors: list[BaseException] = []
    try:
        function(*first)
    finally:
        waiting = len(others)
        while waiting:
            # Whatever happens: memory that the others write to must not be freed before they have ended.
            try:
                error = ends.get()
            except KeyboardInterrupt as interrupt:
                errors.append(interrupt)
                continue
            waiting -= 1
            errors += [error] if error is not None else []
    if errors:
        raise errors[0]


def _start_threads(count: int) -> None:
    """Start threads until there are at least ``count``."""
    global _num_threads
    with _lock:
        while _num_threads < count:
            threading.Thread(target=_serve_calls, name=f"simulation-{_num_threads}", daemon=True).start()
            _num_threads += 1


def _serve_calls() -> None:
    while True:
        function, arguments, ends = _calls.get()
        error: BaseException | None = None
        try:
            function(*arguments)
        except BaseException as raised:
            error = raised
        ends.put(error)
        del function, arguments, ends, error


def _reset_after_fork() -> None:
    """Threads do not survive a fork."""
    global _num_threads, _calls, _lock
    _num_threads, _calls, _lock = 0, SimpleQueue(), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


def encode_loop(count: int, steps: list[int], body: Instruction) -> Instruction:
    """Return an instruction that runs others ``count`` times, with a base that changes by the steps."""
    header: Instruction = [0, 4 + len(steps) + len(body), count, 4 + len(steps), *steps]
    return header + body


@functools.cache
def interpreter() -> Callable[..., None]:
    """Return the compiled interpreter, which does not hold the GIL.

    Its arguments: state, state stride, cotangent, operands, operand stride, results, result stride, words, number of words,
    counters, tiles, reverse, thread, threads. A stride is the bytes from tile to tile; the cotangent is the thread's own. Each
    thread does its share of the tiles (the last one first if ``reverse``), then what is left of the others' shares. The tiles
    that were begun of each share are counted in ``counters``, 64-bit words that start at 0.
    """
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    state_to_results = (pointer, number, pointer, pointer, number, pointer, number)
    signature = ctypes.CFUNCTYPE(None, *state_to_results, pointer, number, pointer, number, number, number, number)
    return signature(kernel_address("run", _build_run))


def _build_run(module: ir.Module, name: str) -> None:
    """Loop over the shares, starting with the thread's own, and over the tiles of each."""
    walk = _build_walk(module, f"{name}_walk")
    arguments = [BYTES, I64, BYTES, BYTES, I64, BYTES, I64, WORDS, I64, WORDS, I64, I64, I64, I64]
    run = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
    state, state_stride, cotangent, operands, operand_stride, results, result_stride, *others = run.args
    words, count, counters, tiles, reverse, thread, threads = others
    entry = run.append_basic_block()
    at = ir.IRBuilder(entry)
    share, next_tile, body, next_share, done = (run.append_basic_block() for _ in range(5))
    at.branch(share)

    at.position_at_end(share)
    visited = at.phi(I64)
    visited.add_incoming(I64(0), entry)
    owner = at.urem(at.add(thread, visited), threads)
    counter = at.gep(counters, [owner])
    first = at.udiv(at.mul(tiles, owner), threads)
    end = at.udiv(at.mul(tiles, at.add(owner, I64(1))), threads)
    at.branch(next_tile)

    at.position_at_end(next_tile)
    number = at.atomic_rmw("add", counter, I64(1), "monotonic")
    at.cbranch(at.icmp_unsigned("<", number, at.sub(end, first)), body, next_share)

    at.position_at_end(body)
    from_end = at.sub(at.sub(end, I64(1)), number)
    tile = at.select(at.icmp_unsigned("!=", reverse, I64(0)), from_end, at.add(first, number))
    tile_state, tile_operands, tile_results = (
        at.gep(pointer, [at.mul(tile, stride)])
        for pointer, stride in ((state, state_stride), (operands, operand_stride), (results, result_stride))
    )
    at.call(walk, [tile_state, cotangent, tile_operands, tile_results, words, I64(0), count, I64(0)])
    at.branch(next_tile)

    at.position_at_end(next_share)
    visited_after = at.add(visited, I64(1))
    visited.add_incoming(visited_after, next_share)
    at.cbranch(at.icmp_unsigned("<", visited_after, threads), share, done)

    at.position_at_end(done)
    at.ret_void()


def _build_walk(module: ir.Module, name: str) -> ir.Function:
    """Execute the words from ``begin`` to ``end`` at a base; loops call this function for their body."""
    arguments = [BYTES, BYTES, BYTES, BYTES, WORDS, I64, I64, I64]
    walk = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
    walk.linkage = "internal"
    *pointers, words, begin, end, base = walk.args
    entry = walk.append_basic_block()
    at = ir.IRBuilder(entry)
    head, fetch, call_kernel, iterate, following, done = (walk.append_basic_block() for _ in range(6))
    at.branch(head)

    at.position_at_end(head)
    index = at.phi(I64)
    index.add_incoming(begin, entry)
    at.cbranch(at.icmp_unsigned("<", index, end), fetch, done)

    at.position_at_end(fetch)
    instruction = at.gep(words, [index])
    kernel = at.load(instruction)
    after = at.add(index, at.load(at.gep(instruction, [I64(1)])))
    at.cbranch(at.icmp_unsigned("==", kernel, I64(0)), iterate, call_kernel)

    at.position_at_end(call_kernel)
    at.call(at.inttoptr(kernel, KERNEL.as_pointer()), [*pointers, instruction, base])
    at.branch(following)

    at.position_at_end(iterate)
    number, offset = at.phi(I64), at.phi(I64)
    body = at.add(index, at.load(at.gep(instruction, [I64(3)])))
    at.call(walk, [*pointers, words, body, after, offset])
    number_after = at.add(number, I64(1))
    cttz = ir.Function(module, ir.FunctionType(I64, [I64, I1]), "llvm.cttz.i64")
    step = at.load(at.gep(instruction, [at.add(at.call(cttz, [number_after, I1(1)]), I64(4))]))
    offset_after = at.xor(offset, step)
    for phi, start, value in ((number, I64(0), number_after), (offset, base, offset_after)):
        phi.add_incoming(start, fetch)
        phi.add_incoming(value, iterate)
    again = at.icmp_unsigned("<", number_after, at.load(at.gep(instruction, [I64(COUNT)])))
    at.cbranch(again, iterate, following)

    at.position_at_end(following)
    index.add_incoming(after, following)
    at.branch(head)

    at.position_at_end(done)
    at.ret_void()
    return walk
