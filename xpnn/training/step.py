"""One step of training: J and ∂J/∂θ by backpropagation, then the update rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from xpnn import arrays, losses
from xpnn.backends import Backend
from xpnn.layers import Context
from xpnn.losses import Loss
from xpnn.network import Sequential
from xpnn.optimizers import Optimizer
from xpnn.typing import Array, Namespace


class ValueAndGrad(Protocol):
    """``f(params, X, y, sample_weight=None) → (loss, gradient)``."""

    def __call__(  # noqa: D102
        self,
        params: Array,
        X: Array,
        y: Array,
        sample_weight: Array | None = None,
        *,
        xp: Namespace | None = None,
    ) -> tuple[Array, Array]: ...


def logits_form(network: Sequential, loss: Loss) -> tuple[Sequential, Loss]:
    """The same J with the output activation inside the loss, where the pair has such a stable form."""
    losses.check_output(loss, network.output_activation)
    fused = losses.fused(network.output_activation, loss)
    return (network, loss) if fused is None else (network.to_logits(), fused)


def value_and_grad(network: Sequential, loss: str | Loss) -> ValueAndGrad:
    """The function that gives J and its gradient by backpropagation.

    For the output layer m and then each layer below it:

    1. ``∂J/∂Ŷ``
    2. ``δ(m) = ∂J/∂Ŷ ⊗ f'(Z(m))``; for sigmoid with binary and softmax with categorical cross-entropy both
       collapse to ``A(m) - Y`` (over n, for the mean)
    3. ``∂J/∂W(i) = A(i-1)ᵀ δ(i)``, ``∂J/∂b(i) = column sums of δ(i)``
    4. ``∂J/∂A(i-1) = δ(i) W(i)ᵀ``, ``δ(i-1) = ∂J/∂A(i-1) ⊗ f'(Z(i-1))``

    Parameters
    ----------
    network : Sequential
    loss : str or Loss

    Returns
    -------
    callable
        ``f(params, X, y, sample_weight=None)`` gives ``(loss, gradient)``: an array of shape () and a flat
        vector of shape (P,); ``network.unflatten(gradient)`` shows the matrices. Shapes: params (P,), X (n, d),
        y (n, k), or (n,) integer labels for categorical cross-entropy; all of one library and dtype.

    Raises
    ------
    InputError
        If the loss is unknown, or not defined for what the network's output activation can give.

    Notes
    -----
    Source: section "Backpropagation", summarised for the 2-4-5-1 network in its four steps.
    """
    network, loss = logits_form(network, losses.get(loss))

    def f(
        params: Array, X: Array, y: Array, sample_weight: Array | None = None, *, xp: Namespace | None = None
    ) -> tuple[Array, Array]:
        if xp is None:
            xp = arrays.namespace(params=params, X=X, y=y, sample_weight=sample_weight)
        ctx = Context(xp, training=True)
        prediction, caches = network.forward_pass(params, X, ctx)
        value, dy = loss.value_and_grad(prediction, y, sample_weight, xp=xp)
        return value, network.backward_pass(params, caches, dy, ctx)

    return f


def value(network: Sequential, loss: Loss) -> Callable[..., Array]:
    """The function ``f(params, X, y, sample_weight=None)`` that gives J alone."""
    network, loss = logits_form(network, loss)

    def f(params: Array, X: Array, y: Array, sample_weight: Array | None = None) -> Array:
        return loss(network.forward(params, X), y, sample_weight)

    return f


class State(NamedTuple):
    """All that training needs to go on.

    Attributes
    ----------
    params : array, shape (P,)
    moments : tuple of arrays, each of shape (P,)
        What the optimizer remembers.
    step : int
        The number of steps done.
    """

    params: Array
    moments: tuple[Array, ...]
    step: int


Step = Callable[[State, Array, Array, Array | None], tuple[State, Array]]


def make_step(network: Sequential, loss: Loss, optimizer: Optimizer, *, xp: Namespace, backend: Backend) -> Step:
    """The function ``step(state, x, y, w) → (state, loss)`` for arrays of one library.

    Pure from outside: use the state it returns, the one given may have been written over.
    """
    loss_and_gradient = value_and_grad(network, loss)

    def step(state: State, x: Array, y: Array, w: Array | None) -> tuple[State, Array]:
        loss, gradient = loss_and_gradient(state.params, x, y, w, xp=xp)
        vectors = (state.params, gradient, *state.moments)
        params, *moments = backend.sweep(optimizer.rule, vectors, optimizer.constants(state.step))
        return State(params, tuple(moments), state.step + 1), loss

    return backend.compile(step)
