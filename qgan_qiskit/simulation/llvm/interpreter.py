"""Threads that wait for compiled functions to run.

An executor's futures take as long as some tiles of a small circuit; a queue for the calls and one for the ends does not.

The compiled function that walks a list of nodes, for every tile of a batch.

A node is a run of 64-bit words. Its second word is its length. Its first is the address of a kernel, or 0 for a loop: then
word 2 is the number of turns, word 3 where the nodes of its body begin, and the words from 4 on say how the base changes
from turn to turn (see :meth:`~qgan_qiskit.simulation.native.emit.Kernel.cosets`).
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

from qgan_qiskit.simulation.llvm.codegen import BYTES, I1, I64, KERNEL, WORDS, Node
from qgan_qiskit.simulation.llvm.target import address

_Call = tuple[Callable[..., None], tuple[Any, ...], "SimpleQueue[BaseException | None]"]
_calls: SimpleQueue[_Call] = SimpleQueue()
_started = 0
_lock = threading.Lock()


def run_beside(function: Callable[..., None], arguments: list[tuple[Any, ...]]) -> None:
    """Call a function once for each tuple of arguments, at the same time: the first in this thread, the others beside it.

    The function should release the interpreter's lock.
    """
    ends: SimpleQueue[BaseException | None] = SimpleQueue()
    first, *others = arguments
    _start(len(others))
    for other in others:
        _calls.put((function, other, ends))
    errors: list[BaseException] = []
    try:
        function(*first)
    finally:
        waiting = len(others)
        while waiting:
            # Whatever happens: memory that the others write to must not be given back before they have ended.
            try:
                error = ends.get()
            except KeyboardInterrupt as interrupt:
                errors.append(interrupt)
                continue
            waiting -= 1
            errors += [error] if error is not None else []
    if errors:
        raise errors[0]


def _start(count: int) -> None:
    """Start threads until there are at least ``count``."""
    global _started
    if _started >= count:
        return
    with _lock:
        while _started < count:
            threading.Thread(target=_serve, name=f"simulation-{_started}", daemon=True).start()
            _started += 1


def _serve() -> None:
    while True:
        function, arguments, ends = _calls.get()
        error: BaseException | None = None
        try:
            function(*arguments)
        except BaseException as raised:
            error = raised
        ends.put(error)
        del function, arguments, ends, error


def _forget() -> None:
    """Forget the threads in a process that was forked: they did not come along."""
    global _started, _calls, _lock
    _started, _calls, _lock = 0, SimpleQueue(), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


_WALK = ir.FunctionType(ir.VoidType(), [BYTES, BYTES, BYTES, BYTES, WORDS, I64, I64, I64])
# state, its stride, cotangent, reads, their stride, writes, their stride, words, how many, counters, tiles, reverse, thread,
# threads.
_RUN = ir.FunctionType(
    ir.VoidType(), [BYTES, I64, BYTES, BYTES, I64, BYTES, I64, WORDS, I64, WORDS, I64, I64, I64, I64]
)


def loop(count: int, steps: list[int], body: Node) -> Node:
    """Return the words of a loop."""
    head: Node = [0, 0, count, 4 + len(steps), *steps]
    head[1] = len(head) + len(body)
    return head + body


@functools.cache
def runner() -> Callable[..., None]:
    """Return the compiled function ``run``.

    Its arguments: state, its stride, cotangent, reads, their stride, writes, their stride, words, how many, counters, tiles,
    reverse, thread, threads. It walks the words for one tile after the other (the last one first if ``reverse``): those of its
    own share of the tiles, then what is left of the shares of other threads. Each share has a counter, one 64-bit word that
    begins at 0. Strides are the bytes from tile to tile; the cotangent is a thread's own. The interpreter's lock is not held
    meanwhile.
    """
    signature = ctypes.CFUNCTYPE(
        None,
        *(
            ctypes.c_void_p,
            ctypes.c_int64,
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_int64,
            ctypes.c_void_p,
            ctypes.c_int64,
        ),
        *(ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, *[ctypes.c_int64] * 4),
    )
    return signature(address("run", _build))


def _build(module: ir.Module, name: str) -> None:
    walk = _build_walk(module, f"{name}_walk")
    run = ir.Function(module, _RUN, name)
    state, state_stride, cotangent, reads, read_stride, writes, write_stride, *others = run.args
    words, count, counters, tiles, reverse, thread, threads = others
    entry = run.append_basic_block()
    at = ir.IRBuilder(entry)
    share, again, body, next_share, done = (run.append_basic_block() for _ in range(5))
    at.branch(share)

    at.position_at_end(share)
    helped = at.phi(I64)
    helped.add_incoming(I64(0), entry)
    whose = at.urem(at.add(thread, helped), threads)
    counter = at.gep(counters, [whose])
    first = at.udiv(at.mul(tiles, whose), threads)
    end = at.udiv(at.mul(tiles, at.add(whose, I64(1))), threads)
    at.branch(again)

    at.position_at_end(again)
    number = at.atomic_rmw("add", counter, I64(1), "monotonic")
    at.cbranch(at.icmp_unsigned("<", number, at.sub(end, first)), body, next_share)

    at.position_at_end(body)
    backwards = at.sub(at.sub(end, I64(1)), number)
    tile = at.select(at.icmp_unsigned("!=", reverse, I64(0)), backwards, at.add(first, number))
    places = [
        at.gep(pointer, [at.mul(tile, stride)])
        for pointer, stride in ((state, state_stride), (reads, read_stride), (writes, write_stride))
    ]
    at.call(walk, [places[0], cotangent, places[1], places[2], words, I64(0), count, I64(0)])
    at.branch(again)

    at.position_at_end(next_share)
    helped_after = at.add(helped, I64(1))
    helped.add_incoming(helped_after, next_share)
    at.cbranch(at.icmp_unsigned("<", helped_after, threads), share, done)

    at.position_at_end(done)
    at.ret_void()


def _build_walk(module: ir.Module, name: str) -> ir.Function:
    """Walk the words from one index to another at a base; loops call it again."""
    walk = ir.Function(module, _WALK, name)
    walk.linkage = "internal"
    *pointers, words, begin, end, base = walk.args
    entry = walk.append_basic_block()
    at = ir.IRBuilder(entry)
    head, node, leaf, turn, turned, following, done = (walk.append_basic_block() for _ in range(7))
    at.branch(head)

    at.position_at_end(head)
    index = at.phi(I64)
    index.add_incoming(begin, entry)
    at.cbranch(at.icmp_unsigned("<", index, end), node, done)

    at.position_at_end(node)
    here = at.gep(words, [index])
    kernel = at.load(here)
    after = at.add(index, at.load(at.gep(here, [I64(1)])))
    at.cbranch(at.icmp_unsigned("==", kernel, I64(0)), turn, leaf)

    at.position_at_end(leaf)
    at.call(at.inttoptr(kernel, KERNEL.as_pointer()), [*pointers, here, base])
    at.branch(following)

    at.position_at_end(turn)
    number, place = at.phi(I64), at.phi(I64)
    first = at.add(index, at.load(at.gep(here, [I64(3)])))
    at.call(walk, [*pointers, words, first, after, place])
    number_after = at.add(number, I64(1))
    cttz = ir.Function(module, ir.FunctionType(I64, [I64, I1]), "llvm.cttz.i64")
    step = at.load(at.gep(here, [at.add(at.call(cttz, [number_after, I1(1)]), I64(4))]))
    place_after = at.xor(place, step)
    for phi, start, value in ((number, I64(0), number_after), (place, base, place_after)):
        phi.add_incoming(start, node)
        phi.add_incoming(value, turn)
    at.cbranch(at.icmp_unsigned("<", number_after, at.load(at.gep(here, [I64(2)]))), turn, turned)

    at.position_at_end(turned)
    at.branch(following)

    at.position_at_end(following)
    index.add_incoming(after, following)
    at.branch(head)

    at.position_at_end(done)
    at.ret_void()
    return walk
