"""Parameters that contradict each other or would have no effect: refused before anything is trained."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xpnn.estimators.base import Perceptron

_OF_SOLVERS = (
    "solver", "learning_rate", "learning_rate_init", "power_t", "momentum", "nesterovs_momentum", "beta_1", "beta_2",
    "epsilon", "max_fun",
)  # fmt: skip


def refuse(estimator: Perceptron) -> None:
    """Raise `ValueError` for the first conflict between xpnn's own parameters and others.

    What scikit-learn itself lets pass, such as ``learning_rate="adaptive"`` with ``solver="adam"``, passes.
    """
    e: Any = estimator
    if e.optimizer is not None:
        usual = inspect.signature(type(e)).parameters
        for name in _OF_SOLVERS:
            value = getattr(e, name)
            if name in usual and value != usual[name].default:
                raise ValueError(
                    f"{name}={value!r} says something of a solver, but optimizer={e.optimizer!r} takes the place of "
                    f"solvers and has hyperparameters of its own: leave out {name}, and say it there, as in "
                    "optimizer=xpnn.Adam(0.01)."
                )
    if isinstance(e.dropout, int | float) and not e.dropout:
        return
    if not e._hidden():
        raise ValueError(f"dropout={e.dropout!r} leaves out nodes of hidden layers, but hidden_layer_sizes has none.")
    if e._searching and any(e._shares()):
        raise ValueError(
            f"dropout={e.dropout!r}: L-BFGS needs one loss for the same parameters, but dropout draws anew: leave it "
            "out, or use adam or sgd."
        )
