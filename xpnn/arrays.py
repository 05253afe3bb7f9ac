"""Arrays of any library: which library, which device, which dtype, and copies between host and device.

The only module that imports array_api_compat.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any, cast

import array_api_compat
import numpy as np

from xpnn.errors import ArrayError, InputError
from xpnn.typing import Array, HostArray, Namespace

OPTIONAL = ("sample_weight", "params", "buffers")
"""The arguments that may be None."""


def namespace(**arrays: Array | None) -> Namespace:
    """The one Array API namespace of all the given arrays.

    Parameters
    ----------
    **arrays : array or None
        Arrays under the names that an error message should use, as in ``namespace(X=X, y=y)``. Those named in
        `OPTIONAL` are passed over if they are None.

    Returns
    -------
    namespace
        The library's functions under the standard's names, through array_api_compat.

    Raises
    ------
    ArrayError
        If something is not an array, or if two of the arrays belong to different libraries.
    """
    first: tuple[str, Namespace] | None = None
    for name, array in arrays.items():
        if array is None:
            if name in OPTIONAL:
                continue
            raise ArrayError(f"{name} must be an array, got None.")
        xp = _of_type.get(type(array)) or _find(array, name)
        if first is None:
            first = name, xp
        elif xp is not first[1]:
            raise _different(first[0], _kind(first[1]), name, _kind(xp))
    if first is None:
        raise ArrayError("no array was given: pass at least one.")
    return first[1]


_of_type: dict[type, Namespace] = {}  # those met: looking one up takes longer than a small layer


def _find(array: Array, name: str) -> Namespace:
    try:
        xp = cast(Namespace, array_api_compat.array_namespace(array))
    except TypeError:
        # sparse matrices, SciPy's and CuPy's, give one themselves
        make = f"{name}.toarray()" if hasattr(array, "toarray") else f"numpy.asarray({name})"
        raise ArrayError(
            f"{name} must be an array, got {_article(type(array).__name__)}: make one first, for example {make}."
        ) from None
    if isinstance(xp, ModuleType):  # a library's; any other may differ from array to array
        _of_type[type(array)] = xp
    return xp


def one_place(**arrays: Array | None) -> Namespace:
    """The namespace of arrays that must be of one library and on one device; else `ArrayError`."""
    xp = namespace(**arrays)
    check_same_device(**arrays)
    return xp


def check_same_device(**arrays: Array | None) -> None:
    """Raise `ArrayError` unless all the given arrays (of one library) are on the same device."""
    first: tuple[str, object] | None = None
    for name, array in arrays.items():
        if array is None:
            continue
        if first is None:
            first = name, device(array)
        elif device(array) != first[1]:
            raise _different(first[0], f"on device {first[1]}", name, f"on device {device(array)}")


def _different(name: str, here: str, other: str, there: str) -> ArrayError:
    fix = f"model.to(like={name}) moves the model" if other == "model" else f"convert {other} (or {name}) first"
    return ArrayError(
        f"{name} is {here} but {other} is {there}: xpnn never copies between libraries or devices on its own; {fix}."
    )


def _kind(xp: Namespace) -> str:
    return f"{_article(library(xp))} array"


def _article(noun: str) -> str:
    return f"{'an' if noun[0].lower() in 'aeio' else 'a'} {noun}"


def library(xp: Namespace) -> str:
    """The name of a namespace's library: ``"numpy"``, ``"cupy"``, ``"torch"``, ``"jax"``, …"""
    name = cast(str, cast(Any, xp).__name__)
    return name.removeprefix("array_api_compat.").split(".")[0]


def device(array: Array) -> Any:
    """The device that an array lives on, as its library names it."""
    return array_api_compat.device(array)


def size(array: Array) -> int:
    """The number of elements."""
    return math.prod(array.shape)


def default_float(xp: Namespace) -> Any:
    """The library's default real dtype: float64 for NumPy and CuPy, float32 for PyTorch and JAX."""
    return cast(Any, xp).__array_namespace_info__().default_dtypes()["real floating"]


def from_host(host: HostArray, xp: Namespace, *, dtype: Any = None, device: Any = None) -> Array:
    """A copy of a NumPy array in another library, on the given device and with the given dtype."""
    if dtype is not None and host.dtype == np.float64 and not xp.isdtype(dtype, xp.float64):
        host = host.astype(np.float32)  # rounded once, on the host: the same bits for every library
    return cast(Array, xp.asarray(host, dtype=dtype, device=device, copy=True))


def default_integer(xp: Namespace) -> Any:
    """The library's default integer dtype: int64, on JAX int32 unless told otherwise."""
    return cast(Any, xp).__array_namespace_info__().default_dtypes()["integral"]


def host_vector(parts: list[HostArray]) -> HostArray:
    """Host arrays of any shape as one flat vector, each row by row."""
    return np.concatenate([part.ravel() for part in parts])


def host_filled(shape: tuple[int, ...], number: float) -> HostArray:
    """A host array of one number, in float64."""
    return np.full(shape, number, np.float64)


def copy(array: Array, xp: Namespace) -> Array:
    """A copy that shares no memory with `array`, on the same device."""
    return cast(Array, xp.asarray(array, device=device(array), copy=True))


def real_dtype(array: Array, xp: Namespace) -> Any:
    """The array's dtype if it is a real floating one, else the library's default.

    Raises
    ------
    InputError
        If it is a floating one other than float32 and float64.
    """
    if not xp.isdtype(array.dtype, "real floating"):
        return default_float(xp)
    if not xp.isdtype(array.dtype, (xp.float32, xp.float64)):
        raise InputError(
            f"the dtype must be float32 or float64 (or an integer one), got {array.dtype}: convert first."
        )
    return array.dtype
