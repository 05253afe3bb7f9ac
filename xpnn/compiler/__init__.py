"""Formulas as NumPy calls: written down once by `record`, laid out by `plan`, written as source by `emit`.

Where LLVM is here, element-wise calls that follow each other (`chains`) become loops of machine code (`kernels`).
`Compiled` makes of a function of arrays, written against the Array API, a function that does the same calls in the
same order without what surrounds them: no allocation, no look-ups, nothing between one call into NumPy and the next.
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
from xpnn.compiler.plan import Plan
from xpnn.compiler.record import CannotRecord, Recording, record
from xpnn.compiler.schedule import schedule
from xpnn.compiler.shares import CannotShare
from xpnn.typing import Namespace


@dataclass
class _Program:
    bind: Callable[..., Any]
    fits: Callable[..., bool]
    source: str
    state: tuple[Any, ...] = ()
    run: Any = None


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

    def __init__(self, function: Callable[..., Any], xp: Namespace) -> None:
        self.function, self.xp = function, xp
        self.programs: dict[Any, _Program | None] = {}
        self._latest: _Program | None = None
        self._memory: dict[tuple[str, int], NDArray[np.uint8]] = {}

    def __call__(self, state: tuple[Any, ...], *inputs: Any) -> Any:
        """The function of the arguments."""
        program = self._latest
        if program is None or not program.fits(*inputs):
            program = self._find(state, inputs)
            if program is None:
                return self.function(self.xp, state, *inputs)
            self._latest = program
        if program.run is None or not all(map(is_, state, program.state)):
            program.run, program.state = program.bind(state), state
        return program.run(*inputs)

    def _find(self, state: tuple[Any, ...], inputs: tuple[Any, ...]) -> _Program | None:
        """The program for arguments of these kinds; None if there can be none."""
        key = _kinds(inputs)
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
                self.programs[key] = None
                why = str(reason) if isinstance(reason, CannotRecord) else f"{type(reason).__name__}: {reason}"
                message = f"a step cannot be recorded and runs call by call, which is slower ({why})"
                warnings.warn(message, RuntimeWarning, stacklevel=3)
        return self.programs[key]

    def _record(self, arguments: tuple[Any, ...]) -> _Program:
        recording = record(self.function, self.xp, arguments)
        if llvm.available():
            schedule(recording)
        emitter = self._emitter(recording)
        return _Program(*emitter.make(), emitter.source)

    def _emitter(self, recording: Recording) -> Emitter:
        return Emitter(Plan(recording), self._bytes)

    def _bytes(self, name: tuple[str, int], nbytes: int) -> NDArray[np.uint8]:
        """Memory that all programs share: only one of them runs at a time."""
        if name not in self._memory or self._memory[name].nbytes < nbytes:
            self._memory[name] = np.empty(nbytes + 64, np.uint8)
            offset = -self._memory[name].ctypes.data % 64
            self._memory[name] = self._memory[name][offset : offset + nbytes]
        return self._memory[name]


def _kinds(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple((each.shape, each.dtype) if isinstance(each, np.ndarray) else type(each) for each in inputs)
