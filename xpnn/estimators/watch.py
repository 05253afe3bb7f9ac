"""What scikit-learn does after each epoch: count those in vain, stop, or lower the rate."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

from sklearn.exceptions import ConvergenceWarning

from xpnn.estimators.scikit import Rate
from xpnn.model import Model
from xpnn.training.callbacks import Callback, Training

if TYPE_CHECKING:
    from xpnn.estimators.base import Perceptron


def open_account(estimator: Perceptron) -> None:
    """What is written down of epochs; what there is goes on, if it is judged in the same way."""
    e: Any = estimator
    early = bool(e.early_stopping)
    judged_by = (e.monitor or "score").removeprefix("validation_") if early else "loss_curve_"
    before, e._judged_by = getattr(e, "_judged_by", None), judged_by
    if before == judged_by:
        return
    e.loss_curve_ = getattr(e, "loss_curve_", [])
    e._no_improvement_count = 0
    e.best_loss_ = None if early else math.inf
    e.validation_scores_ = [] if early else None
    e.best_validation_score_ = -math.inf if early else None


class Watch(Callback):
    """Keeps an estimator's account of its training.

    Parameters
    ----------
    estimator : Perceptron
    rate : Rate
        The learning rate, which it may change.
    n : int
        The samples of an epoch.
    monitor : str, optional
        A name of the history to judge by with early stopping; else the training loss decides.
    incremental : bool
        Whether there is one epoch, of `partial_fit`.
    """

    def __init__(self, estimator: Perceptron, rate: Rate, n: int, *, monitor: str | None, incremental: bool) -> None:
        self._estimator: Any = estimator
        self._rate, self._n, self._monitor, self._incremental = rate, n, monitor, incremental
        self._best: Training | None = None
        self._gave_up = False
        self._epochs = 0

    def start(self, training: Training) -> None:
        """What a training goes on from is the best there is, if it was scored."""
        e = self._estimator
        if e.early_stopping and not e._searching and e.best_validation_score_ > -math.inf:
            self._best = training

    def epoch_end(self, training: Training) -> bool:
        """Count, and say whether to stop."""
        e = self._estimator
        self._epochs = training.epoch
        if e._searching:
            return False
        e.loss_ = training.history["loss"][-1]
        e.t_ += self._n
        e.loss_curve_.append(e.loss_)
        self._say(f"Iteration {training.epoch}, loss = {e.loss_:.8f}")
        if "validation_loss" in training.history:
            self._say(f"Validation loss: {training.history['validation_loss'][-1]:.8f}")
        if e.early_stopping:
            self._judge(self._score(training), training)
        else:
            self._count(e.loss_ > e.best_loss_ - e.tol)
            e.best_loss_ = min(e.best_loss_, e.loss_)
        if e.solver == "sgd" and e.learning_rate == "invscaling":
            self._rate.set(e.learning_rate_init / (e.t_ + 1) ** e.power_t)
        self._gave_up = e._no_improvement_count > e.n_iter_no_change and self._gives_up()
        return self._gave_up

    def _score(self, training: Training) -> float:
        assert self._monitor is not None
        value = training.history[self._monitor][-1]
        return value if self._monitor in training.larger_is_better else -value

    def _judge(self, score: float, training: Training) -> None:
        e = self._estimator
        e.validation_scores_.append(score)
        self._say(f"Validation score: {score:f}")
        self._count(score < e.best_validation_score_ + e.tol)
        if score > e.best_validation_score_:
            e.best_validation_score_, self._best = score, training

    def _count(self, worse: bool) -> None:
        self._estimator._no_improvement_count = self._estimator._no_improvement_count + 1 if worse else 0

    def _gives_up(self) -> bool:
        """Whether to stop after so many epochs in vain; a rate that adapts is lowered first."""
        e = self._estimator
        what = "Validation score" if e.early_stopping else "Training loss"
        said = f"{what} did not improve more than tol={e.tol:f} for {e.n_iter_no_change} consecutive epochs."
        if e.solver == "sgd" and e.learning_rate == "adaptive":
            if self._rate.now > 1e-6:
                self._rate.set(self._rate.now / 5.0)
                e._no_improvement_count = 0
                self._say(f"{said} Setting learning rate to {self._rate.now:f}")
                return False
            said += " Learning rate too small."
        self._say(f"{said} Stopping.", bar=True)
        return True

    def _say(self, text: str, *, bar: bool = False) -> None:
        """Print it if asked to; beside a bar only what that does not show."""
        if self._estimator.verbose and (bar or self._estimator.verbose != "bar"):
            print(text)

    @property
    def restored(self) -> Training | None:
        """The best on the data held out."""
        return self._best

    def finish(self, model: Model) -> None:
        """Write down how it went, and warn if it has not come to an end."""
        e = self._estimator
        e.n_iter_, e._rate = self._epochs, self._rate.now
        if e._searching:
            if model.history["loss"]:
                e.loss_ = model.history["loss"][-1]
            if model.stopped in _WHY:
                warnings.warn(
                    f"lbfgs failed to converge after {e.n_iter_} iteration(s): {_WHY[model.stopped]}.\n\nYou might "
                    "also want to scale the data as shown in:\n"
                    "    https://scikit-learn.org/stable/modules/preprocessing.html",
                    ConvergenceWarning,
                    stacklevel=7,
                )
        elif not self._incremental and model.stopped == "epochs":
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({e.max_iter}) reached and the optimization hasn't "
                "converged yet.",
                ConvergenceWarning,
                stacklevel=7,
            )


_WHY = {
    "epochs": "the number of iterations reached max_iter",
    "evaluations": "the number of evaluations reached max_fun",
    "stalled": "the line search found no way down",
}
