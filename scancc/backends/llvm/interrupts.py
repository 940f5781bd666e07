"""Signals that arrive while a kernel runs: Python's handlers run within it, and where one raises, the kernel ends.

A kernel holds neither the interpreter's lock nor any of its objects, so whatever it is doing may be left where it is:

    frame    what the main thread has on its stack around a kernel (`around`): where to go on if the kernel ends early
             (`_setjmp`), and the memory that the kernel has taken from the C library
    watch    a thread that looks at the clock: once in TICK seconds, where the same kernel still runs, it sends SIGURG
             to the main thread. It waits for a kernel when there has been none for a while.
    poke     the handler of SIGURG. It takes the interpreter's lock and has Python handle its signals, whichever there
             are and whoever set their handlers. If one of them raises (SIGINT: KeyboardInterrupt), it goes on at the
             frame, which gives the memory back and lets the error through; if not, the kernel goes on.
    pause    around what may not be left in the middle: the C library's memory, BLAS, functions that print. `resume`
             does what `poke` would have done meanwhile.

So kernels themselves look at nothing. Python handles signals in the main thread only, and so is this: kernels of other
threads are not disturbed. SIGURG is ignored where nobody asked for it, and debuggers let it pass; where somebody has
a handler for it, and on other systems than Linux, kernels run to their end, as other functions written in C do.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from llvmlite import ir
from scancc_runtime.code import BYTES, INT, INT32, declared

from scancc.backends.llvm import engine
from scancc.backends.llvm.engine import Loaded, loaded

TICK = 0.05  # seconds: a signal waits for one of them, and for a second one where the kernel has only begun
REST = 20  # ticks without a kernel, after which the thread waits for one
ABSENT, AWAKE, RESTING = range(3)  # what the thread is
HOST = "scancc.host."  # what the names of the functions here begin with

HEADER = 16  # bytes in front of memory that a kernel takes: the next and the previous one of the frame
PREVIOUS, PAUSED, THREAD, TAKEN, PLACE = 0, 1, 2, 3, 6  # words of a frame; TAKEN is the head of a list like HEADER
FRAME = PLACE + 64  # with room for any jmp_buf
WORDS = ("active", "paused", "late", "main", "state", "count")
RESTART, NO_DEFER = 0x10000000, 0x40000000  # flags of sigaction
SET_WORDS, ACTION_WORDS = 16, 19  # sizes of sigset_t and struct sigaction

VOID = ir.VoidType()
SIZES = {"words": 8 * len(WORDS), "semaphore": 64}


def around(function: Any, builder: Any, thread: Any, kernel: Callable[[], Any]) -> tuple[Any, Callable[[Any], None]]:
    """Write a call of a kernel, whose thread has given away the lock, into a function of CPython's.

    Returns the kernel's code, for a builder that goes on without the lock, and a function that has what is to be done
    where the kernel was left: it goes on with the lock, and with an error that is set. The code of the function must
    not be optimised.
    """
    b = builder
    own, other, run, left, done = (function.append_basic_block(n) for n in ("own", "other", "run", "left", "done"))
    with b.goto_entry_block():
        frame = b.alloca(ir.ArrayType(INT, FRAME))
        frame.align = 64
    words = b.bitcast(frame, INT.as_pointer())
    b.cbranch(b.icmp_unsigned("==", b.load(_word(b, "main")), _self(b)), own, other)
    b.position_at_end(other)
    first = kernel()
    other = b.block
    b.branch(done)
    b.position_at_end(own)
    setjmp = declared(b.module, "_setjmp", ir.FunctionType(INT32, [BYTES]), "returns_twice")
    again = b.call(setjmp, [b.bitcast(b.gep(words, [INT(PLACE)]), BYTES)])
    b.cbranch(b.icmp_signed("==", again, INT32(0)), run, left)
    b.position_at_end(run)
    _call(b, _machine().addresses[HOST + "enter"], VOID, words, thread)
    second = kernel()
    _call(b, _machine().addresses[HOST + "leave"], VOID, words)
    run = b.block
    b.branch(done)
    b.position_at_end(done)
    code = b.phi(INT)
    code.add_incoming(first, other)
    code.add_incoming(second, run)

    def where_left(fill: Callable[[Any], None]) -> None:
        with b.goto_block(left):
            _call(b, _machine().addresses[HOST + "abandon"], VOID, words)
            fill(b)

    return code, where_left


def address(symbol: str) -> int:
    """Of a function that kernels use instead of one that may not be left in the middle."""
    return _machine().addresses[symbol]


# -- the state, and who changes it ---------------------------------------------------------------------------------

_memory = (ctypes.c_byte * (sum(SIZES.values()) + 64))()


def _start() -> int:
    return -(-ctypes.addressof(_memory) // 64) * 64


def _of(word: str) -> ctypes.c_int64:
    return ctypes.c_int64.from_address(_start() + 8 * WORDS.index(word))


def _word(b: Any, word: str) -> Any:
    return b.inttoptr(INT(_start() + 8 * WORDS.index(word)), INT.as_pointer())


def _semaphore(b: Any) -> Any:
    return b.inttoptr(INT(_start() + SIZES["words"]), BYTES)


@lru_cache(maxsize=1)
def _machine() -> Loaded:
    made = loaded(str(_module()), [HOST + name for name in KINDS])
    for kept in (made, engine.jit()):  # the thread runs until the process is gone, after the interpreter
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
    if sys.platform == "linux" and _take_signal(made.addresses[HOST + "poke"]):
        _of("main").value = threading.main_thread().ident or 0
    return made


def _take_signal(handler: int) -> bool:
    """Whether nobody else has it."""
    libc = ctypes.CDLL(None)
    before, after = ((ctypes.c_int64 * ACTION_WORDS)() for _ in range(2))
    libc.sigaction(int(signal.SIGURG), None, before)
    if before[0] not in (signal.SIG_DFL, signal.SIG_IGN):
        return False
    after[0] = handler
    after[1 + SET_WORDS] = RESTART | NO_DEFER
    return bool(libc.sigaction(int(signal.SIGURG), after, None) == 0)


def _in_child() -> None:
    """Of a fork: the thread that forked is the main one, and there are no others."""
    if _of("main").value:
        _of("main").value = threading.get_ident()
        _of("state").value = ABSENT
        ctypes.memset(_start() + SIZES["words"], 0, SIZES["semaphore"])


os.register_at_fork(after_in_child=_in_child)

# -- its machine code ------------------------------------------------------------------------------------------------


def _call(b: Any, address: Any, returned: Any, *given: Any) -> Any:
    kind = ir.FunctionType(returned, [g.type for g in given]).as_pointer()
    return b.call(b.inttoptr(INT(address) if isinstance(address, int) else address, kind), given)


def _c(b: Any, name: str, returned: Any, *given: Any) -> Any:
    """A call of a function of the C library, or of CPython's."""
    return b.call(declared(b.module, name, ir.FunctionType(returned, [g.type for g in given])), given)


def _self(b: Any) -> Any:
    return _c(b, "pthread_self", INT)


def _is_main(b: Any) -> Any:
    return b.icmp_unsigned("==", b.load(_word(b, "main")), _self(b))


def _set(b: Any, word: str, value: Any) -> None:
    b.store(INT(value) if isinstance(value, int) else value, _word(b, word))


def _get(b: Any, word: str) -> Any:
    return b.load(_word(b, word))


def _not_zero(b: Any, value: Any) -> Any:
    return b.icmp_unsigned("!=", value, value.type(0))


def _pointer(b: Any, address: Any, offset: int = 0) -> Any:
    return b.inttoptr(b.add(address, INT(offset)), INT.as_pointer())


KINDS: dict[str, tuple[ir.Type, list[ir.Type]]] = {
    "pause": (VOID, []), "resume": (VOID, []), "poke": (VOID, [INT32]), "watch": (BYTES, [BYTES]), "wake": (VOID, []),
    "enter": (VOID, [INT.as_pointer(), BYTES]), "leave": (VOID, [INT.as_pointer()]),
    "abandon": (VOID, [INT.as_pointer()]), "allocate": (BYTES, [INT]), "reallocate": (BYTES, [BYTES, INT]),
    "release": (VOID, [BYTES]), "show": (INT, [INT, INT.as_pointer()]), "link": (VOID, [INT]), "unlink": (VOID, [INT]),
}  # fmt: skip


def _module() -> ir.Module:
    module = ir.Module("interrupts")
    made = {name: ir.Function(module, ir.FunctionType(*kind), HOST + name) for name, kind in KINDS.items()}
    writers = (_enter, _leave, _abandon, _poke, _pause, _resume, _wake, _watch, _link, _unlink, _allocate, _reallocate,
               _release, _show)  # fmt: skip
    for write in writers:
        function = made[write.__name__[1:]]
        b = ir.IRBuilder(function.append_basic_block("entry"))
        write(b, made, *function.args)
        if not b.block.is_terminated:
            b.ret_void()
    return module


def _enter(b: Any, made: Any, frame: Any, thread: Any) -> None:
    """Until `paused` is 0 a signal is only remembered, so the frame is complete when it is used."""
    head = b.ptrtoint(b.gep(frame, [INT(TAKEN)]), INT)
    values = {PREVIOUS: _get(b, "active"), PAUSED: _get(b, "paused"), THREAD: b.ptrtoint(thread, INT), TAKEN: head,
              TAKEN + 1: head}  # fmt: skip
    for place, value in values.items():
        b.store(value, b.gep(frame, [INT(place)]))
    _set(b, "active", b.ptrtoint(frame, INT))
    _set(b, "paused", 0)
    b.atomic_rmw("add", _word(b, "count"), INT(1), "seq_cst")
    with b.if_then(b.icmp_signed("!=", _get(b, "state"), INT(AWAKE)), likely=False):
        b.call(made["wake"], [])


def _leave(b: Any, made: Any, frame: Any) -> None:
    _set(b, "paused", b.load(b.gep(frame, [INT(PAUSED)])))
    _set(b, "active", b.load(b.gep(frame, [INT(PREVIOUS)])))


def _abandon(b: Any, made: Any, frame: Any) -> None:
    """What the kernel has taken, and not given back, goes."""
    b.call(made["leave"], [frame])
    head = b.gep(frame, [INT(TAKEN)])
    test, body, done = (b.append_basic_block(n) for n in ("test", "body", "done"))
    b.branch(test)
    b.position_at_end(test)
    node = b.load(head)
    b.cbranch(b.icmp_unsigned("!=", node, b.ptrtoint(head, INT)), body, done)
    b.position_at_end(body)
    b.store(b.load(_pointer(b, node)), head)
    _c(b, "free", VOID, b.inttoptr(node, BYTES))
    b.branch(test)
    b.position_at_end(done)


def _poke(b: Any, made: Any, number: Any) -> None:
    with b.if_then(b.not_(_is_main(b))):
        b.ret_void()
    frame = _get(b, "active")
    with b.if_then(b.not_(_not_zero(b, frame))):
        b.ret_void()
    with b.if_then(_not_zero(b, _get(b, "paused"))):
        _set(b, "late", 1)
        b.ret_void()
    _set(b, "paused", 1)
    _set(b, "late", 0)
    _c(b, "PyEval_RestoreThread", VOID, b.inttoptr(b.load(_pointer(b, frame, 8 * THREAD)), BYTES))
    raised = _not_zero(b, _c(b, "PyErr_CheckSignals", INT32))
    with b.if_then(raised):
        place = b.inttoptr(b.add(frame, INT(8 * PLACE)), BYTES)
        _c(b, "_longjmp", VOID, place, INT32(1))
        b.unreachable()
    _c(b, "PyEval_SaveThread", BYTES)
    _set(b, "paused", 0)


def _pause(b: Any, made: Any) -> None:
    with b.if_then(_is_main(b)):
        _set(b, "paused", b.add(_get(b, "paused"), INT(1)))


def _resume(b: Any, made: Any) -> None:
    with b.if_then(_is_main(b)):
        left = b.sub(_get(b, "paused"), INT(1))
        _set(b, "paused", left)
        waits = b.and_(b.icmp_signed("==", left, INT(0)), _not_zero(b, _get(b, "late")))
        with b.if_then(waits, likely=False):
            b.call(made["poke"], [INT32(0)])


def _wake(b: Any, made: Any) -> None:
    before = b.atomic_rmw("xchg", _word(b, "state"), INT(AWAKE), "seq_cst")
    with b.if_then(b.icmp_signed("==", before, INT(RESTING))):
        _c(b, "sem_post", INT32, _semaphore(b))
    with b.if_then(b.icmp_signed("==", before, INT(ABSENT))):
        thread = b.alloca(INT)
        _c(b, "sem_init", INT32, _semaphore(b), INT32(0), INT32(0))
        failed = _c(b, "pthread_create", INT32, thread, ir.Constant(BYTES, None),
                    b.bitcast(made["watch"], BYTES), ir.Constant(BYTES, None))  # fmt: skip
        with b.if_then(_not_zero(b, failed)):
            _set(b, "state", ABSENT)
        with b.if_then(b.not_(_not_zero(b, failed))):
            _c(b, "pthread_detach", INT32, b.load(thread))


def _watch(b: Any, made: Any, nothing: Any) -> None:
    signals, action = b.alloca(INT, SET_WORDS), b.alloca(INT, ACTION_WORDS)
    last, idle = b.alloca(INT), b.alloca(INT)
    b.store(INT(-1), last)
    b.store(INT(0), idle)
    _c(b, "sigfillset", INT32, signals)
    _c(b, "pthread_sigmask", INT32, INT32(int(signal.SIG_BLOCK)), signals, ir.Constant(INT.as_pointer(), None))
    tick, same, send, other, rest, wait, next_ = (
        b.append_basic_block(n) for n in ("tick", "same", "send", "other", "rest", "wait", "next")
    )
    b.branch(tick)
    b.position_at_end(tick)
    _c(b, "poll", INT32, ir.Constant(BYTES, None), INT(0), INT32(round(TICK * 1000)))
    count = _get(b, "count")
    unchanged = b.icmp_signed("==", count, b.load(last))
    b.store(count, last)
    with b.if_then(b.not_(unchanged)):
        b.store(INT(0), idle)
        b.branch(tick)
    b.branch(same)

    b.position_at_end(same)
    main = _get(b, "main")
    b.cbranch(_not_zero(b, _get(b, "active")), send, other)
    b.position_at_end(send)
    b.store(INT(0), idle)
    _c(b, "sigaction", INT32, INT32(int(signal.SIGURG)), ir.Constant(INT.as_pointer(), None), action)
    ours = b.icmp_unsigned("==", b.load(action), b.ptrtoint(made["poke"], INT))
    with b.if_then(ours):
        _c(b, "pthread_kill", INT32, main, INT32(int(signal.SIGURG)))
    b.branch(next_)

    b.position_at_end(other)
    waited = b.add(b.load(idle), INT(1))
    b.store(waited, idle)
    b.cbranch(b.icmp_signed("<", waited, INT(REST)), next_, rest)
    b.position_at_end(rest)
    b.store(INT(0), idle)
    b.cmpxchg(_word(b, "state"), INT(AWAKE), INT(RESTING), "seq_cst", "seq_cst")
    # A kernel that began in between has seen the state from before.
    with b.if_then(b.icmp_signed("!=", _get(b, "count"), count)):
        found = b.cmpxchg(_word(b, "state"), INT(RESTING), INT(AWAKE), "seq_cst", "seq_cst")
        b.cbranch(b.extract_value(found, 1), next_, wait)
    b.branch(wait)
    b.position_at_end(wait)
    b.cbranch(_not_zero(b, _c(b, "sem_wait", INT32, _semaphore(b))), wait, next_)
    b.position_at_end(next_)
    b.branch(tick)


# -- memory, and functions that may not be left ----------------------------------------------------------------------


def _link(b: Any, made: Any, node: Any) -> None:
    """Add memory to the frame's; other threads have no frames, and leave it alone."""
    b.store(node, _pointer(b, node))
    b.store(node, _pointer(b, node, 8))
    frame = _get(b, "active")
    with b.if_then(b.and_(_is_main(b), _not_zero(b, frame))):
        head = b.add(frame, INT(8 * TAKEN))
        first = b.load(_pointer(b, head))
        b.store(first, _pointer(b, node))
        b.store(head, _pointer(b, node, 8))
        b.store(node, _pointer(b, first, 8))
        b.store(node, _pointer(b, head))


def _unlink(b: Any, made: Any, node: Any) -> None:
    after, before = b.load(_pointer(b, node)), b.load(_pointer(b, node, 8))
    b.store(after, _pointer(b, before))
    b.store(before, _pointer(b, after, 8))


def _allocate(b: Any, made: Any, size: Any) -> None:
    b.call(made["pause"], [])
    memory = _c(b, "malloc", BYTES, b.add(size, INT(HEADER)))
    _hand_out(b, made, memory)


def _reallocate(b: Any, made: Any, memory: Any, size: Any) -> None:
    with b.if_then(b.icmp_unsigned("==", memory, ir.Constant(BYTES, None))):
        b.ret(b.call(made["allocate"], [size]))
    b.call(made["pause"], [])
    node = b.sub(b.ptrtoint(memory, INT), INT(HEADER))
    b.call(made["unlink"], [node])
    moved = _c(b, "realloc", BYTES, b.inttoptr(node, BYTES), b.add(size, INT(HEADER)))
    with b.if_then(b.icmp_unsigned("==", moved, ir.Constant(BYTES, None))):
        b.call(made["link"], [node])
    _hand_out(b, made, moved)


def _hand_out(b: Any, made: Any, memory: Any) -> None:
    with b.if_then(b.icmp_unsigned("==", memory, ir.Constant(BYTES, None))):
        b.call(made["resume"], [])
        b.ret(memory)
    b.call(made["link"], [b.ptrtoint(memory, INT)])
    b.call(made["resume"], [])
    b.ret(b.gep(memory, [INT(HEADER)]))


def _release(b: Any, made: Any, memory: Any) -> None:
    with b.if_then(b.icmp_unsigned("==", memory, ir.Constant(BYTES, None))):
        b.ret_void()
    b.call(made["pause"], [])
    node = b.sub(b.ptrtoint(memory, INT), INT(HEADER))
    b.call(made["unlink"], [node])
    _c(b, "free", VOID, b.inttoptr(node, BYTES))
    b.call(made["resume"], [])


def _show(b: Any, made: Any, function: Any, words: Any) -> None:
    """A function that takes the interpreter's lock itself."""
    b.call(made["pause"], [])
    code = _call(b, function, INT, words)
    b.call(made["resume"], [])
    b.ret(code)
