"""Formulas as NumPy calls: written down once by `record`, laid out by `plan`, written as source by `emit`.

Where LLVM is here, element-wise calls that follow each other (`chains`) become loops of machine code (`kernels`).
`Compiled` makes of a function of arrays, written against the Array API, a function that does the same calls without
what surrounds them: no allocation, no look-ups, nothing between one call into NumPy and the next.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from operator import is_
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.compiler import llvm
from xpnn.compiler.emit import Emitter
from xpnn.compiler.factor import Factor
from xpnn.compiler.plan import Plan
from xpnn.compiler.record import record
from xpnn.compiler.recording import CannotRecord, Recording, Value
from xpnn.compiler.schedule import schedule
from xpnn.compiler.shares import CannotShare
from xpnn.typing import Namespace


@dataclass
class _Program:
    bind: Callable[..., Any]
    fits: Callable[..., bool]  # of the inputs
    source: str
    kinds: tuple[Any, ...]  # of the state
    writes: bool  # over arrays of the state
    state: tuple[Any, ...] = ()
    run: Any = None

    def takes(self, state: tuple[Any, ...]) -> bool:
        """Whether it is for a state like this one: kernels rely on where its numbers lie."""
        plain = all(each is None or _plain(each, writeable=self.writes) for each in state)
        return plain and _kinds(state) == self.kinds


MOST = 64
"""Programs that are kept of one function."""


class Compiled:
    """``function(xp, state, *inputs)``, recorded anew for each combination of shapes and dtypes.

    Parameters
    ----------
    function : callable
        Takes a namespace, a tuple of arrays that it may write over, and any arrays, numbers, ``None`` and tuples of
        such; returns such. Must not look at the numbers in them; one that does runs as it is, with a warning.
    xp : namespace
    """

    _way: Any = None
    """What else programs differ in."""

    def __init__(self, function: Callable[..., Any], xp: Namespace) -> None:
        self.function, self.xp = function, xp
        self.programs: dict[Any, _Program | None] = {}
        self.gave_up = False  # on arguments that the function could not be recorded for
        self._latest: _Program | None = None
        self._memory: dict[tuple[str, int], NDArray[np.uint8]] = {}

    def __call__(self, state: tuple[Any, ...], *inputs: Any) -> Any:
        """The function of the arguments."""
        program = self._latest
        if program is not None and program.run is not None and _same(state, program.state) and program.fits(*inputs):
            return program.run(*inputs)
        if program is None or not program.fits(*inputs) or not program.takes(state):
            program = self._find(state, inputs)
            if program is None or not program.takes(state):
                return self.function(self.xp, state, *inputs)
            self._latest = program
        if program.run is None or not _same(state, program.state):
            program.run, program.state = program.bind(state), state
        return program.run(*inputs)

    def rest(self) -> int:
        """Let go of the arrays of the last call; the bytes of memory still held."""
        for program in self.programs.values():
            if program is not None:
                program.run, program.state = None, ()
        return sum(memory.nbytes for memory in self._memory.values())

    def _find(self, state: tuple[Any, ...], inputs: tuple[Any, ...]) -> _Program | None:
        """The program for arguments of these kinds; None if there can be none."""
        key = self._way, _kinds(state), _kinds(inputs)
        if key not in self.programs:
            try:
                if len(self.programs) == MOST:
                    self.programs.clear()
                self.programs[key] = self._record((state, *inputs))
            except CannotShare:
                raise
            except Exception as reason:  # whatever it does with what stands for its arrays
                copies = tuple(each if each is None else each.copy() for each in state)
                self.function(self.xp, copies, *inputs)  # raises what is wrong with the arguments, if anything is
                self.programs[key], self.gave_up = None, True
                why = str(reason) if isinstance(reason, CannotRecord) else f"{type(reason).__name__}: {reason}"
                if isinstance(reason, TypeError) and "__array_ufunc__" in why:  # as NumPy puts it
                    why = "it calls a function of NumPy by name: use those of the namespace xp that is handed in"
                message = f"a step cannot be recorded and runs call by call, which is slower ({why})"
                warnings.warn(message, RuntimeWarning, stacklevel=3)
        return self.programs[key]

    def _record(self, arguments: tuple[Any, ...]) -> _Program:
        try:
            return self._make(arguments, chained=llvm.available())
        except llvm.CannotCompile:
            return self._make(arguments, chained=False)

    def _make(self, arguments: tuple[Any, ...], *, chained: bool) -> _Program:
        recording = record(self.function, self.xp, arguments)
        emitter = self._emitter(recording, chained)
        state = {each for each in recording.inputs[0] if each is not None}
        writes = any(isinstance(c.result, Value) and c.in_place and c.result.owner in state for c in recording.calls)
        return _Program(*emitter.make(), emitter.source, _kinds(arguments[0]), writes)

    def _emitter(self, recording: Recording, chained: bool) -> Emitter:
        if chained:
            schedule(recording)
        return Emitter(Plan(recording, chained=chained), self._bytes)

    def _bytes(self, name: tuple[str, int], nbytes: int) -> NDArray[np.uint8]:
        """Memory that all programs share: only one of them runs at a time."""
        if name not in self._memory or self._memory[name].nbytes < nbytes:
            self._memory[name] = np.empty(nbytes + 64, np.uint8)
            offset = -self._memory[name].ctypes.data % 64
            self._memory[name] = self._memory[name][offset : offset + nbytes]
        return self._memory[name]


def _same(state: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return len(state) == len(other) and all(map(is_, state, other))


def _plain(array: NDArray[Any], *, writeable: bool) -> bool:
    """Whether the numbers of an array lie one after the other as the processor has them, and may be written over."""
    flags = array.flags
    laid_out = flags.c_contiguous and flags.aligned and array.dtype.isnative
    return bool(laid_out and (flags.writeable or not writeable))


def _kinds(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(map(_kind, inputs))


def _kind(each: Any) -> Any:
    if isinstance(each, np.ndarray):
        return each.shape, each.dtype
    return (type(each), each.shape, each.dtype) if isinstance(each, Factor) else type(each)
