"""What is added to J for large weights, and gradients that are cut down."""

from dataclasses import dataclass

import numpy as np
import pytest

import xpnn
from xpnn.errors import InputError

NETWORK = xpnn.Sequential(
    xpnn.Dense(4, "tanh"), xpnn.LayerNormalization(), xpnn.Dense(2, "softmax"), input_shape=(3,)
)
COSTS = {xpnn.L1: (lambda w: abs(w), np.sign), xpnn.L2: (lambda w: w * w / 2, lambda w: w)}


def problem(rng, n=12):
    return rng.normal(size=(n, 3)), rng.integers(0, 2, n)


def start(rng):
    params = rng.normal(size=NETWORK.n_parameters)
    params[[0, 5]] = 0.0  # where |w| has a kink
    return params


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("kind", COSTS)
def test_each_weight_costs_what_the_formula_says(kind, biases, lib, dtype, rng):
    X, y = problem(rng)
    params = start(rng)
    each = [array for named in NETWORK.unflatten(params) for array in named.values()]
    held = np.concatenate([np.full(array.size, array.ndim > 1 or biases) for array in each])
    cost, slope = COSTS[kind]
    there = lib(params, dtype), lib(X, dtype), lib(y)
    plain = xpnn.value_and_grad(NETWORK, "categorical_crossentropy")(*there)
    value, gradient = xpnn.value_and_grad(NETWORK, "categorical_crossentropy", penalty=kind(0.3, biases))(*there)
    lib.check(value, dtype)
    lib.check(gradient, dtype)
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-12}
    np.testing.assert_allclose(float(value), float(plain[0]) + 0.3 * np.sum(held * cost(params)), **tolerance)
    np.testing.assert_allclose(lib.host(gradient), lib.host(plain[1]) + 0.3 * held * slope(params), **tolerance)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_penalty_per_sample_is_shared_among_them(weighted, lib, rng):
    X, y = problem(rng)
    params, w = lib(start(rng)), lib(rng.uniform(0.5, 2.0, 12)) if weighted else None
    total = float(lib.host(w).sum()) if weighted else 12
    both = [
        xpnn.value_and_grad(NETWORK, "categorical_crossentropy", penalty=each)(params, lib(X), lib(y), w)
        for each in (xpnn.L2(0.6, per_sample=True), xpnn.L2(0.6 / total))
    ]
    (value, gradient), (expected, slope) = both
    lib.check(value, "float64")
    assert float(value) == pytest.approx(float(expected), rel=1e-12)
    np.testing.assert_allclose(lib.host(gradient), lib.host(slope), rtol=1e-12, atol=1e-15)


def test_a_batch_without_weight_is_not_penalised(rng):
    X, y = problem(rng)
    w = np.ones(12)
    w[:4] = 0.0
    model = xpnn.fit(
        NETWORK, X, y, batch_size=4, shuffle=False, sample_weight=w, epochs=3, penalty=xpnn.L2(0.1, per_sample=True)
    )
    assert np.all(np.isfinite(model.params))


def test_strengths_may_be_numpys(lib, rng):
    X, y = problem(rng)
    for kind in (np.float32, np.float64, np.int64):
        options = {"penalty": xpnn.L2(kind(1)), "clip_norm": kind(2)}
        model = xpnn.fit(NETWORK, lib(X, "float32"), lib(y), epochs=2, **options)
        lib.check(model.params, "float32")
        plain = xpnn.fit(NETWORK, lib(X, "float32"), lib(y), epochs=2, penalty=xpnn.L2(1.0), clip_norm=2.0)
        np.testing.assert_array_equal(lib.host(model.params), lib.host(plain.params))


def test_a_penalty_of_ones_own_is_asked_array_by_array(rng):
    @dataclass(frozen=True)
    class Group(xpnn.Penalty):
        def value(self, w, *, xp):
            return xp.sqrt(xp.sum(w * w))

        def derivative(self, w, *, xp):
            return w / xp.sqrt(xp.sum(w * w))

    X, y = problem(rng)
    params, f = start(rng), xpnn.value_and_grad(NETWORK, "categorical_crossentropy", penalty=Group(0.3))
    _, gradient = f(params, X, y)
    for i in range(len(params)):
        if params[i]:
            step = np.eye(len(params))[i] * 1e-6
            assert gradient[i] == pytest.approx(
                (f(params + step, X, y)[0] - f(params - step, X, y)[0]) / 2e-6, abs=1e-7
            )
    params[12:20] = 0.0  # biases, where the derivative of this is 0 / 0: they are not penalised
    assert np.all(np.isfinite(f(params, X, y)[1]))


@pytest.mark.parametrize("kind", COSTS)
def test_all_at_once_and_one_by_one_are_the_same(kind, lib, dtype, rng):
    one_by_one = dataclass(frozen=True)(type("OneByOne", (kind,), {"elementwise": False}))
    X, y = problem(rng)
    given = lib(start(rng), dtype), lib(X, dtype), lib(y), lib(rng.uniform(0.5, 2, 12), dtype)
    for options in ({}, {"biases": True}, {"per_sample": True}):
        one, other = (
            xpnn.value_and_grad(NETWORK, "categorical_crossentropy", penalty=each(0.3, **options))(*given)
            for each in (kind, one_by_one)
        )
        assert float(one[0]) == float(other[0])
        tolerance = 1e-6 if dtype == "float32" else 1e-15
        np.testing.assert_allclose(lib.host(one[1]), lib.host(other[1]), rtol=tolerance, atol=tolerance)


def test_several_penalties_add_up(rng):
    X, y = problem(rng)
    params = start(rng)
    values = [
        xpnn.value_and_grad(NETWORK, "categorical_crossentropy", penalty=each)(params, X, y)
        for each in ([], xpnn.L1(0.1), xpnn.L2(0.2), [xpnn.L1(0.1), xpnn.L2(0.2)])
    ]
    for none, one, two, both in zip(*values, strict=True):
        np.testing.assert_allclose(both - none, (one - none) + (two - none), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("compile", [None, False])
@pytest.mark.parametrize(
    "options",
    [
        {"penalty": xpnn.L2(0.05)},
        {"penalty": [xpnn.L1(0.01), xpnn.L2(0.05, biases=True)]},
        {"penalty": xpnn.L2(0.5, per_sample=True)},
        {"clip_value": 0.02},
        {"clip_norm": 0.05},
        {"clip_norm": 0.05, "penalty": xpnn.L2(0.05)},
        {"clip_norm": 1e9, "clip_value": None},
    ],
    ids=repr,
)
def test_training_is_descent_on_the_penalised_and_cut_gradient(options, compile, lib, rng):
    X, y = problem(rng)
    given = {"batch_size": 5, "epochs": 4, "shuffle": False, "optimizer": xpnn.SGD(0.2)}
    model = xpnn.fit(NETWORK, lib(X), lib(y), compile=compile, **given, **options)
    params, losses = NETWORK.init(0), []
    slope = xpnn.value_and_grad(NETWORK, "categorical_crossentropy", penalty=options.get("penalty", ()))
    for _ in range(4):
        total = 0.0
        for rows in (slice(0, 5), slice(5, 10), slice(10, 12)):
            value, g = slope(params, X[rows], y[rows])
            total += float(value) * len(X[rows]) / 12
            if "clip_norm" in options:
                g = g * min(1.0, options["clip_norm"] / (np.linalg.norm(g) + 1e-6))
            elif "clip_value" in options:
                g = np.clip(g, -options["clip_value"], options["clip_value"])
            params = params - 0.2 * g
        losses.append(total)
    np.testing.assert_allclose(lib.host(model.params), params, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(model.history["loss"], losses, rtol=1e-9)


@pytest.mark.parametrize("how", ["norm", "value"])
def test_clipping_is_torchs(how, dtype, rng):
    torch = pytest.importorskip("torch")
    X, y = problem(rng)
    network = xpnn.mlp([3, 5, 2], hidden="tanh", output="softmax")
    model = xpnn.fit(network, X.astype(dtype), y, optimizer=xpnn.SGD(0.3), epochs=200, **{f"clip_{how}": 0.03})
    peer = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2))
    peer.to(getattr(torch, dtype))
    first = network.unflatten(network.init(0, like=X.astype(dtype)))
    with torch.no_grad():
        for layer, named in zip((peer[0], peer[2]), first, strict=True):
            layer.weight.copy_(torch.asarray(named["W"].T.copy()))
            layer.bias.copy_(torch.asarray(named["b"].copy()))
    optimizer = torch.optim.SGD(peer.parameters(), 0.3)
    clip = getattr(torch.nn.utils, f"clip_grad_{how}_")
    for _ in range(200):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(peer(torch.asarray(X.astype(dtype))), torch.asarray(y)).backward()
        clip(peer.parameters(), 0.03)
        optimizer.step()
    tolerance = 1e-6 if dtype == "float64" else 2e-4
    for layer, named in zip((peer[0], peer[2]), network.unflatten(model.params), strict=True):
        np.testing.assert_allclose(named["W"], layer.weight.detach().numpy().T, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(named["b"], layer.bias.detach().numpy(), rtol=tolerance, atol=tolerance)


def test_a_penalty_is_no_part_of_the_validation_loss(rng):
    X, y = problem(rng)
    model = xpnn.fit(NETWORK, X, y, epochs=3, penalty=xpnn.L2(10.0), validation_data=(X, y))
    assert model.evaluate(X, y)["loss"] == pytest.approx(model.history["validation_loss"][-1])
    assert model.history["loss"][-1] > 2 * model.history["validation_loss"][-1]


def test_l1_makes_weights_vanish_that_l2_keeps(rng):
    X = rng.normal(size=(200, 6))
    y = X[:, 0] - 2 * X[:, 1]  # four features say nothing
    options = {"optimizer": xpnn.SGD(0.05), "epochs": 600}
    l1, l2 = (
        xpnn.fit(xpnn.mlp([6, 1]), X, y, penalty=each, **options).params[:6] for each in (xpnn.L1(0.4), xpnn.L2(0.4))
    )
    assert np.all(np.abs(l1[2:]) < 0.03)
    assert np.min(np.abs(l1[:2])) > 0.5
    assert np.max(np.abs(l2[2:])) > np.max(np.abs(l1[2:]))


@pytest.mark.parametrize("strength", [0, -1.0, float("nan"), float("inf"), "1", True, None])
@pytest.mark.parametrize("kind", COSTS)
def test_a_strength_is_a_number_above_zero(kind, strength):
    with pytest.raises(InputError, match=f"{kind.__name__}: strength must be a number > 0, got"):
        kind(strength)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"penalty": 0.1}, r"penalty must be one such as L2\(0.001\), or a list of them, got 0.1"),
        ({"penalty": "l2"}, "penalty must be one such as"),
        ({"penalty": xpnn.L2}, "penalty must be one such as"),
        ({"penalty": [xpnn.L2(1), 2]}, "penalty must be one such as"),
        ({"clip_norm": 0}, "clip_norm must be a number > 0, got 0"),
        ({"clip_norm": "1"}, "clip_norm must be a number > 0, got '1'"),
        ({"clip_value": float("inf")}, "clip_value must be a number > 0, got inf"),
        ({"clip_value": True}, "clip_value must be a number > 0, got True"),
        ({"clip_value": 1.0, "clip_norm": 2.0}, "clip_norm=2.0 and clip_value=1.0 are both given: leave out one"),
    ],
)
def test_bad_options(options, message, rng):
    X, y = problem(rng)
    with pytest.raises(InputError, match=message):
        xpnn.fit(NETWORK, X, y, **options)
