"""The training loop: epochs of steps, until the loss is acceptable or the epochs are over."""

from __future__ import annotations

import contextlib
import difflib
import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any, NamedTuple

from xpnn import arrays, backends, checks, losses, optimizers, parts
from xpnn import metrics as scoring
from xpnn.checks import Data
from xpnn.errors import InputError, TrainingDiverged, TrainingInterrupted
from xpnn.losses import Loss
from xpnn.metrics import Metric, output_of, prepared
from xpnn.model import Model
from xpnn.network import Sequential, check_network
from xpnn.optimizers import Optimizer
from xpnn.schedules import History, Schedule
from xpnn.training import samples
from xpnn.training.batches import EpochLoss, Take, batches
from xpnn.training.callbacks import Callback, EarlyStopping, Epoch
from xpnn.training.progress import Progress
from xpnn.training.step import State, first_state, make_step, predictor, value
from xpnn.typing import Array, Namespace


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
    callbacks: Sequence[Callback] = (),
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
    callbacks : sequence of callable
        Each is called after every epoch with an `Epoch`; a true answer ends the training.
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
    labels = checks.labels(labels, network)
    callbacks = _check_callbacks(callbacks)
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
        parts.check_training(network, loss, params, train, xp, optimizer=optimizer, metrics=asked.values())
        loop = _Loop(
            network, loss, optimizer, train, check, asked, epochs, batch_size, shuffle, tol, seed, drawn, compile, xp
        )
        # where there are callbacks epoch by epoch: they are to find the products' threads as their program has them
        throughout = contextlib.nullcontext() if callbacks else backends.of(X).steps()
        with throughout, Progress() if progress else contextlib.nullcontext() as shown:
            return loop.run(params, [*callbacks, *([shown] if shown else [])], labels)


class _Snapshot(NamedTuple):
    epoch: int
    params: Array | None  # None: those drawn from the seed
    buffers: Array | None


@dataclass
class _Loop:
    network: Sequential
    loss: Loss
    optimizer: Optimizer
    train: Data
    check: Data | None
    metrics: dict[str, Metric]
    epochs: int
    batch_size: int | None
    shuffle: bool
    tol: float | None
    seed: int
    drawn: bool
    compile: bool | None
    xp: Namespace

    @property
    def per_epoch(self) -> int:
        n: int = self.train[0].shape[0]
        return -(-n // min(self.batch_size or n, n))

    @cached_property
    def take(self) -> Take:
        return backends.of(self.train[0]).gather(self.xp)

    def run(self, params: Array, callbacks: Sequence[Callback], labels: Sequence[Any] | None) -> Model:
        xp, backend = self.xp, backends.of(params)
        history: dict[str, list[float]] = {"loss": []}
        if self.check:
            history |= {name: [] for name in ("validation_loss", *self.metrics)}
        rising = frozenset(name for name, metric in self.metrics.items() if metric.larger_is_better)
        for callback in callbacks:
            _check_monitor(callback, history)
        view = MappingProxyType(history)
        _check_schedule(self.optimizer, self.epochs, self.per_epoch, history)
        step = make_step(
            self.network,
            self.loss,
            self.optimizer,
            xp=xp,
            backend=backend,
            seed=self.seed,
            compile=self.compile,
            per_epoch=self.per_epoch,
            history=view,
        )
        J = value(self.network, self.loss, backend, xp)
        predict = predictor(self.network, backend, xp) if self.metrics else None
        state = first_state(self.network, self.optimizer, params, xp=xp)
        # what training has reached after the last finished epochs
        snapshots = deque([self._snapshot(0, state)])

        def model(reached: _Snapshot, stopped: str) -> Model:
            kept = {name: values[: reached.epoch] for name, values in history.items()}
            params = self._params(reached)
            return Model(
                self.network, params, self.loss, kept, labels=labels, stopped=stopped, buffers=reached.buffers
            )

        def diverged(epoch: int, what: str) -> TrainingDiverged:
            # the last step of an epoch may be the one that blew up: the newest parameters with a finite loss are kept
            finite = (
                s for s in reversed(snapshots) if math.isfinite(float(J(self._params(s), s.buffers, *self.train)))
            )
            good = next(finite, snapshots[0])
            rate = getattr(self.optimizer, "learning_rate", None)
            return TrainingDiverged(
                f"{what} in epoch {epoch}; the last good parameters, those after epoch {good.epoch}, are in this "
                f"error's .model. Use a smaller learning rate (now {rate}) or standardise the features.",
                model=model(good, "diverged"),
                epoch=epoch,
            )

        stopped = "epochs"
        try:
            for epoch in range(1, self.epochs + 1):
                total = EpochLoss(mean=self.loss.reduction == "mean", xp=xp, backend=backend)
                with backend.steps():
                    for x, y, w in self._batches(epoch):
                        state, batch_loss = step(state, x, y, w)
                        total.add(batch_loss, x, w)
                mean = total.result()
                if not math.isfinite(mean):
                    raise diverged(epoch, f"the loss became {mean}")
                if len(snapshots) == 2:
                    snapshots.popleft()  # before another copy is made
                reached = self._snapshot(epoch, step.whole(state))
                checked = [J(self._params(reached), reached.buffers, *self.check)] if self.check else []
                if predict is not None and self.check is not None:
                    checked += self._scores(predict((self._params(reached), reached.buffers), self.check[0]))
                history["loss"].append(mean)
                scores = backend.numbers(checked, xp).tolist() if checked else []
                for name, score in zip(list(history)[1:], scores, strict=True):
                    history[name].append(score)
                snapshots.append(reached)
                told = Epoch(epoch, self.epochs, view, self._params(reached), reached.buffers, rising)
                answers = [callback(told) for callback in callbacks]
                if self.tol is not None and mean <= self.tol:
                    stopped = "tol"
                elif any(answers):
                    stopped = "callback"
                if stopped != "epochs":
                    break
            # the last step's parameters have met no loss yet: the last batch tells whether they blew up
            params, buffers, *_ = step.whole(state)
            if not math.isfinite(last := float(J(params, buffers, x, y, w))):
                raise diverged(epoch, f"the loss became {last} after the last step")
        except KeyboardInterrupt:
            reached = snapshots[-1]
            raise TrainingInterrupted(
                f"interrupted; this error's .model is as of epoch {reached.epoch} of {self.epochs}.",
                model=model(reached, "interrupted"),
                epoch=reached.epoch,
            ) from None
        best = [c.best for c in callbacks if isinstance(c, EarlyStopping) and c.restore and c.best is not None]
        if best and best[0].number < snapshots[-1].epoch:
            return replace(model(snapshots[-1], stopped), params=best[0].params, buffers=best[0].buffers)
        return model(snapshots[-1], stopped)

    def _scores(self, prediction: Array) -> list[Array]:
        """The metrics of a prediction for the validation data, left on the device."""
        assert self.check is not None
        _, y, w = self.check
        prediction, y = prepared(prediction, y, self.network.output_activation, self.loss, xp=self.xp)
        return [metric(prediction, y, w, xp=self.xp) for metric in self.metrics.values()]

    def _snapshot(self, epoch: int, state: State) -> _Snapshot:
        """A copy, because the next step may write over the state; after the last there is none."""
        if epoch == self.epochs:
            return _Snapshot(epoch, state.params, state.buffers)
        buffers = None if state.buffers is None else arrays.copy(state.buffers, self.xp)
        again = self.drawn and epoch == 0
        return _Snapshot(epoch, None if again else arrays.copy(state.params, self.xp), buffers)

    def _params(self, snapshot: _Snapshot) -> Array:
        if snapshot.params is None:
            return self.network.init(self.seed, like=self.train[0])
        return snapshot.params

    def _batches(self, epoch: int) -> Iterator[Data]:
        return batches(
            *self.train,
            size=self.batch_size,
            shuffle=self.shuffle,
            seed=self.seed,
            epoch=epoch,
            xp=self.xp,
            views=backends.of(self.train[0]).views,
            take=self.take,
        )


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


def _check_schedule(optimizer: Optimizer, epochs: int, per_epoch: int, history: History) -> None:
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
    for each in schedule.monitors:
        if each not in history:
            raise InputError(
                f"the learning rate's schedule watches {each!r}, but this training records "
                f"{', '.join(map(repr, history))} only: pass validation_data, or watch another."
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


def _check_monitor(callback: Callback, history: History) -> None:
    if isinstance(callback, EarlyStopping) and callback.monitor not in history:
        known = ["loss", "validation_loss", *(f"validation_{name}" for name in scoring.NAMES)]
        nearest = difflib.get_close_matches(callback.monitor, known, n=1, cutoff=0.6)
        watched = callback.monitor if callback.monitor in known else "".join(nearest)
        guess = f" Did you mean {watched!r}?" if watched and watched != callback.monitor else ""
        metric = watched.removeprefix("validation_")
        also = f" and metrics=[{metric!r}]" if metric in scoring.NAMES else ""
        raise InputError(
            f"EarlyStopping watches {callback.monitor!r}, but this training records "
            f"{', '.join(map(repr, history))} only.{guess} Pass validation_data or validation_split{also}, or watch "
            "another."
        )


def _check_callbacks(callbacks: Sequence[Callback]) -> Sequence[Callback]:
    if callable(callbacks) or not all(map(callable, callbacks)):
        raise InputError(f"callbacks must be a list of callables such as [stop_early], got {callbacks!r}.")
    return callbacks


def _check_options(epochs: int, batch_size: int | None, tol: float | None) -> None:
    for name, number in (("epochs", epochs), ("batch_size", batch_size)):
        if number is None and name == "batch_size":
            continue
        if isinstance(number, bool) or not isinstance(number, Integral) or number < 1:
            raise InputError(f"{name} must be an integer >= 1, got {number!r}.")
    if tol is not None and not (isinstance(tol, Real) and tol == tol):
        raise InputError(f"tol must be a number, got {tol!r}.")
