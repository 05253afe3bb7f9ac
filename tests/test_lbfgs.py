"""L-BFGS: SciPy's search, on J and its gradient as xpnn has them."""

import importlib.util

import numpy as np
import pytest

import xpnn
from xpnn.errors import BackendError, InputError, TrainingDiverged
from xpnn.training.step import make_step

pytestmark = pytest.mark.skipif(importlib.util.find_spec("scipy") is None, reason="SciPy is not installed")


def problem(rng, n=60):
    X = rng.normal(size=(n, 3))
    return X, (np.sin(X[:, 0]) + X[:, 1] * X[:, 2])[:, None]


NETWORK = xpnn.mlp([3, 8, 1], hidden="tanh")


def test_it_goes_deeper_than_gradient_descent(rng):
    X, y = problem(rng)
    search = xpnn.fit(NETWORK, X, y, optimizer="lbfgs", epochs=100)
    descent = xpnn.fit(NETWORK, X, y, optimizer=xpnn.SGD(0.1), epochs=1000)
    losses = search.history["loss"]
    assert losses[-1] < descent.history["loss"][-1] / 2
    assert np.all(np.diff(losses) < 0)
    assert search.stopped == "epochs"
    assert len(losses) == 100
    loss, _ = xpnn.value_and_grad(NETWORK, "mse")(search.params, X, y)
    assert losses[-1] == pytest.approx(float(loss), rel=1e-12)


@pytest.mark.parametrize("penalty", [(), xpnn.L2(0.01)])
def test_it_is_scipys_on_the_same_function(penalty, rng):
    from scipy.optimize import minimize

    X, y = problem(rng)
    f = xpnn.value_and_grad(NETWORK, "mse", penalty=penalty)
    seen = []
    minimize(
        lambda p: tuple(map(np.asarray, f(p, X, y))),
        NETWORK.init(3),
        method="L-BFGS-B",
        jac=True,
        callback=lambda intermediate_result: seen.append(float(intermediate_result.fun)),
        options={"maxiter": 25, "maxcor": 4, "gtol": 1e-5, "ftol": 2.2e-9},
    )
    model = xpnn.fit(NETWORK, X, y, optimizer=xpnn.LBFGS(memory=4), epochs=25, seed=3, penalty=penalty)
    np.testing.assert_allclose(model.history["loss"], seen, rtol=1e-8)


@pytest.mark.parametrize("compile", [None, False])
def test_every_library_goes_the_same_way(compile, anywhere, rng):
    X, y = problem(rng)
    w = rng.uniform(0.5, 2, size=len(y))
    given = {"optimizer": xpnn.LBFGS(), "epochs": 15, "penalty": xpnn.L2(1e-3)}
    expected = xpnn.fit(NETWORK, X, y, sample_weight=w, compile=False, **given)
    model = xpnn.fit(NETWORK, anywhere(X), anywhere(y), sample_weight=anywhere(w), compile=compile, **given)
    anywhere.check(model.params, "float64")
    np.testing.assert_allclose(model.history["loss"], expected.history["loss"], rtol=1e-6)
    np.testing.assert_allclose(anywhere.host(model.params), expected.params, rtol=1e-4, atol=1e-5)


def test_single_precision_stays_so(lib, rng):
    X, y = problem(rng)
    model = xpnn.fit(NETWORK, lib(X, "float32"), lib(y, "float32"), optimizer="lbfgs", epochs=30)
    lib.check(model.params, "float32")
    assert model.history["loss"][-1] < model.history["loss"][0] / 5


def test_it_says_why_it_ended(rng):
    X, y = problem(rng)
    assert xpnn.fit(xpnn.mlp([3, 1]), X, y, optimizer="lbfgs", epochs=500).stopped == "converged"
    few = xpnn.fit(NETWORK, X, y, optimizer=xpnn.LBFGS(max_evaluations=5), epochs=500)
    assert (few.stopped, len(few.history["loss"]) < 6) == ("evaluations", True)
    assert xpnn.fit(NETWORK, X, y, optimizer="lbfgs", epochs=500, tol=0.05).stopped == "tol"
    there = xpnn.fit(xpnn.mlp([3, 1]), X, 0 * y, optimizer="lbfgs", params=np.zeros(4))  # no step to take
    assert (there.history["loss"], there.stopped) == ([0.0], "converged")
    np.testing.assert_array_equal(there.params, np.zeros(4))


def test_callbacks_validation_and_restoring_work_as_ever(rng):
    X, y = problem(rng, 80)
    y = y + rng.normal(size=(80, 1))
    stop, seen = xpnn.EarlyStopping(patience=5), []
    model = xpnn.fit(
        xpnn.mlp([3, 30, 1], hidden="tanh"), X, y, optimizer="lbfgs", epochs=300, validation_split=0.3,
        metrics=["r2"], callbacks=[stop, lambda now: seen.append((now.epoch, now.step, now.learning_rate))],
    )  # fmt: skip
    losses = model.history["validation_loss"]
    assert model.stopped == "callback"
    assert len(losses) == np.argmin(losses) + 1 + 6 == len(seen)
    np.testing.assert_array_equal(model.params, stop.best.params)
    assert [row[:2] for row in seen[:2]] == [(1, 1), (2, 2)]
    assert np.isnan(seen[0][2])


def test_running_means_do_not_go_with_it(rng):
    X, y = problem(rng)
    network = xpnn.Sequential(xpnn.Dense(8, "tanh"), xpnn.BatchNormalization(), xpnn.Dense(1), input_shape=(3,))
    with pytest.raises(InputError, match=r"no running mean can follow: leave out BatchNormalization\("):
        xpnn.fit(network, X, y, optimizer="lbfgs")


def test_a_callback_that_raises_stop_iteration_is_heard(rng):
    X, y = problem(rng)

    def give_up(training):
        raise StopIteration("mine")

    with pytest.raises(RuntimeError, match="StopIteration was raised after an iteration"):
        xpnn.fit(NETWORK, X, y, optimizer="lbfgs", callbacks=[give_up])


def test_a_loss_that_is_not_finite_is_said(rng):
    X = np.full((3, 1), 1e200)
    with np.errstate(over="ignore"), pytest.raises(TrainingDiverged, match="Standardise the features") as stop:
        xpnn.fit(xpnn.mlp([1, 1]), X, X, optimizer="lbfgs")
    assert "learning rate" not in str(stop.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 10}, "LBFGS takes all samples at once, but batch_size makes 6 steps: leave it out"),
        ({"clip_norm": 1.0}, "LBFGS needs gradients as they are: leave out clip_norm and clip_value"),
    ],
)
def test_what_does_not_go_with_it(options, message, rng):
    X, y = problem(rng)
    with pytest.raises(InputError, match=message):
        xpnn.fit(NETWORK, X, y, optimizer="lbfgs", **options)
    xpnn.fit(NETWORK, X, y, optimizer="lbfgs", epochs=1, batch_size=60)


def test_noise_does_not_go_with_it(rng):
    X, y = problem(rng)
    for rate, fits in ((0.5, False), (0.0, True)):
        network = xpnn.Sequential(xpnn.Dropout(rate), xpnn.Dense(1), input_shape=(3,))
        if fits:
            xpnn.fit(network, X, y, optimizer="lbfgs", epochs=1)
        else:
            with pytest.raises(InputError, match=r"Dropout\(rate=0.5\) draws anew: leave it out"):
                xpnn.fit(network, X, y, optimizer="lbfgs")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory": 0}, "LBFGS: memory must be a whole number >= 1, got 0"),
        ({"max_evaluations": 1.5}, "LBFGS: max_evaluations must be a whole number >= 1, got 1.5"),
        ({"gradient_tol": -1}, "LBFGS: gradient_tol must be a number >= 0, got -1"),
        ({"loss_tol": "a"}, "LBFGS: loss_tol must be a number >= 0, got 'a'"),
    ],
)
def test_bad_hyperparameters(options, message):
    with pytest.raises(InputError, match=message):
        xpnn.LBFGS(**options)


def test_it_has_no_single_step(rng):
    X, _ = problem(rng)
    backend = xpnn.backends.of(X)
    with pytest.raises(InputError, match=r"no single step: it is for xpnn\.fit"):
        make_step(NETWORK, xpnn.MeanSquaredError(), xpnn.LBFGS(), xp=backend.namespace(), backend=backend)


def test_without_scipy_it_says_what_to_install(rng, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "scipy.optimize", None)
    X, y = problem(rng)
    with pytest.raises(BackendError, match=r"L-BFGS needs SciPy: pip install 'xpnn\[scipy\]'"):
        xpnn.fit(NETWORK, X, y, optimizer="lbfgs")
