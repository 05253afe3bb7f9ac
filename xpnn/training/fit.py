"""Training a network: what is asked for is checked, then the loop runs."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any

from xpnn import arrays, backends, checks, losses, optimizers, parts, penalties
from xpnn import metrics as scoring
from xpnn.errors import InputError
from xpnn.losses import Loss
from xpnn.metrics import Metric, output_of
from xpnn.model import Model
from xpnn.network import Sequential, check_network
from xpnn.optimizers import LBFGS, Optimizer
from xpnn.penalties import Penalty
from xpnn.schedules import Schedule
from xpnn.training import samples
from xpnn.training.callbacks import Callback, Function
from xpnn.training.callbacks.base import as_callbacks
from xpnn.training.loop import Loop
from xpnn.training.progress import Progress
from xpnn.typing import Array


def fit(
    network: Sequential,
    X: Array,
    y: Array,
    *,
    loss: str | Loss | None = None,
    optimizer: str | Optimizer = "sgd",
    epochs: int = 100,
    batch_size: int | None = None,
    shuffle: bool = True,
    tol: float | None = None,
    seed: int = 0,
    params: Array | None = None,
    sample_weight: Array | None = None,
    class_weight: str | Mapping[Any, float] | None = None,
    validation_data: tuple[Array, Array] | None = None,
    validation_split: float | None = None,
    metrics: Sequence[str | Metric] = (),
    labels: Sequence[Any] | None = None,
    penalty: Penalty | Sequence[Penalty] = (),
    clip_norm: float | None = None,
    clip_value: float | None = None,
    callbacks: Sequence[Callback | Function] = (),
    progress: bool = False,
    compile: bool | None = None,
) -> Model:
    """Train a network by gradient descent.

    Everything stays in the library and on the device of X.

    Parameters
    ----------
    network : Sequential
    X : array, shape (n, d)
        n ≥ 1 samples in rows, d features in columns. The model gets X's dtype. Integers and booleans are
        converted to the library's default real dtype: float64 for NumPy and CuPy, float32 for PyTorch and JAX.
    y : array, shape (n, k)
        The targets; (n,) will do for one output, and integer labels (n,) from 0 to k - 1 for categorical
        cross-entropy. For `Quantile` a column per target, whatever the number of quantiles.
    loss : str or Loss, optional
        What to minimise: ``"mse"``, ``"binary_crossentropy"``, ``"categorical_crossentropy"`` or another of
        `xpnn.losses.NAMES`, or an object such as ``BinaryCrossentropy(reduction="sum")``. By default the output
        activation decides: binary cross-entropy for sigmoid, categorical for softmax, mean squared error otherwise.
    optimizer : str or Optimizer
        How: ``SGD(0.5)`` for gradient descent with α = 0.5; ``"sgd"`` has α = 0.01.
    epochs : int
        How many times to go through the data at most.
    batch_size : int, optional
        Samples per step. ``None``: all of them, one step per epoch. 1: one step per sample.
    shuffle : bool
        Whether the batches are drawn in a new order each epoch; the order depends on seed and epoch alone.
    tol : float, optional
        Stop after the first epoch whose loss is at or under this.
    seed : int
        Decides the initial weights and the order of the data: the same on every library and device.
    params : array, shape (P,), optional
        Parameters to start from instead of ``network.init(seed)``; they are copied. Everything else starts anew:
        buffers, the optimizer's moments, the order of the data.
    sample_weight : array, shape (n,), optional
        The weight of each sample, ≥ 0; a weight of 2 equals a repeated row.
    class_weight : "balanced" or mapping, optional
        What the samples of each class weigh: ``"balanced"`` gives every class the same weight in all; a mapping goes
        from class numbers, or names among `labels`, to weights ≥ 0, and other classes weigh 1.
    validation_data : (array, array), optional
        Data like X and y to compute the ``"validation_loss"`` on after each epoch.
    validation_split : float, optional
        Instead of it, the share of the samples to hold out for that: drawn by the seed, of each class the same share.
    metrics : sequence of str or Metric
        What else to compute on the validation data: ``["accuracy", "f1"]`` fills ``"validation_accuracy"`` and
        ``"validation_f1"`` of the history.
    labels : sequence, optional
        The names of the classes, kept in the model: k after softmax, 2 after one sigmoid output, k after several.
    penalty : Penalty or sequence of Penalty
        What is added to J so that weights stay small: ``L2(0.001)``, ``[L1(1e-5), L2(1e-4)]``. It is part of the
        ``"loss"`` of the history, not of the ``"validation_loss"``.
    clip_norm : float, optional
        The largest norm that the gradient may have, > 0: a longer one is shortened to it.
    clip_value : float, optional
        Instead of it, the largest absolute value that an element of the gradient may have, > 0.
    callbacks : sequence of Callback or callable
        What else is to happen: `EarlyStopping`, `HistoryFile`, …; a function is called after every epoch with the
        `Training` as it is then, and a true answer ends it.
    progress : bool
        Whether to show a bar on a terminal, or lines elsewhere, on standard error.
    compile : bool, optional
        How the steps are run; the results agree to rounding. By default as is usually fastest: on NumPy, and on
        PyTorch's CPU tensors, the formulas are recorded once and replayed as bare NumPy calls, on JAX they are
        compiled by ``jax.jit``, elsewhere they run as they are written. False: as they are written, everywhere (to
        look into a layer of one's own, say). True: PyTorch's are compiled by ``torch.compile``.

    Returns
    -------
    Model
        With the parameters after the last epoch and the history of losses. The loss of an epoch is that of its
        steps, each met before its update.

    Raises
    ------
    InputError
        If shapes do not fit, a value is NaN or infinite, a label is outside the classes, or an option is wrong; if a
        part of one's own returns another shape, dtype or library than it must.
    ArrayError
        If arrays of two libraries or devices are given.
    TrainingDiverged
        If the loss becomes NaN or infinite; its ``model`` holds the last parameters whose loss was finite.
    TrainingInterrupted
        On Ctrl-C, a `KeyboardInterrupt`; its ``model`` is as of the last finished epoch.

    Examples
    --------
    >>> import numpy as np
    >>> import xpnn
    >>> X, y = np.array([[0.0], [1.0], [2.0]]), np.array([1.0, 3.0, 5.0])
    >>> model = xpnn.fit(xpnn.mlp([1, 1]), X, y, optimizer=xpnn.SGD(0.2), epochs=200)
    >>> model.predict(np.array([[10.0]])).round(2)
    array([[21.]])
    """
    check_network(network, "fit(network, X, y)")
    loss = losses.usual(network.output_activation) if loss is None else losses.get(loss)
    optimizer = optimizers.get(optimizer)
    _check_options(epochs, batch_size, tol)
    _check_clipping(clip_norm, clip_value)
    clip_norm, clip_value = (None if each is None else float(each) for each in (clip_norm, clip_value))
    penalty = penalties.several(penalty)
    labels = checks.labels(labels, network)
    watching = as_callbacks(callbacks)
    xp = arrays.one_place(X=X, y=y, sample_weight=sample_weight, params=params)
    with backends.of(X).on(X):
        dtype = arrays.real_dtype(X, xp)
        train = checks.data(network, loss, X, y, sample_weight, dtype=dtype)
        asked = _asked(metrics, network, loss, validation_data is not None or validation_split is not None)
        check = None
        if validation_split is not None:
            if validation_data is not None:
                raise InputError("validation_data and validation_split are both given: leave out one.")
            train, check = samples.held_out(train, validation_split, loss, seed, xp)
        if class_weight is not None:
            classes = max(2, network.shapes[-1][0])
            train = samples.class_weighted(train, class_weight, loss, classes, labels, xp)
        if validation_data is not None:
            X_val, y_val = _pair(validation_data)
            arrays.one_place(X=X, X_val=X_val, y_val=y_val)
            check = checks.data(network, loss, X_val, y_val, None, dtype=dtype, names=("X_val", "y_val"))
        _check_batches(network, batch_size, train[0].shape[0])
        drawn = params is None
        if params is None:
            params = network.init(seed, like=train[0])
        else:
            params = arrays.copy(checks.parameters(params, network, xp, dtype=dtype), xp)
        parts.check_training(
            network, loss, params, train, xp, optimizer=optimizer, metrics=asked.values(), penalty=penalty
        )
        loop = Loop(
            network=network,
            loss=loss,
            optimizer=optimizer,
            train=train,
            check=check,
            metrics=asked,
            epochs=epochs,
            batch_size=batch_size,
            shuffle=shuffle,
            tol=tol,
            seed=seed,
            drawn=drawn,
            compile=compile,
            xp=xp,
            penalty=penalty,
            clip_norm=clip_norm,
            clip_value=clip_value,
            callbacks=[*watching, *([Progress()] if progress else [])],
            labels=labels,
        )
        _check_length(optimizer, epochs, loop.per_epoch)
        loop.check_schedule("pass validation_data")
        if isinstance(optimizer, LBFGS):
            _check_full_batch(network, loop.per_epoch, clip_norm is not None or clip_value is not None)
        # where there are callbacks epoch by epoch: they are to find the products' threads as their program has them
        run = partial(loop.run, params)
        return run() if watching else backends.of(X).steps(run)


def _pair(validation_data: object) -> tuple[Array, Array]:
    if not isinstance(validation_data, tuple | list) or len(validation_data) != 2:
        raise InputError(
            "validation_data must be a pair of arrays (X_val, y_val), got "
            + (f"{len(validation_data)} things." if isinstance(validation_data, tuple | list) else "something else.")
        )
    return validation_data[0], validation_data[1]


def _check_batches(network: Sequential, batch_size: int | None, n: int) -> None:
    size = min(batch_size or n, n)
    for layer in network.layers:
        if size < layer.least_batch:
            raise InputError(
                f"{type(layer).__name__} needs batches of {layer.least_batch} samples or more, but batch_size="
                f"{batch_size} of {n} samples makes them {size}: use a larger one."
            )


def _check_length(optimizer: Optimizer, epochs: int, per_epoch: int) -> None:
    schedule = getattr(optimizer, "learning_rate", None)
    if not isinstance(schedule, Schedule):
        return
    there = epochs * per_epoch if schedule.unit == "step" else epochs
    if schedule.length > there:
        raise InputError(
            f"the learning rate's schedule is longer than the training: {schedule!r} is made for {schedule.length} "
            f"{schedule.unit}s, but there are {there} (epochs: {epochs}, steps in each: {per_epoch}): shorten it to "
            f"{there}, or train for longer."
        )
    over = 0 < schedule.length < there - 1 and not schedule.monitors
    if over and schedule.rate(epochs * per_epoch - 1, per_epoch, {}) == 0:
        warnings.warn(
            f"nothing is learned after {schedule.unit} {schedule.length} of {there}: {schedule!r} is 0 then; "
            f"make it as long as the training, {there} {schedule.unit}s, or give it a minimum",
            RuntimeWarning,
            stacklevel=3,
        )


def _asked(metrics: Sequence[str | Metric], network: Sequential, loss: Loss, validating: bool) -> dict[str, Metric]:
    """The metrics by their names in the history."""
    found = scoring.asked(metrics, output_of(network.output_activation, loss), loss.columns(network.shapes[-1][0]))
    if found and not validating:
        raise InputError(
            f"metrics={list(found)!r} are computed on validation data, and there are none: pass validation_data or "
            "validation_split."
        )
    return {f"validation_{name}": metric for name, metric in found.items()}


def _check_full_batch(network: Sequential, per_epoch: int, clipping: bool) -> None:
    if per_epoch > 1:
        raise InputError(f"LBFGS takes all samples at once, but batch_size makes {per_epoch} steps: leave it out.")
    if clipping:
        raise InputError("LBFGS needs gradients as they are: leave out clip_norm and clip_value.")
    for layer, buffers in zip(network.layers, network.buffer_shapes, strict=True):
        if buffers:
            raise InputError(
                f"LBFGS tries parameters far apart, which no running mean can follow: leave out {layer!r}, or "
                "use another optimizer."
            )
        if layer.noisy:
            raise InputError(f"LBFGS needs one loss for the same parameters, but {layer!r} draws anew: leave it out.")


def _check_clipping(clip_norm: float | None, clip_value: float | None) -> None:
    for name, number in (("clip_norm", clip_norm), ("clip_value", clip_value)):
        right = isinstance(number, Real) and not isinstance(number, bool) and 0 < float(number) < math.inf
        if number is not None and not right:
            raise InputError(f"{name} must be a number > 0, got {number!r}.")
    if clip_norm is not None and clip_value is not None:
        raise InputError(f"clip_norm={clip_norm} and clip_value={clip_value} are both given: leave out one.")


def _check_options(epochs: int, batch_size: int | None, tol: float | None) -> None:
    for name, number in (("epochs", epochs), ("batch_size", batch_size)):
        if number is None and name == "batch_size":
            continue
        if isinstance(number, bool) or not isinstance(number, Integral) or number < 1:
            raise InputError(f"{name} must be an integer >= 1, got {number!r}.")
    if tol is not None and not (isinstance(tol, Real) and tol == tol):
        raise InputError(f"tol must be a number, got {tol!r}.")
