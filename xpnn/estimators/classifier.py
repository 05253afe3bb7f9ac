"""The classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.metrics import accuracy_score
from sklearn.utils import compute_sample_weight
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels
from sklearn.utils.validation import column_or_1d

from xpnn import arrays, backends
from xpnn.activations import Activation, Sigmoid, Softmax
from xpnn.estimators import inputs, scikit, validation
from xpnn.estimators.base import Perceptron, all_or_nothing
from xpnn.estimators.labels import Labels
from xpnn.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Hinge,
    KullbackLeibler,
    Loss,
    Poisson,
    Quantile,
)
from xpnn.optimizers import Optimizer
from xpnn.training.callbacks import Callback, Training
from xpnn.typing import Array, HostArray


class MLPClassifier(ClassifierMixin, Perceptron):  # type: ignore[misc]
    """scikit-learn's ``MLPClassifier``, on any array library and device.

    Parameters, attributes and results are those of ``sklearn.neural_network.MLPClassifier``; those after `max_fun`
    are xpnn's own.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int
        The nodes of each hidden layer.
    activation : str, Activation, or one per hidden layer
        ``"relu"``, ``"tanh"``, ``"logistic"`` (sigmoid), ``"identity"`` (linear), or any other of xpnn's: a name in
        ``xpnn.activations.NAMES``, or an object.
    solver : {"adam", "sgd", "lbfgs"}
        How to go downhill.
    alpha : float
        The strength of the L2 penalty on weights, ≥ 0; divided by the samples of each batch.
    batch_size : int or "auto"
        Samples per step; ``"auto"``: at most 200. Without meaning for ``"lbfgs"``.
    learning_rate : {"constant", "invscaling", "adaptive"}
        Of ``"sgd"``: as it is, over the samples seen to the power of `power_t`, or over 5 whenever `n_iter_no_change`
        epochs were in vain.
    learning_rate_init : float
        The rate to begin with, > 0.
    power_t : float
        The exponent of ``"invscaling"``.
    max_iter : int
        Epochs at most; iterations of ``"lbfgs"``.
    shuffle : bool
        Whether the data are drawn in a new order in each epoch.
    random_state : int, RandomState or None
        Decides weights, order and split, as in scikit-learn.
    tol : float
        By how much loss or score must become better to count; the largest element of the gradient at which
        ``"lbfgs"`` ends.
    verbose : bool, int or "bar"
        Whether to print each epoch's loss; ``"bar"``: to show a progress bar.
    warm_start : bool
        Whether `fit` goes on from the training before, the optimizer's state included.
    momentum : float
        Of ``"sgd"``, from 0 to 1.
    nesterovs_momentum : bool
        Of ``"sgd"``.
    early_stopping : bool
        Whether to hold out data, to stop when the score on them has not become better in `n_iter_no_change` epochs,
        and to go back to the best parameters.
    validation_fraction : float
        The share to hold out.
    beta_1, beta_2, epsilon : float
        Of ``"adam"``.
    n_iter_no_change : int or inf
        How many epochs in vain are let pass.
    max_fun : int
        How often ``"lbfgs"`` may evaluate the loss.
    loss : str or Loss, optional
        ``"log_loss"``, the cross-entropy, or another of xpnn's: a name in ``xpnn.losses.NAMES``, or an object.
    optimizer : str or Optimizer, optional
        One of xpnn's instead of `solver`, a name in ``xpnn.optimizers.NAMES`` or an object, with hyperparameters of
        its own: ``xpnn.Adam(0.01)`` says another learning rate. `learning_rate_init`, `learning_rate`, `momentum`,
        `beta_1` and the like are the solvers', and refused beside it. ``optimizer="lbfgs"`` is ``xpnn.LBFGS()``,
        which ends at its own `gradient_tol` and `max_evaluations`; ``solver="lbfgs"`` ends at `tol` and `max_fun`.
    dropout : float or sequence of float
        The share of nodes to leave out after each hidden layer, or one per layer; not for ``"lbfgs"``.
    class_weight : "balanced", mapping, or list of mapping, optional
        What the samples of each class weigh, by the classes as they are in y; of several labels one mapping for each,
        whose weights are multiplied.
    callbacks : sequence of Callback or callable, optional
        Objects such as ``xpnn.EarlyStopping("loss")``, or functions: one is called after each epoch with an
        ``xpnn.Training`` (`epoch`, `loss`, `history`, `params` and more), and ends the training by returning True.
        `fit` works with shallow copies of the objects.
    monitor : str, optional
        ``"validation_loss"``, ``"validation_score"`` or a metric such as ``"validation_f1"`` (``"f1"`` for short):
        recorded after each epoch in ``to_model().history``, on the data held out or the `validation_data` of `fit`,
        with ``"lbfgs"`` too. With ``early_stopping=True`` it is what is judged by, the score if nothing is named;
        without, it stops nothing, but callbacks such as ``xpnn.EarlyStopping("validation_f1")`` may watch it. Of
        losses and errors `validation_scores_` are the negative, as larger is better there.
    device : str, optional
        Where to train on data that come as tables, lists or NumPy arrays: ``"cuda"``, ``"cuda:1"``, or a library and
        perhaps its device, ``"torch"``, ``"cupy:cuda:0"``. What comes out is NumPy's again. Where there is no float64
        it is float32: on JAX unless ``jax.config.update("jax_enable_x64", True)`` was said, and on Apple's GPUs.
        Arrays of other libraries are trained on where they are.

    Attributes
    ----------
    classes_ : array
        The classes as they are in y, in order: a NumPy array, but one of y's library where scikit-learn's array-API
        dispatch is on.
    coefs_, intercepts_ : list of array
        W and b of each layer, where it was trained.
    loss_, best_loss_ : float
        The loss of the last epoch and the least; None with early stopping.
    loss_curve_ : list of float
        The loss of each epoch; not for ``"lbfgs"``.
    validation_scores_, best_validation_score_ : list of float, float
        With early stopping; else None.
    validation_loss_curve_ : list of float
        The loss on the validation data, if they are given to `fit` or `monitor` needs them.
    n_iter_, t_ : int
        The epochs of the last call of `fit`, and the samples seen.
    n_layers_, n_outputs_ : int
    out_activation_ : str
        scikit-learn's name of the output's activation.
    n_features_in_ : int
    feature_names_in_ : array of str
        If X was a table whose columns have names.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> import xpnn
    >>> X, y = load_iris(return_X_y=True)
    >>> model = xpnn.MLPClassifier((20,), max_iter=1000, random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.95)
    True
    """

    _parameter_constraints: dict[str, Any] = {  # noqa: RUF012
        **Perceptron._parameter_constraints,
        "loss": [None, str, Loss],
        "class_weight": [None, StrOptions({"balanced"}), Mapping, list],
    }
    _losses = ("log_loss",)
    _unfit = (Hinge, Poisson, Quantile)

    classes_: Any
    _labels: Labels

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str | Activation | Sequence[str | Activation] = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 1e-4,
        verbose: bool | int | str = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        loss: str | Loss | None = None,
        optimizer: str | Optimizer | None = None,
        dropout: float | Sequence[float] = 0.0,
        class_weight: str | Mapping[Any, float] | list[Mapping[Any, float]] | None = None,
        callbacks: Sequence[Callback | Callable[[Training], object]] | None = None,
        monitor: str | None = None,
        device: str | None = None,
    ) -> None:
        self._take(locals())

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    @all_or_nothing
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        validation_data: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
    ) -> MLPClassifier:
        """Train.

        Parameters
        ----------
        X : array, table or sparse matrix, shape (n, d)
        y : array, shape (n,), or (n, k) of 0 and 1 for several labels at once
            The classes, numbers or text.
        sample_weight : array, shape (n,), optional
        validation_data : (X, y), optional
            Data to compute ``validation_loss_curve_`` on after each epoch, without the penalty `alpha`. With
            ``early_stopping=True`` they are watched, and nothing of X is held out. A Pipeline hands them over as they
            are: transform them before, or give their parts.
        X_val : array, table or sparse matrix, shape (m, d), optional
        y_val : array, shape (m,), or (m, k) of 0 and 1, optional
            Their parts by themselves, as scikit-learn's estimators take them: a Pipeline with
            ``transform_input=["X_val"]`` transforms X_val as it does X, with metadata routing and
            ``set_fit_request(X_val=True, y_val=True)``.

        Returns
        -------
        MLPClassifier
            Itself.

        Notes
        -----
        Ctrl-C is as in scikit-learn: with ``"adam"`` and ``"sgd"`` a warning says so, the estimator keeps what it has
        reached, and the program goes on, a search of many fits with the next one; with ``"lbfgs"``
        ``KeyboardInterrupt`` is raised, and the estimator stays as it was.
        """
        self._fit(X, y, sample_weight, validation_data=validation.given(validation_data, X_val, y_val))
        self.classes_ = self._labels.shown(y)
        return self

    @available_if(lambda estimator: estimator._is_stochastic())  # type: ignore[untyped-decorator]
    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    @all_or_nothing
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> MLPClassifier:
        """Go through these data once, on from the training before; not for ``"lbfgs"``.

        Parameters
        ----------
        X, y, sample_weight
            As `fit` takes them.
        classes : array, optional
            All classes; needed at the first call.

        Returns
        -------
        MLPClassifier
            Itself.
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' is not known from a part of the data: compute_class_weight('balanced', "
                "classes=classes, y=y) of all of them gives a mapping to pass instead."
            )
        if hasattr(self, "classes_"):
            self.classes_ = self._labels.classes  # scikit-learn compares them on the host
        if _check_partial_fit_first_call(self, inputs.on_host(classes)):
            y_host, known = inputs.on_host(y), unique_labels(inputs.on_host(classes))
            learned = Labels.of(y_host if type_of_target(y_host).startswith("multilabel") else known)
            self._labels = replace(learned, classes=known)
        self._fit(X, y, sample_weight, incremental=True)
        self.classes_ = self._labels.shown(y)
        return self

    def _targets(self, y: HostArray, *, incremental: bool = False) -> HostArray:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._labels = Labels.of(y)
            self.classes_ = self._labels.classes
        else:
            self._labels.check(y, all_of_them=self.warm_start)
        self.out_activation_ = "softmax" if self._labels.kind == "multiclass" else "logistic"
        encoded = self._encoded(y)
        self.n_outputs_ = len(self._labels) if encoded.ndim == 1 else encoded.shape[1]
        return encoded

    def _encoded(self, y: HostArray) -> HostArray:
        return self._labels.encoded(y, numbers=self._of_classes())

    def _weighted(self, y: HostArray, w: HostArray | None, *, incremental: bool) -> HostArray | None:
        if self.class_weight is None:
            return w
        several = isinstance(self.class_weight, list)
        if several and (y.ndim == 1 or not all(isinstance(each, Mapping) for each in self.class_weight)):
            raise ValueError(
                "class_weight must map each class to its weight, as in {'a': 1, 'b': 2}, or be 'balanced'; a list "
                f"has such a mapping for each of several labels; got {self.class_weight!r}."
            )
        for each in self.class_weight if several else [self.class_weight]:
            for label, weight in each.items() if isinstance(each, Mapping) else ():
                if not isinstance(weight, Real) or not 0 <= float(weight) < np.inf:
                    raise ValueError(f"class_weight must be numbers >= 0, got {weight!r} for class {label!r}.")
        by_class = compute_sample_weight(self.class_weight, y)
        weighted = by_class if w is None else w * by_class
        if not weighted.any() and not incremental:  # a part of a stream may be passed over
            raise ValueError(
                f"class_weight={self.class_weight!r} makes all samples weigh 0: nothing would be learned; give a "
                "class that y has a weight > 0."
            )
        return weighted

    def _of_classes(self) -> bool:
        """Whether the loss takes class numbers."""
        return self.loss in (None, "log_loss") or isinstance(self._xpnn_loss(), CategoricalCrossentropy)

    def _output(self) -> tuple[Activation, Loss, Loss]:
        f = Softmax() if self.out_activation_ == "softmax" else Sigmoid()
        if self.loss is None or self.loss == "log_loss":
            if isinstance(f, Softmax):
                return f, CategoricalCrossentropy(), scikit.ClassesCrossentropy()
            return f, BinaryCrossentropy(), scikit.LabelsCrossentropy()
        loss = self._xpnn_loss()
        if isinstance(loss, CategoricalCrossentropy | KullbackLeibler) and isinstance(f, Sigmoid):
            raise ValueError(
                f"loss={self.loss!r} needs an output for each of more than two classes; two classes, or several "
                "labels, have sigmoid outputs here: leave out loss, or use binary_crossentropy."
            )
        return f, loss, loss

    def _score_of(self, output: HostArray, y: Any, sample_weight: HostArray | None) -> float:
        softmax = self.out_activation_ == "softmax"
        if softmax:
            y = y if y.ndim == 1 else np.argmax(y, axis=1)
            decided = np.argmax(output, axis=1)
        else:
            several = len(self._labels) > 1  # one class: all are of it
            decided = np.asarray((output > 0.5) & several, y.dtype)  # type: ignore[operator]
        return float(accuracy_score(y, decided, sample_weight=sample_weight))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The accuracy of the predictions; of several labels, the share of samples with all right.

        Parameters
        ----------
        X : array, table or sparse matrix, shape (n, d)
        y : array
            As `fit` takes it.
        sample_weight : array, shape (n,), optional

        Returns
        -------
        float
        """
        predicted, y, w = map(inputs.on_host, (self.predict(X), y, sample_weight))
        return float(accuracy_score(y, predicted, sample_weight=w))

    def predict(self, X: Any) -> Any:
        """The predicted classes.

        Parameters
        ----------
        X : array, table or sparse matrix, shape (n, d)

        Returns
        -------
        array, shape (n,), or (n, k) for several labels
            In X's library and on its device; NumPy's for tables, and for classes that are text, or numbers that the
            library does not have.
        """
        output = self._forward(X, "predict")
        with backends.of(output).on(output):
            return self._labels.decided(output)

    def predict_proba(self, X: Any) -> Any:
        """The probability of each class.

        Parameters
        ----------
        X : array, table or sparse matrix, shape (n, d)

        Returns
        -------
        array, shape (n, k)
            Columns in the order of `classes_`.
        """
        output = self._forward(X, "predict_proba")
        with backends.of(output).on(output):
            return self._of_each_class(output)

    def predict_log_proba(self, X: Any) -> Any:
        """The logarithm of `predict_proba`.

        Parameters
        ----------
        X : array, table or sparse matrix, shape (n, d)

        Returns
        -------
        array, shape (n, k)
        """
        output = self._forward(X, "predict_log_proba")
        with backends.of(output).on(output):
            return arrays.namespace(output=output).log(self._of_each_class(output))

    def decision_function(self, X: Any) -> Any:
        """Z of the output layer: the larger, the surer.

        Parameters
        ----------
        X : array, table or sparse matrix, shape (n, d)

        Returns
        -------
        array, shape (n,) of two classes, otherwise (n, k)
        """
        logits = self._forward(X, "decision_function", logits=True)
        return logits[:, 0] if self.n_outputs_ == 1 and not self._labels.several else logits

    def _of_each_class(self, output: Array) -> Array:
        """Probabilities, (n, k): of one sigmoid output 1 - ŷ and ŷ, otherwise Ŷ itself."""
        if self.n_outputs_ > 1:
            return output
        xp = arrays.namespace(output=output)
        return xp.concat([1.0 - output, output], axis=1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
