"""What both estimators share: scikit-learn's training, step by step, on xpnn's networks."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial, wraps
from numbers import Integral, Real
from typing import Any, cast

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils import check_random_state

from xpnn import activations, arrays, backends, losses, optimizers
from xpnn.activations import Activation, Sigmoid
from xpnn.checks import Data
from xpnn.errors import InputError, TrainingDiverged, TrainingInterrupted
from xpnn.estimators import conflicts, inputs, scikit, sparse, validation
from xpnn.estimators.fitted import Fitted
from xpnn.estimators.parameters import Parameters
from xpnn.estimators.watch import Watch
from xpnn.layers import Dense, Dropout
from xpnn.losses import Loss
from xpnn.model import Model
from xpnn.network import Sequential
from xpnn.optimizers import LBFGS, Optimizer
from xpnn.penalties import L2
from xpnn.registry import unknown
from xpnn.training.callbacks.base import as_callbacks
from xpnn.training.progress import Progress
from xpnn.training.step import State
from xpnn.typing import Array, HostArray


def all_or_nothing(train: Callable[..., Any]) -> Callable[..., Any]:
    """A method that trains, which leaves the estimator as it was if it raises."""

    @wraps(train)
    def method(estimator: Perceptron, *data: Any, **named: Any) -> Any:
        here = estimator.__dict__
        before = {name: list(value) if isinstance(value, list) else value for name, value in here.items()}
        try:
            return train(estimator, *data, **named)
        except BaseException:
            here.clear()
            here.update(before)
            raise

    return method


class Perceptron(Parameters, Fitted):
    """Base of `MLPClassifier` and `MLPRegressor`; not for use by itself."""

    _losses: tuple[str, ...]  # scikit-learn's names
    _unfit: tuple[type[Loss], ...]  # of xpnn's

    # what the two differ in

    def _targets(self, y: HostArray, *, incremental: bool = False) -> HostArray:
        """The checked y in the form that the loss takes; what of it is to be known from now on."""
        raise NotImplementedError

    def _encoded(self, y: HostArray) -> HostArray:
        """A checked y in that form."""
        raise NotImplementedError

    def _output(self) -> tuple[Activation, Loss, Loss]:
        """The activation of the output, the loss of the model, and the one that is trained."""
        raise NotImplementedError

    def _score_of(self, output: HostArray, y: Any, sample_weight: HostArray | None) -> float:
        """How good outputs are for encoded targets; larger is better."""
        raise NotImplementedError

    def _weighted(self, y: HostArray, w: HostArray | None) -> HostArray | None:
        """The weights, those of classes among them."""
        return w

    def _xpnn_loss(self) -> Loss:
        """The loss that is not scikit-learn's."""
        fit = (name for name, cls in losses.NAMES.items() if not issubclass(cls, self._unfit))
        valid = list(dict.fromkeys((*self._losses, *fit)))
        if isinstance(self.loss, str) and self.loss not in losses.NAMES:
            entropy = self.loss.lower().replace("_", "") in ("crossentropy", "logloss")
            if entropy and "log_loss" not in self._losses:
                raise InputError(
                    f"loss={self.loss!r} is for classes, which MLPClassifier predicts: use one of {', '.join(valid)}."
                )
            raise InputError(unknown("loss", self.loss, valid, meant="log_loss" if entropy else None))
        loss = losses.get(self.loss)
        if isinstance(loss, self._unfit):
            raise InputError(
                f"loss={self.loss!r} is not for an {type(self).__name__}: use one of {', '.join(valid)}, or xpnn.fit."
            )
        return loss

    # training

    def _is_stochastic(self) -> bool:
        if self._searching:
            raise AttributeError("partial_fit is only available for stochastic optimizers. lbfgs is not stochastic.")
        return True

    @property
    def _searching(self) -> bool:
        """Whether L-BFGS takes all the samples at once."""
        if self.optimizer is None:
            return bool(self.solver == "lbfgs")
        return self.optimizer == "lbfgs" or isinstance(self.optimizer, LBFGS)

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        incremental: bool = False,
        validation_data: validation.Given | None = None,
    ) -> None:
        conflicts.refuse(self)
        sizes = self._hidden()
        first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        X, y = inputs.both(self, X, y, reset=first, numeric=not is_classifier(self))
        w = self._weighted(y, inputs.weights(sample_weight, X))
        targets = self._targets(y, incremental=incremental)
        self._random_state = check_random_state(self.random_state)
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        # what goes on does so where it is: `device` says where to begin, `to` and `load` may have moved it since
        starts = first or self.device is None
        put = (
            partial(inputs.placed, device=self.device) if starts else partial(inputs.placed_like, like=self._params())
        )
        X, batchwise = sparse.placed(X, put, whole=self._searching)
        network = self._network(X.shape[1], sizes)
        with backends.of(X).on(X):
            if first:
                self._begin(network, X)
            elif network != self._model.network:
                raise ValueError(
                    f"warm_start and partial_fit go on with the network there is, {_told(self._model.network)}, but "
                    f"parameters and data now ask for {_told(network)}: use a new estimator, or warm_start=False."
                )
            else:
                inputs.same_place(self, X, self._params(), "partial_fit" if incremental else "fit", placed=False)
                if X.dtype != self._params().dtype:
                    X = arrays.namespace(X=X).astype(X, self._params().dtype)
            if not self._searching:
                self._open_account()
            self._train(
                network, X, targets, w, batchwise=batchwise, incremental=incremental, validation_data=validation_data
            )

    def _hidden(self) -> list[int]:
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if not all(isinstance(size, Integral) for size in sizes):
            raise TypeError(f"hidden_layer_sizes must be whole numbers, got {sizes}.")
        if np.any(np.asarray(sizes) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        return [int(size) for size in sizes]

    def _shares(self) -> list[Any]:
        """Of each hidden layer, what dropout leaves out."""
        shares = self._each(self.dropout, "dropout", len(self._hidden()), (Real,))
        if not all(isinstance(share, Real) and 0 <= float(share) < 1 for share in shares):
            raise ValueError(
                f"dropout must be a number from 0 to below 1, or one per hidden layer, got {self.dropout!r}."
            )
        return shares

    def _network(self, n_features: int, sizes: Sequence[int]) -> Sequential:
        hidden = self._each(self.activation, "activation", len(sizes), (str, Activation))
        layers: list[Any] = []
        for units, f, share in zip(sizes, hidden, self._shares(), strict=True):
            layers.append(Dense(units, activations.get(f)))
            if share:
                layers.append(Dropout(float(share)))
        return Sequential(*layers, Dense(self.n_outputs_, self._output()[0]), input_shape=(n_features,))

    def _each(self, given: Any, name: str, n: int, single: tuple[type, ...]) -> list[Any]:
        """One for each hidden layer."""
        if isinstance(given, single):
            return [given] * n
        if len(given) != n:
            raise ValueError(f"{name} must be one, or one for each of the {n} hidden layers, got {given!r}.")
        return list(given)

    def _begin(self, network: Sequential, X: Array) -> None:
        """Draw the weights, and forget the training before."""
        dtype = inputs.dtype_name(X)
        f = self.activation if isinstance(self.activation, str | Activation) else next(iter(self.activation), None)
        logistic = f is not None and isinstance(activations.get(f), Sigmoid)
        drawn = iter(scikit.first_weights(network, self._random_state, dtype, logistic=logistic))
        layers = [next(drawn) if named else {} for named in network.parameter_shapes]
        host = cast(HostArray, network.flatten(layers))
        params = backends.place(host, dtype, like=X, backend=None, device=None)
        self._keep(Model(network, params, self._output()[1]))
        self.n_iter_ = self.t_ = 0
        self.n_layers_ = len(self.coefs_) + 1
        self._state: State | None = None
        self._kind_of_state = ""
        self._rate = float(self.learning_rate_init)
        for name in ("loss_", "loss_curve_", "best_loss_", "validation_scores_", "validation_loss_curve_"):
            self.__dict__.pop(name, None)

    def _open_account(self) -> None:
        """What is written down of epochs; what there is goes on, if it is judged in the same way."""
        early = bool(self.early_stopping)
        if hasattr(self, "loss_curve_") and (self.validation_scores_ is not None) is early:
            return
        self.loss_curve_: list[float] = getattr(self, "loss_curve_", [])
        self._no_improvement_count = 0
        self.best_loss_ = None if early else np.inf
        self.validation_scores_: list[float] | None = [] if early else None
        self.best_validation_score_ = -np.inf if early else None

    def _train(
        self,
        network: Sequential,
        X: Array,
        y: HostArray,
        w: HostArray | None,
        *,
        batchwise: Any,
        incremental: bool,
        validation_data: validation.Given | None,
    ) -> None:
        xp, dtype = arrays.namespace(X=X), inputs.dtype_name(X)
        rows, held = validation.split(self, y) if validation_data is None else (None, None)
        there = partial(inputs.there, X=X)
        y = y if y.ndim == 1 else y.astype(dtype)
        w = None if w is None else w.astype(dtype)

        def part(which: HostArray | None, *, dense: bool = True) -> Data:
            if which is None:
                return X, there(y), None if w is None else there(w)
            if batchwise is not None:
                taken = xp.astype(there(batchwise[which].toarray()), X.dtype) if dense else X
            else:
                taken = xp.take(X, there(which), axis=0)
            return taken, there(y[which]), None if w is None else there(w[which])

        train = part(rows, dense=False)
        n = train[1].shape[0]
        data = part(held) if held is not None else None
        if validation_data is not None:
            data = validation.placed(self, validation_data, X)
        validated = validation.validation(self, network, data, held=held is not None)
        # one epoch of partial_fit goes on with the rate there is, fit begins with that of its parameters
        rate = scikit.Rate(self._rate if incremental else float(self.learning_rate_init))
        optimizer = self._optimizer(rate)
        kind = f"{type(optimizer).__name__}, {len(optimizer.init(self._params(), xp=xp))}"
        watch = Watch(self, rate, n, monitor=validated.monitor, incremental=incremental)
        loop = scikit.ScikitLoop(
            network=network,
            loss=self._output()[2],
            optimizer=optimizer,
            train=train,
            check=validated.data,
            metrics=validated.metrics,
            epochs=1 if incremental else self.max_iter,
            batch_size=self._batch_size(n),
            shuffle=self.shuffle,
            tol=None,
            seed=self._seed_of(network),
            drawn=False,
            compile=None,
            xp=xp,
            penalty=(L2(self.alpha, per_sample=True),) if self.alpha else (),
            callbacks=[
                *map(copy.copy, as_callbacks(self.callbacks or ())),  # those given stay as they are, for clones
                *validated.callbacks,
                watch,
                *([Progress()] if self.verbose == "bar" else []),
            ],
            shuffled=self._order(n),
            going_on=self._state if self._kind_of_state == kind else None,
            batchwise=batchwise if batchwise is None or rows is None else batchwise[rows],
        )
        conflicts.refuse_schedule(optimizer, loop.history)
        try:
            model = loop.run(arrays.copy(self._params(), xp))
        except TrainingInterrupted as error:
            warnings.warn("Training interrupted by user.", stacklevel=5)
            model, best = error.model, watch.restored
            if best is not None:
                model = replace(model, params=best.params)
        except TrainingDiverged as error:
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to "
                f"be preprocessed{self._rate_told()}."
            ) from error
        self._state, self._kind_of_state = loop.state, kind
        self._keep(Model(network, model.params, self._output()[1]))
        if validated.data is not None:
            before = getattr(self, "validation_loss_curve_", [])
            self.validation_loss_curve_ = [*before, *model.history["validation_loss"]]
        self._history = model.history
        watch.finish(model)

    def _rate_told(self) -> str:
        """What else may have made parameters blow up: the learning rate, if there is one."""
        if self.optimizer is None:
            now = f"learning_rate_init={self.learning_rate_init!r}"
        else:
            now = f"learning_rate={getattr(optimizers.get(self.optimizer), 'learning_rate', None)!r}"
        return "" if self._searching else f", or the learning rate may be too large ({now})"

    def _seed_of(self, network: Sequential) -> int:
        """A seed for layers that draw; without such none is drawn, as in scikit-learn."""
        noisy = any(layer.noisy for layer in network.layers)
        return int(self._random_state.randint(2**31 - 1)) if noisy else 0

    def _batch_size(self, n: int) -> int:
        if self._searching:
            return n
        if self.batch_size == "auto":
            return min(200, n)
        if self.batch_size > n:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=6
            )
        return int(min(self.batch_size, n))

    def _order(self, n: int) -> Any:
        """A function of the epoch: the rows in the order in which scikit-learn would take them."""
        if not self.shuffle or self._searching:
            return lambda epoch: None
        order = np.arange(n)

        def shuffled(epoch: int) -> HostArray:
            nonlocal order
            permutation = np.arange(n)
            self._random_state.shuffle(permutation)
            order = order[permutation]
            return order

        return shuffled

    def _optimizer(self, rate: scikit.Rate) -> Optimizer:
        if self.optimizer is not None:
            return optimizers.get(self.optimizer)
        if self.solver == "lbfgs":
            return LBFGS(gradient_tol=self.tol, max_evaluations=self.max_fun)
        if self.solver == "sgd":
            return scikit.SGD(rate, self.momentum, self.nesterovs_momentum)
        return scikit.Adam(rate, self.beta_1, self.beta_2, self.epsilon)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.array_api_support = True
        return tags


def _told(network: Sequential) -> str:
    """A network in a message: its nodes and activations."""
    return f"{network.name} ({', '.join(str(getattr(each, 'activation', each)) for each in network.layers)})"
