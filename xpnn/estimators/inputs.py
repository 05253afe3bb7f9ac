"""What estimators are given: tables and arrays of any library; y and weights follow X."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import (
    _check_n_features,
    _check_sample_weight,
    _check_y,
    check_consistent_length,
    validate_data,
)

from xpnn import arrays, backends, checks
from xpnn.errors import ArrayError, BackendError, InputError
from xpnn.typing import Array, HostArray

FLOATS = (np.float64, np.float32)


def namespace_of(X: Any) -> Any:
    """The namespace of an array of another library than NumPy; None for all that becomes a NumPy array."""
    if type(X) is np.ndarray or issparse(X):
        return None
    try:
        xp = arrays.namespace(X=X)
    except ArrayError:
        return None
    return None if arrays.library(xp) == "numpy" else xp


def on_host(values: Any) -> Any:
    """An array of any library as a NumPy array; everything else as it is."""
    if namespace_of(values) is None:
        return values
    backend = backends.of(values)
    return np.array(backend.to_host(backend.detach(values)))


def features(estimator: Any, X: Any, *, reset: bool) -> Any:
    """X checked, (n, d), in float32 or float64: an array of its own library, sparse matrices as they are."""
    if not reset and _as_fitted(estimator, X):
        return X
    _refuse_others_sparse(X)
    if namespace_of(X) is None:
        return validate_data(estimator, X, accept_sparse="csr", dtype=FLOATS, reset=reset)
    _two_axes(X)
    _check_features(estimator, X, reset=reset)
    return _foreign(X)


def _as_fitted(estimator: Any, X: Any) -> bool:
    """Whether it is seen at once that scikit-learn takes it as it is: its own look takes longer than to predict."""
    numbers = X if type(X) is np.ndarray else X.data if issparse(X) and X.format == "csr" else None
    if numbers is None or X.dtype not in FLOATS or X.ndim != 2 or not X.shape[0]:
        return False
    if X.shape[1] != estimator.n_features_in_ or "feature_names_in_" in vars(estimator):
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(numbers.sum()))


def _two_axes(X: Any) -> None:
    if X.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got {X.ndim}D array instead. Reshape your data either using array.reshape(-1, 1) if "
            "your data has a single feature or array.reshape(1, -1) if it contains a single sample."
        )


def _refuse_others_sparse(X: Any) -> None:
    """PyTorch's, CuPy's and the like."""
    layout = str(getattr(X, "layout", ""))
    if "sparse" in layout or (hasattr(X, "toarray") and not issparse(X)):
        kind, dense = (layout, "to_dense") if layout else (type(X).__module__, "toarray")
        raise InputError(
            f"X is a sparse {type(X).__name__} ({kind}), of which nothing here is computed: give X.{dense}(), or a "
            "sparse matrix of SciPy's."
        )


def _check_features(estimator: Any, X: Any, *, reset: bool) -> None:
    """Their number; an array has no names for them."""
    _check_n_features(estimator, X, reset=reset)
    if reset:
        vars(estimator).pop("feature_names_in_", None)


def both(estimator: Any, X: Any, y: Any, *, reset: bool, numeric: bool) -> tuple[Any, HostArray]:
    """X as `features` gives it, and y checked on the host."""
    _refuse_others_sparse(X)
    if namespace_of(X) is None:
        return validate_data(
            estimator,
            X,
            on_host(y),
            accept_sparse="csr",
            multi_output=True,
            y_numeric=numeric,
            dtype=FLOATS,
            reset=reset,
        )
    if y is None:
        raise ValueError(f"{type(estimator).__name__} requires y to be passed, but the target y is None.")
    _two_axes(X)
    _check_features(estimator, X, reset=reset)
    X = _foreign(X)
    y = _check_y(on_host(y), multi_output=True, y_numeric=numeric, estimator=estimator)
    check_consistent_length(np.empty((X.shape[0], 0)), y)
    return X, y


def _foreign(X: Any) -> Array:
    """An array of another library: real, finite."""
    xp, backend = arrays.namespace(X=X), backends.of(X)
    with backend.on(X):
        X = backend.detach(X)
        known = xp.isdtype(X.dtype, (xp.float32, xp.float64))  # others are converted, as NumPy arrays are
        dtype = X.dtype if known else arrays.default_float(xp)
        return checks.features(X, (X.shape[1],), xp, dtype=dtype)


def weights(sample_weight: Any, X: Any) -> HostArray | None:
    """The weights on the host, in X's dtype; None if there are none."""
    if sample_weight is None:
        return None
    like = np.empty((X.shape[0], 1), dtype_name(X))
    return cast(HostArray, _check_sample_weight(on_host(sample_weight), like, ensure_non_negative=True))


def dtype_name(X: Any) -> str:
    """``"float32"`` or ``"float64"``."""
    return str(X.dtype).split(".")[-1]


def there(host: HostArray, *, X: Array) -> Array:
    """A host array in X's library and on its device."""
    return arrays.from_host(host, arrays.namespace(X=X), device=arrays.device(X))


def placed(X: Any, device: str | None) -> Array:
    """X where it is trained on: on the device asked for if it is a NumPy array.

    Where there is no float64 it becomes float32.
    """
    if device is None or namespace_of(X) is not None:
        return cast(Array, X)
    name, where = library_and_device(device)
    try:
        return backends.place(X, dtype_name(X), like=None, backend=name, device=where)
    except BackendError:
        if dtype_name(X) == "float32":
            raise
    return backends.place(X, "float32", like=None, backend=name, device=where)  # JAX as it comes, Apple's GPUs


def placed_like(X: Array, like: Array) -> Array:
    """A NumPy array where another array is, parameters it may be; those of other libraries as they are."""
    if namespace_of(X) is not None or namespace_of(like) is None:
        return X
    return backends.place(cast(HostArray, X), dtype_name(like), like=like, backend=None, device=None)


def library_and_device(named: str, *, first: str | None = None) -> tuple[str, str | None]:
    """What ``"torch"``, ``"cuda:0"`` or ``"torch:cuda:0"`` means: a library, and perhaps its device.

    Of several libraries with such a device it is the `first`, if that has it. Only libraries that xpnn knows are
    imported: the name may come from a file.

    Raises
    ------
    BackendError
        If there is no such library or device.
    """
    name, _, where = named.partition(":")
    if name in backends.KNOWN:
        return name, where or None
    found = [each for each in backends.devices() if each.usable and each.device]
    for each in sorted(found, key=lambda device: device.library != first):
        if named in (each.device, each.device.partition(":")[0]):
            return each.library, each.device
    usable = ", ".join(f"{each.library}:{each.device}" for each in found)
    raise BackendError(f"no library here is called or has a device {named!r} that can be used; there are: {usable}.")


def back(output: Array) -> Array:
    """An output for data that were moved: a NumPy array."""
    return cast(Array, np.array(on_host(output))) if namespace_of(output) is not None else output


def place_of(X: Any) -> str:
    """Where it is, in words: library and device."""
    if namespace_of(X) is None:
        return "numpy on cpu"
    backend = backends.of(X)
    return f"{backend.name} on {backend.device_name(X)}"


def elsewhere(X: Any, params: Array, *, placed: bool) -> bool:
    """Whether X is of another library or on another device than the parameters; host data may be `placed` there."""
    if namespace_of(X) is None and (placed or namespace_of(params) is None):
        return False
    return place_of(X) != place_of(params)


def same_place(estimator: Any, X: Any, params: Array, method: str, *, placed: bool) -> None:
    """Raise `InputError` unless X is of the library and on the device of the parameters."""
    if not elsewhere(X, params, placed=placed):
        return
    _refuse_others_sparse(X)
    mine = backends.of(params)
    if namespace_of(X) is None:
        given = "a NumPy array" if isinstance(X, np.ndarray) else f"a {type(X).__name__}"
        device = f"{mine.name}:{mine.device_name(params)}"
        fix = (
            f"estimator.to('numpy') moves them, or estimator.set_params(device={device!r}) takes NumPy arrays, "
            "tables and lists where they are."
        )
    else:
        given, theirs = place_of(X), backends.of(X)
        fix = f"estimator.to({theirs.name!r}, {theirs.device_name(X)!r}) moves them."
    raise InputError(
        f"Inputs passed to {type(estimator).__name__}.{method}() must use the same namespace and the same device as "
        f"the estimator's parameters: these are {place_of(params)}, and X is {given}. {fix}"
    )


ROWS = 2048
"""Rows of a sparse matrix that are made dense at a time, to predict on another library than NumPy."""
