"""What an estimator that was trained can do: tell outputs, move, be saved and copied."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from operator import is_
from typing import Any, Self, cast

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, is_classifier
from sklearn.utils.validation import check_is_fitted

from xpnn import arrays, backends
from xpnn.errors import BackendError, InputError
from xpnn.estimators import inputs, saving, sparse
from xpnn.model import Model
from xpnn.training.step import State
from xpnn.typing import Array


class Fitted(BaseEstimator):  # type: ignore[misc]
    """The part of both estimators that comes after the training; not for use by itself."""

    device: str | None
    _state: State | None
    _history: Mapping[str, list[float]]

    def _keep(self, model: Model) -> None:
        """Have this model, and its parameters, from now on."""
        self._model = model
        layers = [named for named in model.network.unflatten(model.params) if named]
        self.coefs_ = [named["W"] for named in layers]
        self.intercepts_ = [named["b"] for named in layers]
        self._own = (*self.coefs_, *self.intercepts_)  # views of the parameters: those and no others are used

    def _params(self) -> Array:
        """The parameters: those of `coefs_` and `intercepts_`, should somebody have put others there."""
        now = (*self.coefs_, *self.intercepts_)
        if len(now) != len(self._own) or not all(map(is_, now, self._own)):
            network = self._model.network
            given = iter(zip(self.coefs_, self.intercepts_, strict=True))
            layers = [
                dict(zip(("W", "b"), next(given), strict=True)) if named else {} for named in network.parameter_shapes
            ]
            self._keep(replace(self._model, params=network.flatten(layers)))
        return self._model.params

    def _forward(self, X: Any, method: str, *, logits: bool = False) -> Array:
        """Ŷ, or Z of the output, (n, k), where X is."""
        if "coefs_" not in vars(self):
            check_is_fitted(self)  # raises
        params = self._params()
        inputs.same_place(self, X, params, method, placed=self.device is not None)
        given = inputs.features(self, X, reset=False)
        if not issparse(given):
            return self._output_of(given, params, logits)
        if inputs.namespace_of(params) is None:
            return self._output_of(cast(Array, sparse.SparseMatrix(given)), params, logits)
        blocks = [given[i : i + inputs.ROWS].toarray() for i in range(0, given.shape[0], inputs.ROWS)]
        return cast(Array, np.concatenate([self._output_of(block, params, logits) for block in blocks]))

    def _output_of(self, given: Array, params: Array, logits: bool) -> Array:
        X = inputs.placed_like(given, params)
        moved, backend = X is not given, backends.of(X)
        with backend.on(X):
            if X.dtype != params.dtype:
                X = arrays.namespace(X=X).astype(X, params.dtype)
            output = (self._logits if logits else self._model)._predictor((params, None), X)
        return inputs.back(output) if moved else output

    @property
    def _logits(self) -> Model:
        return replace(self._model, network=self._model.network.to_logits())

    def to_model(self) -> Model:
        """The `Model` underneath: network, parameters, history and the names of the classes."""
        check_is_fitted(self)
        labels = saving.plain(self._labels.classes) if is_classifier(self) and len(self._labels) > 1 else None
        history = {name: list(values) for name, values in self._history.items()}
        return replace(self._model, params=self._params(), labels=labels, history=history, metadata={})

    def to(
        self,
        backend: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        *,
        like: Array | None = None,
    ) -> Self:
        """Move what was learned to another library, device or dtype, to predict and go on training there.

        Parameters
        ----------
        backend : str, optional
            A library, ``"numpy"``, ``"cupy"``, ``"torch"``, ``"jax"`` or another's package name, or a device, as the
            parameter `device` takes it: ``"cuda:0"``, that of the library that it is in now if there is such a one,
            or ``"torch:cuda:0"``.
        device : str, optional
            ``"cpu"``, ``"cuda:0"``, …; the library's default device if not given.
        dtype : {"float32", "float64"}, optional
            As now if not given.
        like : array, optional
            Go where this array is, instead of `backend` and `device`.

        Returns
        -------
        Fitted
            Itself.

        Raises
        ------
        BackendError
            If the library or device cannot be used here.
        InputError
            If nothing is given, or `like` besides another place.
        """
        check_is_fitted(self)
        params = self._params()
        if backend is None and device is None and dtype is None and like is None:
            raise InputError("to: say a library, a device or a dtype, as in to('torch') or to('torch:cuda:0').")
        if like is None and (backend is None or device is None):
            where = device if backend is None else backend
            if where is not None:
                backend, device = _library_and_device(where, first=backends.of(params).name)
        model = replace(self._model, params=params).to(backend, device=device and str(device), dtype=dtype, like=like)
        if self._state is not None:
            there = partial(backends.place, like=model.params, backend=None, device=None)
            name = inputs.dtype_name(model.params)
            moments = tuple(there(inputs.on_host(each), name) for each in self._state.moments)
            self._state = State(model.params, None, moments, self._state.step)
        self._keep(model)
        if inputs.namespace_of(getattr(self, "classes_", None)) is not None:  # those of y's library go along
            self.classes_ = self._labels.beside(model.params)
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the estimator to a model file, which `load` and ``xpnn.load`` read.

        Kept are the parameters of the constructor but callbacks and generators, what was learned, and the attributes;
        not the optimizer's moments.

        Parameters
        ----------
        path : path

        Raises
        ------
        ModelFileError
            If the file cannot be written.
        """
        saving.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], **where: Any) -> Self:
        """Read an estimator that `save` wrote.

        Parameters
        ----------
        path : path
        where
            ``like``, ``backend`` and ``device``, as ``xpnn.load`` takes them. Without these it comes to the `device`
            that it was constructed with, or, with a warning, to NumPy if that is not here.

        Returns
        -------
        estimator

        Raises
        ------
        ModelFileError
            If the file is missing, broken, or holds something else.
        """
        return cast(Self, saving.load(cls, path, **where))

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if state.pop("_own", None):
            state["_model"] = replace(self._model, params=self._params())
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "_model" in state:  # copies have no memory in common, views have
            self._keep(self._model)


def _library_and_device(where: Any, *, first: str) -> tuple[str, str | None]:
    """A place by its name, which may be that of a package, or by an object of PyTorch's that stands for a device."""
    if not isinstance(where, str):
        library = type(where).__module__.partition(".")[0]
        if library != "torch":
            raise InputError(f"to: {where!r} is no name: say a library and its device, as in to('jax', 'cpu:0').")
        return library, str(where)
    try:
        return inputs.library_and_device(where, first=first)
    except BackendError as error:
        try:
            backends.get(where)
        except BackendError:
            raise error from None
    return where, None
