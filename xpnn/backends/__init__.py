"""Array libraries: which are here, which can be used, and what each does in a way of its own."""

from __future__ import annotations

import importlib
import sys
import warnings
from dataclasses import dataclass

from xpnn import arrays
from xpnn.backends.generic import Backend, first_line
from xpnn.errors import BackendError, InputError
from xpnn.registry import unknown
from xpnn.typing import Array, HostArray

__all__ = ["KNOWN", "Backend", "Device", "devices", "first_line", "get", "installed", "of", "place", "usable_device"]

KNOWN = ("numpy", "cupy", "torch", "jax")
"""The libraries with a file of their own here."""

_DEVICES = ("cpu", "gpu", "cuda", "mps", "xpu", "tpu")

_generic: dict[str, Backend] = {}


def _backend(name: str) -> Backend:
    if name in KNOWN:
        backend: Backend = importlib.import_module(f"xpnn.backends.{name}").BACKEND
        return backend
    return _generic.setdefault(name, Backend(name))


def of(array: Array) -> Backend:
    """The backend of an array's library: its own, or the generic one."""
    return _backend(arrays.library(arrays.namespace(array=array)))


def get(name: str, device: str | None = None) -> Backend:
    """The backend of that name, found to be usable.

    Parameters
    ----------
    name : str
        ``numpy``, ``cupy``, ``torch``, ``jax``, or any other installed library that follows the Array API standard.
    device : str, optional
        The device to try: ``cpu``, ``cuda:0``, …; the library's default device if not given.

    Raises
    ------
    BackendError
        If it is unknown, not installed, or a small computation on it fails; says what to do.
    """
    if str(name).partition(":")[0] in _DEVICES:
        raise BackendError(f"{name!r} is a device: name its library as the backend, torch say, and it as the device.")
    backend = _backend(name) if isinstance(name, str) and name.isidentifier() else None
    if backend is None or (name not in KNOWN and not backend.available()):
        raise BackendError(unknown("backend", str(name), KNOWN))
    reason = backend.probe(device)
    if reason:
        place = f" on device {device!r}" if device else ""
        raise BackendError(f"{name} cannot be used here{place}: {reason.rstrip('.')}. 'xpnn devices' lists what can.")
    return backend


def usable_device(name: str, device: str | None = None) -> str:
    """The device asked for, or the best one that can be used.

    Raises
    ------
    BackendError
        As `get`, if there is none.
    """
    if device is None and (backend := _backend(name)).available():
        try:
            return next(each for each in backend.device_names() if backend.probe(each) is None)
        except Exception:  # none, or a broken library: get says why
            pass
    get(name, device)
    return device or _backend(name).device_names()[0]


def place(host: HostArray, dtype: str, *, like: Array | None, backend: str | None, device: str | None) -> Array:
    """A copy of a host array where `like` is, or in the library and on the device named, in the dtype named.

    Raises
    ------
    BackendError
        If the library or device cannot be used, or has no such dtype.
    InputError
        If the dtype is neither float32 nor float64.
    """
    if like is not None:
        xp, where = arrays.namespace(like=like), arrays.device(like)
    else:
        there = get(backend or "numpy", device)
        xp, where = there.namespace(), there.device(device)
    if dtype not in ("float32", "float64"):
        raise InputError(f"dtype must be 'float32' or 'float64', got {dtype!r}.")
    wanted = getattr(xp, dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # JAX's, about what the error below says
        params = arrays.from_host(host, xp, dtype=wanted, device=where)
    if params.dtype != wanted:
        raise BackendError(
            f"{arrays.library(xp)} gave {params.dtype} where {dtype} was asked for: with JAX set "
            "jax.config.update('jax_enable_x64', True) first, or "
            "take model.to(dtype='float32') where it is, and then move it."
        )
    return params


def installed() -> list[str]:
    """The known libraries that are installed, usable or not; imports none of them."""
    return [name for name in KNOWN if _backend(name).available()]


@dataclass(frozen=True)
class Device:
    """One device of one array library, as `devices` found it.

    Attributes
    ----------
    library, version, device : str
        For example ``"torch"``, ``"2.13.0"``, ``"cuda:0"``; version and device are empty if not installed.
    installed, usable : bool
        Whether the library is there, and whether a small computation on the device came out right.
    reason : str
        Why it is not usable; empty if it is.
    """

    library: str
    version: str
    device: str
    installed: bool
    usable: bool
    reason: str


def devices() -> list[Device]:
    """Every device of every known array library, tried with a small computation.

    Imports each library that is installed. Besides NumPy, CuPy, PyTorch and JAX it lists other standard
    libraries that the program has already imported and used with xpnn.

    Returns
    -------
    list of Device
    """
    found = []
    for name in (*KNOWN, *(n for n in _generic if n in sys.modules)):
        backend = _backend(name)
        if not backend.available():
            found.append(Device(name, "", "", False, False, backend.probe(None) or ""))
            continue
        try:
            version, names = backend.version(), backend.device_names()
        except Exception as error:  # a broken installation is reported, whatever it raises
            found.append(Device(name, "", "", True, False, first_line(error)))
            continue
        for device in names:
            reason = backend.probe(device)
            found.append(Device(name, version, device, True, reason is None, reason or ""))
    return found
