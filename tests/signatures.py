"""Calls of one array library held to what another one takes, which need not be able to run."""

from __future__ import annotations

import functools
import inspect
from typing import Any


def hold(namespace: Any, other: Any) -> None:
    """Have the namespace's functions refuse a call that the function of that name in the other would not take."""
    for name, function in list(vars(namespace).items()):
        if inspect.isfunction(function) and not name.startswith("_"):
            setattr(namespace, name, _held(name, function, getattr(other, name, None), other.__name__))


def _held(name: str, function: Any, others: Any, library: str) -> Any:
    takes = _binder(others)

    @functools.wraps(function)
    def held(*arguments: Any, **named: Any) -> Any:
        if takes is None:
            raise AssertionError(f"{library} has no {name}")
        try:
            takes(*arguments, **named)
        except TypeError as error:
            raise AssertionError(f"{library}.{name}: {error}") from None
        return function(*arguments, **named)

    return held


def _binder(function: Any) -> Any:
    """What raises a TypeError for arguments that the function would not take."""
    if function is None:
        return None
    if hasattr(function, "nin"):  # a ufunc: made elsewhere than in Python, it does not say
        names = [f"x{i}" for i in range(function.nin)]
        positional = [inspect.Parameter(each, inspect.Parameter.POSITIONAL_ONLY) for each in names]
        options = [inspect.Parameter(each, inspect.Parameter.KEYWORD_ONLY, default=None) for each in ("out", "dtype")]
        return inspect.Signature([*positional, *options]).bind
    try:
        return inspect.signature(function).bind
    except ValueError:  # made elsewhere too
        return lambda *arguments, **named: None
