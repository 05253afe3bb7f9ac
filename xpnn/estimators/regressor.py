"""The regressor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import r2_score
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import column_or_1d

from xpnn.activations import Activation, Exp, Linear
from xpnn.errors import InputError
from xpnn.estimators import inputs, scikit, validation
from xpnn.estimators.base import Perceptron, all_or_nothing
from xpnn.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Hinge,
    KullbackLeibler,
    Loss,
    MeanSquaredError,
    Poisson,
    Quantile,
)
from xpnn.optimizers import Optimizer
from xpnn.training.callbacks import Callback, Training
from xpnn.typing import HostArray


class MLPRegressor(RegressorMixin, Perceptron):  # type: ignore[misc]
    """scikit-learn's ``MLPRegressor``, on any array library and device.

    Parameters, attributes and results are those of ``sklearn.neural_network.MLPRegressor``; those after `max_fun`
    are xpnn's own.

    Parameters
    ----------
    loss : {"squared_error", "poisson"}, str or Loss
        Half the squared error; half the Poisson deviance, with an exponential output, for targets ≥ 0; or any other
        of xpnn's for numbers with a linear output: a name in ``xpnn.losses.NAMES``, or an object.
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
    optimizer : str or Optimizer, optional
        One of xpnn's instead of `solver`, a name in ``xpnn.optimizers.NAMES`` or an object, with hyperparameters of
        its own: ``xpnn.Adam(0.01)`` says another learning rate. `learning_rate_init`, `learning_rate`, `momentum`,
        `beta_1` and the like are the solvers', and refused beside it. ``optimizer="lbfgs"`` is ``xpnn.LBFGS()``,
        which ends at its own `gradient_tol` and `max_evaluations`; ``solver="lbfgs"`` ends at `tol` and `max_fun`.
    dropout : float or sequence of float
        The share of nodes to leave out after each hidden layer, or one per layer; not for ``"lbfgs"``.
    callbacks : sequence of Callback or callable, optional
        Objects such as ``xpnn.EarlyStopping("loss")``, or functions: one is called after each epoch with an
        ``xpnn.Training`` (`epoch`, `loss`, `history`, `params` and more), and ends the training by returning True.
        `fit` works with shallow copies of the objects.
    monitor : str, optional
        ``"validation_loss"``, ``"validation_score"`` or a metric such as ``"validation_mae"`` (``"mae"`` for short):
        recorded after each epoch in ``to_model().history``, on the data held out or the `validation_data` of `fit`,
        with ``"lbfgs"`` too. With ``early_stopping=True`` it is what is judged by, the score if nothing is named;
        without, it stops nothing, but callbacks such as ``xpnn.EarlyStopping("validation_mae")`` may watch it. Of
        losses and errors `validation_scores_` are the negative, as larger is better there.
    device : str, optional
        Where to train on data that come as tables, lists or NumPy arrays: ``"cuda"``, ``"cuda:1"``, or a library and
        perhaps its device, ``"torch"``, ``"cupy:cuda:0"``. What comes out is NumPy's again. Where there is no float64
        it is float32: on JAX unless ``jax.config.update("jax_enable_x64", True)`` was said, and on Apple's GPUs.
        Arrays of other libraries are trained on where they are.

    Attributes
    ----------
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
    >>> from sklearn.datasets import load_diabetes
    >>> import xpnn
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = xpnn.MLPRegressor((20,), solver="lbfgs", max_iter=200, alpha=1.0, random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.5)
    True
    """

    _parameter_constraints: dict[str, Any] = {  # noqa: RUF012
        **Perceptron._parameter_constraints,
        "loss": [str, Loss],
    }
    _losses = ("squared_error", "poisson")
    _unfit = (BinaryCrossentropy, CategoricalCrossentropy, Hinge, KullbackLeibler)

    def __init__(
        self,
        loss: str | Loss = "squared_error",
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
        optimizer: str | Optimizer | None = None,
        dropout: float | Sequence[float] = 0.0,
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
    ) -> MLPRegressor:
        """Train.

        Parameters
        ----------
        X : array, table or sparse matrix, shape (n, d)
        y : array, shape (n,) or (n, k)
        sample_weight : array, shape (n,), optional
        validation_data : (X, y), optional
            Data to compute ``validation_loss_curve_`` on after each epoch, without the penalty `alpha`. With
            ``early_stopping=True`` they are watched, and nothing of X is held out. A Pipeline hands them over as they
            are: transform them before, or give their parts.
        X_val : array, table or sparse matrix, shape (m, d), optional
        y_val : array, shape (m,) or (m, k), optional
            Their parts by themselves, as scikit-learn's estimators take them: a Pipeline with
            ``transform_input=["X_val"]`` transforms X_val as it does X, with metadata routing and
            ``set_fit_request(X_val=True, y_val=True)``.

        Returns
        -------
        MLPRegressor
            Itself.

        Notes
        -----
        Ctrl-C is as in scikit-learn: with ``"adam"`` and ``"sgd"`` a warning says so, the estimator keeps what it has
        reached, and the program goes on, a search of many fits with the next one; with ``"lbfgs"``
        ``KeyboardInterrupt`` is raised, and the estimator stays as it was.
        """
        self._fit(X, y, sample_weight, validation_data=validation.given(validation_data, X_val, y_val))
        return self

    @available_if(lambda estimator: estimator._is_stochastic())  # type: ignore[untyped-decorator]
    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    @all_or_nothing
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """Go through these data once, on from the training before; not for ``"lbfgs"``.

        Parameters
        ----------
        X, y, sample_weight
            As `fit` takes them.

        Returns
        -------
        MLPRegressor
            Itself.
        """
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def _validate_params(self) -> None:
        if isinstance(self.loss, tuple | list | int):
            raise InputError(
                f"loss must be a name or Loss object, got {self.loss!r}: it is the first parameter, as in "
                f"scikit-learn; did you mean hidden_layer_sizes={self.loss!r}?"
            )
        super()._validate_params()

    def _targets(self, y: HostArray, *, incremental: bool = False) -> HostArray:
        f, _, trained = self._output()
        self.out_activation_ = "exp" if isinstance(f, Exp) else "identity"
        y = self._encoded(y)
        if trained.targets[0] == 0.0 and np.min(y.astype(float)) < 0:
            raise ValueError(f"loss={self.loss!r} is for targets >= 0, but y holds {float(np.min(y)):g}.")
        self.n_outputs_ = y.shape[1]
        return y

    def _encoded(self, y: HostArray) -> HostArray:
        if y.dtype.kind not in "biuf":
            raise ValueError(f"y must hold numbers, got dtype {y.dtype}.")
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return y[:, None] if y.ndim == 1 else y

    def _output(self) -> tuple[Activation, Loss, Loss]:
        if self.loss == "squared_error":
            return Linear(), MeanSquaredError(), scikit.HalfSquaredError()
        if self.loss == "poisson":
            return Exp(), Poisson(), scikit.PoissonDeviance()
        loss = self._xpnn_loss()
        if isinstance(loss, Quantile) and len(loss.quantiles) > 1:
            raise ValueError(
                f"loss={self.loss!r} has an output for each of {len(loss.quantiles)} quantiles of a target: use one "
                "here, as in xpnn.Quantile(quantiles=(0.9,)), or xpnn.fit."
            )
        return Exp() if loss.domain[0] == 0.0 else Linear(), loss, loss

    def _score_of(self, output: HostArray, y: Any, sample_weight: HostArray | None) -> float:
        return float(r2_score(y, output, sample_weight=sample_weight))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R² of the predictions, the mean over several targets.

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
        return float(r2_score(y, predicted, sample_weight=w))

    def predict(self, X: Any) -> Any:
        """The predicted targets.

        Parameters
        ----------
        X : array, table or sparse matrix, shape (n, d)

        Returns
        -------
        array, shape (n,) of one target, otherwise (n, k)
            In X's library and on its device; NumPy's for tables.
        """
        output = self._forward(X, "predict")
        return output[:, 0] if output.shape[1] == 1 else output
