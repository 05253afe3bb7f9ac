"""NumPy: the CPU, always there."""

from __future__ import annotations

from xpnn.backends.generic import Backend


class NumPy(Backend):
    """NumPy arrays; nothing differs from the generic backend yet."""

    install = "pip install numpy"


BACKEND = NumPy("numpy")
