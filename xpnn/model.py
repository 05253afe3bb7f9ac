"""A trained network: description, parameters and labels together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, cast

import numpy as np

from xpnn import arrays, backends, checks, losses, parts, registry
from xpnn import metrics as scoring
from xpnn.activations import Softmax
from xpnn.errors import InputError, ModelFileError
from xpnn.files import tensors
from xpnn.losses import Hinge, Loss
from xpnn.metrics import Metric
from xpnn.network import Sequential, check_network
from xpnn.training import step
from xpnn.typing import Array, HostArray, Namespace


@dataclass(frozen=True, eq=False)
class Model:
    """A network and its parameters, as `fit` returns and `load` reads them.

    It lives where its parameters live: it takes arrays of that library on that device, and answers with such.

    Attributes
    ----------
    network : Sequential
    params : array, shape (P,)
        All weights and biases; ``network.unflatten(params)`` shows them as matrices.
    loss : Loss
        What it was trained to minimise.
    history : mapping of str to list of float
        Per epoch the ``"loss"`` over the training data, as met while training, and the ``"validation_loss"`` if
        there was validation data.
    labels : sequence, optional
        The names of the classes 0, 1, …, or of the outputs if several labels are predicted at once.
    stopped : str
        Why training ended: ``"epochs"``, ``"tol"``, ``"callback"``, or how it was cut short.
    metadata : mapping
        Anything else that belongs in the model file, as JSON.
    buffers : array, shape (B,), optional
        What layers remember without learning it (running means, say), if any does.
    """

    network: Sequential
    params: Array
    loss: Loss
    history: Mapping[str, list[float]] = field(default_factory=dict)
    labels: Sequence[Any] | None = None
    stopped: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    buffers: Array | None = None

    def __post_init__(self) -> None:
        check_network(self.network, "Model(network, params, loss)")
        object.__setattr__(self, "loss", losses.get(self.loss))

    def __repr__(self) -> str:
        here = backends.of(self.params)
        return (
            f"Model({self.network.name}, {self.network.n_parameters:,} parameters, {type(self.loss).__name__}, "
            f"{here.name} {_dtype_name(self.params)} on {here.device_name(self.params)})"
        )

    def __str__(self) -> str:
        return str(self.network)

    def summary(self) -> None:
        """Print, per layer, the shapes of W, b, Z and A and the number of parameters."""
        self.network.summary()

    def predict(self, X: Array) -> Array:
        """Ŷ for new data: probabilities after sigmoid or softmax, numbers after a linear output.

        Predictions of as many rows as the time before are compiled on some libraries, and may differ from the first
        in the last bits.

        Parameters
        ----------
        X : array, shape (n, d)
            Of the model's library and device; converted to the model's dtype if it has another.

        Returns
        -------
        array, shape (n, k)

        Raises
        ------
        InputError
            If X is empty, has another number of features, or holds a NaN or infinite value.
        ArrayError
            If X belongs to another library or device than the model.
        """
        xp = arrays.one_place(X=X, model=self.params)
        return self._forward(X, xp)

    def predict_labels(self, X: Array) -> Any:
        """The predicted classes.

        Parameters
        ----------
        X : array, shape (n, d)

        Returns
        -------
        array
            Softmax: the number of the class with the largest probability, (n,). One sigmoid output: 1 where
            Ŷ ≥ 1/2, after training with the hinge loss Ŷ ≥ 0, else 0, (n,). Several sigmoid outputs: the same for
            each, (n, k). If the model has `labels` and the classes exclude each other, a NumPy array of the
            classes' names instead, (n,).

        Raises
        ------
        InputError
            As `predict`; also if the output is neither softmax nor sigmoid, nor the loss the hinge loss.
        """
        xp, f = arrays.one_place(X=X, model=self.params), self.network.output_activation
        threshold = self._threshold
        if not (isinstance(f, Softmax) or threshold is not None):
            raise InputError(
                f"predict_labels needs a softmax or sigmoid output, this network's is {f!r}: use predict."
            )
        with backends.of(X).on(X):
            output = self._forward(X, xp)
            if isinstance(f, Softmax):
                indices = xp.argmax(output, axis=1)
            else:
                indices = xp.astype(output >= threshold, xp.int32)
                if output.shape[1] > 1:
                    return indices
                indices = indices[:, 0]
        if self.labels is None:
            return indices
        mixed = len(set(map(type, self.labels))) > 1  # NumPy would make text of the numbers
        names = np.asarray(self.labels, dtype=object if mixed else None)
        return names[backends.of(X).to_host(indices)]

    def evaluate(
        self,
        X: Array,
        y: Array,
        sample_weight: Array | None = None,
        *,
        metrics: Iterable[str | Metric] = (),
    ) -> dict[str, float]:
        """How well the model does on data.

        Parameters
        ----------
        X : array, shape (n, d)
        y : array
            Targets as `fit` takes them; if the model has `labels` and the classes exclude each other, a NumPy array
            of the classes' names as well, (n,).
        sample_weight : array, shape (n,), optional
            Weights of the loss and of the `metrics` asked for; the figures given anyway are unweighted.
        metrics : list of str or Metric, optional
            What to work out besides, such as ``["f1", xpnn.TopK(3)]``.

        Returns
        -------
        dict of str to float
            ``"loss"``; after a softmax or sigmoid output or the hinge loss ``"accuracy"``, otherwise ``"r2"`` and
            ``"mean_absolute_error"``, of the quantile nearest 1/2 if the loss has several; then the metrics asked
            for, each under the name it was asked for by, an object under its ``name``. One that has the name of a
            figure given anyway takes its place.

        Raises
        ------
        InputError, ArrayError
            As `fit`; also if a metric is unknown or does not fit the network's output.
        """
        if isinstance(y, np.ndarray) and y.dtype.kind not in "biufc" and self.labels is not None:
            y = self._numbers_of(y)
        xp = arrays.one_place(X=X, y=y, sample_weight=sample_weight, model=self.params)
        output = scoring.output_of(self.network.output_activation, self.loss)
        k = self.loss.columns(self.network.shapes[-1][0])
        asked, here = scoring.asked(metrics, output, k), backends.of(X)
        with here.on(X):
            X, y, w = checks.data(self.network, self.loss, X, y, sample_weight, dtype=self.params.dtype)
            figures = {"loss": self._value(self.params, self.buffers, X, y, w)}
            prediction = self._predictor((self.params, self.buffers), X)
            prediction, y = scoring.prepared(prediction, y, self.network.output_activation, self.loss, xp=xp)
            usual = scoring.usual(scoring.task(output, k))
            figures |= {name: metric(prediction, y, xp=xp) for name, metric in usual.items()}
            figures |= {name: parts.metric_value(metric, prediction, y, w, xp=xp) for name, metric in asked.items()}
            numbers = here.numbers(list(figures.values()), xp)
        return dict(zip(figures, numbers.tolist(), strict=True))

    def _numbers_of(self, names: HostArray) -> Array:
        """The numbers of classes, where the model is."""
        numbers = {name: number for number, name in enumerate(self.labels or ())}
        unknown = [name for name in dict.fromkeys(names.ravel().tolist()) if name not in numbers]
        if unknown or names.ndim != 1 or self.network.shapes[-1][0] not in (1, len(numbers)):
            what = f"holds {unknown[0]!r}" if unknown else f"has shape {names.shape}"
            raise InputError(f"y {what}, but should hold, (n,), the model's classes {', '.join(map(repr, numbers))}.")
        found = np.asarray([numbers[name] for name in names.tolist()])
        return arrays.from_host(found, arrays.namespace(model=self.params), device=arrays.device(self.params))

    def to(
        self,
        backend: str | None = None,
        *,
        device: str | None = None,
        like: Array | None = None,
        dtype: str | None = None,
    ) -> Model:
        """The same model in another library, on another device, or in another dtype.

        Parameters
        ----------
        backend : str, optional
            ``"numpy"``, ``"cupy"``, ``"torch"``, ``"jax"`` or another library's package name.
        device : str, optional
            ``"cpu"``, ``"cuda:0"``, …; the library's default device if not given.
        like : array, optional
            Go where this array is, instead of `backend` and `device`. The dtype stays.
        dtype : {"float32", "float64"}, optional
            The new dtype; the same as now if not given.

        Raises
        ------
        BackendError
            If the library or device cannot be used here.
        """
        if (like is not None and (backend or device)) or not (like is not None or backend or device or dtype):
            raise InputError("to: give either like=array, or a backend, device or dtype.")
        here = backends.of(self.params)
        name = dtype or _dtype_name(self.params)
        if like is None and backend is None:
            backend = here.name
            device = device or here.device_name(self.params)

        def moved(vector: Array) -> Array:
            return backends.place(here.to_host(vector), name, like=like, backend=backend, device=device)

        buffers = None if self.buffers is None else moved(self.buffers)
        return replace(self, params=moved(self.params), buffers=buffers)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file: whole, or not at all.

        The file is in the safetensors format, with the arrays ``layers.0.W``, ``layers.0.b``, … and everything
        else as JSON in its metadata. A part that is not xpnn's own stands there as the module and the name to import
        its class from, which `load` does for modules that it is told to trust; otherwise loading runs no code.

        Raises
        ------
        ModelFileError
            If the file cannot be written, or a part of one's own could not be imported or made again; what was there
            before is then still there.
        """
        to_host = backends.of(self.params).to_host
        params = cast(Array, to_host(self.params))
        buffers = None if self.buffers is None else cast(Array, to_host(self.buffers))
        named = {
            f"layers.{i}.{name}": cast(HostArray, array)
            for layers in (self.network.unflatten(params), self.network.unflatten_buffers(buffers))
            for i, layer in enumerate(layers)
            for name, array in layer.items()
        }
        header = {
            "network": self.network.to_json(),
            "loss": registry.describe(self.loss),
            "history": {name: list(values) for name, values in self.history.items()},
            "labels": None if self.labels is None else list(self.labels),
            "stopped": self.stopped,
            "metadata": dict(self.metadata),
        }
        tensors.write(path, named, header)

    @property
    def _threshold(self) -> float | None:
        """From where on an output says yes; None if the outputs are numbers."""
        if isinstance(self.loss, Hinge):
            return 0.0
        return 0.5 if self.network.output_activation.bounds == (0.0, 1.0) else None

    def _forward(self, X: Array, xp: Namespace) -> Array:
        here = backends.of(X)
        with here.on(X):
            X = checks.features(here.detach(X), self.network.input_shape, xp, dtype=self.params.dtype)
            return self._predictor((self.params, self.buffers), X)

    @cached_property
    def _predictor(self) -> Callable[[tuple[Array, Array | None], Array], Array]:
        """``f((params, buffers), X) → Ŷ``, as the library runs it best."""
        return step.predictor(self.network, backends.of(self.params), arrays.namespace(params=self.params))

    @cached_property
    def _value(self) -> Callable[..., Array]:
        """J, as the library runs it best."""
        there = backends.of(self.params), arrays.namespace(params=self.params)
        return step.value(self.network, self.loss, *there)

    def __getstate__(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


def load(
    path: str | os.PathLike[str],
    *,
    like: Array | None = None,
    backend: str | None = None,
    device: str | None = None,
    trusted: Sequence[str] = (),
) -> Model:
    """Read a model file.

    Parameters
    ----------
    path : path
        A file that `Model.save` or ``xpnn train`` wrote.
    like : array, optional
        Put the model where this array is: its library and device. The dtype is the one it was saved with.
    backend : str, optional
        ``"numpy"`` (the default), ``"cupy"``, ``"torch"``, ``"jax"`` or another library's package name.
    device : str, optional
        ``"cpu"``, ``"cuda:0"``, …; the library's default device if not given.
    trusted : sequence of str, optional
        The modules, ``["my_parts"]``, or single classes, ``["my_parts:Snake"]``, that may be imported for parts of
        the model that are not xpnn's own. Importing a module runs its code. None is imported otherwise.

    Returns
    -------
    Model

    Raises
    ------
    ModelFileError
        If the file is missing, broken, or not one of xpnn's; if it has parts that are not xpnn's own and not trusted
        (it names them), or that cannot be imported.
    BackendError
        If the library or device cannot be used here.
    """
    if like is not None and (backend is not None or device is not None):
        raise InputError("load: give either like=array, or a backend and device.")
    named, header = tensors.read(path)
    registry.check_trusted([header.get("network"), header.get("loss")], trusted)
    try:
        network = Sequential.from_json(header["network"], trusted)
        kinds = {array.dtype.name for array in named.values()}
        if len(kinds) > 1 or not kinds <= {"float32", "float64"}:
            raise InputError(f"its arrays should be all float32 or all float64, and are {', '.join(sorted(kinds))}")
        params, buffers = (
            [{name: cast(Array, named.pop(f"layers.{i}.{name}")) for name in shapes} for i, shapes in enumerate(each)]
            for each in (network.parameter_shapes, network.buffer_shapes)
        )
        flat = cast(HostArray, network.flatten(params)), cast(HostArray | None, network.flatten_buffers(buffers))
        loss = losses.get(registry.build(header["loss"], trusted))
        rest = {name: _of_type(kind, header, name) for name, kind in _REST.items()}
    except (KeyError, TypeError, AttributeError, InputError) as error:
        raise ModelFileError(f"{path} does not describe a model of xpnn: {error!r}.") from error
    if named:
        raise ModelFileError(f"{path} holds arrays that its network does not have: {', '.join(sorted(named))}.")
    if like is None and backend is None:
        if device not in (None, "cpu"):
            if device in backends.KNOWN:
                raise InputError(f"load: {device!r} is a library: write backend={device!r}.")
            raise InputError(f"load: device {device!r} of which library? Give backend='torch', say, as well.")
        backend = "numpy"

    def placed(vector: HostArray) -> Array:
        return backends.place(vector, vector.dtype.name, like=like, backend=backend, device=device)

    return Model(network, placed(flat[0]), loss, buffers=None if flat[1] is None else placed(flat[1]), **rest)


_REST: dict[str, tuple[type, ...]] = {
    "history": (dict,),
    "labels": (list, type(None)),
    "stopped": (str,),
    "metadata": (dict,),
}


def _of_type(kind: tuple[type, ...], header: dict[str, Any], name: str) -> Any:
    if not isinstance(header[name], kind):
        raise TypeError(f"{name} should be {kind[0].__name__}, is {header[name]!r}")
    return header[name]


def _dtype_name(array: Array) -> str:
    return str(array.dtype).split(".")[-1]
