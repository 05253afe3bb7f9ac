"""The loop: batches, stopping, history, what it refuses, and what it keeps when it is cut short."""

import contextlib
import math

import numpy as np
import pytest

import xpnn
from xpnn import arrays, backends, random
from xpnn.errors import ArrayError, InputError, TrainingDiverged, TrainingInterrupted
from xpnn.training.batches import EpochLoss, batches

from .conftest import LIBRARIES

NETWORK = xpnn.mlp([2, 4, 1], hidden="tanh", output="sigmoid")


@pytest.fixture
def data(rng):
    X = rng.normal(size=(20, 2))
    return X, (X[:, :1] > X[:, 1:]).astype(float)


# --- what a step and an epoch are ---------------------------------------------------------------------------


@pytest.mark.parametrize(("batch_size", "steps"), [(None, 1), (20, 1), (64, 1), (8, 3), (1, 20)])
@pytest.mark.parametrize("weighted", [False, True])
def test_an_epoch_is_gradient_descent_over_its_batches(batch_size, steps, weighted, data, lib):
    """By hand: W ← W - α ∂J/∂W over the batches that seed and epoch decide; the loss weighs them by their rows."""
    X, y = data
    w = np.linspace(0.0, 1.9, 20) if weighted else None
    f = xpnn.value_and_grad(NETWORK, "binary_crossentropy")
    params, expected = NETWORK.init(7), []
    for epoch in (1, 2):
        order = random.data_order(20, 7, epoch) if steps > 1 else np.arange(20)
        total = weight = 0.0
        for rows in np.array_split(order, [batch_size * i for i in range(1, steps)] if steps > 1 else 1):
            loss, gradient = f(params, X[rows], y[rows], None if w is None else w[rows])
            params = params - 0.5 * gradient
            share = len(rows) if w is None else w[rows].sum()
            total, weight = total + share * loss, weight + share
        expected.append(total / weight)
    model = xpnn.fit(
        NETWORK,
        lib(X),
        lib(y),
        optimizer=xpnn.SGD(0.5),
        epochs=2,
        batch_size=batch_size,
        seed=7,
        sample_weight=None if w is None else lib(w),
    )
    np.testing.assert_allclose(lib.host(model.params), params, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(model.history["loss"], expected, rtol=1e-10)


def test_with_reduction_sum_the_loss_of_an_epoch_is_the_sum_over_its_batches(data):
    X, y = data
    still = xpnn.SGD(1e-300)  # does not move
    whole = xpnn.fit(NETWORK, X, y, loss=xpnn.BinaryCrossentropy("sum"), optimizer=still, epochs=1)
    parts = xpnn.fit(NETWORK, X, y, loss=xpnn.BinaryCrossentropy("sum"), optimizer=still, epochs=1, batch_size=6)
    assert parts.history["loss"] == pytest.approx(whole.history["loss"], rel=1e-12)


def test_many_batches_are_summed_up_in_parts(rng):
    X = rng.normal(size=(2500, 2))
    y = (X[:, :1] > 0).astype(float)
    still = xpnn.SGD(1e-300)
    each = xpnn.fit(NETWORK, X, y, optimizer=still, epochs=1, batch_size=1)
    whole = xpnn.fit(NETWORK, X, y, optimizer=still, epochs=1)
    assert each.history["loss"] == pytest.approx(whole.history["loss"], rel=1e-12)


@pytest.mark.parametrize("size", [1, 7, 19, 20, 100, None])
@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_hold_every_sample_once(size, shuffle, lib):
    X = lib(np.arange(40.0).reshape(20, 2))
    y = lib(np.arange(20))
    w = lib(np.arange(20.0))
    seen = []
    backend = backends.of(X)
    how = {"xp": lib.xp, "views": backend.views, "take": backend.gather(lib.xp)}
    order = random.data_order(20, 3, 1) if shuffle else None
    for x, labels, weights in batches(X, y, w, size=size, order=order, **how):
        lib.check(x)
        assert x.shape[0] <= (size or 20)
        np.testing.assert_array_equal(lib.host(x)[:, 0], 2 * lib.host(labels))
        np.testing.assert_array_equal(lib.host(weights), lib.host(labels))
        seen += lib.host(labels).tolist()
    assert sorted(seen) == list(range(20))
    if not shuffle or size in (20, 100, None):
        assert seen == list(range(20))
    else:
        assert seen != list(range(20))


def test_the_order_depends_on_seed_and_epoch_alone():
    assert (random.data_order(50, 1, 2) == random.data_order(50, 1, 2)).all()
    assert (random.data_order(50, 1, 2) != random.data_order(50, 1, 3)).any()
    assert (random.data_order(50, 1, 2) != random.data_order(50, 2, 2)).any()


def test_shuffle_false_takes_the_rows_as_they_come(data):
    X, y = data
    model = xpnn.fit(NETWORK, X, y, batch_size=8, shuffle=False, epochs=1, optimizer=xpnn.SGD(0.5))
    f, params = xpnn.value_and_grad(NETWORK, "binary_crossentropy"), NETWORK.init(0)
    for part in (slice(0, 8), slice(8, 16), slice(16, 20)):
        params = params - 0.5 * f(params, X[part], y[part])[1]
    np.testing.assert_allclose(model.params, params, rtol=1e-12, atol=1e-15)


# --- the arrays that go in and come out ---------------------------------------------------------------------


def test_everything_stays_on_the_library_device_and_dtype_of_x(data, anywhere, dtype):
    X, y = data
    x, labels = anywhere(X, dtype), anywhere(y, dtype)
    model = xpnn.fit(NETWORK, x, labels, epochs=2, batch_size=8, validation_data=(x, labels))
    anywhere.check(model.params, dtype)
    anywhere.check(model.predict(x), dtype)
    assert all(type(loss) is float for losses in model.history.values() for loss in losses)
    np.testing.assert_array_equal(anywhere.host(x), anywhere.host(anywhere(X, dtype)))  # nothing was written into


@pytest.mark.parametrize("kind", ["int32", "int64", "uint8", "bool"])
def test_integers_are_converted_to_the_default_float(kind, lib):
    X = lib(np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=kind))
    y = lib(np.array([0, 1, 1, 0], dtype=kind))
    model = xpnn.fit(NETWORK, X, y, epochs=1)
    assert model.params.dtype == arrays.default_float(lib.xp)
    lib.check(model.predict(X))


def test_a_vector_is_a_column_where_there_is_one_output(data, lib):
    X, y = data
    column = xpnn.fit(NETWORK, lib(X), lib(y), epochs=2)
    vector = xpnn.fit(NETWORK, lib(X), lib(y[:, 0]), epochs=2)
    assert column.history == vector.history


def test_integer_labels_equal_one_hot_rows(data, lib):
    X, _ = data
    labels = np.arange(20) % 3
    network = xpnn.mlp([2, 4, 3], output="softmax")
    numbers = xpnn.fit(network, lib(X), lib(labels), epochs=3, batch_size=8)
    rows = xpnn.fit(network, lib(X), lib(np.eye(3)[labels]), epochs=3, batch_size=8)
    np.testing.assert_allclose(numbers.history["loss"], rows.history["loss"], rtol=1e-12)


def test_params_are_where_training_starts_and_stay_as_they_are(data, lib):
    X, y = data
    start = NETWORK.init(5, like=lib(X))
    before = lib.host(start).copy()
    first = xpnn.fit(NETWORK, lib(X), lib(y), epochs=4, params=start)
    again = xpnn.fit(NETWORK, lib(X), lib(y), epochs=4, seed=5)
    assert first.history == again.history
    np.testing.assert_array_equal(lib.host(start), before)
    half = xpnn.fit(NETWORK, lib(X), lib(y), epochs=2, params=start)
    rest = xpnn.fit(NETWORK, lib(X), lib(y), epochs=2, params=half.params)
    np.testing.assert_allclose(half.history["loss"] + rest.history["loss"], first.history["loss"], rtol=1e-12)


def test_one_sample_is_enough(lib):
    model = xpnn.fit(NETWORK, lib([[1.0, 2.0]]), lib([1.0]), epochs=50, optimizer=xpnn.SGD(1.0))
    assert model.history["loss"][-1] < 0.1 * model.history["loss"][0]


# --- the loss that goes with the output, and stopping ---------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "loss"),
    [("sigmoid", xpnn.BinaryCrossentropy()), ("softmax", xpnn.CategoricalCrossentropy()),
     ("linear", xpnn.MeanSquaredError())],
)  # fmt: skip
def test_the_output_decides_the_loss(output, loss):
    X = np.ones((4, 2))
    assert xpnn.fit(xpnn.mlp([2, 2], output=output), X, np.eye(2)[[0, 1, 0, 1]], epochs=1).loss == loss


def test_tol_stops_after_the_first_epoch_at_or_under_it(data):
    X, y = data
    full = xpnn.fit(NETWORK, X, y, optimizer=xpnn.SGD(1.0), epochs=30)
    at = full.history["loss"][11]
    model = xpnn.fit(NETWORK, X, y, optimizer=xpnn.SGD(1.0), epochs=30, tol=at)
    assert model.history["loss"] == full.history["loss"][:12]
    assert model.stopped == "tol"
    assert full.stopped == "epochs"


def test_validation_loss_is_that_of_the_parameters_after_each_epoch(data, anywhere):
    X, y = data
    seen = []
    model = xpnn.fit(
        NETWORK,
        anywhere(X),
        anywhere(y),
        epochs=3,
        validation_data=(anywhere(X[:5]), anywhere(y[:5])),
        callbacks=[lambda epoch: seen.append(anywhere.host(epoch.params).copy())],
    )
    expected = [float(xpnn.BinaryCrossentropy()(NETWORK.forward(p, X[:5]), y[:5])) for p in seen]
    np.testing.assert_allclose(model.history["validation_loss"], expected, rtol=1e-10)


def test_a_callback_is_told_each_epoch_and_can_stop(data):
    X, y = data
    seen = []

    def stop_at_three(epoch):
        seen.append((epoch.epoch, epoch.epochs, len(epoch.history["loss"])))
        return epoch.epoch == 3

    model = xpnn.fit(NETWORK, X, y, epochs=10, callbacks=[stop_at_three])
    assert seen == [(1, 10, 1), (2, 10, 2), (3, 10, 3)]
    assert (len(model.history["loss"]), model.stopped) == (3, "callback")


def test_progress_off_a_terminal_is_about_ten_lines(data, capsys):
    X, y = data
    xpnn.fit(NETWORK, X, y, epochs=100, progress=True)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert lines[0].startswith("epoch 1/100  loss 0.")
    assert lines[-1].startswith("epoch 100/100  loss 0.")
    assert len(lines) == 11


# --- cut short: nothing lost --------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", [1, 4])
@pytest.mark.parametrize("where", ["in an epoch", "in a callback after it"])
def test_ctrl_c_gives_the_model_of_the_last_finished_epoch(epoch, where, data, lib, monkeypatch):
    X, y = data
    kept = [lib.host(NETWORK.init(0, like=lib(X)))]

    def keep(view):
        kept.append(lib.host(view.params))
        if where == "in a callback after it" and view.epoch == epoch:
            raise KeyboardInterrupt

    original = EpochLoss.add

    def add(self, *arguments):
        if where == "in an epoch" and len(kept) == epoch:
            raise KeyboardInterrupt
        original(self, *arguments)

    monkeypatch.setattr(EpochLoss, "add", add)
    done = epoch - 1 if where == "in an epoch" else epoch
    with pytest.raises(TrainingInterrupted, match=f"as of epoch {done} of 9") as stop:
        xpnn.fit(NETWORK, lib(X), lib(y), epochs=9, batch_size=8, callbacks=[keep])
    model = stop.value.model
    assert stop.value.epoch == done
    assert isinstance(stop.value, KeyboardInterrupt)
    np.testing.assert_array_equal(lib.host(model.params), kept[done])
    assert len(model.history["loss"]) == done


def test_the_parameters_a_callback_is_told_stay_as_they_were(data, lib):
    X, y = data
    seen = []
    xpnn.fit(NETWORK, lib(X), lib(y), epochs=3, callbacks=[lambda epoch: seen.append(epoch.params)])
    one = xpnn.fit(NETWORK, lib(X), lib(y), epochs=1)
    np.testing.assert_array_equal(lib.host(seen[0]), lib.host(one.params))


def quiet(lib):
    """NumPy's overflow warnings are kept quiet by training itself; those of a library built on NumPy are not."""
    return np.errstate(over="ignore", invalid="ignore") if lib.name == "strict" else contextlib.nullcontext()


def test_a_diverging_loss_stops_with_the_last_good_parameters(lib):
    X = lib([[1.0], [2.0], [3.0]], "float32")
    network = xpnn.mlp([1, 1])
    kept = [lib.host(network.init(0, like=X))]
    with quiet(lib), pytest.raises(TrainingDiverged) as stop:
        xpnn.fit(
            network,
            X,
            X,
            optimizer=xpnn.SGD(1e8),
            epochs=50,
            callbacks=[lambda epoch: kept.append(lib.host(epoch.params).copy())],
        )
    error, good = stop.value, len(stop.value.model.history["loss"])
    assert f"in epoch {error.epoch}; the last good parameters, those after epoch {good}" in str(error)
    assert "smaller learning rate (now 100000000.0)" in str(error)
    assert 1 <= good < error.epoch
    assert all(map(math.isfinite, error.model.history["loss"]))
    np.testing.assert_array_equal(lib.host(error.model.params), kept[good])
    with np.errstate(over="ignore"):
        assert math.isfinite(float(xpnn.MeanSquaredError()(error.model.predict(X), X)))


def test_a_loss_that_diverges_in_the_first_epoch_leaves_the_initial_parameters():
    X = np.full((3, 1), 1e30, dtype=np.float32)
    with pytest.raises(TrainingDiverged, match=r"in epoch 1; .* epoch 0"):
        xpnn.fit(xpnn.mlp([1, 1]), X, X, epochs=3)


def test_parameters_that_blow_up_in_the_very_last_step_are_not_given_out(lib):
    X = lib([[1.0], [2.0]], "float32")
    with (
        quiet(lib),
        pytest.raises(TrainingDiverged, match=r"became nan after the last step in epoch 1; .* after epoch 0") as stop,
    ):
        xpnn.fit(xpnn.mlp([1, 1]), X, lib([[1e30], [2e30]], "float32"), optimizer=xpnn.SGD(1e30), epochs=1,
                 loss=Huge())  # fmt: skip
    np.testing.assert_array_equal(lib.host(stop.value.model.params), xpnn.mlp([1, 1]).init(0).astype(np.float32))


def test_a_last_step_whose_parameters_are_finite_but_whose_loss_is_not(lib):
    X = lib([[1.0], [2.0]], "float32")
    with quiet(lib), pytest.raises(TrainingDiverged, match="became inf after the last step in epoch 1"):
        xpnn.fit(xpnn.mlp([1, 1]), X, lib([[3.0], [5.0]], "float32"), optimizer=xpnn.SGD(1e25), epochs=1)


class Huge(xpnn.MeanSquaredError):
    """A loss that stays finite where its gradient does not stay small."""

    def terms(self, prediction, y, *, xp):
        return prediction * 0.0, prediction * 0.0 + 1e30


# --- what it refuses ----------------------------------------------------------------------------------------

NAN, INF = float("nan"), float("inf")


def grid(value=0.5, n=4, d=2, at=None, bad=None):
    host = np.full((n, d), value)
    if at is not None:
        host[at] = bad
    return host


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (grid(d=3), grid(d=1), r"X must have shape \(n, 2\), one row per sample, for this network; got \(4, 3\)"),
        (np.ones(4), grid(d=1), r"X must have shape \(n, 2\).*got \(4,\)"),
        (grid(n=0), grid(n=0, d=1), "X is empty: it has 0 rows"),
        (grid(at=(2, 1), bad=NAN), grid(d=1), r"X holds nan at row 2, column 1 \(both counted from 0\)"),
        (grid(at=(3, 0), bad=-INF), grid(d=1), "X holds -inf at row 3, column 0"),
        (
            grid(),
            grid(d=2),
            r"y must have shape \(4, 1\) or \(4,\), one row per row of X.*got \S+ with shape \(4, 2\)",
        ),
        (grid(), grid(n=3, d=1), r"y must have shape \(4, 1\) or \(4,\).*got \S+ with shape \(3, 1\)"),
        (grid(), grid(d=1, at=(1, 0), bad=NAN), "y holds nan at row 1, column 0"),
        (grid(), grid(d=1, at=(3, 0), bad=2.0), "y holds 2 at row 3 .*BinaryCrossentropy takes targets from 0 to 1"),
        (grid(), np.array([0, 1, -1, 0]), "y holds -1 at row 2 .*takes targets from 0 to 1"),
    ],
)
def test_bad_data_says_what_and_where(X, y, message, lib):
    with pytest.raises(InputError, match=message):
        xpnn.fit(NETWORK, lib(X), lib(y))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array([0, 1, 3, 2]), "y holds 3 at row 2 .*the network has 3 outputs: number the classes from 0 to 2"),
        (np.array([0, -1, 1, 2]), "y holds -1 at row 1"),
        (
            np.array([0.0, 1.0, 2.0, 1.0]),
            r"y must have shape \(4, 3\), or integer labels \(4,\).*got \S+ with shape \(4,\)",
        ),
        (np.full((4, 3), 0.5), "y must be one-hot, each row summing to 1; row 0 does not"),
        (np.array([[1.5, -0.5, 0]] * 4), "y holds 1.5 at row 0 .*CategoricalCrossentropy takes targets from 0 to 1"),
    ],
)
def test_labels_outside_the_classes(y, message, lib):
    with pytest.raises(InputError, match=message):
        xpnn.fit(xpnn.mlp([2, 3], output="softmax"), lib(grid()), lib(y))


def test_targets_that_are_no_distributions_or_not_one_for_all_quantiles(lib):
    softmax, linear = xpnn.mlp([2, 3], output="softmax"), xpnn.mlp([2, 6])
    with pytest.raises(InputError, match="y must be distributions, each row summing to 1; row 0 does not"):
        xpnn.fit(softmax, lib(grid()), lib(grid(d=3)), loss="kullback_leibler")
    with pytest.raises(InputError, match=r"y must have shape \(4, 2\), one .* and one column per 3 outputs; got"):
        xpnn.fit(linear, lib(grid()), lib(grid(d=6)), loss="quantile")
    with pytest.raises(InputError, match=r"needs 3 outputs for each target, .* got 2"):
        xpnn.fit(xpnn.mlp([2, 2]), lib(grid()), lib(grid(d=1)), loss="quantile")
    with pytest.raises(InputError, match="y holds -1 at row 0 .*Poisson takes targets from 0 to inf"):
        xpnn.fit(xpnn.mlp([2, 1], output="softplus"), lib(grid()), lib(grid(-1.0, d=1)), loss="poisson")
    with pytest.raises(InputError, match="y holds 2 at row 0 .*Hinge takes targets from -1 to 1"):
        xpnn.fit(xpnn.mlp([2, 1]), lib(grid()), lib(grid(2.0, d=1)), loss="hinge")


def test_quantiles_make_an_interval_that_holds_its_share(lib, rng):
    X = rng.uniform(-1.0, 1.0, (600, 1))
    y = 2.0 * X[:, 0] + (0.5 + 0.4 * X[:, 0]) * rng.normal(size=600)  # a vector, and more noise to the right
    network, loss = xpnn.mlp([1, 8, 3], hidden="tanh"), xpnn.Quantile(quantiles=(0.1, 0.5, 0.9))
    model = xpnn.fit(network, lib(X), lib(y), loss=loss, optimizer=xpnn.Adam(0.03), epochs=300)
    low, middle, high = lib.host(model.predict(lib(X))).T
    assert np.mean((low < y) & (y < high)) == pytest.approx(0.8, abs=0.04)
    width = (high - low)[np.argsort(X[:, 0])]
    assert width[-100:].mean() > 2 * width[:100].mean()
    scores = model.evaluate(lib(X), lib(y))
    assert scores["mean_absolute_error"] == pytest.approx(np.abs(middle - y).mean(), rel=1e-6)
    assert 0.5 < scores["r2"] < 1


def test_counts_are_learned_with_their_rates(lib, rng):
    X = rng.uniform(-1.0, 1.0, (500, 1))
    rate = np.exp(1.0 + X)
    model = xpnn.fit(
        xpnn.mlp([1, 8, 1], hidden="tanh", output="softplus"), lib(X), lib(rng.poisson(rate)), loss="poisson",
        optimizer=xpnn.Adam(0.03), epochs=200,
    )  # fmt: skip
    np.testing.assert_allclose(lib.host(model.predict(lib(X))), rate, rtol=0.3)


@pytest.mark.parametrize("classes", [(0, 1), (-1, 1)])
def test_a_machine_with_the_hinge_loss_says_yes_above_zero(classes, lib, rng):
    X = rng.normal(size=(200, 2))
    yes = X[:, 0] > X[:, 1]
    y = lib(np.where(yes, classes[1], classes[0]))
    model = xpnn.fit(xpnn.mlp([2, 1]), lib(X), y, loss="hinge", optimizer=xpnn.Adam(0.1), epochs=100)
    labels = lib.host(model.predict_labels(lib(X)))
    assert set(labels.tolist()) == {0, 1}
    assert np.mean(labels == yes) > 0.95
    assert model.evaluate(lib(X), y)["accuracy"] == pytest.approx(np.mean(labels == yes))


def test_distributions_are_learned(lib, rng):
    X = rng.normal(size=(50, 2))
    e = np.exp(X @ rng.normal(size=(2, 3)))
    y = e / e.sum(axis=1, keepdims=True)
    network = xpnn.mlp([2, 3], output="softmax")
    model = xpnn.fit(network, lib(X), lib(y), loss="kullback_leibler", optimizer=xpnn.Adam(0.1), epochs=200)
    assert model.history["loss"][-1] < 1e-3
    np.testing.assert_allclose(lib.host(model.predict(lib(X))), y, atol=0.02)


def test_text_and_complex_numbers_are_not_data():
    with pytest.raises(
        InputError, match=r"y must hold real numbers, got dtype <U4: number the classes 0, 1, … first"
    ):
        xpnn.fit(NETWORK, grid(), np.array(["pass", "fail", "pass", "pass"]))
    with pytest.raises(InputError, match="X must hold real numbers, got dtype complex128"):
        xpnn.fit(NETWORK, grid() + 1j, grid(d=1))


@pytest.mark.parametrize(
    ("w", "message"),
    [
        (np.ones(3), r"sample_weight must have shape \(4,\), one per row of X; got \(3,\)"),
        (np.array([1.0, -1.0, 1.0, 1.0]), "sample_weight must be >= 0 and not all 0"),
        (np.zeros(4), "sample_weight must be >= 0 and not all 0"),
        (np.array([1.0, NAN, 1.0, 1.0]), "sample_weight holds nan at row 1 "),
    ],
)
def test_bad_sample_weights(w, message, lib):
    with pytest.raises(InputError, match=message):
        xpnn.fit(NETWORK, lib(grid()), lib(grid(d=1)), sample_weight=lib(w))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be an integer >= 1, got 0"),
        ({"epochs": 1.5}, "epochs must be an integer >= 1, got 1.5"),
        ({"epochs": None}, "epochs must be an integer >= 1, got None"),
        ({"batch_size": 0}, "batch_size must be an integer >= 1, got 0"),
        ({"batch_size": "all"}, "batch_size must be an integer >= 1, got 'all'"),
        ({"tol": "small"}, "tol must be a number, got 'small'"),
        ({"tol": NAN}, "tol must be a number, got nan"),
        ({"seed": -1}, "seed must be an integer >= 0, got -1"),
        ({"loss": "crossentropy"}, r"unknown loss 'crossentropy'. Did you mean '\w+_crossentropy'\?"),
        ({"loss": xpnn.MeanSquaredError}, r"loss must be a name .* write MeanSquaredError\(\)"),
        ({"optimizer": "sgdd"}, r"unknown optimizer 'sgdd'. Did you mean 'sgd'\? Valid: sgd"),
        ({"params": np.zeros(3)}, r"params must have shape \(17,\) for this network, got \(3,\)"),
        (
            {"validation_data": grid()},
            r"validation_data must be a pair of arrays \(X_val, y_val\), got something else",
        ),
        ({"validation_data": (grid(), grid(), grid())}, "validation_data must be a pair .* got 3 things"),
        ({"callbacks": print}, r"callbacks must be a list of callbacks or functions such as \[stop_early\]"),
        ({"callbacks": ["print"]}, "callbacks must be a list of callbacks or functions"),
        ({"labels": ["a", "b", "c"]}, r"labels must be 2 names, one per class, got \['a', 'b', 'c'\]"),
        ({"labels": ["a", "a"]}, r"labels must differ, got \['a', 'a'\]"),
        ({"params": np.full(17, np.nan)}, "params holds nan at row 0 "),
        ({"params": np.ones(17) + 1j}, "params must hold real numbers, got dtype complex128"),
        ({"labels": "ab"}, "labels must be 2 names, one per class, got 'ab'"),
        ({"labels": ["a", object]}, "labels must be a list of text or numbers, got <class 'object'> among them"),
        ({"validation_data": (grid(d=3), grid(d=1))}, r"X_val must have shape \(n, 2\)"),
        ({"validation_data": (grid(), grid(n=2, d=1))}, r"y_val must have shape \(4, 1\)"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(InputError, match=message):
        xpnn.fit(NETWORK, grid(), grid(d=1), **options)


def test_the_network_comes_first():
    for network in (grid(), xpnn.mlp, None):
        with pytest.raises(InputError, match=r"fit\(network, X, y\): network must be a Sequential, .* got \w+"):
            xpnn.fit(network, grid(), grid(d=1))
    with pytest.raises(InputError, match=r"value_and_grad\(network, loss\): network must be a Sequential"):
        xpnn.value_and_grad("mse", NETWORK)


def test_hints_for_common_mistakes():
    with pytest.raises(
        InputError, match=r"X must have shape .* One sample is X\[None, :\], one feature X\[:, None\]"
    ):
        xpnn.fit(NETWORK, np.ones(2), np.ones(1))
    with pytest.raises(InputError, match="For class numbers give the network output='softmax'"):
        xpnn.fit(xpnn.mlp([2, 3]), grid(), np.arange(4))


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_half_precision_is_refused_for_now(kind, lib):
    if not hasattr(lib.xp, kind):
        pytest.skip(f"{lib.name} has no {kind}")
    X = lib.xp.astype(lib(grid()), getattr(lib.xp, kind))
    with pytest.raises(InputError, match="the dtype must be float32 or float64"):
        xpnn.fit(NETWORK, X, lib(grid(d=1)))


def test_a_number_too_large_for_the_dtype_is_named(lib):
    with quiet(lib), pytest.raises(InputError, match=r"y holds 1e\+300, too large for .*float32, at row 2, column 0"):
        xpnn.fit(xpnn.mlp([2, 1]), lib(grid(), "float32"), lib(grid(d=1, at=(2, 0), bad=1e300), "float64"))


def test_labels_too_large_for_a_narrower_type_are_outside_the_classes(lib):
    if not hasattr(lib.xp, "uint64"):
        pytest.skip(f"{lib.name} has no uint64")
    for label in (2**32, 2**63 + 1):
        with pytest.raises(InputError, match="y holds .* at row 1 .*number the classes from 0 to 2"):
            xpnn.fit(xpnn.mlp([2, 3], output="softmax"), lib(grid(n=2)), lib(np.array([0, label], dtype=np.uint64)))


def test_labels_are_for_classes():
    with pytest.raises(InputError, match=r"labels name the classes of a softmax or sigmoid output; .* Linear\(\)"):
        xpnn.fit(xpnn.mlp([2, 2]), grid(), grid(), labels=["a", "b"])


@pytest.mark.parametrize("kind", ["uint8", "int8", "uint16"])
def test_labels_of_a_narrow_type_reach_all_the_classes(kind, lib):
    if not hasattr(lib.xp, kind):
        pytest.skip(f"{lib.name} has no {kind}")
    network = xpnn.mlp([2, 300], output="softmax")
    labels = np.array([5, 100, 0, 17])
    X = np.arange(8.0).reshape(4, 2)
    narrow = xpnn.fit(network, lib(X), lib(labels.astype(kind)), epochs=2)
    wide = xpnn.fit(network, lib(X), lib(labels), epochs=2)
    assert narrow.history == wide.history


def test_lists_are_not_arrays():
    with pytest.raises(ArrayError, match="y must be an array, got None"):
        xpnn.fit(NETWORK, grid(), None)
    with pytest.raises(ArrayError, match="X must be an array, got a list"):
        xpnn.fit(NETWORK, [[1.0, 2.0]], np.ones((1, 1)))


@pytest.mark.parametrize("where", ["y", "sample_weight", "params", "validation_data"])
def test_arrays_of_two_libraries_are_an_error(where):
    torch = LIBRARIES.get("torch") or LIBRARIES.get("strict")
    if torch is None:
        pytest.skip("needs a second library")
    given = {"y": grid(d=1)} | {
        "y": {"y": torch(grid(d=1))},
        "sample_weight": {"sample_weight": torch(np.ones(4))},
        "params": {"params": torch(np.zeros(17))},
        "validation_data": {"validation_data": (torch(grid()), torch(grid(d=1)))},
    }[where]
    with pytest.raises(ArrayError, match=r"X is a numpy array but \w+ is an? \w+ array"):
        xpnn.fit(NETWORK, grid(), **given)


def test_a_loss_must_fit_the_output():
    with pytest.raises(InputError, match="CategoricalCrossentropy needs outputs from 0 to 1, but the last layer's"):
        xpnn.fit(xpnn.mlp([2, 3]), grid(), np.zeros(4, dtype=int), loss="categorical_crossentropy")
