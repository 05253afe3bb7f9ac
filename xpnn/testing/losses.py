"""`check_loss`."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from xpnn import parts
from xpnn.activations import Activation, Linear, Sigmoid, Softplus
from xpnn.errors import InputError
from xpnn.layers import Dense
from xpnn.losses import Loss
from xpnn.network import Sequential
from xpnn.testing import compiled, description
from xpnn.testing.differences import FAR, disagreement
from xpnn.testing.findings import ROUNDING, Findings, Numbers, Problem, compare
from xpnn.testing.libraries import NUMPY, TOLERANCE, Library, places
from xpnn.typing import HostGenerator

Pair = tuple[Numbers, Numbers]


def check_loss(
    loss: Loss,
    *,
    prediction: Numbers | None = None,
    y: Numbers | None = None,
    libraries: Sequence[str] | None = None,
) -> None:
    """Find out whether a loss does what one of xpnn's own does.

    It must be a frozen dataclass derived from `xpnn.Loss`; ``terms`` and ``value_and_grad`` must keep the library,
    device and dtype of the prediction, give the shapes that they promise, and leave what they are given as it is;
    the gradient must be the derivative, by central differences, far from 0 too, with and without sample weights,
    for each reduction; a weight of 2 must equal a repeated sample, and weights that are all 0 must give 0; nothing
    may be infinite or NaN at the ends of `domain`; a second call must give the same, and so must every library, and
    steps that are compiled.

    Parameters
    ----------
    loss : Loss
    prediction : NumPy array, shape (n, k), n ≥ 3, optional
        Predictions to try, away from kinks. By default they are drawn from `domain`.
    y : NumPy array, shape (n, k), optional
        Targets for them, by default drawn from `targets`. Where an interval is [0, 1], the rows drawn sum to 1.
    libraries : sequence of str, optional
        As `check_activation` takes them.

    Raises
    ------
    CheckFailed
        Saying everything that is wrong, and where.

    Examples
    --------
    >>> import xpnn.testing
    >>> xpnn.testing.check_loss(xpnn.Huber(delta=2.0))
    """
    with Findings(loss) as found:
        if found.run("", description.is_part_of, Loss, loss):
            found.run("", description.check, loss)
            drawn = prediction is None or y is None
            pair = _drawn(loss, np.random.default_rng(0)) if prediction is None or y is None else (prediction, y)
            far = [_drawn(loss, np.random.default_rng(4), far=FAR)] if drawn else []
            for library, dtype in places(libraries):
                place = f"{library.name} {dtype}"
                if found.run_all(place, (_contract, _leaves_alone, _again), loss, pair, library, dtype):
                    for check in (_extremes, _derivative, _weights, _no_weight, _as_on_numpy, _compiled):
                        found.run(place, check, loss, pair, library, dtype)
                    for check, each in itertools.product((_derivative, _as_on_numpy), far):
                        found.run(place, check, loss, each, library, dtype)


def _drawn(loss: Loss, rng: HostGenerator, *, n: int = 5, far: float | None = None) -> Pair:
    """Predictions and targets; where they have no end, of the size of 1, or spread up to `far`."""
    k = next(k for k in (3, 2, *range(4, 100)) if _columns(loss, k))
    t = loss.columns(k)
    return _numbers(loss.domain, (n, k), rng, far), _numbers(loss.targets, (n, t), rng, far)


def _columns(loss: Loss, k: int) -> int:
    try:
        return loss.columns(k)
    except InputError:  # not for so many outputs
        return 0


def _numbers(interval: tuple[float, float], shape: tuple[int, int], rng: HostGenerator, far: float | None) -> Numbers:
    """Numbers inside an interval, not too near to its ends."""
    low, high = interval
    if interval == (0.0, 1.0) and shape[1] > 1:
        return rng.dirichlet(np.full(shape[1], 5.0), shape[0])
    if math.isinf(low) and math.isinf(high):
        return rng.uniform(-far, far, shape) if far else rng.normal(size=shape)
    if math.isinf(high):
        return low + rng.uniform(0.2, far or 5.0, shape)
    if math.isinf(low):
        return high - rng.uniform(0.2, far or 5.0, shape)
    return low + (high - low) * rng.uniform(0.05, 0.95, shape)


def _kinds(loss: Loss, n: int) -> Iterator[tuple[Loss, Numbers | None, str]]:
    """The loss with each reduction that it has, with and without weights, and how to call that."""
    name = type(loss).__name__
    reductions = ("mean", "sum") if "reduction" in {f.name for f in dataclasses.fields(loss) if f.init} else ("",)
    for reduction in reductions:
        each = dataclasses.replace(loss, reduction=reduction) if reduction else loss
        for weights in (None, np.linspace(0.5, 2.0, n)):
            how = [f"reduction={reduction!r}"] * bool(reduction) + ["with sample weights"] * (weights is not None)
            yield each, weights, f"{name}.value_and_grad" + (f" ({', '.join(how)})" if how else "")


def _contract(loss: Loss, pair: Pair, library: Library, dtype: str) -> None:
    p, y = (library(each, dtype) for each in pair)
    for each, weights, _ in _kinds(loss, p.shape[0]):
        w = None if weights is None else library(weights, dtype)
        parts.loss_value(each, p, y, w, xp=library.xp)
    parts.loss_value(loss, p[:1, ...], y[:1, ...], None, xp=library.xp)
    if "float64" in library.dtypes:
        parts.loss_value(loss, p, library(pair[1], "float64"), None, xp=library.xp)


def _leaves_alone(loss: Loss, pair: Pair, library: Library, dtype: str) -> None:
    w = np.linspace(0.5, 2.0, len(pair[0]))
    given = [library(each, dtype) for each in (*pair, w)]
    before = [library.host(each) for each in given]
    loss.value_and_grad(*given, xp=library.xp)
    for what, now, then in zip(("the prediction", "y", "sample_weight"), given, before, strict=True):
        if (library.host(now) != then).any():
            raise Problem(f"{type(loss).__name__} writes into {what}", fix="make a new array: e = e * e, not e *= e")


def _again(loss: Loss, pair: Pair, library: Library, dtype: str) -> None:
    first, second = (_both(loss, pair, None, library, dtype) for _ in range(2))
    for what, one, other in zip(("loss", "gradient"), first, second, strict=True):
        why = "it may remember nothing, and draw nothing at random"
        compare(f"the {what} of {type(loss).__name__} is another when it is called again", other, one, 0.0, why)


def _extremes(loss: Loss, pair: Pair, library: Library, dtype: str) -> None:
    (k, t), name = (each.shape[1] for each in pair), type(loss).__name__
    (low, high), (y_low, y_high) = (_ends(*each) for each in (loss.domain, loss.targets))
    # each end of one with each of the other
    p = np.where(np.stack([np.arange(k) % 2 == 0, np.arange(k) % 2 == 1] * 2), low, high)
    y = np.where(np.stack([np.arange(t) % 2 == 0] * 2 + [np.arange(t) % 2 == 1] * 2), y_low, y_high)
    for what, host in zip(("loss", "gradient"), _both(loss, (p, y), None, library, dtype), strict=True):
        if not np.isfinite(host).all():
            raise Problem(
                f"the {what} of {name} is infinite or NaN at the ends of its domain",
                f"in {dtype}, for predictions of {low:g} and {high:g} and targets of {y_low:g} and {y_high:g}",
                "keep logarithms and quotients away from 0, as xp.maximum(p, 1e-12) does, and exponents from what "
                "overflows, or narrow domain",
            )


def _ends(low: float, high: float) -> tuple[float, float]:
    return max(low, -1e4), min(high, 1e4)


def _derivative(loss: Loss, pair: Pair, library: Library, dtype: str) -> None:
    if dtype != "float64":
        return
    prediction, y = pair
    for each, weights, name in _kinds(loss, len(y)):
        _, gradient = _both(each, pair, weights, library, dtype)

        def value(p: Numbers, each: Loss = each, weights: Numbers | None = weights) -> float:
            return float(_both(each, (p, y), weights, library, dtype)[0])

        if found := disagreement(value, gradient, prediction, np.random.default_rng(1)):
            at = f"at ŷ = {prediction[found.place]:.4g}" if found.place else "along a direction through all ŷ"
            row = f" in row {found.place[0]}, column {found.place[1]}" if found.place else ""
            what = f"the gradient of {name} disagrees with central differences of the loss"
            raise Problem(what, f"{found.got:.6g} against {found.expected:.6g} {at}{row}")


def _weights(loss: Loss, pair: Pair, library: Library, dtype: str) -> None:
    rows, rounding = [0, 1, 1], ROUNDING[dtype]
    for each, weights, name in _kinds(loss, 3):
        if weights is None:
            continue
        three: Pair = (pair[0][:3], pair[1][:3])
        value, gradient = _both(each, three, np.asarray([1.0, 2.0, 0.0]), library, dtype)
        repeated, by_row = _both(each, (pair[0][rows], pair[1][rows]), None, library, dtype)
        why = "multiply each sample's terms by its weight; the mean divides by the sum of the weights"
        compare(f"{name}: weights 1, 2, 0 give another loss than repeated rows", value, repeated, rounding, why)
        expected = np.stack([by_row[0], by_row[1] + by_row[2], 0 * by_row[0]])
        compare(
            f"{name}: weights 1, 2, 0 give another gradient than repeated rows", gradient, expected, rounding, why
        )


def _no_weight(loss: Loss, pair: Pair, library: Library, dtype: str) -> None:
    w = np.zeros(len(pair[0]))
    for what, host in zip(("loss", "gradient"), _both(loss, pair, w, library, dtype), strict=True):
        message = f"the {what} of {type(loss).__name__} for samples that all weigh 0"
        compare(message, host, np.zeros(host.shape), 0.0, "divide by no sum of weights that may be 0")


def _as_on_numpy(loss: Loss, pair: Pair, library: Library, dtype: str) -> None:
    w = np.linspace(0.5, 2.0, len(pair[0]))
    for what, got, expected in zip(
        ("loss", "gradient"),
        _both(loss, pair, w, library, dtype),
        _both(loss, pair, w, NUMPY, "float64"),
        strict=True,
    ):
        why = "use functions of xp alone, which mean the same everywhere"
        message = f"the {what} of {type(loss).__name__} is another than in float64 on NumPy"
        compare(message, got, expected, TOLERANCE[dtype], why, least=1.0 / len(w))  # far off it may be flat


def _compiled(loss: Loss, pair: Pair, library: Library, dtype: str) -> None:
    if (f := _output(loss)) is None:
        return
    prediction, y = pair
    network = Sequential(Dense(4, "tanh"), Dense(prediction.shape[1], f), input_shape=(3,))
    X = np.random.default_rng(2).normal(size=(len(y), 3))
    compiled.as_written(library, dtype, network, X, y, loss=loss)


def _output(loss: Loss) -> Activation | None:
    """An activation whose outputs the loss is for."""
    low, high = loss.domain
    fitting = (f for f in (Linear(), Softplus(), Sigmoid()) if low <= f.bounds[0] and f.bounds[1] <= high)
    return next(fitting, None)


def _both(loss: Loss, pair: Pair, weights: Numbers | None, library: Library, dtype: str) -> tuple[Numbers, Numbers]:
    """J and its gradient, on the host."""
    p, y = (library(each, dtype) for each in pair)
    w = None if weights is None else library(weights, dtype)
    value, gradient = loss.value_and_grad(p, y, w, xp=library.xp)
    return library.host(value), library.host(gradient)
