"""Recorded formulas must do what the formulas do: same numbers, same memory, nothing of the caller's written over."""

import gc
import pickle
import threading
import weakref
from dataclasses import dataclass

import numpy as np
import pytest

import xpnn
from xpnn import backends
from xpnn.backends.generic import Backend
from xpnn.compiler import Compiled, blas, lanes, plan, rows
from xpnn.compiler import steps as stepping
from xpnn.compiler.record import record
from xpnn.compiler.recording import CannotRecord
from xpnn.compiler.shares import CannotShare, row_by_row, share
from xpnn.training import resting
from xpnn.training.step import first_state, make_step

from .cases import ACTIVATIONS, OPTIMIZERS
from .conftest import LIBRARIES
from .test_context import WithoutParameters

NUMPY = backends.get("numpy")
xp = NUMPY.namespace()


def both(function, state, *inputs):
    """What the function gives, recorded and run for the second time, and as it is; from equal copies of the state."""
    compiled = Compiled(function, xp)
    copies = [tuple(None if a is None else a.copy() for a in state) for _ in range(3)]
    compiled(copies[0], *inputs)  # another state first: nothing of it may be left
    return compiled(copies[1], *inputs), function(xp, copies[2], *inputs), compiled


def assert_same(ours, expected):
    if isinstance(expected, tuple | list):
        assert len(ours) == len(expected)
        for a, b in zip(ours, expected, strict=True):
            assert_same(a, b)
    elif expected is None:
        assert ours is None
    else:
        assert np.asarray(ours).dtype == np.asarray(expected).dtype
        assert np.shape(ours) == np.shape(expected)
        rtol = 2e-6 if np.asarray(ours).dtype == np.float32 else 1e-13
        np.testing.assert_allclose(ours, expected, rtol=rtol, atol=rtol)


# formulas


def operators(xp, state, x, n):
    (p,) = state
    a = (1.5 - x) * p + x / 2.0 - (-x) + abs(x) ** 0.5 + (x * x + 1.0) ** -0.25 + 2.0**x
    a = xp.where(a > 0, a, n * a) + xp.astype(x <= p, x.dtype) + xp.maximum(x, 0.25) - xp.minimum(0.5, p)
    b = xp.exp(-xp.abs(a)) + xp.log1p(xp.exp(x)) + xp.tanh(a) + xp.sqrt(xp.abs(a)) + xp.sign(x)
    b += p
    b -= 0.5 * x
    b *= n + 1
    b /= 2**n
    mask = ((x > 0) & (p > 0)) | ~(a == b)
    return b, xp.astype(mask, xp.int32), n * 2 - 1, (x != p, x >= 0.0, x < p)


def reductions(xp, state, x, n):
    (p,) = state
    a = x + p
    return (
        xp.sum(a), xp.sum(a, axis=0), xp.sum(a, axis=1), xp.sum(a, axis=-1, keepdims=True), xp.max(a, axis=1),
        xp.max(a, axis=1, keepdims=True), xp.min(a), xp.max(a, axis=0, keepdims=True), xp.mean(a, axis=0),
        xp.sum(xp.astype(a > 0, xp.int32), axis=0), xp.sum(a, axis=0, keepdims=True), xp.prod(a[:3, :2], axis=1),
    )  # fmt: skip


def views(xp, state, x, n):
    (p,) = state
    top, bottom = x[:3, ...], x[3:, ...]
    flat = xp.reshape(p, (-1,))
    matrix = xp.matrix_transpose(x) @ p
    stacked = xp.concat([xp.reshape(matrix, (-1,)), flat, xp.sum(x, axis=0)])
    return top + 1.0, xp.concat([bottom, top]), stacked, x.T @ x, x[:, None, :] * p[..., None, :], x.mT[0, :]


def made(xp, state, x, n):
    """Arrays that the function makes, written to or not."""
    (p,) = state
    total = xp.zeros((x.shape[1],), dtype=x.dtype)
    for i in range(3):
        total += x[i, :]
    fixed = xp.arange(x.shape[1], dtype=x.dtype) * 2.0
    return total, fixed + total, xp.ones_like(p) - p, xp.take(x, xp.asarray([2, 0]), axis=0), fixed


def in_place_over_views(xp, state, x, n):
    """A part of the state is written to through a view, and read through another."""
    (p,) = state
    row = p[0, :]
    row += xp.sum(x, axis=0)
    return p, p[0, :] * n, xp.sum(p)


FORMULAS = [operators, reductions, views, made, in_place_over_views]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("block", [1 << 15, 8])
@pytest.mark.parametrize("function", FORMULAS, ids=lambda f: f.__name__)
def test_a_formula_recorded_equals_the_formula(function, block, dtype, rng, monkeypatch):
    monkeypatch.setattr(plan, "BLOCK", block)
    x, p = (rng.normal(size=(7, 4)).astype(dtype) for _ in range(2))
    kept = x.copy()
    ours, expected, _ = both(function, (p,), x, 3)
    assert_same(ours, expected)
    np.testing.assert_array_equal(x, kept)


@pytest.mark.parametrize("function", FORMULAS, ids=lambda f: f.__name__)
def test_what_it_returned_is_not_written_over_by_the_next_call(function, rng):
    p, first, second = (rng.normal(size=(7, 4)) for _ in range(3))
    compiled = Compiled(function, xp)
    ours = compiled((p.copy(),), first, 3)
    expected = function(xp, (p.copy(),), first, 3)
    compiled((p.copy(),), second, 3)
    assert_same(ours, expected)


def rows_read_elsewhere(xp, state, x):
    (p,) = state
    z = x * 2.0
    a = z + z[::-1, :]
    z = x + p
    y = x + z[0:1, :]
    z += 1.0
    q = p[::-1, :] * 1.0
    p += q - p[0:1, :]
    return a * 1.0, y - z, p


def test_blocks_do_not_read_what_the_block_before_has_written(rng, monkeypatch):
    monkeypatch.setattr(plan, "BLOCK", 8)
    x, p = rng.normal(size=(12, 4)), rng.normal(size=(12, 4))
    ours, expected, _ = both(rows_read_elsewhere, (p,), x)
    assert_same(ours, expected)


def test_inputs_may_be_strided_and_change_their_shape_dtype_and_kind(rng):
    p = rng.normal(size=(7, 4))
    compiled = Compiled(reductions, xp)
    for x in (
        rng.normal(size=(7, 4)),
        rng.normal(size=(14, 8))[::2, ::2],
        np.asfortranarray(rng.normal(size=(7, 4))),
        rng.normal(size=(1, 4)),
        rng.normal(size=(7, 4)).astype(np.float32),
    ):
        assert_same(compiled((p,), x, 1), reductions(xp, (p,), x, 1))
        assert_same(compiled((p,), x, 1.5), reductions(xp, (p,), x, 1.5))


def test_a_state_that_is_another_array_is_taken_up(rng):
    def double(xp, state, x):
        (p,) = state
        p += x
        return p

    compiled = Compiled(double, xp)
    first, second, x = rng.normal(size=3), rng.normal(size=3), np.ones(3)
    for p in (first, second, first, first):
        expected = p + 1.0
        assert compiled((p,), x) is p
        np.testing.assert_array_equal(p, expected)


def test_what_is_joined_is_made_where_it_is_wanted(rng):
    """The weight gradients of a network: BLAS writes them into the flat gradient."""

    def gradient(xp, state, x, dz):
        g = xp.concat([xp.reshape(xp.matrix_transpose(x) @ dz, (-1,)), xp.sum(dz, axis=0)])
        return xp.sum(g * g)

    x, dz = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
    ours, expected, compiled = both(gradient, (), x, dz)
    assert_same(ours, expected)
    (program,) = compiled.programs.values()
    assert "concat" not in program.source


def test_parts_that_are_needed_later_are_not_joined_in_place(rng):
    def function(xp, state, x):
        a, b = x + 1.0, x * 2.0
        joined = xp.concat([a, b])
        joined += 1.0
        a *= 3.0
        return joined, a, xp.concat([b, b])

    ours, expected, _ = both(function, (), rng.normal(size=5))
    assert_same(ours, expected)


def test_memory_is_used_again():
    """A chain of element-wise calls needs the memory of two arrays, however long it is."""

    def chain(xp, state, x):
        a = x
        for _ in range(20):
            a = xp.exp(a * 0.5) - 1.0
        return xp.sum(a)

    compiled = Compiled(chain, xp)
    compiled((), np.zeros((100, 10)))
    assert sum(array.nbytes for array in compiled._memory.values()) <= 2 * 100 * 10 * 8 + 64
    assert_same(compiled((), np.full((100, 10), 0.1)), chain(xp, (), np.full((100, 10), 0.1)))


def test_blocks_need_no_more_memory_for_more_rows(monkeypatch):
    monkeypatch.setattr(plan, "BLOCK", 100)

    def chain(xp, state, x):
        (p,) = state
        p += xp.exp(x * 0.5) - x
        return p

    sizes = []
    for n in (1000, 100_000):
        compiled = Compiled(chain, xp)
        compiled((np.zeros(n),), np.ones(n))
        sizes.append(sum(array.nbytes for array in compiled._memory.values()))
    assert sizes[0] == sizes[1]


def test_recording_computes_nothing_of_the_caller_s():
    def function(xp, state, x):
        (p,) = state
        p += x
        return xp.sum(p)

    p = np.zeros(3)
    record(function, xp, ((p,), np.ones(3)))
    np.testing.assert_array_equal(p, 0)


def test_the_memory_goes_when_the_function_does():
    compiled = Compiled(operators, xp)
    compiled((np.ones((7, 4)),), np.ones((7, 4)), 3)
    gone = weakref.ref(compiled)
    enabled = gc.isenabled()
    gc.disable()
    try:
        del compiled
        assert gone() is None
    finally:
        if enabled:
            gc.enable()


# what cannot be recorded


def test_a_function_of_numpy_called_by_name_is_told():
    def step(xp, state, x):
        return np.tanh(x)

    with pytest.warns(RuntimeWarning, match="it calls a function of NumPy by name: use those of the namespace xp"):
        np.testing.assert_array_equal(Compiled(step, xp)((), np.ones(3)), np.tanh(np.ones(3)))


def looks(xp, state, x):
    return x * 2.0 if float(xp.sum(x)) > 0 else x


def branches(xp, state, x):
    return x * 2.0 if xp.sum(x) > 0 else x


def converts(xp, state, x):
    return xp.asarray(np.asarray(x))


@pytest.mark.parametrize("function", [looks, branches, converts])
def test_a_function_that_looks_at_numbers_runs_as_it_is_and_says_so(function):
    compiled = Compiled(function, xp)
    with pytest.warns(
        RuntimeWarning, match="a step cannot be recorded and runs call by call, which is slower .a decision that dep"
    ):
        np.testing.assert_array_equal(compiled((), np.ones(3)), function(xp, (), np.ones(3)))
    np.testing.assert_array_equal(compiled((), -np.ones(3)), function(xp, (), -np.ones(3)))  # said once


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda xp, state, x: xp.unique_counts(x), "gives a UniqueCountsResult"),
        (lambda xp, state, x: x.sum, None),
        (lambda xp, state, x: x + "a", None),
        (lambda xp, state, x: object(), "a object among the arguments"),
    ],
)
def test_other_things_that_cannot_be_recorded(function, reason):
    with pytest.raises((CannotRecord, TypeError, AttributeError), match=reason):
        record(function, xp, ((), np.ones(3)))


def test_shapes_that_do_not_fit_raise_what_numpy_raises():
    compiled = Compiled(lambda xp, state, x, y: x @ y, xp)
    with pytest.raises(ValueError, match="matmul"):
        compiled((), np.ones((2, 3)), np.ones((2, 3)))
    compiled = Compiled(lambda xp, state, x, y: x + y, xp)
    with pytest.raises(ValueError, match="broadcast"):
        compiled((), np.ones((2, 3)), np.ones((2, 4)))


# steps of training


def steps(network, loss, optimizer, batches, *, compile=None, backend=NUMPY, **options):
    like = batches[0][0]
    step = make_step(network, loss, optimizer, xp=xp, backend=backend, compile=compile, **options)
    state = first_state(network, optimizer, network.init(0, like=like), xp=xp)
    losses = []
    with backend.on(like):
        for x, y, w in batches:
            state, value = step(state, x, y, w)
            losses.append(float(value))
    return state, losses


def ragged(rng, dtype, weighted, sizes=(6, 6, 3, 6, 1)):
    return [
        (
            rng.normal(size=(n, 5)).astype(dtype),
            np.eye(3, dtype=dtype)[rng.integers(0, 3, n)],
            rng.uniform(0.5, 2.0, n).astype(dtype) if weighted else None,
        )
        for n in sizes
    ]


def assert_same_training(ours, expected, dtype):
    rtol = 1e-4 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(ours[1], expected[1], rtol=rtol)
    for a, b in zip((ours[0].params, *ours[0].moments), (expected[0].params, *expected[0].moments), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("hidden", ACTIVATIONS)
def test_steps_of_every_activation_on_batches_of_changing_size(hidden, reduction, weighted, dtype, rng):
    network = xpnn.mlp([5, 6, 4, 3], hidden=ACTIVATIONS[hidden], output="softmax")
    loss, batches = xpnn.CategoricalCrossentropy(reduction), ragged(rng, dtype, weighted)
    ours, expected = (steps(network, loss, xpnn.Adam(), batches, compile=c) for c in (None, False))
    assert_same_training(ours, expected, dtype)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("output", "loss"), [("sigmoid", "binary_crossentropy"), ("linear", "mse"), ("tanh", "mse")])
def test_steps_of_every_optimizer_and_of_other_losses(optimizer, output, loss, dtype, rng):
    network = xpnn.mlp([5, 6, 3], hidden="tanh", output=output)
    batches = ragged(rng, dtype, weighted=False)
    loss = xpnn.losses.get(loss)
    ours, expected = (steps(network, loss, OPTIMIZERS[optimizer], batches, compile=c) for c in (None, False))
    assert_same_training(ours, expected, dtype)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("output", "loss"),
    [
        ("linear", xpnn.MeanAbsoluteError()),
        ("linear", xpnn.Huber(delta=0.5)),
        ("linear", xpnn.LogCosh()),
        ("linear", xpnn.Quantile(quantiles=(0.1, 0.5, 0.9))),
        ("linear", xpnn.Quantile(quantiles=(0.3,))),
        ("softplus", xpnn.Poisson()),
        ("linear", xpnn.Hinge()),
        ("sigmoid", xpnn.BinaryCrossentropy(label_smoothing=0.1)),
        ("softmax", xpnn.CategoricalCrossentropy(label_smoothing=0.1)),
        ("softmax", xpnn.KullbackLeibler()),
    ],
)
def test_steps_of_the_losses_that_are_not_of_the_source(output, loss, weighted, dtype, rng):
    network = xpnn.mlp([5, 6, 3], hidden="tanh", output=output)
    batches = [(x, y[:, : loss.columns(3)], w) for x, y, w in ragged(rng, dtype, weighted)]
    ours, expected = (steps(network, loss, xpnn.Adam(), batches, compile=c) for c in (None, False))
    assert_same_training(ours, expected, dtype)


@pytest.fixture
def shared(monkeypatch):
    """Lets every step be shared out among so many threads, and tells which were."""

    def use(count):
        monkeypatch.setattr(stepping.together, "available", lambda: False)
        monkeypatch.setattr(stepping, "ENOUGH", 1)
        monkeypatch.setattr(stepping, "ALONE", (0, 0))
        monkeypatch.setattr(blas.threads, "count", lambda: count)
        calls = []
        on_threads = lanes.on_threads
        monkeypatch.setattr(
            lanes, "on_threads", lambda functions: calls.append(len(functions)) or on_threads(functions)
        )
        return calls

    return use


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_batch_shared_out_among_threads_gives_the_same(count, weighted, reduction, dtype, rng, shared):
    calls = shared(count)
    network, loss = xpnn.mlp([5, 40, 7, 3], hidden="relu", output="softmax"), xpnn.CategoricalCrossentropy(reduction)
    batches = ragged(rng, dtype, weighted, sizes=(128, 128, 101, 128, 40))  # the last is too small to share
    ours = steps(network, loss, xpnn.Adam(), batches)
    assert calls == [count] * 8
    assert_same_training(ours, steps(network, loss, xpnn.Adam(), batches, compile=False), dtype)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("hidden", ACTIVATIONS)
def test_every_activation_and_optimizer_shared_out(hidden, optimizer, rng, shared, monkeypatch):
    calls = shared(2)
    monkeypatch.setattr(plan, "LARGE_BLOCK", 50)
    network, loss = (
        xpnn.mlp([5, 9, 4, 3], hidden=ACTIVATIONS[hidden], output="softmax"),
        xpnn.CategoricalCrossentropy(),
    )
    batches = ragged(rng, "float64", weighted=False, sizes=(128, 101, 128))
    ours = steps(network, loss, OPTIMIZERS[optimizer], batches)
    assert calls == [2] * 6
    assert_same_training(ours, steps(network, loss, OPTIMIZERS[optimizer], batches, compile=False), "float64")


@pytest.mark.parametrize(
    ("options", "shared_out"),
    [
        ({"penalty": (xpnn.L2(0.1),)}, True),
        ({"penalty": (xpnn.L1(0.1), xpnn.L2(0.2, biases=True)), "clip_value": 0.01}, True),
        ({"clip_norm": 0.1, "penalty": (xpnn.L2(0.1),)}, False),  # the norm is of what all lanes have made
    ],
    ids=repr,
)
def test_penalties_and_clipping_shared_out(options, shared_out, dtype, rng, shared):
    calls = shared(2)
    network, loss = xpnn.mlp([5, 9, 4, 3], hidden="tanh", output="softmax"), xpnn.CategoricalCrossentropy()
    batches = ragged(rng, dtype, weighted=True, sizes=(128, 101, 128))
    ours = steps(network, loss, xpnn.Adam(), batches, **options)
    assert calls == ([2] * 6 if shared_out else [])
    assert_same_training(ours, steps(network, loss, xpnn.Adam(), batches, compile=False, **options), dtype)


@pytest.mark.parametrize("target", ["labels", "one-hot", "sigmoid", "numbers"])
def test_every_kind_of_target_shared_out(target, dtype, rng, shared):
    calls = shared(2)
    output, loss, y = {
        "labels": ("softmax", xpnn.CategoricalCrossentropy(), rng.integers(0, 3, 128)),
        "one-hot": ("softmax", xpnn.CategoricalCrossentropy(), np.eye(3)[rng.integers(0, 3, 128)].astype(dtype)),
        "sigmoid": ("sigmoid", xpnn.BinaryCrossentropy(), rng.integers(0, 2, (128, 3)).astype(dtype)),
        "numbers": ("linear", xpnn.MeanSquaredError(), rng.normal(size=(128, 3)).astype(dtype)),
    }[target]
    network = xpnn.mlp([5, 9, 3], hidden="relu", output=output)
    batches = [(rng.normal(size=(128, 5)).astype(dtype), y, None)] * 3
    ours = steps(network, loss, xpnn.Adam(), batches)
    assert calls == [2] * 6
    assert_same_training(ours, steps(network, loss, xpnn.Adam(), batches, compile=False), dtype)


@dataclass(frozen=True)
class Centre(WithoutParameters):
    """A layer in which the samples meet."""

    def forward(self, params, x, ctx):
        return x - ctx.xp.mean(x, axis=0), None

    def backward(self, params, cache, dy, ctx, *, input_gradient=True):
        return dy - ctx.xp.mean(dy, axis=0), {}


def test_samples_that_meet_in_a_layer_are_not_shared_out(rng, shared):
    calls = shared(2)
    network = xpnn.Sequential(xpnn.Dense(4, "tanh"), Centre(), xpnn.Dense(3, "softmax"), input_shape=(5,))
    loss, batches = xpnn.CategoricalCrossentropy(), ragged(rng, "float64", False, sizes=(128, 128))
    ours = steps(network, loss, xpnn.SGD(0.1), batches)
    assert calls == []
    assert_same_training(ours, steps(network, loss, xpnn.SGD(0.1), batches, compile=False), "float64")


def gradient_of(forward):
    """A step of training as far as it matters here: something of x and W, its gradient, and an update."""

    def step(xp, state, x):
        (p,) = state
        W = xp.reshape(p, (4, 4))
        z = forward(xp, x, W)
        g = xp.concat([xp.reshape(xp.matrix_transpose(x) @ z, (-1,))])
        p -= 0.1 * g
        return p, xp.sum(z)

    return step


APART = {
    "product": lambda xp, x, W: x @ W,
    "of the parameters alone": lambda xp, x, W: x @ (W * W + xp.sum(W)),
    "of the inputs alone": lambda xp, x, W: (x - xp.mean(x, axis=0)) @ W,
    "each row's": lambda xp, x, W: x @ W / xp.sum(xp.abs(x @ W), axis=1, keepdims=True),
}
TOGETHER = {
    "mean over rows": lambda xp, x, W: x @ W - xp.mean(x @ W, axis=0),
    "sum over rows": lambda xp, x, W: x @ W - xp.sum(x @ W, axis=0, keepdims=True),
    "sum of all": lambda xp, x, W: x @ W / xp.sum(xp.abs(x @ W)),
    "rows in reverse": lambda xp, x, W: (x @ W)[::-1, :],
    "rows moved on": lambda xp, x, W: xp.concat([(x @ W)[1:, :], (x @ W)[:1, :]]),
    "largest of a column": lambda xp, x, W: x @ W / xp.max(xp.abs(x @ W), axis=0),
    "rows against rows": lambda xp, x, W: (x @ W) @ xp.matrix_transpose(x @ W) @ x,
    "columns as rows": lambda xp, x, W: x @ W + xp.sum(x @ W, axis=1),
    "taken": lambda xp, x, W: xp.take(x @ W, xp.asarray([3, 2, 1, 0]), axis=0),
}


@pytest.mark.parametrize("name", APART)
def test_what_is_done_row_by_row_is_shared_out(name, rng):
    shares = share(record(gradient_of(APART[name]), xp, ((np.ones(16),), np.ones((4, 4)))))
    assert len(shares.sums) == 2
    assert len(shares.update) == 2


@pytest.mark.parametrize("name", TOGETHER)
def test_what_brings_rows_together_is_not(name, rng):
    with pytest.raises(CannotShare):
        share(record(gradient_of(TOGETHER[name]), xp, ((np.ones(16),), np.ones((4, 4)))))


def written_over_after_its_sum(xp, state, x):
    (p,) = state
    z = x @ xp.reshape(p, (4, 4))
    dW = xp.matrix_transpose(x) @ z
    z *= 2.0
    p -= 0.1 * xp.concat([xp.reshape(dW, (-1,))])
    return p, xp.sum(z)


def parameters_written_over_between_rows(xp, state, x):
    (p,) = state
    W = xp.reshape(p, (4, 4))
    z = x @ W
    W *= 0.5
    z = z + x @ W
    p -= 0.1 * xp.concat([xp.reshape(xp.matrix_transpose(x) @ z, (-1,))])
    return p, xp.sum(z)


@pytest.mark.parametrize("step", [written_over_after_its_sum, parameters_written_over_between_rows])
def test_what_is_written_over_stays_in_order(step, rng, shared):
    shared(2)
    x, p = rng.normal(size=(128, 4)), rng.normal(size=16)
    expected = step(xp, (p.copy(),), x)
    assert_same(stepping.Steps(step, xp, work=1)((p.copy(),), x), expected)
    with pytest.raises(CannotShare, match="written over that another phase reads"):
        share(record(step, xp, ((p,), x)))


def test_an_update_that_is_not_element_by_element_is_not_shared_out():
    def clipped(xp, state, x):
        (p,) = state
        g = xp.concat([xp.reshape(xp.matrix_transpose(x) @ (x @ xp.reshape(p, (4, 4))), (-1,))])
        return p - g / xp.sum(g * g)

    with pytest.raises(CannotShare, match="sum|element"):
        share(record(clipped, xp, ((np.ones(16),), np.ones((6, 4)))))


def test_a_prediction_is_found_to_be_row_by_row():
    def forward(f):
        return record(lambda xp, state, x: f(xp, x, state[0]), xp, ((np.ones((4, 4)),), np.ones((4, 4))))

    assert all(row_by_row(forward(f)) for f in APART.values() if f is not APART["of the inputs alone"])
    assert not any(row_by_row(forward(f)) for f in TOGETHER.values())


def test_steps_of_middle_size_keep_their_products_on_one_thread(rng, monkeypatch):
    monkeypatch.setattr(stepping, "ALONE", (0, np.inf))
    counts = []

    def look(xp, state, x):
        (p,) = state
        counts.append({each.num_threads for each in blas.libraries()})
        p += xp.sum(x @ xp.matrix_transpose(x), axis=0)
        return p, xp.sum(p)

    before = {each.num_threads for each in blas.libraries()}
    step, x, p = stepping.Steps(look, xp, work=10), rng.normal(size=(6, 4)), np.zeros(6)
    _, total = step((p,), x)
    assert total == pytest.approx((x @ x.T).sum())
    assert counts
    assert all(count <= {1} for count in counts)
    assert {each.num_threads for each in blas.libraries()} == before


def test_steps_that_cannot_be_recorded_use_all_threads(rng):
    counts = []

    def look(xp, state, x):
        (p,) = state
        counts.append({each.num_threads for each in blas.libraries()})
        if float(xp.sum(x)) > 1e9:
            return p
        return p + xp.sum(x @ xp.matrix_transpose(x), axis=0)

    before = {each.num_threads for each in blas.libraries()}
    step, x, p = stepping.Steps(look, xp, work=10**6), rng.normal(size=(6, 4)), np.zeros(6)
    with pytest.warns(RuntimeWarning, match="cannot be recorded"):
        step((p,), x)
    counts.clear()
    np.testing.assert_allclose(step((p,), x), (x @ x.T).sum(axis=0))
    assert counts == [before]


# predictions


@pytest.mark.parametrize("n", [1, 2, 16, 17, 300, 1023, 1024, 1025, 3000])
def test_predictions_of_few_and_many_rows(n, dtype, rng):
    network = xpnn.mlp([5, 7, 3], hidden="elu", output="softmax")
    model = xpnn.Model(network, network.init(0, like=np.zeros(1, dtype)), "categorical_crossentropy")
    X = rng.normal(size=(n, 5)).astype(dtype)
    first, again = model.predict(X), model.predict(X[::-1])
    expected = network.forward(model.params, X)
    assert first.dtype == dtype
    np.testing.assert_allclose(first, expected, rtol=1e-5 if dtype == "float32" else 1e-12)
    np.testing.assert_allclose(again, expected[::-1], rtol=1e-5 if dtype == "float32" else 1e-12)


def test_a_model_goes_when_nobody_needs_it_and_can_be_copied_once_used():
    network = xpnn.mlp([5, 7, 3], output="softmax")
    model = xpnn.Model(network, network.init(0), "categorical_crossentropy")
    X = np.ones((2, 5))
    expected = model.predict(X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), expected)
    gone = weakref.ref(model)
    gc.disable()
    try:
        del model
        assert gone() is None
    finally:
        gc.enable()


def test_predictions_by_several_threads_at_once(rng):
    network = xpnn.mlp([5, 7, 3], hidden="tanh", output="softmax")
    model = xpnn.Model(network, network.init(0), "categorical_crossentropy")
    data = [rng.normal(size=(n, 5)) for n in (3, 3, 2000, 2000)]
    wrong = []

    def predict(X):
        expected = network.forward(model.params, X)
        for _ in range(200 if len(X) < 100 else 20):
            if not np.allclose(model.predict(X), expected, rtol=1e-12):
                wrong.append(len(X))

    threads = [threading.Thread(target=predict, args=(X,)) for X in data]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_rows_are_not_cut_where_a_layer_needs_them_together(rng):
    network = xpnn.Sequential(xpnn.Dense(4, "tanh"), Centre(), input_shape=(5,))
    model = xpnn.Model(network, network.init(0), "mse")
    X = rng.normal(size=(rows.CHUNK + 5, 5))
    np.testing.assert_allclose(model.predict(X), network.forward(model.params, X), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("enough", [1, 1e12])
def test_many_rows_are_predicted_as_few_are(enough, rng, monkeypatch):
    """On one thread and on several, in chunks of one length and of others, for the first time and again."""
    monkeypatch.setattr(rows, "ENOUGH", enough)
    monkeypatch.setattr(rows, "CHUNK", 8)
    monkeypatch.setattr(rows, "FEW", 2)
    model = xpnn.Model(xpnn.mlp([5, 6, 3], output="softmax"), xpnn.mlp([5, 6, 3]).init(0), "categorical_crossentropy")
    X = rng.normal(size=(61, 5))
    expected = model.network.forward(model.params, X)
    for n in (61, 61, 3, 3, 8, 9, 9, 17, 61, 1, 2):
        np.testing.assert_allclose(model.predict(X[:n]), expected[:n], rtol=1e-12)
    assert bool(model._predictor._lanes) == (enough == 1 and blas.threads.count() > 1)


def test_one_row_of_a_large_network_is_predicted_again_and_again(rng, monkeypatch):
    monkeypatch.setattr(rows, "ENOUGH", 1)
    model = xpnn.Model(xpnn.mlp([5, 6, 3]), xpnn.mlp([5, 6, 3]).init(0), "mse")
    X = rng.normal(size=(40, 5))
    for n in (1, 1, 1, 2, 2, 17, 17, 33, 33):
        expected = model.network.forward(model.params, X[:n])
        np.testing.assert_allclose(model.predict(X[:n]), expected, rtol=1e-12)


@dataclass(frozen=True)
class AgainstTheFirst(WithoutParameters):
    """y = x less the batch's first row."""

    def forward(self, params, x, ctx):
        return x - x[0:1, :], None


@dataclass(frozen=True)
class Similar(WithoutParameters):
    """y = x xᵀ x: the rows, each as much as it is like the others."""

    def forward(self, params, x, ctx):
        return x @ ctx.xp.matrix_transpose(x) @ x, None


@pytest.mark.parametrize("layer", [AgainstTheFirst(), Similar()], ids=repr)
def test_rows_that_meet_are_found_to_from_one_row_too(layer, rng, monkeypatch):
    monkeypatch.setattr(rows, "CHUNK", 4)
    network = xpnn.Sequential(xpnn.Dense(4, "tanh"), layer, input_shape=(5,))
    model = xpnn.Model(network, network.init(0), "mse")
    X = rng.normal(size=(11, 5))
    for n in (1, 11, 11):
        np.testing.assert_allclose(model.predict(X[:n]), network.forward(model.params, X[:n]), rtol=1e-12)


@dataclass(frozen=True)
class Mixed(WithoutParameters):
    """y = x tanh(3 W), W its parameter; backward as if the tanh were not there."""

    def parameter_shapes(self, input_shape):
        return {"W": (input_shape[0], input_shape[0])}

    def init(self, input_shape, rng):
        return {"W": rng.normal(size=self.parameter_shapes(input_shape)["W"]) / 10}

    def forward(self, params, x, ctx):
        mixed = ctx.xp.tanh(params["W"] * 3.0)
        return x @ mixed, (x, mixed)

    def backward(self, params, cache, dy, ctx, *, input_gradient=True):
        x, _ = cache
        return dy @ ctx.xp.matrix_transpose(params["W"]), {"W": ctx.xp.matrix_transpose(x) @ dy}


def test_no_lane_writes_where_another_may_still_read(rng, shared):
    """What is made of the parameters is as large as what is made of the rows: 64 by 64."""
    calls = shared(2)
    network = xpnn.Sequential(xpnn.Dense(64, "relu"), Mixed(), xpnn.Dense(64, "relu"), Mixed(), input_shape=(64,))
    batches = [(rng.normal(size=(64, 64)), rng.normal(size=(64, 64)), None)] * 3
    for _ in range(5):
        ours = steps(network, xpnn.MeanSquaredError(), xpnn.SGD(0.1), batches)
        plain = steps(network, xpnn.MeanSquaredError(), xpnn.SGD(0.1), batches, compile=False)
        assert_same_training(ours, plain, "float64")
    assert calls


# other libraries' ways


def test_torch_tensors_on_the_cpu_are_trained_where_they_lie(rng):
    torch = pytest.importorskip("torch")
    backend = backends.get("torch")
    network, optimizer = xpnn.mlp([5, 4, 3], output="softmax"), xpnn.Adam()
    x, y = torch.asarray(rng.normal(size=(8, 5))), torch.asarray(rng.integers(0, 3, 8))
    step = make_step(network, xpnn.CategoricalCrossentropy(), optimizer, xp=backend.namespace(), backend=backend)
    before = first_state(network, optimizer, network.init(0, like=x), xp=backend.namespace())
    after, loss = step(before, x, y, None)
    assert after.params is before.params
    assert isinstance(loss, torch.Tensor)
    again, _ = step(after, x, y, None)
    assert again.params is before.params


def test_torch_compile_that_fails_is_said_and_the_step_runs(rng, monkeypatch):
    torch = pytest.importorskip("torch")

    def fail(*arguments):
        raise RuntimeError("no compiler\nat all")

    monkeypatch.setattr(torch, "compile", lambda function: fail)
    X, y = torch.asarray(rng.normal(size=(8, 5))), torch.asarray(rng.integers(0, 3, 8))
    network = xpnn.mlp([5, 4, 3], output="softmax")
    with pytest.warns(
        RuntimeWarning, match="torch.compile failed, so the step runs eagerly.*: RuntimeError: no comp"
    ):
        model = xpnn.fit(network, X, y, optimizer="adam", epochs=5, compile=True)
    expected = xpnn.fit(network, X, y, optimizer="adam", epochs=5, compile=False)
    torch.testing.assert_close(model.params, expected.params)


@pytest.mark.parametrize("name", ["numpy", "torch", "jax"])
def test_a_step_is_compiled_once_for_one_network(name, rng, monkeypatch):
    if name not in LIBRARIES:
        pytest.skip(f"{name} cannot be used here")
    monkeypatch.setattr(resting, "_functions", {})
    lib = LIBRARIES[name]
    X = lib(rng.normal(size=(6, 5)))
    made = []
    original = type(backends.get(name)).step
    monkeypatch.setattr(
        type(backends.get(name)), "step", lambda self, *a, **k: made.append(1) or original(self, *a, **k)
    )

    def fit(seed=0, rate=0.1):
        return lib.host(xpnn.fit(xpnn.mlp([5, 3]), X, X[:, :3], optimizer=xpnn.SGD(rate), seed=seed, epochs=3).params)

    first = fit()
    again = fit(rate=0.2)  # the rate is no part of it
    assert len(made) == 1
    np.testing.assert_array_equal(fit(), first)  # nothing is left of the training before
    assert np.any(again != first)
    fit(seed=1)
    assert len(made) == 2
    for seed in range(20):
        fit(seed)
    assert len(resting._functions) <= 16


@pytest.mark.parametrize("name", ["numpy", "jax"])
def test_what_lbfgs_evaluates_is_compiled_once_too(name, rng, monkeypatch):
    if name not in LIBRARIES:
        pytest.skip(f"{name} cannot be used here")
    monkeypatch.setattr(resting, "_functions", {})
    lib, made = LIBRARIES[name], []
    backend = type(backends.get(name))
    original = backend.compile
    monkeypatch.setattr(backend, "compile", lambda self, *a, **k: made.append(1) or original(self, *a, **k))

    def fit(X):
        return lib.host(xpnn.fit(xpnn.mlp([5, 3]), X, X[:, :3], optimizer="lbfgs", seed=0, epochs=3).params)

    X, other = lib(rng.normal(size=(6, 5))), lib(rng.normal(size=(7, 5)))
    first = fit(X)
    fit(other)
    np.testing.assert_array_equal(fit(X), first)
    assert len(made) == 1


def test_two_trainings_at_once_do_not_share_a_step(rng, monkeypatch):
    monkeypatch.setattr(resting, "_functions", {})
    X = rng.normal(size=(6, 5))
    network, inner = xpnn.mlp([5, 4, 3]), []

    def train(callbacks=(), seed=0):
        return xpnn.fit(network, X, X[:, :3], optimizer="adam", seed=seed, epochs=6, callbacks=callbacks).params

    alone = train()
    outer = train([lambda training: inner.append(train())])
    np.testing.assert_array_equal(outer, alone)
    for each in inner:
        np.testing.assert_array_equal(each, alone)


def test_a_step_at_rest_holds_no_arrays_and_little_memory(rng, monkeypatch):
    monkeypatch.setattr(resting, "_functions", {})
    for width, kept in ((4, True), (20_000, False)):
        X = rng.normal(size=(300, 5))
        model = xpnn.fit(xpnn.mlp([5, width, 2]), X, X[:, :2], epochs=2, compile=None)
        params = weakref.ref(model.params)
        assert bool(resting._functions) is kept
        del model
        gc.collect()
        assert params() is None
        resting._functions.clear()


def test_the_generic_backend_runs_steps_as_they_are(rng):
    batches = ragged(rng, "float64", False)
    network, loss = xpnn.mlp([5, 4, 3], output="softmax"), xpnn.CategoricalCrossentropy()
    ours = steps(network, loss, xpnn.SGD(0.1), batches, backend=Backend("generic"))
    assert_same_training(ours, steps(network, loss, xpnn.SGD(0.1), batches), "float64")


@pytest.mark.parametrize(("n", "inside"), [(1, 0), (100, 1)])
def test_a_prediction_of_middle_size_keeps_blas_to_one_thread(rng, n, inside):
    """Its others would stay awake for long after a product that takes no time."""
    seen = []

    def function(xp, state, X):
        seen.append(len(blas.threads._ones))
        return xp.matmul(X, state[0])

    X, w = rng.normal(size=(n, 100)), rng.normal(size=(100, 100))
    np.testing.assert_allclose(rows.Rows(function, xp)((w,), X), X @ w)
    assert set(seen) == {inside}
    assert not blas.threads._ones
