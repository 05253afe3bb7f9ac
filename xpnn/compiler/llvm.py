"""Text for LLVM as a function of machine code.

Needs llvmlite (``pip install 'xpnn[fast]'``).
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from hashlib import sha256
from threading import Lock
from typing import Any

from xpnn.compiler import store

OLDEST = 20
"""The version of LLVM from which on its functions of floats are there for vectors too."""


class CannotCompile(Exception):  # noqa: N818
    """LLVM makes no machine code of the text."""


@cache
def available() -> bool:
    """Whether LLVM is here, and able to compile for this processor."""
    try:
        import llvmlite.binding as llvm

        if llvm.llvm_version_info[0] < OLDEST:
            return False
        compiled("define void @kernel() {\nret void\n}\n")()
    except Exception:  # not installed, broken, or not for this processor
        return False
    return True


def flushing(lines: Iterable[str]) -> tuple[list[str], list[str]]:
    """What to declare, and these lines of a function with numbers too small for a normal exponent taken for 0.

    Processors take a hundred times longer for them, and moments of parameters whose gradient stays 0 all get there.
    Elsewhere than on x86 the lines stay as they are.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        return [], [*lines]
    mode = "@llvm.x86.sse.{}mxcsr(ptr {})"
    return [f"declare void {mode.format(name, '')}" for name in ("ld", "st")], [
        "%mode = alloca i32",
        "%flush = alloca i32",
        f"call void {mode.format('st', '%mode')}",
        "%before = load i32, ptr %mode",
        f"%flushing = or i32 %before, {_FLUSH}",
        "store i32 %flushing, ptr %flush",
        f"call void {mode.format('ld', '%flush')}",
        *lines,
        f"call void {mode.format('ld', '%mode')}",
    ]


_FLUSH = 1 << 15 | 1 << 6
"""Of a thread's MXCSR: results, and operands, that are subnormal are 0."""

_lock = Lock()


def _forget() -> None:
    """In a child process: the thread that had the lock is not there."""
    global _lock
    _lock = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


@lru_cache(maxsize=512)
def compiled(text: str, *arguments: Any, **functions: int) -> Callable[..., None]:
    """The function called ``kernel`` in LLVM's text, with arguments of these types of `ctypes`.

    `functions` are the addresses of those that the text declares. They are no part of it: what it is compiled to is
    kept for other processes.

    Raises
    ------
    CannotCompile
        If the text is not right.
    """
    import llvmlite.binding as llvm

    with _lock:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        llvm.initialize_native_asmparser()
        try:
            module = llvm.parse_assembly(text)
            module.verify()
        except RuntimeError as error:
            raise CannotCompile(str(error)) from error
        target = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3
        )
        name = _name(text)
        code, made = store.read(name), []
        if code is None:
            tuning = llvm.create_pipeline_tuning_options(speed_level=3)
            tuning.loop_vectorization = True
            passes = llvm.create_pass_builder(target, tuning)
            passes.getModulePassManager().run(module, passes)
        for each, address in functions.items():
            llvm.add_symbol(each, address)
        engine = llvm.create_mcjit_compiler(module, target)
        engine.set_object_cache(lambda _, each: made.append(each), lambda _: code)
        engine.finalize_object()
        function: Any = ctypes.CFUNCTYPE(None, *arguments)(engine.get_function_address("kernel"))
    for each in made:
        store.write(name, each)
    function.engine = engine  # its memory is the function's
    return function


def _name(text: str) -> str:
    """Of the file of what the text is compiled to: what it depends on."""
    import llvmlite
    import llvmlite.binding as llvm

    processor = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    where = (llvmlite.__version__, llvm.llvm_version_info, llvm.get_default_triple(), processor)
    return sha256(repr((where, text)).encode()).hexdigest()
