"""Normalisation: inputs brought to mean 0 and variance 1, then to a mean and a spread that are learned."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from xpnn.arrays import host_filled
from xpnn.errors import InputError
from xpnn.layers.base import Context, Layer, Parameters, registry
from xpnn.layout import Shape
from xpnn.typing import Array, HostArray, HostGenerator


@dataclass(frozen=True)
class _Normalization(Layer):
    """What both have in common:  Y = γ ⊗ X̂ + β  with  X̂ = (X - μ) / √(σ² + ε).

    Attributes
    ----------
    axis : int
        Along which μ and σ² are: 0 for those of each column, 1 for those of each row.
    """

    axis: ClassVar[int]
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        self._check("epsilon", "a number > 0", 0 < _number(self.epsilon) < math.inf)

    def _check(self, name: str, expected: str, right: bool) -> None:
        if not right:
            raise InputError(f"{type(self).__name__}: {name} must be {expected}, got {getattr(self, name)!r}.")

    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """``{"gamma": (d,), "beta": (d,)}``."""
        return {"gamma": input_shape, "beta": input_shape}

    def output_shape(self, input_shape: Shape) -> Shape:
        """As the input's, ``(d,)``."""
        if len(input_shape) != 1:
            raise InputError(f"{type(self).__name__}: each sample must be a row (d,), got shape {input_shape}.")
        return input_shape

    def init(self, input_shape: Shape, rng: HostGenerator) -> dict[str, HostArray]:
        """γ = 1, β = 0."""
        return {"gamma": host_filled(input_shape, 1.0), "beta": host_filled(input_shape, 0.0)}

    def backward(
        self, params: Parameters, cache: Any, dy: Array, ctx: Context, *, input_gradient: bool = True
    ) -> tuple[Array | None, Parameters]:
        """``(dX, {"gamma": dγ, "beta": dβ})``, by  dX = (dX̂ - mean(dX̂) - X̂ ⊗ mean(dX̂ ⊗ X̂)) / √(σ² + ε)."""
        (x_hat, scale), xp = cache, ctx.xp
        gradients = {"gamma": xp.sum(dy * x_hat, axis=0), "beta": xp.sum(dy, axis=0)}
        if not input_gradient:
            return None, gradients
        d_hat, share = dy * params["gamma"], 1.0 / dy.shape[self.axis]
        mean = xp.sum(d_hat, axis=self.axis, keepdims=True) * share
        along = xp.sum(d_hat * x_hat, axis=self.axis, keepdims=True) * share
        return (d_hat - mean - x_hat * along) * scale, gradients


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


@registry.register("layer_normalization")
@dataclass(frozen=True)
class LayerNormalization(_Normalization):
    """Each row to mean 0 and variance 1:  Y = γ ⊗ (X - μ) / √(σ² + ε) + β,  μ and σ² of each row.

    Backward:  dβ = Σ dY,  dγ = Σ dY ⊗ X̂  over the rows;  dX̂ = dY ⊗ γ  and
    dX = (dX̂ - mean(dX̂) - X̂ ⊗ mean(dX̂ ⊗ X̂)) / √(σ² + ε),  the means along each row.
    Shapes: X, Y (n, d), γ and β (d,), μ and σ² (n, 1).

    Parameters
    ----------
    epsilon : float
        ε > 0.

    Raises
    ------
    InputError
        If ε is not above 0.

    Notes
    -----
    Source: arXiv:1607.06450; as ``torch.nn.LayerNorm``.
    """

    axis = 1

    def forward(self, params: Parameters, x: Array, ctx: Context) -> tuple[Array, Any]:
        """Y, (n, d), and what backward needs."""
        xp, share = ctx.xp, 1.0 / x.shape[1]
        centred = x - xp.sum(x, axis=1, keepdims=True) * share
        variance = xp.sum(centred * centred, axis=1, keepdims=True) * share
        scale = 1.0 / xp.sqrt(variance + self.epsilon)
        x_hat = centred * scale
        return params["gamma"] * x_hat + params["beta"], (x_hat, scale)


@registry.register("batch_normalization")
@dataclass(frozen=True)
class BatchNormalization(_Normalization):
    """Each column to mean 0 and variance 1 over the batch:  Y = γ ⊗ (X - μ) / √(σ² + ε) + β.

    In training μ and σ² are those of the batch's columns, and the layer remembers running means of μ and of the
    unbiased n σ² / (n - 1); in prediction these take their place. Training takes batches of two samples at least.
    Backward as in `LayerNormalization`, the means over the batch. Shapes: X, Y (n, d), all else (d,).

    Parameters
    ----------
    epsilon : float
        ε > 0.
    momentum : float
        The share of each batch in the running means, 0 < momentum ≤ 1.

    Raises
    ------
    InputError
        If a hyperparameter is outside its interval.

    Notes
    -----
    Source: arXiv:1502.03167; as ``torch.nn.BatchNorm1d``. Sample weights do not enter the means.
    """

    axis = 0
    least_batch = 2  # one sample has no variance
    momentum: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("momentum", "a number above 0 and at most 1", 0 < _number(self.momentum) <= 1)

    def init_buffers(self, input_shape: Shape) -> dict[str, HostArray]:
        """The running mean 0 and variance 1."""
        return {"mean": host_filled(input_shape, 0.0), "variance": host_filled(input_shape, 1.0)}

    def forward(self, params: Parameters, x: Array, ctx: Context) -> tuple[Array, Any]:
        """Y, (n, d), and what backward needs."""
        xp, n = ctx.xp, x.shape[0]
        if not ctx.training:
            scale = params["gamma"] / xp.sqrt(ctx.buffers["variance"] + self.epsilon)
            return x * scale + (params["beta"] - ctx.buffers["mean"] * scale), None
        mean = xp.sum(x, axis=0) * (1.0 / n)
        centred = x - mean
        variance = xp.sum(centred * centred, axis=0) * (1.0 / n)
        scale = 1.0 / xp.sqrt(variance + self.epsilon)
        x_hat = centred * scale
        kept, unbiased = 1.0 - self.momentum, n / max(1, n - 1)
        ctx.buffers = {
            "mean": ctx.buffers["mean"] * kept + mean * self.momentum,
            "variance": ctx.buffers["variance"] * kept + variance * (self.momentum * unbiased),
        }
        return params["gamma"] * x_hat + params["beta"], (x_hat, scale)
