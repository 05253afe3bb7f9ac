"""NumPy: the CPU, always there."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from xpnn.backends.generic import Backend
from xpnn.typing import Array


class NumPy(Backend):
    """NumPy arrays. The one device is ``cpu``."""

    install = "pip install numpy"

    def on(self, array: Array) -> AbstractContextManager[Any]:
        """NumPy's warnings about overflow and NaN switched off."""
        return np.errstate(over="ignore", invalid="ignore")


BACKEND = NumPy("numpy")
