"""What fit, predict and evaluate accept: arrays checked once at the door, never inside a step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from xpnn import arrays, backends
from xpnn.errors import InputError
from xpnn.losses import CategoricalCrossentropy, KullbackLeibler, Loss
from xpnn.network import Sequential
from xpnn.typing import Array, Namespace

Data = tuple[Array, Array, Array | None]


def data(
    network: Sequential,
    loss: Loss,
    X: Array,
    y: Array,
    sample_weight: Array | None,
    *,
    dtype: Any,
    names: tuple[str, str] = ("X", "y"),
) -> Data:
    """X, Y and the sample weights as a step takes them, in `dtype` and without a graph of derivatives.

    Raises
    ------
    InputError
        As `features`, `targets` and `weights` do.
    """
    backend = backends.of(X)
    xp = arrays.namespace(X=X)
    X = features(backend.detach(X), network.input_shape, xp, dtype=dtype, name=names[0])
    n, k = X.shape[0], network.shapes[-1][0]
    y = targets(backend.detach(y), loss, n, k, xp, dtype=dtype, name=names[1])
    w = None if sample_weight is None else weights(backend.detach(sample_weight), n, xp, dtype=dtype)
    return X, y, w


def parameters(params: Array, network: Sequential, xp: Namespace, *, dtype: Any) -> Array:
    """Parameters as `dtype`, once they are found to be P finite numbers.

    Raises
    ------
    InputError
        If they are not.
    """
    params = backends.of(params).detach(params)
    _ = network.unflatten(params, xp=xp)  # a wrong shape says so
    numeric(params, "params", xp)
    return _finite(params, "params", xp, dtype)


def features(X: Array, sample: tuple[int, ...], xp: Namespace, *, dtype: Any, name: str = "X") -> Array:
    """X as `dtype`, once it is found to be n ≥ 1 finite samples of that shape.

    Raises
    ------
    InputError
        Saying the shape that was expected, or the row and column of the first NaN or infinite value.
    """
    if X.dtype != dtype:
        numeric(X, name, xp)
    if tuple(X.shape[1:]) != sample:
        wanted = ", ".join(map(str, sample))
        hint = f" One sample is {name}[None, :], one feature {name}[:, None]." if X.ndim == 1 else ""
        raise InputError(
            f"{name} must have shape (n, {wanted}), one row per sample, for this network; got {tuple(X.shape)}.{hint}"
        )
    if X.shape[0] == 0:
        raise InputError(f"{name} is empty: it has 0 rows; at least one sample is needed.")
    return _finite(X, name, xp, dtype)


def targets(y: Array, loss: Loss, n: int, k: int, xp: Namespace, *, dtype: Any, name: str = "y") -> Array:
    """Y as the loss takes it: (n, t) in `dtype`, or integer labels (n,) for categorical cross-entropy.

    t is the number of outputs k, for the loss of several quantiles k over their number. A vector (n,) is taken as the
    column (n, 1) where t is 1.

    Raises
    ------
    InputError
        If the shape is wrong, or a target is NaN, infinite, or outside the classes; if the loss cannot do with k
        outputs.
    """
    numeric(y, name, xp)
    t = loss.columns(k)
    categorical = isinstance(loss, CategoricalCrossentropy)
    numbers = tuple(y.shape) == (n,) and xp.isdtype(y.dtype, "integral")
    if categorical and numbers:
        y = xp.astype(y, arrays.default_integer(xp))  # unsigned ones cannot be compared on torch
        if k == 1:
            raise InputError(
                f"{type(loss).__name__} needs an output for each class, and the network has 1: give it one per class "
                "with output='softmax', or use binary cross-entropy on one sigmoid output."
            )
        _within(y, 0, k - 1, f"the network has {k} outputs: number the classes from 0 to {k - 1}", name, xp)
        return y
    if tuple(y.shape) == (n,) and t == 1:
        y = xp.reshape(y, (n, 1))
    if tuple(y.shape) != (n, t):
        also = f", or integer labels ({n},)" if categorical else f" or ({n},)" if t == 1 else ""
        each = "output" if t == k else f"{k // t} outputs"
        hint = " For class numbers give the network output='softmax'." if numbers else ""
        raise InputError(
            f"{name} must have shape ({n}, {t}){also}, one row per row of X and one column per {each}; "
            f"got {y.dtype} with shape {tuple(y.shape)}.{hint}"
        )
    y = _finite(y, name, xp, dtype)
    low, high = loss.targets
    if (low, high) != Loss.targets:
        _within(y, low, high, f"{type(loss).__name__} takes targets from {low:g} to {high:g}", name, xp)
    if isinstance(loss, CategoricalCrossentropy | KullbackLeibler):
        wrong = xp.abs(xp.sum(y, axis=1) - 1.0) > 1e-3
        if bool(xp.any(wrong)):
            row, kind = _first(wrong, xp), "one-hot" if categorical else "distributions"
            raise InputError(f"{name} must be {kind}, each row summing to 1; row {row} does not.")
    return y


def weights(w: Array, n: int, xp: Namespace, *, dtype: Any) -> Array:
    """Sample weights as `dtype`, once they are found to be n numbers ≥ 0, not all 0.

    Raises
    ------
    InputError
        If they are not.
    """
    numeric(w, "sample_weight", xp)
    if tuple(w.shape) != (n,):
        raise InputError(f"sample_weight must have shape ({n},), one per row of X; got {tuple(w.shape)}.")
    w = _finite(w, "sample_weight", xp, dtype)
    if bool(xp.any(w < 0)) or not bool(xp.any(w > 0)):
        raise InputError("sample_weight must be >= 0 and not all 0.")
    return w


def labels(names: Sequence[Any] | None, network: Sequential) -> list[Any] | None:
    """The names of the classes as plain values, once there are as many as the network tells apart.

    Raises
    ------
    InputError
        If there are more or fewer, or a name is not text or a number.
    """
    if names is None:
        return None
    f, k = network.output_activation, network.shapes[-1][0]
    if f.bounds != (0.0, 1.0):
        raise InputError(f"labels name the classes of a softmax or sigmoid output; this network's is {f!r}.")
    n = 2 if k == 1 else k
    if isinstance(names, str) or not hasattr(names, "__len__") or len(names) != n:
        raise InputError(f"labels must be {n} names, one per class, got {names!r}.")
    plain = [label.item() if isinstance(label, np.generic) else label for label in names]
    for label in plain:
        if not isinstance(label, str | int | float):
            raise InputError(f"labels must be a list of text or numbers, got {label!r} among them.")
    if len(set(plain)) < n:
        raise InputError(f"labels must differ, got {plain!r}.")
    return plain


def numeric(array: Array, name: str, xp: Namespace) -> None:
    """Raise `InputError` unless an array holds real numbers."""
    if not xp.isdtype(array.dtype, ("bool", "integral", "real floating")):
        hint = ": number the classes 0, 1, … first (numpy.unique(y, return_inverse=True))" if name == "y" else ""
        raise InputError(f"{name} must hold real numbers, got dtype {array.dtype}{hint}.")


def _finite(array: Array, name: str, xp: Namespace, dtype: Any) -> Array:
    """The array as `dtype`, once all of it is found to be finite there."""
    converted = array if array.dtype == dtype else cast(Array, xp.astype(array, dtype))
    # if their sum is finite, so is each; that of finite ones may be infinite
    if math.isfinite(backends.of(converted).total(converted, xp)):
        return converted
    finite = xp.isfinite(converted)
    if bool(xp.all(finite)):
        return converted
    first = _first(~finite, xp)
    row, column = divmod(first, arrays.size(array) // array.shape[0])
    where = f"row {row}, column {column}" if array.ndim > 1 else f"row {row}"
    value = float(xp.reshape(array, (-1,))[first])
    large = f", too large for {dtype}," if math.isfinite(value) else ""
    raise InputError(
        f"{name} holds {value}{large} at {where} (both counted from 0): remove such rows or fill them in first."
    )


def _within(y: Array, low: float, high: float, why: str, name: str, xp: Namespace) -> None:
    outside = (y < low) | (y > high)
    if bool(xp.any(outside)):
        row, _ = divmod(_first(outside, xp), arrays.size(y) // y.shape[0])
        value = float(xp.reshape(y, (-1,))[_first(outside, xp)])
        raise InputError(f"{name} holds {value:g} at row {row} (counted from 0), but {why}.")


def _first(mask: Array, xp: Namespace) -> int:
    """The position of the first true element, in row-major order."""
    return int(xp.argmax(xp.reshape(xp.astype(mask, xp.int8), (-1,))))
