"""The fully connected layer of the course text."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

from xpnn import activations, initializers
from xpnn.activations import Activation, Softmax
from xpnn.errors import InputError
from xpnn.initializers import Initializer
from xpnn.layers.base import Context, Layer, Parameters, registry
from xpnn.layout import Shape
from xpnn.typing import Array, HostArray, HostGenerator


@registry.register("dense")
@dataclass(frozen=True, init=False)
class Dense(Layer):
    """Fully connected layer with one activation:  Z = X W + b,  A = f(Z).

    Backward, from dA:  dZ = dA ⊗ f'(Z);  dW = Xᵀ dZ;  db = column sums of dZ;  dX = dZ Wᵀ.
    Shapes: X (n, n_in), W (n_in, units), b (units,), Z and A (n, units).

    Parameters
    ----------
    units : int
        The number of nodes, l(i).
    activation : str or Activation
        f, one for the whole layer.
    weight_initializer : str or Initializer, optional
        Initial W. By default He normal for relu and what is like it (leaky relu, elu, swish, gelu, mish, softplus),
        LeCun normal for selu, Glorot uniform otherwise.
    bias_initializer : str or Initializer
        Initial b.

    Raises
    ------
    InputError
        If `units` is not an integer ≥ 1, or a name is unknown.
    """

    units: int
    activation: Activation
    weight_initializer: Initializer
    bias_initializer: Initializer

    def __init__(
        self,
        units: int,
        activation: str | Activation = "linear",
        weight_initializer: str | Initializer | None = None,
        bias_initializer: str | Initializer = "zeros",
    ) -> None:
        if isinstance(units, bool) or not isinstance(units, Integral) or units < 1:
            raise InputError(f"Dense: units must be an integer >= 1, got {units!r}.")
        f = activations.get(activation)
        if units == 1 and isinstance(f, Softmax):
            raise InputError("Dense: softmax over one node is always 1: use sigmoid, or one node per class.")
        object.__setattr__(self, "units", int(units))
        object.__setattr__(self, "activation", f)
        object.__setattr__(self, "weight_initializer", initializers.get(weight_initializer or f.weight_initializer))
        object.__setattr__(self, "bias_initializer", initializers.get(bias_initializer))

    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """``{"W": (n_in, units), "b": (units,)}``."""
        (n_in,) = input_shape
        return {"W": (n_in, self.units), "b": (self.units,)}

    def output_shape(self, input_shape: Shape) -> Shape:
        """``(units,)``."""
        if len(input_shape) != 1:
            raise InputError(f"Dense({self.units}): each sample must be a row (n_in,), got shape {input_shape}.")
        return (self.units,)

    def init(self, input_shape: Shape, rng: HostGenerator) -> dict[str, HostArray]:
        """Initial W and b, on the host."""
        shapes = self.parameter_shapes(input_shape)
        return {
            "W": initializers.draw(self.weight_initializer, shapes["W"], rng),
            "b": initializers.draw(self.bias_initializer, shapes["b"], rng),
        }

    def forward(self, params: Parameters, x: Array, ctx: Context) -> tuple[Array, Any]:
        """A, (n, units), and what backward needs."""
        W, b = params["W"], params["b"]
        z = x @ W
        z += b
        a, cache = self.activation.forward(z, xp=ctx.xp)
        return a, (x, cache)

    def backward(
        self, params: Parameters, cache: Any, dy: Array, ctx: Context, *, input_gradient: bool = True
    ) -> tuple[Array | None, Parameters]:
        """``(dX, {"W": dW, "b": db})``."""
        x, activation_cache = cache
        xp = ctx.xp
        dz = self.activation.backward(activation_cache, dy, xp=xp)
        gradients = {"W": xp.matrix_transpose(x) @ dz, "b": xp.sum(dz, axis=0)}
        dx = dz @ xp.matrix_transpose(params["W"]) if input_gradient else None
        return dx, gradients
