"""Parts of a user's own, looked at once before they are used: does each return what it must?

xpnn's own parts are tested; those of a user are run here on a few rows, before a training or a prediction: each
method must return arrays of the library, on the device, of the dtype and of the shape that the next one takes. A step
itself checks nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

from xpnn import arrays, registry
from xpnn import metrics as scoring
from xpnn.activations import Activation, Linear
from xpnn.errors import ArrayError, InputError
from xpnn.layers import Context, Layer
from xpnn.layers.base import Parameters
from xpnn.layout import Shape
from xpnn.losses import Loss
from xpnn.metrics import Metric
from xpnn.network import Sequential
from xpnn.optimizers import Optimizer
from xpnn.penalties import Penalty
from xpnn.schedules import Schedule
from xpnn.typing import Array, Namespace

ROWS = 3
"""How many samples a part is looked at with: not one, which broadcasts."""


def of_users(*where: Any) -> list[Any]:
    """The parts in networks, losses and so on that are not xpnn's own."""
    found = (part for each in where for part in registry.parts_in(_listed(each)))
    return [part for part in found if not registry.built_in(type(part))]


def _listed(value: Any) -> Any:
    return value.layers if isinstance(value, Sequential) else value


def check_prediction(network: Sequential, params: Array, buffers: Array | None, X: Array, xp: Namespace) -> None:
    """Raise `InputError` if a layer of the user's own, or its activation, does not return what it must.

    Naming the class, its method, what it returned and what was expected.
    """
    if of_users(network):
        _forward(network, params, buffers, _some(X, ROWS), Context(xp))


def check_value(loss: Loss, prediction: Array, y: Array, w: Array | None, xp: Namespace) -> None:
    """The same of a loss, with a few predictions."""
    rows = (None if each is None else _some(each, ROWS) for each in (prediction, y, w))
    loss_value(loss, *rows, xp=xp)  # type: ignore[arg-type]


def check_training(
    network: Sequential,
    loss: Loss,
    params: Array,
    data: tuple[Array, Array, Array | None],
    xp: Namespace,
    *,
    buffers: Array | None = None,
    optimizer: Optimizer | None = None,
    metrics: Iterable[Metric] = (),
    penalty: Iterable[Penalty] = (),
) -> None:
    """The same of everything that a training uses, with a few rows of its data; `params` stay as they are."""
    metrics, penalty = tuple(metrics), tuple(penalty)
    if not of_users(network, loss, optimizer, metrics, penalty):
        return
    rows = max(ROWS, *(layer.least_batch for layer in network.layers))
    X, y, w = (None if each is None else _some(each, rows) for each in data)
    X, y = cast(Array, X), cast(Array, y)
    ctx = Context(xp, training=True)
    buffers = network.init_buffers(like=params) if buffers is None else buffers
    prediction, ran = _forward(network, params, buffers, X, ctx)
    _, dy = loss_value(loss, prediction, y, w, xp=xp)
    for i, layer, named, x, cache in reversed(ran):
        ctx.layer = i
        dy, _ = layer_backward(layer, named, cache, dy, ctx, x=x)
    for each in of_users(penalty):
        _penalty(each, network, params, xp)
    for metric in metrics:
        scored = scoring.prepared(prediction, y, network.output_activation, loss, xp=xp)
        metric_value(metric, *scored, w, xp=xp)
    if optimizer is not None and of_users(optimizer):
        theta = arrays.copy(_some(params, ROWS), xp)
        update(optimizer, theta, xp.ones_like(theta), first_moments(optimizer, theta, xp=xp), 0, xp=xp)


def _some(array: Array, rows: int) -> Array:
    return cast(Array, array[: min(rows, array.shape[0]), ...])


def _forward(
    network: Sequential, params: Array, buffers: Array | None, X: Array, ctx: Context
) -> tuple[Array, list[tuple[int, Layer, Parameters, Array, Any]]]:
    """Ŷ, and of each layer its number, itself, its parameters, its input and its cache."""
    a, ran, xp = X, [], ctx.xp
    named, remembered = network.unflatten(params, xp=xp), network.unflatten_buffers(buffers, xp=xp)
    for i, layer in enumerate(network.layers):
        f = getattr(layer, "activation", None)
        if isinstance(f, Activation) and of_users(f):
            z, _ = cast(Any, replace)(layer, activation=Linear()).forward(named[i], a, ctx)
            _, cache = activation_forward(f, z, xp=xp)
            activation_backward(f, cache, xp.ones_like(z), xp=xp)
        ctx.layer, ctx.buffers = i, remembered[i]
        y, cache = layer_forward(layer, named[i], a, ctx)
        ran.append((i, layer, named[i], a, cache))
        a = y
    return a, ran


def _penalty(penalty: Penalty, network: Sequential, params: Array, xp: Namespace) -> None:
    every = (array for named in network.unflatten(params, xp=xp) for array in named.values())
    for array in (each for each in every if penalty.holds(each.shape)):
        w = xp.reshape(array, (-1,))
        penalty_value(penalty, w, xp=xp)
        penalty_derivative(penalty, w, xp=xp)


# each method run, and what it returns looked at; `xpnn.testing` uses these as well


def activation_forward(f: Activation, z: Array, *, xp: Namespace) -> tuple[Array, Any]:
    """``f.forward(z)``."""
    here = f"{type(f).__name__}.forward"
    a, cache = _tuple(here, f.forward(z, xp=xp), "(a, cache)", 2)
    return expect(f"{here}: a", a, z.shape, "z", z, xp), cache


def activation_backward(f: Activation, cache: Any, da: Array, *, xp: Namespace) -> Array:
    """``f.backward(cache, da)``."""
    return expect(f"{type(f).__name__}.backward: dz", f.backward(cache, da, xp=xp), da.shape, "da", da, xp)


def layer_forward(layer: Layer, params: Parameters, x: Array, ctx: Context) -> tuple[Array, Any]:
    """``layer.forward(params, x, ctx)``, and the buffers that it leaves in ctx."""
    here, before = f"{type(layer).__name__}.forward", ctx.buffers
    y, cache = _tuple(here, layer.forward(params, x, ctx), "(y, cache)", 2)
    expect(f"{here}: y", y, (x.shape[0], *layer.output_shape(tuple(x.shape[1:]))), "x", x, ctx.xp)
    _expect_named(f"{here}: ctx.buffers", ctx.buffers, {n: tuple(b.shape) for n, b in before.items()}, x, ctx.xp)
    return y, cache


def layer_backward(
    layer: Layer, params: Parameters, cache: Any, dy: Array, ctx: Context, *, x: Array
) -> tuple[Array, Parameters]:
    """``layer.backward(params, cache, dy, ctx)``, after a pass forward of x."""
    here = f"{type(layer).__name__}.backward"
    dx, gradients = _tuple(here, layer.backward(params, cache, dy, ctx), "(dx, gradients)", 2)
    expect(f"{here}: dx", dx, x.shape, "x", x, ctx.xp)
    _expect_named(f"{here}: gradients", gradients, layer.parameter_shapes(tuple(x.shape[1:])), x, ctx.xp)
    return dx, gradients


def loss_value(loss: Loss, prediction: Array, y: Array, w: Array | None, *, xp: Namespace) -> tuple[Array, Array]:
    """``loss.value_and_grad(prediction, y, w)``, and the terms that it adds up."""
    name, shape = type(loss).__name__, tuple(prediction.shape)
    if type(loss).terms is not Loss.terms:
        here = f"{name}.terms"
        given = loss.terms(prediction, loss.prepared(y, prediction, xp=xp), xp=xp)
        terms, gradient = _tuple(here, given, "(terms, gradient)", 2)
        one_each = getattr(terms, "shape", None) == (shape[0], 1)
        expect(f"{here}: terms", terms, (shape[0], 1) if one_each else shape, "the prediction", prediction, xp)
        expect(f"{here}: the gradient", gradient, shape, "the prediction", prediction, xp)
    here = f"{name}.value_and_grad"
    value, gradient = _tuple(here, loss.value_and_grad(prediction, y, w, xp=xp), "(loss, gradient)", 2)
    expect(f"{here}: the loss", value, (), "the prediction", prediction, xp)
    return value, expect(f"{here}: the gradient", gradient, shape, "the prediction", prediction, xp)


def metric_value(metric: Metric, prediction: Array, y: Array, w: Array | None, *, xp: Namespace) -> Array:
    """``metric(prediction, y, w)``."""
    value = metric(prediction, y, w, xp=xp)
    return expect(f"{type(metric).__name__}.value", value, (), "the prediction", prediction, xp)


def penalty_value(penalty: Penalty, w: Array, *, xp: Namespace) -> Array:
    """``penalty.value(w)``."""
    return expect(f"{type(penalty).__name__}.value", penalty.value(w, xp=xp), (), "w", w, xp)


def penalty_derivative(penalty: Penalty, w: Array, *, xp: Namespace) -> Array:
    """``penalty.derivative(w)``."""
    return expect(f"{type(penalty).__name__}.derivative", penalty.derivative(w, xp=xp), w.shape, "w", w, xp)


def first_moments(optimizer: Optimizer, theta: Array, *, xp: Namespace) -> tuple[Array, ...]:
    """``optimizer.init(theta)``."""
    here = f"{type(optimizer).__name__}.init"
    moments = _tuple(here, optimizer.init(theta, xp=xp), "a tuple of moments, () for none")
    for i, m in enumerate(moments):
        expect(f"{here}: moment {i}", m, theta.shape, "params", theta, xp)
    return moments


def update(
    optimizer: Optimizer, theta: Array, g: Array, moments: tuple[Array, ...], step: int, *, xp: Namespace
) -> tuple[Array, ...]:
    """``(theta, *moments)`` after a step: the rule with the constants of that step."""
    name = type(optimizer).__name__
    schedule = getattr(optimizer, "learning_rate", None)
    watched = schedule.monitors if isinstance(schedule, Schedule) else ()
    rate = optimizer.rate(step, 1, {each: [] for each in watched})
    source = schedule if isinstance(schedule, Schedule) else optimizer
    _expect_float(f"{type(source).__name__}.rate: the rate", rate)
    constants = _tuple(f"{name}.constants", optimizer.constants(step, rate), "a tuple of floats")
    for i, number in enumerate(constants):
        _expect_float(f"{name}.constants: constant {i}", number)
    # the shapes first: the rule may write into what it is given
    expected = f"(theta, {len(moments)} moments)" if moments else "(theta,)"
    updated = _tuple(f"{name}.rule", optimizer.rule(theta, g, *moments, *constants), expected, 1 + len(moments))
    for i, vector in enumerate(updated):
        what = f"moment {i - 1}" if i else "theta"
        expect(f"{name}.rule: {what}", vector, g.shape, "g", g, xp)
    return updated


def expect(what: str, got: Any, shape: Shape, of: str, like: Array, xp: Namespace) -> Array:
    """The array `got`, found to be of this shape, and of the library, dtype and device of `like`.

    Raises
    ------
    InputError
        If it is not: `what` it must be, as `of` is, and how to make it so.
    """
    library = arrays.library(xp)
    try:
        own = arrays.library(arrays.namespace(array=got))
    except ArrayError:
        raise InputError(f"{what} must be an array of {library}, {tuple(shape)}, got {_what(got)}.") from None
    if own != library:
        raise InputError(
            f"{what} must be an array of {library}, as {of} is, got one of {own}: use the functions of the namespace "
            "xp that is handed in, no library by its name."
        )
    if tuple(got.shape) != tuple(shape):
        raise InputError(f"{what} must have shape {tuple(shape)}, got {tuple(got.shape)}.")
    if got.dtype != like.dtype:
        raise InputError(
            f"{what} must be {_dtype(like)}, as {of} is, got {_dtype(got)}: take Python floats for constants, and "
            f"give new arrays the dtype of {of}."
        )
    if arrays.device(got) != arrays.device(like):
        raise InputError(
            f"{what} must be on {arrays.device(like)}, as {of} is, got it on {arrays.device(got)}: give new arrays "
            f"the device of {of}."
        )
    return cast(Array, got)


def _expect_named(what: str, got: Any, shapes: Mapping[str, Shape], like: Array, xp: Namespace) -> None:
    names = ", ".join(map(repr, shapes)) or "nothing"
    if not isinstance(got, dict) or set(got) != set(shapes):
        given = ", ".join(map(repr, got)) or "nothing" if isinstance(got, dict) else _what(got)
        raise InputError(f"{what} must be a dict of arrays that holds {names}, got {given}.")
    for name, shape in shapes.items():
        expect(f"{what}[{name!r}]", got[name], shape, "x", like, xp)


def _expect_float(what: str, got: Any) -> None:
    if type(got) not in (float, int):  # NumPy's, though a float, would make float64 of float32 parameters
        raise InputError(
            f"{what} must be a Python float, got {_module(got)}{type(got).__name__}: make it one with float(…)."
        )


def _module(got: Any) -> str:
    return f"{module}." if (module := type(got).__module__.partition(".")[0]) != "builtins" else ""


def _tuple(what: str, got: Any, expected: str, length: int | None = None) -> tuple[Any, ...]:
    if isinstance(got, tuple) and length in (None, len(got)):
        return got
    given = f"a tuple of {len(got)}" if isinstance(got, tuple) else _what(got)
    raise InputError(f"{what} must return {expected}, got {given}.")


def _what(got: Any) -> str:
    """A value in a message: what kind it is, for it may be long."""
    if got is None:
        return "None"
    shape = getattr(got, "shape", None)
    return type(got).__name__ + (f" of shape {tuple(shape)}" if isinstance(shape, tuple) else "")


def _dtype(array: Array) -> str:
    return str(array.dtype).split(".")[-1]


def once(check: Callable[..., None], *parts: Any) -> Callable[..., None]:
    """``f(X, *arguments)``: `check` of the arguments, at the first call with an X of each library, shape and dtype.

    Nothing if all of `parts` are xpnn's own.
    """
    seen: set[Any] = set()

    def checked(X: Array, *arguments: Any, **options: Any) -> None:
        key = type(X), tuple(X.shape), X.dtype
        if key not in seen:
            check(*arguments, **options)
            seen.add(key)

    return checked if of_users(*parts) else lambda *_, **__: None
