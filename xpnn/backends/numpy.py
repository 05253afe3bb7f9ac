"""NumPy: the CPU, always there."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.backends.generic import Backend, Function
from xpnn.compiler import Compiled
from xpnn.compiler.blas import threads
from xpnn.compiler.rows import Rows
from xpnn.compiler.steps import Steps
from xpnn.typing import Array, Namespace


class NumPy(Backend):
    """NumPy arrays. The one device is ``cpu``."""

    install = "pip install numpy"
    views = True

    def on(self, array: Array) -> AbstractContextManager[Any]:
        """NumPy's warnings about overflow and NaN switched off."""
        return np.errstate(over="ignore", invalid="ignore")

    def numbers(self, scalars: list[Array], xp: Namespace) -> NDArray[np.float64]:
        """As the generic backend; each number is at hand."""
        return np.fromiter(map(float, scalars), np.float64, len(scalars))

    def compile(self, function: Function, xp: Namespace, *, asked: bool = False) -> Function:
        """The formulas recorded as NumPy calls: see `xpnn.compiler`."""
        return Compiled(function, xp)

    def forward(self, function: Function, xp: Namespace) -> Function:
        """Recorded, for few rows and for chunks of many."""
        return Rows(function, xp)

    def compile_step(self, function: Function, xp: Namespace, *, work: int, asked: bool = False) -> Function:
        """Recorded; a large batch is shared out among as many threads as the matrix products would use."""
        return Steps(function, xp, work)

    def steps(self) -> AbstractContextManager[Any]:
        """The number of threads of products set once, not at each step."""
        return threads.kept


BACKEND = NumPy("numpy")
