"""`check_layer`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xpnn import parts
from xpnn.layers import Context, Dense, Layer
from xpnn.layers.base import Parameters
from xpnn.layout import Shape
from xpnn.network import Sequential
from xpnn.testing import compiled, description
from xpnn.testing.differences import disagreement
from xpnn.testing.findings import Findings, Numbers, Problem, by_themselves, compare
from xpnn.testing.libraries import NUMPY, TOLERANCE, Library, places

Host = dict[str, Numbers]


def check_layer(layer: Layer, input_shape: Sequence[int], *, libraries: Sequence[str] | None = None) -> None:
    """Find out whether a layer does what one of xpnn's own does.

    It must be a frozen dataclass derived from `xpnn.Layer`; ``init`` must give what ``parameter_shapes`` says, and
    the same from the same generator; ``forward`` and ``backward`` must keep the library, device and dtype, give the
    shapes that ``output_shape`` and ``parameter_shapes`` say, and leave what they are given, buffers too, as it is;
    ``backward`` must be the derivative, by central differences, for the input and each parameter, and leave out
    that for the input if it is not asked for; in prediction each row must be treated by itself; a second call must
    give the same, another step too unless it is `noisy`, and so must every library, and steps that are compiled.

    Parameters
    ----------
    layer : Layer
    input_shape : tuple of int
        The shape of one sample of its input, without n.
    libraries : sequence of str, optional
        As `check_activation` takes them.

    Raises
    ------
    CheckFailed
        Saying everything that is wrong, and where.

    Examples
    --------
    >>> import xpnn.testing
    >>> xpnn.testing.check_layer(xpnn.Dropout(0.1), (5,))
    """
    shape = tuple(map(int, input_shape))
    with Findings(layer) as found:
        if found.run("", description.is_part_of, Layer, layer):
            found.run("", description.check, layer)
            if found.run("", _beginning, layer, shape):
                for library, dtype in places(libraries):
                    place = f"{library.name} {dtype}"
                    if found.run_all(place, (_contract, _leaves_alone, _again), layer, shape, library, dtype):
                        for check in (_rows, _noise, _derivative, _as_on_numpy, _compiled):
                            found.run(place, check, layer, shape, library, dtype)


def _beginning(layer: Layer, shape: Shape) -> None:
    """What a layer gives before there are arrays."""
    name = type(layer).__name__
    out = layer.output_shape(shape)
    if not (isinstance(out, tuple) and all(isinstance(d, int) for d in out)):
        raise Problem(f"{name}.output_shape must return a tuple of int, got {out!r}")
    _drawn(f"{name}.init", lambda: layer.init(shape, np.random.default_rng(0)), layer.parameter_shapes(shape))
    buffers = layer.init_buffers(shape)
    _drawn(f"{name}.init_buffers", lambda: layer.init_buffers(shape), {n: b.shape for n, b in buffers.items()})


def _drawn(what: str, draw: Callable[[], Host], shapes: dict[str, Shape]) -> None:
    first, second = draw(), draw()
    given = {n: tuple(np.shape(array)) for n, array in first.items()}
    if list(given.items()) != list(shapes.items()):
        raise Problem(
            f"{what} must return arrays of the shapes, and in the order, of parameter_shapes, {shapes}, got {given}"
        )
    for n, array in first.items():
        if not isinstance(array, np.ndarray) or array.dtype != np.float64:
            kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise Problem(f"{what} must return NumPy arrays of float64, got {kind} for {n!r}: they are cast later")
        compare(f"{what} draws another {n!r} from the same generator", second[n], array, 0.0, "draw from rng alone")


def _data(layer: Layer, shape: Shape) -> tuple[Host, Numbers, Numbers]:
    """Parameters, x and dy."""
    rng = np.random.default_rng(1)
    n = max(6, layer.least_batch)
    host = layer.init(shape, rng)
    return host, rng.normal(size=(n, *shape)), rng.normal(size=(n, *layer.output_shape(shape)))


def _context(layer: Layer, shape: Shape, library: Library, dtype: str, *, training: bool = True) -> Context:
    buffers = {n: library(b, dtype) for n, b in layer.init_buffers(shape).items()}
    return Context(library.xp, training=training, seed=3, step=7, layer=2, buffers=buffers)


def _contract(layer: Layer, shape: Shape, library: Library, dtype: str) -> None:
    host, x, dy = _data(layer, shape)
    params = {n: library(p, dtype) for n, p in host.items()}
    for rows in (layer.least_batch, len(x)):
        some, back = library(x[:rows], dtype), library(dy[:rows], dtype)
        parts.layer_forward(layer, params, some, _context(layer, shape, library, dtype, training=False))
        ctx = _context(layer, shape, library, dtype)
        _, cache = parts.layer_forward(layer, params, some, ctx)
        _, gradients = parts.layer_backward(layer, params, cache, back, ctx, x=some)
        dx, same = layer.backward(params, cache, back, ctx, input_gradient=False)
        if dx is not None:
            raise Problem(f"{type(layer).__name__}.backward must return None for dx with input_gradient=False")
        for n, gradient in gradients.items():
            what = f"{type(layer).__name__}.backward gives another gradient of {n!r} with input_gradient=False"
            compare(what, library.host(same[n]), library.host(gradient), 0.0, "it is about dx alone")


def _leaves_alone(layer: Layer, shape: Shape, library: Library, dtype: str) -> None:
    host, x, dy = _data(layer, shape)
    params, ctx = {n: library(p, dtype) for n, p in host.items()}, _context(layer, shape, library, dtype)
    given = {"x": library(x, dtype), "dy": library(dy, dtype)} | {f"params[{n!r}]": p for n, p in params.items()}
    given |= {f"ctx.buffers[{n!r}]": b for n, b in ctx.buffers.items()}
    before = {what: library.host(array) for what, array in given.items()}
    _, cache = layer.forward(params, given["x"], ctx)
    layer.backward(params, cache, given["dy"], ctx)
    for what, array in given.items():
        if (library.host(array) != before[what]).any():
            new = "put a new array into ctx.buffers" if what.startswith("ctx") else "make a new array"
            raise Problem(f"{type(layer).__name__} writes into {what}", fix=new)


def _again(layer: Layer, shape: Shape, library: Library, dtype: str) -> None:
    first, second = (_all(layer, shape, library, dtype) for _ in range(2))
    for what, host in first.items():
        why = "remember nothing but buffers, and draw random numbers from ctx.seed, ctx.step and ctx.layer alone"
        compare(f"{type(layer).__name__} gives another {what} when it is called again", second[what], host, 0.0, why)


def _rows(layer: Layer, shape: Shape, library: Library, dtype: str) -> None:
    host, x, _ = _data(layer, shape)
    params = {n: library(p, dtype) for n, p in host.items()}

    def predict(x: Numbers) -> Numbers:
        ctx = _context(layer, shape, library, dtype, training=False)
        return library.host(layer.forward(params, library(x, dtype), ctx)[0])

    by_themselves(f"{type(layer).__name__}.forward in prediction", predict, x, dtype)


def _noise(layer: Layer, shape: Shape, library: Library, dtype: str) -> None:
    host, x, _ = _data(layer, shape)
    params, results = {n: library(p, dtype) for n, p in host.items()}, []
    for step in range(5):
        ctx = _context(layer, shape, library, dtype)
        ctx.step = step
        results.append(library.host(layer.forward(params, library(x, dtype), ctx)[0]))
    if not layer.noisy and any((result != results[0]).any() for result in results):
        raise Problem(
            f"{type(layer).__name__} gives another y at another step, but is not noisy", fix="say so: noisy"
        )


def _derivative(layer: Layer, shape: Shape, library: Library, dtype: str) -> None:
    if dtype != "float64":
        return
    host, x, dy = _data(layer, shape)

    def run(params: Host, x: Numbers) -> tuple[float, Any, Parameters, Any, Context]:
        here, there = {n: library(p) for n, p in params.items()}, library(x)
        ctx = _context(layer, shape, library, dtype)
        y, cache = layer.forward(here, there, ctx)
        return float((library.host(y) * dy).sum()), cache, here, there, ctx

    _, cache, params, _, ctx = run(host, x)
    dx, gradients = layer.backward(params, cache, library(dy), ctx)
    checked: list[tuple[str, Callable[[Numbers], float], Any, Numbers]] = [
        ("dx", lambda x: run(host, x)[0], dx, x),
        *((f"the gradient of {n!r}", lambda p, n=n: run(host | {n: p}, x)[0], gradients[n], host[n]) for n in host),
    ]
    for what, f, gradient, theta in checked:
        if found := disagreement(f, library.host(gradient), theta, np.random.default_rng(2)):
            at = f"at {[*found.place]}" if found.place else "along a direction through all of it"
            what = f"{type(layer).__name__}.backward: {what} disagrees with central differences of forward"
            raise Problem(what, f"{found.got:.6g} against {found.expected:.6g} {at}")


def _as_on_numpy(layer: Layer, shape: Shape, library: Library, dtype: str) -> None:
    ours, theirs = _all(layer, shape, library, dtype), _all(layer, shape, NUMPY, "float64")
    for what, expected in theirs.items():
        why = "use functions of xp alone, which mean the same everywhere"
        message = f"{type(layer).__name__} gives another {what} than in float64 on NumPy"
        compare(message, ours[what], expected, TOLERANCE[dtype], why)


def _compiled(layer: Layer, shape: Shape, library: Library, dtype: str) -> None:
    if len(shape) == 1:
        network = Sequential(Dense(shape[0], "tanh"), layer, input_shape=(3,))
    else:
        network = Sequential(layer, input_shape=shape)
    if network.n_parameters:
        X = np.random.default_rng(4).normal(size=(max(8, layer.least_batch), *network.input_shape))
        compiled.as_written(library, dtype, network, X, X)


def _all(layer: Layer, shape: Shape, library: Library, dtype: str) -> Host:
    """Everything that it gives, on the host, by name."""
    host, x, dy = _data(layer, shape)
    params, ctx = {n: library(p, dtype) for n, p in host.items()}, _context(layer, shape, library, dtype)
    y, cache = layer.forward(params, library(x, dtype), ctx)
    dx, gradients = layer.backward(params, cache, library(dy, dtype), ctx)
    predicted, _ = layer.forward(params, library(x, dtype), _context(layer, shape, library, dtype, training=False))
    named = {"y": y, "y in prediction": predicted, "dx": dx}
    named |= {f"gradient of {n!r}": g for n, g in gradients.items()}
    named |= {f"buffer {n!r}": b for n, b in ctx.buffers.items()}
    return {what: library.host(array) for what, array in named.items() if array is not None}
