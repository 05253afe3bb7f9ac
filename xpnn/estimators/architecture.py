"""The network that the parameters describe, and the loss of its output."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from xpnn import activations, losses
from xpnn.activations import Activation
from xpnn.errors import InputError
from xpnn.estimators.parameters import Parameters
from xpnn.layers import Dense, Dropout
from xpnn.losses import Loss, Quantile
from xpnn.network import Sequential
from xpnn.registry import unknown


class Architecture(Parameters):
    """The part of both estimators that makes a network of their parameters; not for use by itself."""

    _losses: tuple[str, ...]  # scikit-learn's names
    _unfit: tuple[type[Loss], ...]  # of xpnn's

    def _output(self) -> tuple[Activation, Loss, Loss]:
        """The activation of the output, the loss of the model, and the one that is trained."""
        raise NotImplementedError

    def _hidden(self) -> list[int]:
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if not all(isinstance(size, Integral) and not isinstance(size, bool) for size in sizes):
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

    def _xpnn_loss(self) -> Loss:
        """The loss that is not scikit-learn's."""
        fit = (name for name, cls in losses.NAMES.items() if not issubclass(cls, (*self._unfit, Quantile)))
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


def described(network: Sequential) -> str:
    """A network in a message: its nodes and activations."""
    return f"{network.name} ({', '.join(str(getattr(each, 'activation', each)) for each in network.layers)})"
