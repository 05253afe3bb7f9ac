"""The search: trial after trial is suggested, trained, and taken note of."""

from __future__ import annotations

import hashlib
import inspect
import math
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any

import numpy as np

from xpnn import activations, arrays, backends, checks, losses, random, text
from xpnn import metrics as scoring
from xpnn.activations import Activation, Softmax
from xpnn.errors import InputError, TrainingDiverged, TuningInterrupted
from xpnn.losses import Loss
from xpnn.metrics import Metric
from xpnn.model import Model
from xpnn.registry import nearest, unknown
from xpnn.training.callbacks import Callback, EarlyStopping, Function, StopOnNaN, Training
from xpnn.training.callbacks.base import as_callbacks
from xpnn.training.fit import fit
from xpnn.tuning.result import Trial, Tuning, line, ranked
from xpnn.tuning.space import SearchSpace, network, optimizer, penalty
from xpnn.tuning.study import Study
from xpnn.typing import Array, HostArray

_SPLIT = 0.2  # the share held out to score on, where nothing is said of it
_NO_MEMORY = re.compile("out of memory|enough memory|allocate memory", re.IGNORECASE)  # so libraries of GPUs say it


def tune(
    X: Array,
    y: Array,
    *,
    space: SearchSpace | None = None,
    trials: int = 50,
    output: str | Activation | None = None,
    outputs: int | None = None,
    loss: str | Loss | None = None,
    monitor: str = "validation_loss",
    epochs: int = 100,
    patience: int | None = 10,
    prune: bool = True,
    validation_data: tuple[Array, Array] | None = None,
    validation_split: float | None = None,
    seed: int = 0,
    labels: Sequence[Any] | None = None,
    storage: str | os.PathLike[str] | None = None,
    after_trial: Callable[[Trial], object] | None = None,
    progress: bool = False,
    **options: Any,
) -> Tuning:
    """Try networks and trainings out of a space, and keep the best.

    Each trial is a `fit` from the same seed on the same data, in the library and on the device of X. What it tries is
    suggested by Optuna's tree-structured Parzen estimator from the trials before.

    Parameters
    ----------
    X : array, shape (n, d)
        As `fit` takes it.
    y : array, shape (n, k) or (n,)
        As `fit` takes it.
    space : SearchSpace, optional
        What to choose among; ``SearchSpace()`` by default.
    trials : int
        How many there are to be, with those already in the `storage`.
    output : str or Activation, optional
        The activation of the output layer. By default y decides: sigmoid if it holds 0 and 1 alone, softmax if it
        holds one-hot rows, or the whole numbers from 0 on in one column, else linear.
    outputs : int, optional
        The nodes of the output layer. By default the columns of y; after softmax, of class numbers, the classes.
    loss : str or Loss, optional
        By default the output decides, as in `fit`.
    monitor : str
        What the trials are compared by: ``"validation_loss"``, or ``"validation_accuracy"`` and so on with another
        metric's name.
    epochs : int
        Passes over the data at most, in each trial.
    patience : int, optional
        The epochs without an improvement after which a trial ends; None: all are run. A trial's score, and its
        model, are those of its best epoch either way.
    prune : bool
        Whether a trial ends early that is worse than half of those before it in the same epoch; the first five, and
        a fifth of the epochs, are let pass.
    validation_data : (array, array), optional
        Data like X and y to score on.
    validation_split : float, optional
        Instead of it, the share of the samples to hold out for that, by default 0.2: drawn by the seed, the same for
        every trial.
    seed : int
        Decides what is tried and how it is trained.
    labels : sequence, optional
        The names of the classes, kept in the model.
    storage : str or path, optional
        A file that remembers each trial when it is over. The same call with the same file goes on where an earlier
        one was stopped or killed, and finds what it would have found in one go; with more `trials` it goes further.
        Another search (other data, space, seed, …) is refused. Optuna's dashboard reads it too.
    after_trial : callable, optional
        Called with each `Trial` that is over, not with those out of the `storage`.
    progress : bool
        Whether to write a line for each trial to standard error.
    **options : as in `fit`
        Whatever else `fit` takes, such as `class_weight`, `sample_weight`, `metrics`, `penalty`, `callbacks`; except
        what the space decides, and `params`. A loss that diverges has failed its trial whether or not `StopOnNaN` is
        among the callbacks.

    Returns
    -------
    Tuning
        The best model, what it tried, and all trials; printed as a table.

    Raises
    ------
    InputError
        As `fit`; if a value is wrong, a keyword is none of `fit`'s, y leaves the output open, no trial finishes, or
        the storage is another's.
    ArrayError
        If arrays of two libraries or devices are given.
    BackendError
        If Optuna is not installed.
    TuningInterrupted
        On Ctrl-C, a `KeyboardInterrupt`; its ``tuning`` is what was found until then.

    Notes
    -----
    A trial whose loss diverges, or whose arrays do not fit into memory, has failed; the others go on. Trials that the
    storage remembers are not trained again, but for the best one, whose model is needed.

    Examples
    --------
    >>> import numpy as np
    >>> import xpnn
    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> tuning = xpnn.tune(X, X**2, space=xpnn.SearchSpace(depth=1, activation="tanh"), trials=3, epochs=10)
    >>> len(tuning.trials), tuning.best_parameters["activation"]
    (3, 'tanh')
    """
    space = SearchSpace() if space is None else space
    _check_options(space, trials, epochs, options)
    xp = arrays.one_place(X=X, y=y)
    if X.ndim != 2:
        raise InputError(f"X must have shape (n, d), with a row per sample; got {tuple(X.shape)}.")
    for name, array in (("X", X), ("y", y)):
        checks.numeric(array, name, xp)
    f, k = _output(y, output, outputs, labels)
    metrics, larger = _monitored(monitor, options.get("metrics", ()))
    if validation_data is None:
        options["validation_split"] = _SPLIT if validation_split is None else validation_split
    elif validation_split is None:
        options["validation_data"] = validation_data
    else:
        raise InputError("validation_data and validation_split are both given: leave out one.")
    # without StopOnNaN the error of a loss that diverges comes here, to say so of the trial
    watching = as_callbacks(options.get("callbacks", ()))
    options["callbacks"] = [each for each in watching if not isinstance(each, StopOnNaN)]
    options |= {"loss": losses.usual(f) if loss is None else losses.get(loss), "metrics": metrics}
    options |= {"epochs": epochs, "seed": seed, "labels": labels}
    search = _Search(X, y, f, k, space, monitor, larger, epochs if patience is None else patience, prune, options)
    random.generator(seed, "trials")  # a seed that is none says so
    search.early_stopping()  # a patience likewise
    study = Study(
        space,
        seed=seed,
        larger_is_better=larger,
        warm_up=max(1, epochs // 5),
        storage=storage,
        identity=search.identity(arrays.library(xp)) if storage is not None else {},
    )
    tuning: Tuning | None = None
    try:
        tuning = search.resumed(study.trials)
        while len(study.trials) < trials:
            trial, model = search.run(study)
            tuning = search.found(study.trials, model if trial.state == "finished" else None, tuning)
            if progress:
                print(line(trial, trials, space, monitor), file=sys.stderr, flush=True)
            if after_trial is not None:
                after_trial(trial)
    except KeyboardInterrupt:
        if tuning is not None:
            kept = "what was found until then is in this error's .tuning"
        elif any(trial.state == "finished" for trial in study.trials):
            kept = "the best of the storage was being trained again; its trials are there still: call again"
        else:
            kept = "no trial had finished"
        raise TuningInterrupted(f"interrupted; {kept}.", tuning=tuning) from None
    if tuning is None:
        reasons = sorted({trial.reason for trial in study.trials})
        advice = "Give SearchSpace a smaller learning_rate or width, or standardise the features."
        if monitor != "validation_loss" and all(reason.startswith(monitor) for reason in reasons):
            advice = "Score on rows of every class, or choose another monitor."
        raise InputError(f"none of {text.count(len(study.trials), 'trial')} finished: {'; '.join(reasons)}. {advice}")
    return tuning


class _EarlyStopping(EarlyStopping):
    """Of a trial: one whose score is no number fails, and need not be warned of."""

    def _warn(self, training: Training) -> None:
        pass


@dataclass(frozen=True)
class _Search:
    """What all trials have in common."""

    X: Array
    y: Array
    output: Activation
    outputs: int
    space: SearchSpace
    monitor: str
    larger_is_better: bool
    patience: int
    prune: bool
    options: Mapping[str, Any]

    def early_stopping(self) -> EarlyStopping:
        return _EarlyStopping(self.monitor, patience=self.patience)

    def run(self, study: Study) -> tuple[Trial, Model | None]:
        """One more trial, and its model if it has one."""
        asked, parameters = study.ask()
        scores: list[float] = []
        model, pruned, reason = None, False, ""

        def watch(training: Training) -> bool:
            nonlocal pruned
            score = training.history[self.monitor][-1]
            scores.append(score)
            if not math.isfinite(score):
                return True
            asked.report(score, len(scores))
            pruned = self.prune and len(scores) < self.options["epochs"] and asked.should_prune()
            return pruned

        start = time.perf_counter()
        try:
            model = self.train(parameters, [watch])
        except TrainingDiverged as stop:
            reason = f"the loss became NaN or infinite in epoch {stop.epoch}"
        except (MemoryError, RuntimeError) as error:
            if not (isinstance(error, MemoryError) or _NO_MEMORY.search(str(error))):
                raise
            reason = "out of memory"
        if scores and not math.isfinite(scores[-1]):
            reason = reason or f"{self.monitor} became {scores[-1]} in epoch {len(scores)}"
        if not scores:
            reason = reason or "it ended before its first epoch was over"
        trial = study.tell(
            asked,
            "failed" if reason else "pruned" if pruned else "finished",
            score=None if reason else max(scores) if self.larger_is_better else min(scores),
            epochs=len(scores),
            seconds=time.perf_counter() - start,
            reason=reason,
        )
        return trial, model

    def train(self, parameters: Mapping[str, Any], callbacks: Sequence[Function]) -> Model:
        """The model of a trial, of its best epoch."""
        every: list[Callback | Function] = [self.early_stopping(), *callbacks, *self.options["callbacks"]]
        given = {**self.options, "callbacks": every, "penalty": penalty(parameters, self.options.get("penalty", ()))}
        return fit(
            network(parameters, tuple(self.X.shape[1:]), self.output, self.outputs),
            self.X,
            self.y,
            optimizer=optimizer(parameters),
            batch_size=parameters["batch_size"],
            **given,
        )

    def found(self, trials: Sequence[Trial], newest: Model | None, before: Tuning | None) -> Tuning | None:
        """What there is after a trial: its model is the best one, or that of before still is; None if none is."""
        best = ranked(trials, larger_is_better=self.larger_is_better)[0]
        newest_is_best = newest is not None and best == trials[-1]
        model = newest if newest_is_best else before.best if before else None
        if model is None:
            return None
        return Tuning(model, tuple(trials), self.space, self.monitor, self.larger_is_better)

    def resumed(self, trials: Sequence[Trial]) -> Tuning | None:
        """What the storage remembers: the best model is trained again, from the same seed."""
        best = next(iter(ranked(trials, larger_is_better=self.larger_is_better)), None)
        if best is None or best.state != "finished":
            return None
        model = self.train(best.parameters, [])
        return Tuning(model, tuple(trials), self.space, self.monitor, self.larger_is_better)

    def identity(self, library: str) -> dict[str, str]:
        """What makes this search another than others."""
        rest = {name: _described(value) for name, value in self.options.items() if name != "callbacks"}
        return {
            "X": _described(self.X),
            "y": _described(self.y),
            "library": library,
            "output": f"{self.output!r} of {self.outputs}",
            "monitor": self.monitor,
            "patience": str(self.patience),
            "prune": str(self.prune),
            **{f.name: repr(getattr(self.space, f.name)) for f in fields(self.space)},
            **dict(sorted(rest.items())),
        }


def _described(value: Any) -> str:
    """A value as text that is the same for the same value; arrays by their hash."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_described, value))}]"
    if not hasattr(value, "dtype"):
        return repr(value)
    host = _on_host(value)
    digest = hashlib.sha256(host.tobytes()).hexdigest()[:12]
    return f"{host.dtype} of shape {host.shape} with hash {digest}"


def _on_host(array: Array) -> HostArray:
    backend = backends.of(array)
    return backend.to_host(backend.detach(array))


def _output(
    y: Array, output: str | Activation | None, outputs: int | None, labels: Sequence[Any] | None
) -> tuple[Activation, int]:
    """The output layer's activation and number of nodes."""
    host = _on_host(y)
    if not host.size:
        raise InputError("y is empty: at least one sample is needed.")
    columns = 1 if host.ndim == 1 else host.shape[1]
    whole = host.dtype.kind in "iu"
    if output is None:
        if np.all((host == 0) | (host == 1)):
            output = "softmax" if columns > 1 and np.all(np.sum(host, axis=1) == 1) else "sigmoid"
        elif whole and columns == 1:
            present = np.unique(host)
            if present[0] != 0 or present[-1] != len(present) - 1:
                raise InputError(
                    f"y holds {len(present)} different whole numbers from {present[0]} to {present[-1]}: classes, or "
                    "amounts? Number classes 0, 1, …, or give output='softmax', or output='linear' for amounts."
                )
            output = "softmax"
        else:
            output = "linear"
    f = activations.get(output)
    if outputs is not None:
        return f, outputs
    if isinstance(f, Softmax) and whole and columns == 1:
        return f, max(int(np.max(host)) + 1, len(labels or ()))
    return f, columns


def _monitored(monitor: str, asked: Sequence[str | Metric]) -> tuple[list[str | Metric], bool]:
    """The metrics of each training, that of the monitor among them, and whether a larger value of it is better."""
    if isinstance(asked, str | Metric):
        raise InputError(f"metrics must be a list of names or Metric objects, got {asked!r}: write [{asked!r}].")
    found = {spec if isinstance(spec, str) else spec.name: spec for spec in asked}
    known = ["loss", *found, *scoring.NAMES]
    name = str(monitor).removeprefix("validation_")
    if f"validation_{name}" != monitor or name not in known:
        valid = [f"validation_{each}" for each in dict.fromkeys(known)]
        close = nearest(name.removeprefix("val_"), known)
        raise InputError(unknown("monitor", str(monitor), valid, meant=close and f"validation_{close}"))
    if name == "loss":
        return list(asked), False
    found.setdefault(name, name)
    return list(found.values()), scoring.get(found[name]).larger_is_better


_DECIDED = {
    "optimizer": "the space decides it: SearchSpace(optimizer=...)",
    "batch_size": "the space decides it: SearchSpace(batch_size=...)",
    "params": "networks of different sizes cannot start from the same: leave it out",
}

_KEYWORDS = [
    name
    for name in {**inspect.signature(tune).parameters, **inspect.signature(fit).parameters}
    if name not in ("network", "options", *_DECIDED)
]


def _check_options(space: object, trials: int, epochs: int, options: Mapping[str, Any]) -> None:
    if not isinstance(space, SearchSpace):
        raise InputError(f"space must be a SearchSpace, got {space!r}.")
    for name, number in (("trials", trials), ("epochs", epochs)):
        if isinstance(number, bool) or not isinstance(number, Integral) or number < 1:
            raise InputError(f"{name} must be an integer >= 1, got {number!r}.")
    for name in options:
        if name in _DECIDED:
            raise InputError(f"tune takes no {name}: {_DECIDED[name]}.")
        if name not in _KEYWORDS:
            raise InputError(f"tune: {unknown('keyword', name, _KEYWORDS)}")
