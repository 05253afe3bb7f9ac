"""xpnn.testing: every built-in part passes, and each kind of fault is found and said in words."""

import itertools
import subprocess
import sys
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

import xpnn
import xpnn.testing
from xpnn.errors import BackendError, InputError
from xpnn.testing import (
    CheckFailed,
    check_activation,
    check_layer,
    check_loss,
    check_metric,
    check_optimizer,
    check_penalty,
)
from xpnn.testing.libraries import STRICT, libraries

from .cases import ACTIVATIONS, LAYERS, LOSSES, METRICS, OPTIMIZERS, PENALTIES, targets_for
from .conftest import LIBRARIES
from .own_parts import Charbonnier, Group, Ones, RootMeanSquare, Scale, Signum, Snake

# every part of xpnn's own, on every library


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation(name):
    check_activation(ACTIVATIONS[name])


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss(name, rng):
    loss, kind = LOSSES[name]
    check_loss(loss)
    prediction, y = targets_for(kind, 4, 3, rng)
    check_loss(loss, prediction=prediction, y=y)


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer(name):
    check_layer(*LAYERS[name])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer(name):
    check_optimizer(OPTIMIZERS[name])


@pytest.mark.parametrize("name", METRICS)
def test_every_metric(name):
    check_metric(METRICS[name][0])


@pytest.mark.parametrize("name", PENALTIES)
def test_every_penalty(name):
    check_penalty(PENALTIES[name])


def test_parts_of_one_s_own():
    check_penalty(Group(0.1))
    check_activation(Snake(2.0))
    check_loss(Charbonnier())
    check_layer(Scale(2.0, Ones()), (5,))
    check_layer(Scale(), (2, 3))
    check_optimizer(Signum())
    check_metric(RootMeanSquare())


# faults: each a part that is right but for one thing

part = dataclass(frozen=True)
NUMPY = ["numpy"]


def found(check, *arguments, **options):
    """What a check says is wrong."""
    with pytest.raises(CheckFailed) as failed:
        check(*arguments, **options)
    assert all(problem in str(failed.value) for problem in failed.value.problems)
    return "\n".join(failed.value.problems)


@part
class WrongSlope(Snake):
    def backward(self, cache, da, *, xp):
        return da * (1.0 + 0.999 * xp.sin(2.0 * self.frequency * cache))


@part
class WrongBelowZero(Snake):
    def backward(self, cache, da, *, xp):
        return xp.where(cache < 0, da, super().backward(cache, da, xp=xp))


@part
class WrongShapeForward(Snake):
    def forward(self, z, *, xp):
        return xp.sum(z, axis=1, keepdims=True), z


@part
class WrongShapeBackward(Snake):
    def backward(self, cache, da, *, xp):
        return xp.sum(super().backward(cache, da, xp=xp), axis=0)


@part
class NoPair(Snake):
    def forward(self, z, *, xp):
        return z + xp.sin(z)


@part
class Promoting(Snake):
    def forward(self, z, *, xp):
        return super().forward(z, xp=xp)[0] * np.float64(1.0), z


@part
class OfNumPy(Snake):
    def forward(self, z, *, xp):
        return np.asarray(z) + np.sin(np.asarray(z)) ** 2, z


@part
class OnTheDefaultDevice(Snake):
    def forward(self, z, *, xp):
        return xp.zeros(z.shape, dtype=z.dtype), z


@part
class WritesForward(Snake):
    def forward(self, z, *, xp):
        z += 1.0
        return super().forward(z - 1.0, xp=xp)


@part
class WritesBackward(Snake):
    def backward(self, cache, da, *, xp):
        da *= 1.0 + xp.sin(2.0 * cache)
        return da


@part
class Random(Snake):
    def forward(self, z, *, xp):
        noise = float(np.random.default_rng().normal())
        return super().forward(z, xp=xp)[0] + noise, z


counter = itertools.count()


@part
class Remembering(Snake):
    def backward(self, cache, da, *, xp):
        return da * float(next(counter))


@part
class Overflowing(xpnn.Activation):
    def forward(self, z, *, xp):
        e = xp.exp(z)
        return xp.log1p(e), e / (1.0 + e)

    def backward(self, cache, da, *, xp):
        return da * cache


@part
class TooNarrow(Snake):
    bounds = (0.0, 1.0)


@part
class OtherwiseCompiled(Snake):
    def forward(self, z, *, xp):
        return super().forward(z, xp=xp)[0] * (1.0 if type(z).__name__ == "ndarray" else 1.01), z

    def backward(self, cache, da, *, xp):
        return super().backward(cache, da, xp=xp) * (1.0 if type(da).__name__ == "ndarray" else 1.01)


@part
class Looking(Snake):
    def forward(self, z, *, xp):
        return (super().forward(z, xp=xp)[0] if float(xp.sum(z)) > -1e9 else z), z


@part
class OtherwiseOnTorch(Snake):
    def forward(self, z, *, xp):
        return super().forward(z, xp=xp)[0] + (1.0 if type(z).__name__ == "Tensor" else 0.0), z


@part
class Raising(Snake):
    def forward(self, z, *, xp):
        return xp.sinus(z), z


@part
class CutOff(xpnn.Activation):
    bounds = (0.0, 6.0)

    def forward(self, z, *, xp):
        return xp.minimum(xp.maximum(z, 0.0), 6.0), z

    def backward(self, cache, da, *, xp):
        return xp.where((cache > 0.0) & (cache < 6.0), da, 0.0 * da)


@part
class CutOffForward(CutOff):
    def backward(self, cache, da, *, xp):
        return xp.where(cache > 0.0, da, 0.0 * da)


@part
class FarOffInFloat32(Snake):
    def backward(self, cache, da, *, xp):
        slope = super().backward(cache, da, xp=xp)
        return slope if cache.dtype == xp.float64 else xp.where(cache > 25.0, 0.0 * da, slope)


@part
class Centred(xpnn.Activation):
    def forward(self, z, *, xp):
        return z - xp.sum(z, axis=0) / z.shape[0], None

    def backward(self, cache, da, *, xp):
        return da - xp.sum(da, axis=0) / da.shape[0]


def test_formulas_that_are_cut_off_or_steep_are_right():
    check_activation(CutOff())
    check_activation(Snake(200.0))  # in float32 the sine of 12000 has few digits


@pytest.mark.parametrize(
    ("activation", "message"),
    [
        (WrongSlope(), "WrongSlope.backward disagrees with central differences of forward: "),
        (WrongBelowZero(), "WrongBelowZero.backward disagrees with central differences of forward: "),
        (CutOffForward(), "CutOffForward.backward disagrees with central differences of forward: "),
        (FarOffInFloat32(), "FarOffInFloat32.backward gives other numbers than in float64 on NumPy"),
        (Centred(), "Centred.forward gives a row by itself another result than among others: "),
        (WrongShapeForward(), "WrongShapeForward.forward: a must have shape (4, 3), got (4, 1)"),
        (WrongShapeBackward(), "WrongShapeBackward.backward: dz must have shape (4, 3), got (3,)"),
        (NoPair(), "NoPair.forward must return (a, cache), got ndarray of shape (4, 3)"),
        (Promoting(), "Promoting.forward: a must be float32, as z is, got float64: take Python floats for constants"),
        (WritesForward(), "WritesForward.forward writes into its argument z (make a new array"),
        (
            WritesForward(),
            "it writes into an array that it was given, which may be needed elsewhere",
        ),
        (WritesBackward(), "WritesBackward.backward writes into da (make a new array)"),
        (Random(), "Random.forward gives another result when it is called again"),
        (Remembering(), "Remembering.backward gives another result when it is called again"),
        (Overflowing(), "Overflowing.forward gives an a that is infinite or NaN: inf at z = 10000 in float32"),
        (TooNarrow(), "TooNarrow.forward leaves its bounds (0.0, 1.0): "),
        (TooNarrow(), " (widen them, for losses rely on them)"),
        (OtherwiseCompiled(), "after 5 compiled steps the parameters are others: "),
        (Looking(), "a step cannot be recorded and runs call by call"),
        (Looking(), "decide by xp.where"),
        (Raising(), ".numpy' has no attribute 'sinus', in forward, line "),
        (Raising(), " of test_testing.py [numpy float32, "),
    ],
)
def test_what_is_wrong_with_an_activation_is_said(activation, message):
    assert message in found(check_activation, activation, libraries=NUMPY)


@pytest.mark.parametrize(
    ("library", "activation", "message"),
    [
        (
            "torch",
            OfNumPy(),
            "a must be an array of torch, as z is, got one of numpy: use the functions of",
        ),
        ("jax", OfNumPy(), "OfNumPy.forward: a must be an array of jax, as z is, got one of numpy"),
        (
            STRICT,
            OnTheDefaultDevice(),
            "OnTheDefaultDevice.forward: a must be on array_api_strict.Device('device1')",
        ),
        ("torch", OtherwiseOnTorch(), "OtherwiseOnTorch.forward gives other numbers than in float64 on NumPy"),
        ("jax", Looking(), "ConcretizationTypeError"),
    ],
)
def test_what_is_wrong_on_a_library_alone_is_said_with_its_name(library, activation, message):
    if library.replace(STRICT, "strict") not in LIBRARIES:
        pytest.skip(f"{library} cannot be used here")
    said = found(check_activation, activation, libraries=[library])
    assert message in said
    assert f"[{library} float" in said
    if isinstance(activation, OtherwiseOnTorch):
        check_activation(activation, libraries=NUMPY)


def test_everything_that_is_wrong_is_said_at_once_and_where():
    @part
    class Bad(xpnn.Activation):
        bounds = (0.0, 1.0)

        def forward(self, z, *, xp):
            return xp.where(z > 2.0, z, 0.5), z

        def backward(self, cache, da, *, xp):
            return da * 1.0

    with pytest.raises(CheckFailed) as failed:
        check_activation(Bad(), libraries=NUMPY)
    said = str(failed.value)
    assert said.splitlines()[0].endswith(f"Bad() has {len(failed.value.problems)} problems:")
    assert len(failed.value.problems) == said.count("\n- ") > 1
    assert "disagrees with central differences" in said
    assert "leaves its bounds (0.0, 1.0)" in said
    assert "[numpy float32, numpy float64, numpy-readonly float32 and 1 more]" in said
    assert isinstance(failed.value, AssertionError)


class Undecorated(Snake):
    def __init__(self, frequency):
        object.__setattr__(self, "frequency", frequency)


@dataclass(frozen=True, eq=False)
class Unequal(Snake):
    pass


@part
class Incomparable(Snake):
    def __eq__(self, other):
        return self is other


@part
class Listed(Snake):
    knots: tuple = ()


@part
class Renamed(Snake):
    def __repr__(self):
        return object.__repr__(self)


@part
class Hashed(Snake):
    def __hash__(self):
        return id(self)


@dataclass(frozen=True, init=False)
class OwnInit(Snake):
    def __init__(self, f):
        object.__setattr__(self, "frequency", f)


@part
class Holding(Snake):
    data: bytes = b"1"


class Exact(tuple):
    __slots__ = ()
    __hash__ = tuple.__hash__

    def __eq__(self, other):
        return type(other) is Exact and tuple.__eq__(self, other)


@part
class Strict(Snake):
    knots: tuple = Exact((1.0, 2.0))


@part
class Unpicklable(Snake):
    def __reduce__(self):
        return Unpicklable, (self.frequency + 1.0,)


@part
class Forgetting(Snake):
    def __post_init__(self):
        object.__setattr__(self, "frequency", self.frequency + 1.0)


@part
class Uncompared(Snake):
    slope: float = field(default=1.0, compare=False)


@part
class UncomparedInside(Snake):
    inner: xpnn.Activation = Uncompared()


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (Snake, "Snake is a class, the check takes an object: write Snake()"),
        (xpnn.MSE(), "MSE is not derived from xpnn.Activation, whose methods are what xpnn calls"),
        (Undecorated(1.0), "Undecorated is not a frozen dataclass: write @dataclass(frozen=True) above its class"),
        (Unequal(), "Unequal is not compared by all its fields: leave out eq=False"),
        (Incomparable(), "two Incomparable with the same hyperparameters are not equal: leave __eq__ to"),
        (
            Listed(knots=[1]),
            "Listed cannot be hashed (unhashable type: 'list'): make its field knots a tuple",
        ),
        (Renamed(), "two equal Renamed print differently"),
        (Hashed(), "two equal Hashed hash differently"),
        (OwnInit(1.0), "OwnInit cannot be made again from its fields"),
        (Holding(), "Holding: data holds b'1', of type bytes, which a model file cannot hold"),
        (Strict(), "Strict comes back from a model file as another: its fields do not say all of it"),
        (Unpicklable(), "Unpicklable comes back from pickle as another"),
        (Uncompared(), "two Uncompared that differ in slope alone are equal, and a compiled step of one would be us"),
        (UncomparedInside(), "two Uncompared that differ in slope alone are equal"),
        (Forgetting(), "two Forgetting with the same hyperparameters are not equal"),
    ],
)
def test_what_is_no_description_is_said(thing, message):
    assert message in found(check_activation, thing, libraries=NUMPY)


@part
class LossWrongGradient(Charbonnier):
    def terms(self, prediction, y, *, xp):
        terms, gradient = super().terms(prediction, y, xp=xp)
        return terms, gradient * 0.5


@part
class LossWrongShape(Charbonnier):
    def terms(self, prediction, y, *, xp):
        terms, gradient = super().terms(prediction, y, xp=xp)
        return xp.sum(terms, axis=1), gradient


@part
class LossPromoting(Charbonnier):
    def terms(self, prediction, y, *, xp):
        terms, gradient = super().terms(prediction, y, xp=xp)
        return terms, gradient * np.float64(1)


@part
class LossWriting(Charbonnier):
    def terms(self, prediction, y, *, xp):
        prediction -= y
        return super().terms(prediction, 0.0 * y, xp=xp)


@part
class LossInfinite(xpnn.Loss):
    domain = (0.0, 1.0)
    targets = (0.0, 1.0)

    def terms(self, prediction, y, *, xp):
        return -y * xp.log(prediction), -y / prediction


@part
class LossWithoutWeights(Charbonnier):
    def value_and_grad(self, prediction, y, sample_weight=None, *, xp=None):
        return super().value_and_grad(prediction, y, None, xp=xp)


@part
class LossOfOneReduction(Charbonnier):
    def value_and_grad(self, prediction, y, sample_weight=None, *, xp=None):
        value, gradient = super().value_and_grad(prediction, y, sample_weight, xp=xp)
        return value, gradient * (1.0 if self.reduction == "mean" else 1.5)


@part
class LossRandom(Charbonnier):
    def terms(self, prediction, y, *, xp):
        return super().terms(prediction * float(np.random.default_rng().uniform()), y, xp=xp)


@part
class LossOtherwiseCompiled(Charbonnier):
    def terms(self, prediction, y, *, xp):
        terms, gradient = super().terms(prediction, y, xp=xp)
        return terms, gradient * (1.0 if isinstance(prediction, np.ndarray) else -1.0)


@part
class LossWrongFarOff(xpnn.Loss):
    def terms(self, prediction, y, *, xp):
        error = prediction - y
        return xp.minimum(error * error, 100.0), 2.0 * error


@part
class LossOfCountsWrongFarOff(xpnn.Loss):
    domain = targets = (0.0, np.inf)

    def terms(self, prediction, y, *, xp):
        return xp.minimum(prediction, 9.0) - y, xp.ones_like(prediction)


@part
class FlatFarOff(xpnn.Loss):
    def terms(self, prediction, y, *, xp):
        error = prediction - y
        e = xp.exp(-0.5 * error * error)
        return 1.0 - e, error * e


def test_a_loss_that_is_flat_far_off_is_right():
    check_loss(FlatFarOff())


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (
            LossWrongGradient(),
            "gradient of LossWrongGradient.value_and_grad (reduction='mean') disagrees",
        ),
        (LossWrongFarOff(), "gradient of LossWrongFarOff.value_and_grad (reduction='mean') disagrees"),
        (LossOfCountsWrongFarOff(), "gradient of LossOfCountsWrongFarOff.value_and_grad (reduction='mean') disag"),
        (LossWrongShape(), "LossWrongShape.terms: terms must have shape (5, 3), got (5,)"),
        (LossPromoting(), "LossPromoting.terms: the gradient must be float32, as the prediction is, got float64"),
        (LossWriting(), "LossWriting writes into the prediction (make a new array"),
        (
            LossInfinite(),
            "loss of LossInfinite is infinite or NaN at the ends of its domain: in float32, for",
        ),
        (LossWithoutWeights(), "(reduction='mean', with sample weights): weights 1, 2, 0 give another loss"),
        (LossWithoutWeights(), "the loss of LossWithoutWeights for samples that all weigh 0: "),
        (
            LossOfOneReduction(),
            "gradient of LossOfOneReduction.value_and_grad (reduction='sum') disagrees",
        ),
        (LossRandom(), "the loss of LossRandom is another when it is called again"),
        (LossOtherwiseCompiled(), "after 5 compiled steps the parameters are others: "),
        (Snake(), "Snake is not derived from xpnn.Loss"),
    ],
)
def test_what_is_wrong_with_a_loss_is_said(loss, message):
    assert message in found(check_loss, loss, libraries=NUMPY)


@part
class LayerWrongBias(Scale):
    def backward(self, params, cache, dy, ctx, *, input_gradient=True):
        dx, gradients = super().backward(params, cache, dy, ctx, input_gradient=input_gradient)
        return dx, gradients | {"c": gradients["c"] / dy.shape[0]}


@part
class LayerWrongInput(Scale):
    def backward(self, params, cache, dy, ctx, *, input_gradient=True):
        dx, gradients = super().backward(params, cache, dy, ctx, input_gradient=input_gradient)
        return (dx if dx is None else -dx), gradients


@part
class LayerMissingGradient(Scale):
    def backward(self, params, cache, dy, ctx, *, input_gradient=True):
        dx, gradients = super().backward(params, cache, dy, ctx, input_gradient=input_gradient)
        return dx, {"g": gradients["g"]}


@part
class LayerAlwaysInput(Scale):
    def backward(self, params, cache, dy, ctx, *, input_gradient=True):
        return super().backward(params, cache, dy, ctx)


@part
class LayerWrongParameters(Scale):
    def init(self, input_shape, rng):
        return {"g": np.ones(input_shape), "c": np.zeros(1)}


@part
class LayerFloat32(Scale):
    def init(self, input_shape, rng):
        return {name: array.astype(np.float32) for name, array in super().init(input_shape, rng).items()}


@part
class LayerDrawingElsewhere(Scale):
    def init(self, input_shape, rng):
        return super().init(input_shape, rng) | {"c": np.random.default_rng().normal(size=input_shape)}


@part
class LayerWrongOutput(Scale):
    def forward(self, params, x, ctx):
        y, cache = super().forward(params, x, ctx)
        return ctx.xp.sum(y, axis=1, keepdims=True), cache


@part
class LayerLosingBuffers(Scale):
    def forward(self, params, x, ctx):
        y, cache = super().forward(params, x, ctx)
        ctx.buffers = {}
        return y, cache


@part
class LayerWritingBuffers(Scale):
    def forward(self, params, x, ctx):
        ctx.buffers["mean"] *= 0.5
        ctx.buffers["mean"] += 0.5
        return params["g"] * x + params["c"], x


@part
class LayerWritingParameters(Scale):
    def forward(self, params, x, ctx):
        params["g"] *= 1.5
        return super().forward(params, x, ctx)


@part
class LayerRandom(Scale):
    def forward(self, params, x, ctx):
        return super().forward(params, x * float(np.random.default_rng().uniform()), ctx)


@part
class LayerQuietlyNoisy(Scale):
    def forward(self, params, x, ctx):
        return super().forward(params, x * (1.0 + 0.1 * ctx.step), ctx)

    def backward(self, params, cache, dy, ctx, *, input_gradient=True):
        dx, gradients = super().backward(params, cache, dy, ctx, input_gradient=input_gradient)
        return (dx if dx is None else dx * (1.0 + 0.1 * ctx.step)), gradients


@part
class LayerPromoting(Scale):
    def forward(self, params, x, ctx):
        y, cache = super().forward(params, x, ctx)
        return y * np.float64(1), cache


@part
class LayerOtherwiseCompiled(Scale):
    def forward(self, params, x, ctx):
        y, cache = super().forward(params, x, ctx)
        return y * (1.0 if isinstance(x, np.ndarray) else 1.5), cache


@part
class LayerOfAList(Scale):
    def output_shape(self, input_shape):
        return list(input_shape)


@part
class LayerCentred(Scale):
    def forward(self, params, x, ctx):
        return super().forward(params, x - ctx.xp.sum(x, axis=0) / x.shape[0], ctx)

    def backward(self, params, cache, dy, ctx, *, input_gradient=True):
        dx, gradients = super().backward(params, cache, dy, ctx, input_gradient=input_gradient)
        return (dx if dx is None else dx - ctx.xp.sum(dx, axis=0) / dx.shape[0]), gradients


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            LayerWrongBias(),
            "LayerWrongBias.backward: the gradient of 'c' disagrees with central differences of forward",
        ),
        (
            LayerWrongInput(),
            "LayerWrongInput.backward: dx disagrees with central differences",
        ),
        (
            LayerCentred(),
            "LayerCentred.forward in prediction gives a row by itself another result than among others: ",
        ),
        (
            LayerMissingGradient(),
            "LayerMissingGradient.backward: gradients must be a dict of arrays that holds 'g', 'c', got 'g'",
        ),
        (LayerAlwaysInput(), "LayerAlwaysInput.backward must return None for dx with input_gradient=False"),
        (
            LayerWrongParameters(),
            "LayerWrongParameters.init must return arrays of the shapes",
        ),
        (LayerFloat32(), "LayerFloat32.init must return NumPy arrays of float64, got float32 for 'g'"),
        (LayerDrawingElsewhere(), "LayerDrawingElsewhere.init draws another 'c' from the same generator"),
        (LayerWrongOutput(), "LayerWrongOutput.forward: y must have shape (1, 5), got (1, 1)"),
        (
            LayerLosingBuffers(),
            "LayerLosingBuffers.forward: ctx.buffers must be a dict of arrays that holds 'mean'",
        ),
        (
            LayerWritingBuffers(),
            "LayerWritingBuffers writes into ctx.buffers['mean'] (put a new",
        ),
        (LayerWritingParameters(), "LayerWritingParameters writes into params['g'] (make a new array)"),
        (LayerRandom(), "LayerRandom gives another y when it is called again"),
        (LayerRandom(), "draw random numbers from ctx.seed, ctx.step and ctx.layer alone"),
        (LayerQuietlyNoisy(), "LayerQuietlyNoisy gives another y at another step, but is not noisy"),
        (LayerPromoting(), "LayerPromoting.forward: y must be float32, as x is, got float64"),
        (LayerOtherwiseCompiled(), "after 5 compiled steps the parameters are others: "),
        (LayerOfAList(), "LayerOfAList.output_shape must return a tuple of int, got [5]"),
    ],
)
def test_what_is_wrong_with_a_layer_is_said(layer, message):
    assert message in found(check_layer, layer, (5,), libraries=NUMPY)


def _normed(theta, g, m, rate, share):
    norm = (g @ g) ** 0.5
    theta -= rate * g / norm
    return theta, m


def _numbered(theta, g, m, rate, share):
    theta[0] = theta[0] - rate * g[0]
    theta -= rate * g
    return theta, m


def _lost(theta, g, m, rate, share):
    m *= 0.5
    theta -= rate * g
    return (theta,)


def _thrown_away(theta, g, m, rate, share):
    step = theta * 1.0
    theta -= rate * g
    return step, m


def _rising(theta, g, m, rate, share):
    theta += rate * g
    return theta, m


def _type(theta, g, m, rate, share):
    theta -= rate * g * (1.0 if isinstance(theta, np.ndarray) else 2.0)
    return theta, m


@part
class NotByItself(Signum):
    rule = staticmethod(_normed)


@part
class Assigning(Signum):
    rule = staticmethod(_numbered)


@part
class LosingMoments(Signum):
    rule = staticmethod(_lost)


@part
class ThrowingAway(Signum):
    rule = staticmethod(_thrown_away)


@part
class Uphill(Signum):
    rule = staticmethod(_rising)


@part
class RuleOtherwiseCompiled(Signum):
    rule = staticmethod(_type)


@part
class NewRule(Signum):
    @property
    def rule(self):
        return lambda *arguments: _rising(*arguments)


@part
class NumPyConstants(Signum):
    def constants(self, step, rate):
        return np.float64(rate), 1.0 - self.beta


@part
class MatrixMoments(Signum):
    def init(self, params, *, xp):
        return (xp.zeros((2, 2)),)


@part
class BorrowedMoments(Signum):
    def init(self, params, *, xp):
        return (params,)


@part
class TextRate(Signum):
    def rate(self, step, per_epoch=1, history=None):
        return "fast"


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (NotByItself(), "NotByItself.rule gives a part of the vector another result"),
        (NotByItself(), "each element must follow from itself alone, without sums, norms or positions"),
        (Assigning(), "Assigning.rule gives a permuted vector another result"),
        (Assigning(), "Assigning.rule writes into arrays in a way that JAX does not allow"),
        (LosingMoments(), "LosingMoments.rule must return (theta, 1 moments), got a tuple of 1"),
        (ThrowingAway(), "ThrowingAway: 200 steps on the parabola Σ (θ - 3)² lead from 101.25 to 101.2, not down"),
        (Uphill(), "Uphill: 200 steps on the parabola"),
        (RuleOtherwiseCompiled(), "after 5 compiled steps the parameters are others: "),
        (NewRule(), "NewRule.rule is another function each time: a step would be compiled anew"),
        (NumPyConstants(), "NumPyConstants.constants: constant 0 must be a Python float, got numpy.float64"),
        (MatrixMoments(), "MatrixMoments.init: moment 0 must have shape (7,), got (2, 2)"),
        (BorrowedMoments(), "BorrowedMoments.init: moment 0 is the parameters' own memory: copy it"),
        (TextRate(), "TextRate.rate: the rate must be a Python float, got str"),
    ],
)
def test_what_is_wrong_with_an_optimizer_is_said(optimizer, message):
    assert message in found(check_optimizer, optimizer, libraries=NUMPY)


@part
class MetricOfAFloat(RootMeanSquare):
    def value(self, prediction, y, w, *, xp):
        return float(super().value(prediction, y, w, xp=xp))


@part
class MetricOfColumns(RootMeanSquare):
    def value(self, prediction, y, w, *, xp):
        return xp.sum((prediction - y) ** 2, axis=0)


@part
class MetricPromoting(RootMeanSquare):
    def value(self, prediction, y, w, *, xp):
        return super().value(prediction, y, w, xp=xp) * np.float64(1)


@part
class MetricWithoutWeights(RootMeanSquare):
    def value(self, prediction, y, w, *, xp):
        return super().value(prediction, y, xp.ones_like(w), xp=xp)


@part
class MetricUpsideDown(RootMeanSquare):
    larger_is_better = True


@part
class MetricWriting(RootMeanSquare):
    def value(self, prediction, y, w, *, xp):
        prediction -= y
        return super().value(prediction, 0.0 * y, w, xp=xp)


@part
class MetricRandom(RootMeanSquare):
    def value(self, prediction, y, w, *, xp):
        return super().value(prediction * float(np.random.default_rng().uniform()), y, w, xp=xp)


@part
class MetricOfNothing(RootMeanSquare):
    tasks = ("ranking",)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (MetricOfAFloat(), "MetricOfAFloat.value must be an array of numpy, (), got float"),
        (MetricOfColumns(), "MetricOfColumns.value must have shape (), got (2,)"),
        (MetricPromoting(), "MetricPromoting.value must be float32, as the prediction is, got float64"),
        (MetricWithoutWeights(), "MetricWithoutWeights: weights of 0, 1 and 2 give another value than repeated rows"),
        (
            MetricUpsideDown(),
            "MetricUpsideDown: larger_is_better is True, but perfect predictions say no: they give 0, others ",
        ),
        (MetricWriting(), "MetricWriting.value writes into the prediction (make a new array"),
        (MetricRandom(), "MetricRandom gives another value when it is called again"),
        (MetricOfNothing(), "MetricOfNothing.tasks must be some of regression, binary, multilabel, multiclass"),
    ],
)
def test_what_is_wrong_with_a_metric_is_said(metric, message):
    assert message in found(check_metric, metric, libraries=NUMPY)


counted = itertools.count(1)


@part
class PenaltyWrongSlope(Group):
    def derivative(self, w, *, xp):
        return 1.001 * super().derivative(w, xp=xp)


@part
class PenaltyWrongFarOff(xpnn.Penalty):
    def value(self, w, *, xp):
        return xp.sum(xp.minimum(xp.abs(w), 10.0))

    def derivative(self, w, *, xp):
        return xp.sign(w)


@part
class PenaltyOfEach(Group):
    def value(self, w, *, xp):
        return xp.abs(w)


@part
class PenaltyOfAFloat(Group):
    def value(self, w, *, xp):
        return float(super().value(w, xp=xp))


@part
class PenaltyOneSlope(Group):
    def derivative(self, w, *, xp):
        return xp.sum(super().derivative(w, xp=xp))


@part
class PenaltyPromoting(Group):
    def derivative(self, w, *, xp):
        return super().derivative(w, xp=xp) * np.float64(1)


@part
class PenaltyUndefined(Group):
    def derivative(self, w, *, xp):
        return w / xp.sqrt(xp.sum(w * w))


@part
class PenaltyWriting(Group):
    def value(self, w, *, xp):
        w *= 2.0
        return super().value(w, xp=xp)


@part
class PenaltyRemembering(Group):
    def value(self, w, *, xp):
        return super().value(w, xp=xp) * float(next(counted))


@part
class PenaltyTwiceStrong(Group):
    def value(self, w, *, xp):
        return self.strength * super().value(w, xp=xp)


@part
class PenaltyOtherwiseCompiled(Group):
    def derivative(self, w, *, xp):
        return super().derivative(w, xp=xp) * (1.0 if isinstance(w, np.ndarray) else -1.0)


@part
class PenaltyUncompared(Group):
    share: float = field(default=1.0, compare=False)


@pytest.mark.parametrize(
    ("penalty", "message"),
    [
        (PenaltyWrongSlope(0.1), "PenaltyWrongSlope.derivative disagrees with central differences of value: "),
        (PenaltyWrongFarOff(0.1), "PenaltyWrongFarOff.derivative disagrees with central differences of value: "),
        (PenaltyOfEach(0.1), "PenaltyOfEach.value must have shape (), got (12,)"),
        (PenaltyOfAFloat(0.1), "PenaltyOfAFloat.value must be an array of numpy, (), got float"),
        (PenaltyOneSlope(0.1), "PenaltyOneSlope.derivative must have shape (12,), got ()"),
        (PenaltyPromoting(0.1), "PenaltyPromoting.derivative must be float32, as w is, got float64"),
        (PenaltyUndefined(0.1), "PenaltyUndefined.derivative is infinite or NaN for weights that are all 0: [nan, "),
        (PenaltyWriting(0.1), "PenaltyWriting.value writes into the weights (make a new array)"),
        (PenaltyRemembering(0.1), "PenaltyRemembering.value gives another result when it is called again"),
        (PenaltyTwiceStrong(0.1), "PenaltyTwiceStrong.value is another with another strength"),
        (PenaltyOtherwiseCompiled(0.1), "after 5 compiled steps the parameters are others: "),
        (PenaltyUncompared(0.1), "two PenaltyUncompared that differ in share alone are equal"),
        (xpnn.Tanh(), "Tanh is not derived from xpnn.Penalty"),
        (xpnn.L2, "L2 is a class, the check takes an object: write L2()"),
    ],
)
def test_what_is_wrong_with_a_penalty_is_said(penalty, message):
    assert message in found(check_penalty, penalty, libraries=NUMPY)


# where it runs


def test_the_libraries_are_those_that_can_be_used_here_or_that_are_named():
    names = {"strict" if each.name == STRICT else each.name for each in libraries()}
    assert names == set(LIBRARIES)
    assert [each.name for each in libraries(["numpy"])] == ["numpy", "numpy-readonly"]
    with pytest.raises(InputError, match=r"libraries must be a list of names, got 'numpy': write \['numpy'\]"):
        check_activation(Snake(), libraries="numpy")
    with pytest.raises(InputError, match="unknown library 'nump'. Did you mean 'numpy'"):
        check_activation(Snake(), libraries=["nump"])
    absent = [name for name in ("cupy", "torch", "jax") if name not in names]
    if absent:
        with pytest.raises(BackendError, match=f"{absent[0]} cannot be used here"):
            check_activation(Snake(), libraries=[absent[0]])


def test_the_strict_library_may_be_missing(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert STRICT not in [each.name for each in libraries()]
    with pytest.raises(
        BackendError, match="array_api_strict cannot be used here: not installed: pip install array-a"
    ):
        libraries([STRICT])


def test_it_is_imported_by_name_alone_and_needs_no_test_library():
    program = (
        "import sys, xpnn; assert not [m for m in sys.modules if m.startswith('xpnn.testing')]; import xpnn.testing; "
        "xpnn.testing.check_activation(xpnn.Tanh(), libraries=['numpy']); "
        "assert not {'pytest', 'hypothesis', 'torch', 'jax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_where_there_is_no_float64_the_rest_is_checked():
    pytest.importorskip("jax")
    program = (
        "import xpnn.testing, xpnn\n"
        "from xpnn.testing.libraries import libraries\n"
        "assert [each.dtypes for each in libraries(['jax'])] == [('float32',)]\n"
        "xpnn.testing.check_activation(xpnn.GELU(), libraries=['jax'])\n"
        "xpnn.testing.check_loss(xpnn.Huber(), libraries=['jax'])\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_a_part_that_cannot_be_imported_is_checked_all_the_same():
    @part
    class Local(Snake):
        pass

    check_activation(Local(), libraries=NUMPY)
    check_loss(replace(Charbonnier(), reduction="sum"), libraries=NUMPY)
