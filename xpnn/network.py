"""A network: layers in a row, over one flat vector of parameters."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import Any, cast

from xpnn import activations, arrays, random, registry, text
from xpnn.activations import Activation, Linear
from xpnn.errors import InputError
from xpnn.layers import Context, Dense, Layer
from xpnn.layers.base import Parameters
from xpnn.layout import Layout, Named, Shape
from xpnn.typing import Array, HostArray, Namespace


@dataclass(frozen=True, init=False, repr=False)
class Sequential:
    """Layers in a row: the output of each is the input of the next.

    A description only: it holds no arrays. Its parameters, W(1), b(1), W(2), b(2), …, are one flat vector of
    shape (P,), each matrix row by row; so is its gradient. `unflatten` shows them as matrices.

    Parameters
    ----------
    *layers : Layer
        At least one.
    input_shape : tuple of int
        The shape of one sample: ``(d,)`` for d features.

    Raises
    ------
    InputError
        If there is no layer, or a layer cannot take what the one before it gives.

    Examples
    --------
    >>> network = Sequential(Dense(3, "sigmoid"), Dense(1, "sigmoid"), input_shape=(2,))
    >>> network.n_parameters
    13
    """

    layers: tuple[Layer, ...]
    input_shape: Shape

    def __init__(self, *layers: Layer, input_shape: Sequence[int]) -> None:
        if not layers:
            raise InputError("Sequential: at least one layer is needed, got none.")
        for position, layer in enumerate(layers, 1):
            if not isinstance(layer, Layer):
                hint = ""
                if isinstance(layer, list | tuple):
                    hint = " Pass them one by one: Sequential(*layers, input_shape=...)."
                elif isinstance(layer, type) and issubclass(layer, Layer):
                    hint = f" Write {layer.__name__}()."
                raise InputError(
                    f"Sequential: layer {position} must be a Layer such as Dense(3), got {layer!r}.{hint}"
                )
        if not isinstance(input_shape, Sequence) or not all(isinstance(d, Integral) and d >= 1 for d in input_shape):
            raise InputError(f"Sequential: input_shape must be a tuple such as (2,), got {input_shape!r}.")
        object.__setattr__(self, "layers", tuple(layers))
        object.__setattr__(self, "input_shape", tuple(map(int, input_shape)))
        _ = self.shapes  # a layer that does not fit its input says so now

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.layers))}, input_shape={self.input_shape})"

    def __getstate__(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """The shape of one sample before the first layer, after it, …, after the last."""
        shapes = [self.input_shape]
        for layer in self.layers:
            shapes.append(layer.output_shape(shapes[-1]))
        return tuple(shapes)

    @cached_property
    def parameter_shapes(self) -> tuple[dict[str, Shape], ...]:
        """Per layer, the shape of each parameter by name."""
        return tuple(layer.parameter_shapes(s) for layer, s in zip(self.layers, self.shapes, strict=False))

    @cached_property
    def buffer_shapes(self) -> tuple[dict[str, Shape], ...]:
        """Per layer, the shape of each buffer by name."""
        return tuple({name: array.shape for name, array in named.items()} for named in self._first_buffers())

    @property
    def n_parameters(self) -> int:
        """P, the number of parameters."""
        return self._parameters.size

    @cached_property
    def _parameters(self) -> Layout:
        return Layout("params", self.parameter_shapes)

    @cached_property
    def _buffers(self) -> Layout:
        return Layout("buffers", self.buffer_shapes)

    def _first_buffers(self) -> list[dict[str, HostArray]]:
        return [layer.init_buffers(shape) for layer, shape in zip(self.layers, self.shapes, strict=False)]

    def init(self, seed: int = 0, *, like: Array | None = None) -> Array:
        """Initial parameters: the same numbers for the same seed, on every library and device.

        Parameters
        ----------
        seed : int
            Zero or more.
        like : array, optional
            The library, device and (if it is a real one) dtype to use; NumPy and float64 by default.

        Returns
        -------
        params : array, shape (P,)
        """
        if not self.n_parameters:
            raise InputError(f"{self!r} has no parameters: there is nothing to train.")
        rng = random.generator(seed, "weights")
        drawn = [layer.init(shape, rng) for layer, shape in zip(self.layers, self.shapes, strict=False)]
        for layer, named, shapes in zip(self.layers, drawn, self.parameter_shapes, strict=True):
            given = {name: tuple(array.shape) for name, array in named.items()}
            if list(given.items()) != list(shapes.items()):  # in this order, too
                raise InputError(
                    f"{type(layer).__name__}.init must return arrays of its parameter_shapes, {shapes}, got {given}."
                )
        return _one_vector(drawn, like)

    def init_buffers(self, *, like: Array | None = None) -> Array | None:
        """First values of all that the layers remember without learning it, shape (B,); None if that is nothing."""
        return _one_vector(self._first_buffers(), like) if self._buffers.size else None

    def unflatten(self, params: Array, *, xp: Namespace | None = None) -> list[Parameters]:
        """Show the flat vector as matrices, per layer ``{"W": (l(i-1), l(i)), "b": (l(i),)}``.

        They are views where the library has views: write to them and the vector changes (never rely on it:
        JAX has none).

        Raises
        ------
        InputError
            If `params` does not have the shape (P,).
        """
        return self._parameters.unflatten(params, xp=xp or arrays.namespace(params=params))

    def unflatten_buffers(self, buffers: Array | None, *, xp: Namespace | None = None) -> list[Named]:
        """The same for the flat vector of buffers; nothing per layer if the network has none."""
        if not self._buffers.size:
            return [{} for _ in self.layers]
        if buffers is None:
            raise InputError(
                "this network has buffers: pass those of its model, or network.init_buffers(like=params)."
            )
        return self._buffers.unflatten(buffers, xp=xp or arrays.namespace(buffers=buffers))

    def flatten(self, parameters: Sequence[Mapping[str, Array]], *, xp: Namespace | None = None) -> Array:
        """Put matrices back into one flat vector, shape (P,): the inverse of `unflatten`.

        Raises
        ------
        InputError
            If a layer or a parameter is missing or has another shape than it should.
        """
        return self._parameters.flatten(parameters, xp=xp)

    def flatten_buffers(self, buffers: Sequence[Mapping[str, Array]], *, xp: Namespace | None = None) -> Array | None:
        """The same for buffers; None if the network has none."""
        return self._buffers.flatten(buffers, xp=xp) if self._buffers.size else None

    def forward(self, params: Array, X: Array, buffers: Array | None = None) -> Array:
        """Ŷ = A(last), by  Z(i) = A(i-1) W(i) + b(i),  A(i) = f_i(Z(i)),  A(0) = X.

        Parameters
        ----------
        params : array, shape (P,)
        X : array, shape (n, d)
            Of the same library, device and dtype as `params`.
        buffers : array, shape (B,), optional
            What the layers remember, if any of them does.

        Returns
        -------
        array, shape (n, k)
        """
        ctx = Context(arrays.namespace(params=params, X=X, buffers=buffers))
        return self.forward_pass(params, X, ctx, buffers)[0]

    def forward_pass(
        self, params: Array, X: Array, ctx: Context, buffers: Array | None = None
    ) -> tuple[Array, list[Any], Array | None]:
        """Ŷ, per layer what `backward_pass` needs, and the updated buffers."""
        if X.shape[1:] != self.input_shape:
            raise InputError(self._wrong_input(X))
        a, caches = X, []
        remembered = self.unflatten_buffers(buffers, xp=ctx.xp)
        for i, p in enumerate(self.unflatten(params, xp=ctx.xp)):
            ctx.layer, ctx.buffers = i, remembered[i]
            a, cache = self.layers[i].forward(p, a, ctx)
            remembered[i] = ctx.buffers
            caches.append(cache)
        return a, caches, self.flatten_buffers(remembered, xp=ctx.xp) if ctx.training else buffers

    def backward_pass(self, params: Array, caches: list[Any], dy: Array, ctx: Context) -> Array:
        """∂J/∂params as a flat vector, (P,), from dy = ∂J/∂Ŷ: the layers in reverse order."""
        parameters = self.unflatten(params, xp=ctx.xp)
        gradients: list[Parameters] = [{} for _ in self.layers]
        da: Array | None = dy
        for i in reversed(range(len(self.layers))):
            ctx.layer = i
            da, gradients[i] = self.layers[i].backward(
                parameters[i], caches[i], cast(Array, da), ctx, input_gradient=i > 0
            )
        return self.flatten(gradients, xp=ctx.xp)

    def _wrong_input(self, X: Array) -> str:
        expected = f"(*, {', '.join(map(str, self.input_shape))})"
        first = self.layers[0]
        name = f"Dense(n_in={self.input_shape[0]}, n_out={first.units})" if isinstance(first, Dense) else repr(first)
        return f"{name}: x must have shape {expected}, got {tuple(X.shape)}."

    @property
    def name(self) -> str:
        """The numbers of nodes, input first: ``2-3-4-1``; layers that leave them as they are do not count."""
        widths = [math.prod(shape) for shape in self.shapes]
        kept = [hasattr(layer, "activation") or widths[i] != widths[i + 1] for i, layer in enumerate(self.layers)]
        return "-".join(map(str, [widths[0], *(width for width, keep in zip(widths[1:], kept, strict=True) if keep)]))

    @property
    def output_activation(self) -> Activation:
        """The activation of the last layer; linear if it has none."""
        return cast(Activation, getattr(self.layers[-1], "activation", Linear()))

    def to_logits(self) -> Sequential:
        """The same network with a linear output: Z of the last layer instead of A."""
        last = cast(Any, dataclasses.replace)(self.layers[-1], activation=Linear())
        return Sequential(*self.layers[:-1], last, input_shape=self.input_shape)

    def __str__(self) -> str:
        rows = [("layer", "W", "b", "Z and A", "parameters")]
        for i, (layer, named, out) in enumerate(
            zip(self.layers, self.parameter_shapes, self.shapes[1:], strict=True), 1
        ):
            f = getattr(layer, "activation", None)
            name = type(layer).__name__ + (f" {activations.name_of(f)}" if f else "")
            W = str(named["W"]) if "W" in named else "-"
            b = str((1, *named["b"])) if "b" in named else "-"
            Z = f"(n, {', '.join(map(str, out))})"
            rows.append((f"{i}  {name}", W, b, Z, f"{sum(map(math.prod, named.values())):,}"))
        title = f"Network {self.name}, n samples"
        return "\n".join([title, text.columns(rows, right={4}), f"{self.n_parameters:,} parameters in all"])

    def summary(self) -> None:
        """Print, per layer, the shapes of W, b, Z and A and the number of parameters."""
        print(self)

    def to_json(self) -> dict[str, Any]:
        """Describe the network for a model file."""
        return {
            "layers": [registry.describe(layer) for layer in self.layers],
            "input_shape": list(self.input_shape),
        }

    @classmethod
    def from_json(cls, description: dict[str, Any], trusted: Sequence[str] = ()) -> Sequential:
        """The network that `to_json` described; `trusted` as `xpnn.load` takes it."""
        layers = registry.build(list(description["layers"]), trusted)
        return cls(*layers, input_shape=tuple(description["input_shape"]))


def _one_vector(layers: list[dict[str, HostArray]], like: Array | None) -> Array:
    """Host arrays as one flat vector in the library, on the device and in the dtype of `like`."""
    host = arrays.host_vector([array for named in layers for array in named.values()])
    if like is None:
        return cast(Array, host)
    xp = arrays.namespace(like=like)
    return arrays.from_host(host, xp, dtype=arrays.real_dtype(like, xp), device=arrays.device(like))


def mlp(
    sizes: Sequence[int],
    hidden: str | Activation | Sequence[str | Activation] = "relu",
    output: str | Activation = "linear",
) -> Sequential:
    """A multilayer perceptron from its node counts.

    Parameters
    ----------
    sizes : sequence of int
        The nodes of each layer, input first: ``[2, 3, 4, 1]`` is the 2-3-4-1 network of the course text.
    hidden : str, Activation, or one per hidden layer
        The activation of the hidden layers.
    output : str or Activation
        The activation of the output layer.

    Returns
    -------
    Sequential

    Raises
    ------
    InputError
        If there are fewer than two sizes, or not one activation per hidden layer.
    """
    if isinstance(sizes, str) or not hasattr(sizes, "__len__") or len(sizes) < 2:
        raise InputError(f"mlp: sizes must hold an input and an output at least, such as [2, 4, 1]; got {sizes!r}.")
    n_hidden = len(sizes) - 2
    each = list(hidden) if isinstance(hidden, list | tuple) else [cast(str | Activation, hidden)] * n_hidden
    if len(each) != n_hidden:
        raise InputError(f"mlp: {n_hidden} hidden layers need as many activations, got {len(each)}: {each!r}.")
    layers = [Dense(units, f) for units, f in zip(sizes[1:], [*each, output], strict=True)]
    return Sequential(*layers, input_shape=(sizes[0],))


def check_network(network: object, call: str) -> None:
    """Raise `InputError` unless it is a `Sequential`; `call` shows the right order of arguments."""
    if not isinstance(network, Sequential):
        kind = getattr(network, "__name__", type(network).__name__)
        raise InputError(f"{call}: network must be a Sequential, as xpnn.mlp([2, 4, 1]) makes one, got {kind}.")
