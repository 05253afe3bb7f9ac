"""Dropout: a part of the nodes left out of each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xpnn import arrays, random
from xpnn.errors import InputError
from xpnn.layers.base import Context, Layer, Parameters, registry
from xpnn.layout import Shape
from xpnn.typing import Array, HostArray, HostGenerator


@registry.register("dropout")
@dataclass(frozen=True)
class Dropout(Layer):
    """Sets a share of its inputs to 0 in training, and the others to x / (1 - rate); in prediction  Y = X.

    Backward:  dX = dY ⊗ M / (1 - rate), where M is 1 for what was kept and 0 for the rest. M is a function of the
    seed, the step and the layer: see `xpnn.random.chances`.

    Parameters
    ----------
    rate : float
        The share that is left out, 0 ≤ rate < 1.

    Raises
    ------
    InputError
        If the rate is outside its interval.

    Notes
    -----
    Source: N. Srivastava et al., JMLR 15, 2014, in the form that scales in training, as ``torch.nn.Dropout``.
    """

    rate: float = 0.5

    def __post_init__(self) -> None:
        if isinstance(self.rate, bool) or not isinstance(self.rate, int | float) or not 0 <= self.rate < 1:
            raise InputError(f"Dropout: rate must be a number from 0 to below 1, got {self.rate!r}.")

    @property
    def noisy(self) -> bool:
        """If it drops anything."""
        return self.rate > 0

    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """None."""
        return {}

    def output_shape(self, input_shape: Shape) -> Shape:
        """As the input's."""
        return input_shape

    def init(self, input_shape: Shape, rng: HostGenerator) -> dict[str, HostArray]:
        """Nothing."""
        return {}

    def forward(self, params: Parameters, x: Array, ctx: Context) -> tuple[Array, Any]:
        """Y, of the shape of x, and M."""
        if not ctx.training or self.rate == 0:
            return x, None
        kept = random.chances(
            x.shape, 1 - self.rate, seed=ctx.seed, step=ctx.step, layer=ctx.layer, xp=ctx.xp, device=arrays.device(x)
        )
        return self._scaled(kept, x, ctx), kept

    def backward(
        self, params: Parameters, cache: Any, dy: Array, ctx: Context, *, input_gradient: bool = True
    ) -> tuple[Array | None, Parameters]:
        """``(dX, {})``."""
        if not input_gradient:
            return None, {}
        return (dy if cache is None else self._scaled(cache, dy, ctx)), {}

    def _scaled(self, kept: Array, x: Array, ctx: Context) -> Array:
        return ctx.xp.where(kept, x * (1 / (1 - self.rate)), 0.0)
