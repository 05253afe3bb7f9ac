"""The array libraries to check on: all that are installed and can be used."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xpnn import arrays, backends
from xpnn.errors import BackendError, InputError
from xpnn.registry import unknown
from xpnn.testing.findings import Numbers
from xpnn.typing import Array, Namespace

STRICT = "array_api_strict"
NAMES = (*backends.KNOWN, STRICT)
DTYPES = ("float32", "float64")
TOLERANCE = {"float32": 1e-4, "float64": 1e-9}
"""By how much numbers may differ from library to library, as a share of the largest."""


@dataclass(frozen=True)
class Library:
    """One way of holding arrays: a library, on a device, perhaps read-only.

    Attributes
    ----------
    name : str
    xp : namespace
    device : device of the library's own, optional
    read_only : bool
        Whether arrays can be written to, where that can be chosen.
    """

    name: str
    xp: Namespace
    device: Any = None
    read_only: bool = False

    def __call__(self, host: Any, dtype: str | None = None) -> Array:
        """The host array there; floating-point ones in the dtype named."""
        host = np.asarray(host)
        wanted = getattr(self.xp, dtype) if dtype and host.dtype.kind == "f" else None
        array: Any = arrays.from_host(host, self.xp, dtype=wanted, device=self.device)
        if self.read_only:
            array.flags.writeable = False
        return array

    def host(self, array: Array) -> Numbers:
        """A copy of the array on the host, found to be of this library."""
        assert arrays.namespace(array=array) is self.xp
        number = isinstance(array, np.generic)  # what NumPy makes of an array of shape ()
        return np.array(array if number else backends.of(array).to_host(array))

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Those that it has: some devices, and JAX unless told otherwise, have no float64."""
        return tuple(dtype for dtype in DTYPES if self._has(dtype))

    def _has(self, dtype: str) -> bool:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # JAX's, that it takes float32 instead
            try:
                return bool(self(np.zeros(1), dtype).dtype == getattr(self.xp, dtype))
            except Exception:  # in the words of its library
                return False


def libraries(names: Sequence[str] | None = None) -> list[Library]:
    """The libraries named, or all that can be used: NumPy twice, writable and read-only.

    Raises
    ------
    InputError
        If a name is unknown.
    BackendError
        If a library that is named cannot be used here.
    """
    if isinstance(names, str):
        raise InputError(f"libraries must be a list of names, got {names!r}: write [{names!r}].")
    found = []
    for name in NAMES if names is None else names:
        if name not in NAMES:
            raise InputError(unknown("library", str(name), NAMES))
        try:
            xp, device = _there(name)
        except BackendError:
            if names is not None:
                raise
            continue
        found.append(Library(name, xp, device))
        if name == "numpy":
            found.append(Library("numpy-readonly", xp, device, read_only=True))
    return found


def places(names: Sequence[str] | None) -> list[tuple[Library, str]]:
    """Each library that `libraries` gives with each dtype that it has."""
    return [(library, dtype) for library in libraries(names) for dtype in library.dtypes]


def _there(name: str) -> tuple[Namespace, Any]:
    """The namespace and a device of a library that can be used."""
    if name == STRICT and importlib.util.find_spec(STRICT) is None:
        raise BackendError(f"{STRICT} cannot be used here: not installed: pip install array-api-strict.")
    if name == STRICT:  # not the device that new arrays are on unless told otherwise
        return backends.get(name).namespace(), importlib.import_module(STRICT).Device("device1")
    device = backends.usable_device(name)
    return backends.get(name, device).namespace(), backends.get(name, device).device(device)


NUMPY = libraries(["numpy"])[0]
"""What the others are held to."""
