"""One step of training: J and ∂J/∂θ by backpropagation, then the update rule."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple, Protocol

from xpnn import arrays, backends, losses, parts, penalties
from xpnn.activations import Linear
from xpnn.backends import Backend
from xpnn.layers import Context
from xpnn.layout import Shape
from xpnn.losses import Loss
from xpnn.network import Sequential, check_network
from xpnn.optimizers import Optimizer
from xpnn.penalties import Penalty
from xpnn.schedules import History, Schedule
from xpnn.training import resting
from xpnn.typing import Array, Namespace


class ValueAndGrad(Protocol):
    """``f(params, X, y, sample_weight=None, *, buffers=None) → (loss, gradient)``."""

    def __call__(  # noqa: D102
        self, params: Array, X: Array, y: Array, sample_weight: Array | None = None, *, buffers: Array | None = None
    ) -> tuple[Array, Array]: ...


def logits_form(network: Sequential, loss: Loss) -> tuple[Sequential, Loss]:
    """The same J with the output activation inside the loss, where the pair has such a stable form."""
    f = network.output_activation
    losses.check_output(loss, f)
    fused = losses.fused(f, loss)
    if fused is None:
        return network, loss
    return (network if isinstance(f, Linear) else network.to_logits()), fused


def value_and_grad(
    network: Sequential, loss: str | Loss, *, penalty: Penalty | Sequence[Penalty] = ()
) -> ValueAndGrad:
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
    penalty : Penalty or sequence of Penalty
        Terms that are part of J, such as ``L2(0.001)``.

    Returns
    -------
    callable
        ``f(params, X, y, sample_weight=None)`` gives ``(loss, gradient)``: an array of shape () and a flat
        vector of shape (P,); ``network.unflatten(gradient)`` shows the matrices. Shapes: params (P,), X (n, d),
        y (n, k), or (n,) integer labels for categorical cross-entropy; all of one library and dtype.

    Raises
    ------
    InputError
        If the loss is unknown, or not defined for what the network's output activation can give; by the function, if
        a part of one's own returns another shape, dtype or library than it must.

    Notes
    -----
    Source: section "Backpropagation", summarised for the 2-4-5-1 network in its four steps.
    """
    check_network(network, "value_and_grad(network, loss)")
    loss = losses.get(loss)
    penalty = penalties.several(penalty)
    full = _value_gradient_buffers(network, loss, penalty)
    check = parts.once(parts.check_training, network, loss, penalty)

    def f(
        params: Array, X: Array, y: Array, sample_weight: Array | None = None, *, buffers: Array | None = None
    ) -> tuple[Array, Array]:
        xp = arrays.namespace(params=params, X=X, y=y, sample_weight=sample_weight, buffers=buffers)
        if buffers is None:
            buffers = network.init_buffers(like=params)
        with backends.of(params).on(params):
            check(X, network, loss, params, (X, y, sample_weight), xp, buffers=buffers, penalty=penalty)
            value, gradient, _ = full(params, buffers, X, y, sample_weight, Context(xp, training=True))
        return value, gradient

    return f


def _value_gradient_buffers(
    network: Sequential, loss: Loss, penalty: tuple[Penalty, ...] = ()
) -> Callable[..., tuple[Array, Array, Array | None]]:
    """The function ``f(params, buffers, X, y, w, ctx)`` that gives J, its gradient and the updated buffers."""
    network, loss = logits_form(network, loss)

    def f(
        params: Array,
        buffers: Array | None,
        X: Array,
        y: Array,
        w: Array | None,
        ctx: Context,
    ) -> tuple[Array, Array, Array | None]:
        prediction, caches, buffers = network.forward_pass(params, X, ctx, buffers)
        value, dy = loss.value_and_grad(prediction, y, w, xp=ctx.xp)
        gradient = network.backward_pass(params, caches, dy, ctx)
        for each in penalty:
            strength: Any = each.strength
            if each.per_sample:
                strength = strength / X.shape[0] if w is None else strength * _inverse(ctx.xp.sum(w), ctx.xp)
            cost, slope = _penalty(each, strength, network, params, xp=ctx.xp, device=arrays.device(X))
            value = value + cost
            gradient += slope
        return value, gradient, buffers

    return f


def _penalty(
    penalty: Penalty, strength: Any, network: Sequential, params: Array, *, xp: Namespace, device: object
) -> tuple[Array, Array]:
    """What a penalty adds to J and to its gradient, array by array:  λ Σ cost(w)  and  λ cost'(w)  where it holds."""
    layers = network.unflatten(params, xp=xp)
    held = [{name: w for name, w in named.items() if penalty.holds(w.shape)} for named in layers]
    weights = [xp.reshape(w, (-1,)) for named in held for w in named.values()]
    if not weights:
        return xp.zeros((), dtype=params.dtype, device=device), xp.zeros_like(params)
    cost = strength * functools.reduce(operator.add, [penalty.value(w, xp=xp) for w in weights])

    def filled(number: float, shape: Shape) -> Array:
        return xp.full(shape, number, dtype=params.dtype, device=device)

    if penalty.elementwise:  # of all at once: one pass over the parameters, which threads can share
        where = [
            {name: filled(float(name in has), w.shape) for name, w in named.items()}
            for named, has in zip(layers, held, strict=True)
        ]
        return cost, network.flatten(where, xp=xp) * strength * penalty.derivative(params, xp=xp)
    slopes = iter([strength * penalty.derivative(w, xp=xp) for w in weights])
    each = []
    for named, has in zip(layers, held, strict=True):
        each.append({name: filled(0.0, w.shape) for name, w in named.items()})
        each[-1] |= {name: xp.reshape(next(slopes), w.shape) for name, w in has.items()}
    return cost, network.flatten(each, xp=xp)


def _inverse(total: Array, xp: Namespace) -> Array:
    """1 / total; 0 of a batch whose weights are all 0, which says nothing."""
    return xp.astype(total > 0, total.dtype) / xp.maximum(total, float(xp.finfo(total.dtype).smallest_normal))


def _clipped(g: Array, norm: float | None, most: float | None, xp: Namespace) -> Array:
    """The gradient with each element, or its Euclidean norm, brought down to what it may be at most."""
    if most is not None:
        g = xp.minimum(xp.maximum(g, -most), most)
    if norm is not None:
        length = xp.sqrt(xp.sum(g * g))
        g *= xp.minimum(norm / (length + 1e-6), 1.0)
    return g


def predictor(
    network: Sequential, backend: Backend, xp: Namespace
) -> Callable[[tuple[Array, Array | None], Array], Array]:
    """The function ``f((params, buffers), X) → Ŷ``, as the library runs it best."""

    def forward(xp: Namespace, state: tuple[Array, Array | None], X: Array) -> Array:
        params, buffers = state
        return network.forward_pass(params, X, Context(xp), buffers)[0]

    run = backend.forward(forward, xp)
    if not parts.of_users(network):
        return run
    check = parts.once(parts.check_prediction, network)

    def checked(state: tuple[Array, Array | None], X: Array) -> Array:
        check(X, network, *state, X, xp)
        return run(state, X)

    return checked


def value(network: Sequential, loss: Loss, backend: Backend, xp: Namespace) -> Callable[..., Array]:
    """The function ``f(params, buffers, X, y, w)`` that gives J alone, of the network as it predicts."""
    network, loss = logits_form(network, loss)
    predict, check = predictor(network, backend, xp), parts.once(parts.check_value, loss)

    def f(params: Array, buffers: Array | None, X: Array, y: Array, w: Array | None = None) -> Array:
        prediction = predict((params, buffers), X)
        check(X, loss, prediction, y, w, xp)
        return loss(prediction, y, w)

    return f


class State(NamedTuple):
    """What a step takes and gives back.

    Attributes
    ----------
    params : array, shape (P,)
    buffers : array, shape (B,), or None
        What the layers remember without learning it.
    moments : tuple of arrays, each of shape (P,)
        What the optimizer remembers.
    step : int
        The number of steps done, on the host.
    """

    params: Array
    buffers: Array | None
    moments: tuple[Array, ...]
    step: int


class Step:
    """``step(state, x, y, w) → (state, loss)``, one step of training for arrays of one library.

    Pure from outside: use the state it returns, the one given may have been written over. What it returns is for the
    next step; `whole` shows it.

    Parameters
    ----------
    update : callable
        What `xpnn.backends.Backend.step` gives.
    optimizer : Optimizer
        Its numbers for the step, learning rates that change among them, are worked out on the host.
    backend : Backend
    per_epoch : int
        The number of steps in an epoch.
    history : mapping of str to sequence of float
        What schedules may watch.
    key
        Under which to keep `update` for another training.
    """

    def __init__(
        self,
        update: Callable[..., Any],
        optimizer: Optimizer,
        backend: Backend,
        per_epoch: int,
        history: History,
        key: Hashable = None,
    ) -> None:
        self._key, self._backend = key, backend
        self._update, self._constants, self._whole = update, optimizer.constants, backend.whole
        self._optimizer, self._per_epoch, self._history = optimizer, per_epoch, history
        schedule = getattr(optimizer, "learning_rate", None)
        # for so many steps the rate stays as it is; 0: for ever
        self._lasts = 0 if not isinstance(schedule, Schedule) else 1 if schedule.by_step else per_epoch
        self._rate = math.nan if self._lasts else optimizer.rate(0)

    @property
    def latest_rate(self) -> float:
        """The learning rate α of the last step; NaN for an optimizer without one."""
        return self._rate if hasattr(self._optimizer, "learning_rate") else math.nan

    def rate(self, number: int) -> float:
        """The learning rate α of the step of that number, counted from 0."""
        if self._lasts and (self._rate != self._rate or number % self._lasts == 0):
            self._rate = self._optimizer.rate(number, self._per_epoch, self._history)
        return self._rate

    def __call__(self, state: State, x: Array, y: Array, w: Array | None) -> tuple[State, Array]:
        """One step."""
        params, buffers, moments, number = state
        constants = self._constants(number, self.rate(number) if self._lasts else self._rate)
        vectors, loss = self._update((params, buffers, *moments), x, y, w, constants, number)
        # as State(…), in half the time: some steps take no more than ten microseconds
        return tuple.__new__(State, (vectors[0], vectors[1], vectors[2:], number + 1)), loss

    def rest(self) -> None:
        """After the last step: let go of the arrays, and keep what has been compiled for another training like it."""
        if self._key is not None:
            resting.give(self._key, self._update, self._backend)

    def whole(self, state: State) -> State:
        """The state in flat vectors: between steps they may be in a form of the backend's own."""
        params, buffers, *moments = self._whole((state.params, state.buffers, *state.moments))
        return State(params, buffers, tuple(moments), state.step)


def make_step(
    network: Sequential,
    loss: Loss,
    optimizer: Optimizer,
    *,
    xp: Namespace,
    backend: Backend,
    seed: int = 0,
    compile: bool | None = None,
    per_epoch: int = 1,
    history: History | None = None,
    penalty: tuple[Penalty, ...] = (),
    clip_norm: float | None = None,
    clip_value: float | None = None,
) -> Step:
    """The step of a training, for arrays of one library.

    Parameters
    ----------
    per_epoch, history
        As `Step` takes them.
    penalty, clip_norm, clip_value
        As `xpnn.fit` takes them.
    compile : bool, optional
        Whether to compile the step in the library's way, where it has one; by default as is usually faster.
    """
    work = 6 * network.n_parameters  # floating-point operations per sample
    gradient = gradient_function(
        network, loss, seed=seed, penalty=penalty, clip_norm=clip_norm, clip_value=clip_value
    )
    key = gradient, optimizer.rule, backend, compile
    make = partial(backend.step, gradient, optimizer.rule, xp, compile=compile, work=work)
    update = resting.take(key, make)
    return Step(update, optimizer, backend, per_epoch, history or {}, key)


@lru_cache(maxsize=64)  # the same function for the same description: compiled once, it is found again
def gradient_function(
    network: Sequential,
    loss: Loss,
    *,
    seed: int = 0,
    penalty: tuple[Penalty, ...] = (),
    clip_norm: float | None = None,
    clip_value: float | None = None,
) -> Callable[..., tuple[Array, Array, Array | None]]:
    """The function ``f(xp, params, buffers, x, y, w, number) → (loss, gradient, buffers)`` of a step."""
    value_gradient_buffers = _value_gradient_buffers(network, loss, penalty)

    def gradient(
        xp: Namespace,
        params: Array,
        buffers: Array | None,
        x: Array,
        y: Array,
        w: Array | None,
        number: int | Array,
    ) -> tuple[Array, Array, Array | None]:
        ctx = Context(xp, training=True, seed=seed, step=number)
        value, g, buffers = value_gradient_buffers(params, buffers, x, y, w, ctx)
        return value, _clipped(g, clip_norm, clip_value, xp), buffers

    return gradient


def first_state(network: Sequential, optimizer: Optimizer, params: Array, *, xp: Namespace) -> State:
    """The state before the first step, from these parameters; training may write over them."""
    return State(params, network.init_buffers(like=params), optimizer.init(params, xp=xp), 0)
