"""One training in scikit-learn's order: what it is made of, how it is run, and what the estimator keeps of it."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnn import arrays, optimizers
from xpnn.checks import Data
from xpnn.errors import TrainingDiverged, TrainingInterrupted
from xpnn.estimators import inputs, scikit, validation
from xpnn.estimators.watch import Watch
from xpnn.model import Model
from xpnn.network import Sequential
from xpnn.optimizers import LBFGS, Optimizer
from xpnn.penalties import L2
from xpnn.training.callbacks.base import as_callbacks
from xpnn.training.progress import Progress
from xpnn.typing import Array, HostArray

if TYPE_CHECKING:
    from xpnn.estimators.base import Perceptron


@dataclass(frozen=True)
class Samples:
    """What `fit` was given, checked and encoded.

    Attributes
    ----------
    X : array, shape (n, d)
        Where the training is.
    y : array, shape (n,) or (n, k)
        On the host.
    w : array, shape (n,), optional
        The weights, on the host.
    batchwise : sparse matrix, optional
        X, if one batch of it at a time is made dense; `X` is its first row then.
    """

    X: Array
    y: HostArray
    w: HostArray | None
    batchwise: Any

    def rows(self, which: HostArray | None, *, dense: bool = True) -> Data:
        """Some of the samples, None for all, where X is; of sparse rows only if `dense` is asked for."""
        X, y, w = self.X, self.y, self.w
        if which is not None:
            if self.batchwise is None:
                X = arrays.namespace(X=X).take(X, inputs.there(which, X=X), axis=0)
            elif dense:
                X = arrays.namespace(X=X).astype(inputs.there(self.batchwise[which].toarray(), X=X), X.dtype)
            y, w = y[which], None if w is None else w[which]
        dtype = inputs.dtype_name(self.X)
        y = y if y.ndim == 1 else y.astype(dtype)  # class numbers are integers
        return X, inputs.there(y, X=X), None if w is None else inputs.there(w.astype(dtype), X=X)


def train(
    estimator: Perceptron,
    network: Sequential,
    samples: Samples,
    *,
    incremental: bool,
    validation_data: validation.Given | None,
) -> None:
    """Train from the parameters that the estimator has; `incremental`: for one epoch."""
    e: Any = estimator
    rows, held = (None, None) if validation_data is not None else validation.split(e, samples.y, samples.w)
    data = samples.rows(held) if held is not None else None
    if validation_data is not None:
        data = validation.placed(e, validation_data, samples.X)
    validated = validation.planned(e, network, data, held=held is not None)
    training = samples.rows(rows, dense=False)
    n, xp = training[1].shape[0], arrays.namespace(X=samples.X)
    # one epoch of partial_fit goes on with the rate there is, fit begins with that of its parameters
    rate = scikit.Rate(e._rate if incremental else float(e.learning_rate_init))
    optimizer, batch_size = _optimizer(e, rate), _batch_size(e, n)
    kind = f"{type(optimizer).__name__}, {len(optimizer.init(e._params(), xp=xp))}"
    watch = Watch(e, rate, n, monitor=validated.monitor, incremental=incremental)
    loop = scikit.ScikitLoop(
        network=network,
        loss=e._output()[2],
        optimizer=optimizer,
        train=training,
        check=validated.data,
        metrics=validated.metrics,
        epochs=1 if incremental else e.max_iter,
        batch_size=batch_size,
        shuffle=e.shuffle,
        tol=None,
        seed=_seed(e, network),
        drawn=False,
        compile=_compile(e, n, batch_size) if incremental else None,
        xp=xp,
        penalty=(L2(e.alpha, per_sample=True),) if e.alpha else (),
        callbacks=[
            *validated.callbacks,
            *map(copy.copy, as_callbacks(e.callbacks or ())),  # those given stay as they are, for clones
            watch,
            *([Progress()] if e.verbose == "bar" else []),
        ],
        shuffled=_order(e, n),
        going_on=e._state if e._kind_of_state == kind else None,
        batchwise=samples.batchwise if rows is None or samples.batchwise is None else samples.batchwise[rows],
    )
    loop.check_schedule("set monitor={name!r} and pass validation_data or early_stopping=True")
    try:
        model = loop.run(arrays.copy(e._params(), xp))
    except TrainingInterrupted as error:
        if e._searching:
            raise
        warnings.warn("Training interrupted by user.", stacklevel=6)
        model, best = error.model, watch.restored
        if best is not None:
            model = replace(model, params=best.params)
    except TrainingDiverged as error:
        raise ValueError(
            "Solver produced non-finite parameter weights. The input data may contain large values and need to "
            f"be preprocessed{_or_the_rate(e)}."
        ) from error
    e._state, e._kind_of_state = loop.state, kind
    e._keep(Model(network, model.params, e._output()[1]))
    if validated.data is not None:
        e.validation_loss_curve_ = [*getattr(e, "validation_loss_curve_", []), *model.history["validation_loss"]]
    e._history = model.history
    watch.finish(model)


def _optimizer(e: Any, rate: scikit.Rate) -> Optimizer:
    if e.optimizer is not None:
        return optimizers.get(e.optimizer)
    if e.solver == "lbfgs":
        return LBFGS(gradient_tol=e.tol, max_evaluations=e.max_fun)
    if e.solver == "sgd":
        return scikit.SGD(rate, e.momentum, e.nesterovs_momentum)
    return scikit.Adam(rate, e.beta_1, e.beta_2, e.epsilon)


def _batch_size(e: Any, n: int) -> int:
    if e._searching:
        return n
    if e.batch_size == "auto":
        return min(200, n)
    if e.batch_size > n:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=7
        )
    return int(min(e.batch_size, n))


def _compile(e: Any, n: int, batch_size: int) -> bool | None:
    """Whether `partial_fit` has steps compiled: not for a number of rows that may be the only one of its kind."""
    e._taken[n] = e._taken.get(n, 0) + -(-n // batch_size)
    return None if e._taken[n] > OFTEN else False


OFTEN = 8
"""Steps with as many rows, from all calls of `partial_fit`, that take less time than to compile one."""


def _seed(e: Any, network: Sequential) -> int:
    """A seed for layers that draw; without such none is drawn, as in scikit-learn."""
    noisy = any(layer.noisy for layer in network.layers)
    return int(e._random_state.randint(2**31 - 1)) if noisy else 0


def _order(e: Any, n: int) -> Callable[[int], HostArray | None]:
    """A function of the epoch: the rows in the order in which scikit-learn would take them."""
    if not e.shuffle or e._searching:
        return lambda epoch: None
    order = np.arange(n)

    def shuffled(epoch: int) -> HostArray:
        nonlocal order
        permutation = np.arange(n)
        e._random_state.shuffle(permutation)
        order = order[permutation]
        return order

    return shuffled


def _or_the_rate(e: Any) -> str:
    """What else may have made parameters blow up: the learning rate, if there is one."""
    if e.optimizer is None:
        now = f"learning_rate_init={e.learning_rate_init!r}"
    else:
        now = f"learning_rate={getattr(optimizers.get(e.optimizer), 'learning_rate', None)!r}"
    return "" if e._searching else f", or the learning rate may be too large ({now})"
