"""What every layer is: a description with shapes, initial values, a forward and a backward pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from xpnn.errors import missing
from xpnn.layout import Named, Shape
from xpnn.registry import Registry
from xpnn.typing import Array, HostArray, HostGenerator, Namespace

Parameters = Named


@dataclass
class Context:
    """What a pass through a network knows besides the parameters and the data; one for each pass.

    Attributes
    ----------
    xp : namespace
        The namespace of the arrays, looked up once per pass.
    training : bool
        Whether the pass is one of training.
    seed, step : int
        With `layer`, where noise comes from: a function of these three alone is the same on every library. `step`
        counts the steps of one training; in a compiled step it is an array of shape ().
    layer : int
        Which layer is running, counted from 0; the network sets it.
    buffers : dict of arrays
        The running layer's buffers by name. A layer that updates one in training (a running mean, say) puts a new
        array here; it never writes into the old one, which may belong to a model.
    """

    xp: Namespace
    training: bool = False
    seed: int = 0
    step: int | Array = 0
    layer: int = 0
    buffers: Named = field(default_factory=dict)


@dataclass(frozen=True)
class Layer:
    """Base of the layers. One's own is a frozen dataclass derived from it, its fields being hyperparameters.

    It must define `parameter_shapes`, `output_shape`, `init`, `forward` and `backward`, and `init_buffers` if it
    remembers something without learning it. Shapes are per sample, without n. Arrays are never kept in the layer:
    parameters come in `params`, buffers in ``ctx.buffers``, the namespace is ``ctx.xp``, and random numbers follow
    from ``ctx.seed``, ``ctx.step`` and ``ctx.layer`` (`xpnn.random.chances`), which `noisy` then says. Like an
    activation it uses functions of the namespace and operators alone, does not look at the numbers in arrays nor
    write into what it is given, and keeps x's dtype, library and device. `xpnn.testing.check_layer` tries all of
    it.

    Its formulas may depend on its fields, the arguments and ctx alone: whatever else they look up is read once and
    kept with the compiled step.

    Attributes
    ----------
    least_batch : int
        The samples that a step of training needs at least, by default 1.
    """

    least_batch: ClassVar[int] = 1

    @property
    def noisy(self) -> bool:
        """Whether a pass of training draws random numbers, so that J is another one at each step."""
        return False

    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Name and shape of each parameter, in the order in which they lie in the flat vector; ``{}`` for none."""
        raise missing(self, "parameter_shapes")

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of one sample of the output."""
        raise missing(self, "output_shape")

    def init(self, input_shape: Shape, rng: HostGenerator) -> dict[str, HostArray]:
        """Initial parameters: NumPy arrays of float64 with the names, order and shapes of `parameter_shapes`.

        Drawn from `rng` alone, so that the seed decides them.
        """
        raise missing(self, "init")

    def init_buffers(self, input_shape: Shape) -> dict[str, HostArray]:
        """The first values of what a layer remembers without learning it, on the host; usually nothing."""
        return {}

    def forward(self, params: Parameters, x: Array, ctx: Context) -> tuple[Array, Any]:
        """``(y, cache)``: the output for the batch x, and what backward needs.

        Parameters
        ----------
        params : dict of arrays
            By the names of `parameter_shapes`.
        x : array, shape (n, *input_shape)
        ctx : Context
            Where ``ctx.training`` is true, a layer with buffers puts new ones into ``ctx.buffers``.

        Returns
        -------
        y : array, shape (n, *output_shape)
        cache
            Anything.
        """
        raise missing(self, "forward")

    def backward(
        self, params: Parameters, cache: Any, dy: Array, ctx: Context, *, input_gradient: bool = True
    ) -> tuple[Array | None, Parameters]:
        """``(dx, gradients)`` from the gradient dy at the output.

        Parameters
        ----------
        params, ctx
            As `forward` got them.
        cache
            What `forward` gave.
        dy : array, shape (n, *output_shape)
            ∂J/∂y.
        input_gradient : bool
            Whether dx is asked for; in a network's first layer it is not.

        Returns
        -------
        dx : array, shape (n, *input_shape), or None if it is not asked for
            ∂J/∂x.
        gradients : dict of arrays
            ∂J/∂ each parameter, by the names and of the shapes of `parameter_shapes`.
        """
        raise missing(self, "backward")


registry = Registry("layer", Layer)
