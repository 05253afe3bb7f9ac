"""What has been compiled for a training, kept for another like it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from xpnn.backends import Backend

MOST = 16
"""Functions that are kept."""

_functions: dict[Hashable, Callable[..., Any]] = {}


def take(key: Hashable, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
    """The function kept under the key, or a new one. It is nobody else's then: others compile their own meanwhile."""
    return _functions.pop(key, None) or make()


def give(key: Hashable, function: Callable[..., Any], backend: Backend) -> None:
    """Let go of the arrays of the training that is over, and keep the function if that is worth it."""
    if backend.rest(function):
        _functions[key] = function
        while len(_functions) > MOST:
            _functions.pop(next(iter(_functions)), None)
