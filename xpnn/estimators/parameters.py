"""The parameters of both estimators: what each may be, and what is said of those that are something else."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, Options, StrOptions

from xpnn import activations, losses, optimizers, registry
from xpnn.activations import Activation
from xpnn.errors import InputError
from xpnn.optimizers import LBFGS, Optimizer

SOLVERS = ("adam", "sgd", "lbfgs")
_PARTS = {"activation": activations, "loss": losses, "optimizer": optimizers}


class Parameters(BaseEstimator):  # type: ignore[misc]
    """The part of both estimators that is there before any training; not for use by itself."""

    _parameter_constraints: dict[str, Any] = {  # noqa: RUF012
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [str, Activation, "array-like"],
        "solver": [StrOptions(set(SOLVERS))],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose", StrOptions({"bar"})],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "optimizer": [None, str, Optimizer],
        "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
        "callbacks": [None, list, tuple],
        "monitor": [None, str],
        "device": [None, str],
    }

    def _take(self, given: Mapping[str, Any]) -> None:
        """Keep what the constructor was given, as it is."""
        self.__dict__.update({name: value for name, value in given.items() if name not in ("self", "__class__")})

    @property
    def _searching(self) -> bool:
        """Whether L-BFGS takes all the samples at once."""
        if self.optimizer is None:
            return bool(self.solver == "lbfgs")
        return self.optimizer == "lbfgs" or isinstance(self.optimizer, LBFGS)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by their names.

        Parameters
        ----------
        deep : bool
            Whether to give those of objects among them as well: of an optimizer ``optimizer__learning_rate``.

        Returns
        -------
        params : dict
        """
        params: dict[str, Any] = super().get_params(deep=deep)
        parts = {name: value for name, value in params.items() if registry.is_part(value)} if deep else {}
        return params | {
            f"{name}__{each}": getattr(part, each) for name, part in parts.items() for each in _hyperparameters(part)
        }

    def set_params(self, **params: Any) -> Self:
        """Set parameters by their names.

        Parameters
        ----------
        params
            Those of activation, loss or optimizer as ``optimizer__learning_rate=0.01``: another object that has it
            takes the place of the one there, which stays as it is, or of a name such as ``"adamw"``.

        Returns
        -------
        estimator
            Itself.

        Raises
        ------
        ValueError
            If there is no such parameter.
        """
        own, of_parts = self._get_param_names(), dict[str, dict[str, Any]]()
        for name in list(params):
            part, _, inner = name.partition("__")
            if inner and part in own and not hasattr(getattr(self, part), "get_params"):
                of_parts.setdefault(part, {})[inner] = params.pop(name)
        super().set_params(**params)
        for name, values in of_parts.items():
            setattr(self, name, self._with(name, values))
        return self

    def _with(self, name: str, values: Mapping[str, Any]) -> Any:
        """The part of that name with other hyperparameters."""
        part = getattr(self, name)
        if isinstance(part, str) and name in _PARTS and part in _PARTS[name].NAMES:
            part = _PARTS[name].get(part)
        if not registry.is_part(part):
            example = ": set it first, as in optimizer=xpnn.Adam()" if name == "optimizer" else ""
            raise ValueError(
                f"Invalid parameter {next(iter(values))!r} for {name}={part!r}, which has none{example}."
            )
        known = _hyperparameters(part)
        for each in values:
            if each not in known:
                raise ValueError(f"Invalid parameter {each!r} for {name}={part!r}. Valid parameters are: {known!r}.")
        if all(value is getattr(part, each) for each, value in values.items()):
            return part
        try:
            return dataclasses.replace(part, **values)
        except TypeError as error:  # one with a constructor of its own
            raise ValueError(f"{name}={part!r} does not take {', '.join(values)} one by one ({error}).") from error

    def _validate_params(self) -> None:
        """Say what helps where scikit-learn would list types alone; the rest is its own to say."""
        for name, parts in _PARTS.items():
            if callable(value := getattr(self, name)):
                parts.get(value)  # a class, or a function: raises
        solver = self.solver.lower() if isinstance(self.solver, str) and self.solver not in SOLVERS else ""
        if solver in optimizers.NAMES:
            instead = f"solver={solver!r}" if solver in SOLVERS else f"optimizer={solver!r}, which is one of xpnn's"
            raise InputError(f"solver must be one of {', '.join(SOLVERS)}, got {self.solver!r}: write {instead}.")
        super()._validate_params()


def _hyperparameters(part: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(part) if field.init]
