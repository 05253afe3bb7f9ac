"""Samples held out, and samples weighted by their class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from xpnn import arrays, backends, random
from xpnn.checks import Data
from xpnn.errors import InputError
from xpnn.losses import BinaryCrossentropy, CategoricalCrossentropy, Hinge, Loss
from xpnn.typing import Array, HostArray, Namespace


def classes_of(y: Array, loss: Loss, xp: Namespace) -> HostArray | None:
    """The class of each sample, on the host; None if the targets are not of classes that exclude each other."""
    if isinstance(loss, CategoricalCrossentropy):
        numbers = y if y.ndim == 1 else xp.argmax(y, axis=1)
    elif isinstance(loss, BinaryCrossentropy | Hinge) and y.shape[1] == 1:
        numbers = xp.astype(y[:, 0] > (0.0 if isinstance(loss, Hinge) else 0.5), xp.int32)
    else:
        return None
    return backends.of(y).to_host(numbers)


def held_out(data: Data, fraction: float, loss: Loss, seed: int, xp: Namespace) -> tuple[Data, Data]:
    """The data to train on and those to validate on: at random by the seed, of each class the same share.

    Raises
    ------
    InputError
        If the fraction is not between 0 and 1, or a side has no sample, or none of a class.
    """
    if isinstance(fraction, bool) or not isinstance(fraction, Real) or not 0 < fraction < 1:
        raise InputError(f"validation_split must be a number above 0 and below 1, got {fraction!r}.")
    X, y, _ = data
    n, classes = X.shape[0], classes_of(y, loss, xp)
    of_each = np.zeros(n) if classes is None else classes
    parts = random.split(of_each, float(fraction), random.generator(seed, "split"), classes=classes is not None)
    for rows, what in zip(parts, ("to train on", "to validate on"), strict=True):
        if not len(rows):
            raise InputError(f"validation_split={fraction:g} of {n} samples leaves none {what}: change it.")
        missing = np.setdiff1d(of_each, of_each[rows]) if classes is not None else ()
        if len(missing):
            raise InputError(
                f"validation_split={fraction:g} leaves none of class {int(missing[0])} {what}, of which there are "
                f"{int(np.sum(of_each == missing[0]))}: change it, or pass validation_data."
            )
    train, check = (_rows(data, rows, xp) for rows in parts)
    return train, check


def _rows(data: Data, rows: HostArray, xp: Namespace) -> Data:
    numbers = arrays.from_host(rows, xp, dtype=arrays.default_integer(xp), device=arrays.device(data[0]))
    X, y, w = (None if each is None else xp.take(each, numbers, axis=0) for each in data)
    return X, y, w  # type: ignore[return-value]


def class_weighted(
    data: Data,
    class_weight: str | Mapping[Any, float],
    loss: Loss,
    k: int,
    labels: Sequence[Any] | None,
    xp: Namespace,
) -> Data:
    """The data with each sample's weight multiplied by that of its class.

    Parameters
    ----------
    data : (X, y, w)
    class_weight : {"balanced"} or mapping
        ``"balanced"``: n / (classes · samples of the class). A mapping from class numbers, or from names among
        `labels`, to weights ≥ 0; classes that are not in it weigh 1.
    loss : Loss
    k : int
        How many classes there are.
    labels : sequence, optional
        Their names.
    xp : namespace

    Raises
    ------
    InputError
        If there are no classes, one is unknown, or a weight is not a number ≥ 0.
    """
    X, y, w = data
    classes = classes_of(y, loss, xp)
    if classes is None:
        raise InputError(
            f"class_weight needs classes that exclude each other, but {type(loss).__name__} has none here."
        )
    weights = np.ones(k)
    if isinstance(class_weight, str) and class_weight == "balanced":
        present, counts = np.unique(classes, return_counts=True)
        weights[present.astype(np.int64)] = len(classes) / (len(present) * counts)
    elif isinstance(class_weight, Mapping):
        for name, weight in class_weight.items():
            weights[_number(name, k, labels)] = _weight(name, weight)
    else:
        raise InputError(
            f"class_weight must be 'balanced' or a mapping such as {{0: 1.0, 1: 5.0}}, got {class_weight!r}."
        )
    each = weights[classes.astype(np.int64)]
    if not np.any(each > 0):
        raise InputError("class_weight leaves every sample without weight: give one of the classes more than 0.")
    own = arrays.from_host(each, xp, dtype=X.dtype, device=arrays.device(X))
    return X, y, own if w is None else w * own


def _number(name: Any, k: int, labels: Sequence[Any] | None) -> int:
    names = list(range(k)) if labels is None else list(labels)
    if name in names:
        return names.index(name)
    raise InputError(f"class_weight names the class {name!r}, which there is not: {', '.join(map(repr, names))}.")


def _weight(name: Any, weight: Any) -> float:
    if isinstance(weight, bool) or not isinstance(weight, Real) or not 0 <= float(weight) < math.inf:
        raise InputError(f"class_weight of {name!r} must be a number >= 0, got {weight!r}.")
    return float(weight)
