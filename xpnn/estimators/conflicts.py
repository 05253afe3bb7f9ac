"""Parameters that contradict each other or would have no effect: refused before anything is trained."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from xpnn import optimizers, registry
from xpnn.optimizers import LBFGS, SGD, Adam, Optimizer

if TYPE_CHECKING:
    from xpnn.estimators.base import Perceptron

_OF_OPTIMIZERS: dict[str, tuple[str, type[Optimizer]]] = {
    "learning_rate_init": ("learning_rate", Adam),
    "momentum": ("momentum", SGD),
    "nesterovs_momentum": ("nesterov", SGD),
    "beta_1": ("beta_1", Adam),
    "beta_2": ("beta_2", Adam),
    "epsilon": ("epsilon", Adam),
    "max_fun": ("max_evaluations", LBFGS),
}
"""What says of an optimizer what these say of a solver, and one that has it."""

_SCHEDULES = {"invscaling": "InverseScaling(0.1)", "adaptive": "ReduceOnPlateau(0.1)"}


def refuse(estimator: Perceptron) -> None:
    """Raise `ValueError` for the first conflict between xpnn's own parameters and others.

    What scikit-learn itself lets pass, such as ``learning_rate="adaptive"`` with ``solver="adam"``, passes.
    """
    e: Any = estimator
    if e.optimizer is not None:
        usual = inspect.signature(type(e)).parameters
        for name in ("solver", "learning_rate", "power_t", *_OF_OPTIMIZERS):
            value = getattr(e, name)
            if name in usual and value != usual[name].default:
                raise ValueError(
                    f"{name}={value!r} says something of a solver, but optimizer={e.optimizer!r} takes the place of "
                    f"solvers and has hyperparameters of its own: leave out {name}, or "
                    f"{_instead(name, value, e.optimizer)}."
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


def _instead(name: str, value: Any, optimizer: Any) -> str:
    """How to say the same of the optimizer, or of another if it has no such hyperparameter."""
    if name == "solver":
        return "optimizer"
    there = type(optimizers.get(optimizer))
    hyperparameter, example = _OF_OPTIMIZERS.get(name, ("learning_rate", SGD))
    has = any(field.name == hyperparameter for field in fields(there))
    cls = there if has else example
    if name in _OF_OPTIMIZERS:
        said = f"{hyperparameter}={value!r}"
    else:
        said = f"xpnn.{_SCHEDULES.get(value, f'InverseScaling(0.1, power={value!r})')}"
    where = "say it there" if has else f"use one with {hyperparameter}"
    return f"{where}, as in optimizer={'xpnn.' if registry.built_in(cls) else ''}{cls.__name__}({said})"
