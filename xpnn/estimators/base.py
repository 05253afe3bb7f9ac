"""What both estimators share: X, y and parameters checked, weights drawn or gone on from, the training begun."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, cast

from sklearn.base import is_classifier
from sklearn.utils import check_random_state

from xpnn import activations, arrays, backends
from xpnn.activations import Activation, Sigmoid
from xpnn.estimators import conflicts, inputs, scikit, sparse, validation, watch
from xpnn.estimators.architecture import Architecture, described
from xpnn.estimators.fitted import Fitted
from xpnn.estimators.training import Samples, train
from xpnn.model import Model
from xpnn.network import Sequential
from xpnn.training.step import State
from xpnn.typing import Array, HostArray


def all_or_nothing(trains: Callable[..., Any]) -> Callable[..., Any]:
    """A method that trains, which leaves the estimator as it was if it raises."""

    @wraps(trains)
    def method(estimator: Perceptron, *data: Any, **named: Any) -> Any:
        here = estimator.__dict__
        before = {name: copy.copy(v) if isinstance(v, list | dict) else v for name, v in here.items()}
        try:
            return trains(estimator, *data, **named)
        except BaseException:
            here.clear()
            here.update(before)
            raise

    return method


class Perceptron(Architecture, Fitted):
    """Base of `MLPClassifier` and `MLPRegressor`; not for use by itself."""

    # what the two differ in

    def _targets(self, y: HostArray, *, incremental: bool = False) -> HostArray:
        """The checked y in the form that the loss takes; what of it is to be known from now on."""
        raise NotImplementedError

    def _encoded(self, y: HostArray) -> HostArray:
        """A checked y in that form."""
        raise NotImplementedError

    def _score_of(self, output: HostArray, y: Any, sample_weight: HostArray | None) -> float:
        """How good outputs are for encoded targets; larger is better."""
        raise NotImplementedError

    def _weighted(self, y: HostArray, w: HostArray | None, *, incremental: bool) -> HostArray | None:
        """The weights, those of classes among them."""
        return w

    # fit and partial_fit

    def _is_stochastic(self) -> bool:
        if self._searching:
            raise AttributeError("partial_fit is only available for stochastic optimizers. lbfgs is not stochastic.")
        return True

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
        w = self._weighted(y, inputs.weights(sample_weight, X), incremental=incremental)
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
                    "warm_start and partial_fit go on with the network there is, "
                    f"{described(self._model.network)}, but parameters and data now ask for {described(network)}: "
                    "use a new estimator, or warm_start=False."
                )
            else:
                inputs.same_place(self, X, self._params(), "partial_fit" if incremental else "fit", placed=False)
                if X.dtype != self._params().dtype:
                    X = arrays.namespace(X=X).astype(X, self._params().dtype)
            if not self._searching:
                watch.open_account(self)
            samples = Samples(X, targets, w, batchwise)
            train(self, network, samples, incremental=incremental, validation_data=validation_data)

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
        self._taken: dict[int, int] = {}  # steps of partial_fit by their number of rows
        self._rate = float(self.learning_rate_init)
        curves = "loss_curve_", "validation_scores_", "validation_loss_curve_"
        for name in (*curves, "loss_", "best_loss_", "_judged_by"):
            self.__dict__.pop(name, None)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.array_api_support = True
        return tags
