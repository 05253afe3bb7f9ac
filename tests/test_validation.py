"""Validation while training: data held out, metrics, early stopping; classes weighted."""

import math
from contextlib import nullcontext

import numpy as np
import pytest

import xpnn
from xpnn.errors import InputError
from xpnn.training.samples import held_out

from .conftest import LIBRARIES


def classes(rng, n=60, k=3):
    X = rng.normal(size=(n, 4))
    return X, np.argmax(X[:, :k] + 0.5 * rng.normal(size=(n, k)), axis=1)


NETWORK = xpnn.mlp([4, 8, 3], hidden="tanh", output="softmax")


def test_held_out_samples_are_a_share_of_each_class_and_the_same_everywhere(lib):
    y = np.repeat([0, 1, 2], [30, 20, 10])
    X = np.arange(60.0)[:, None] * np.ones((1, 4))
    (X_train, y_train, w_train), (X_check, y_check, w_check) = held_out(
        (lib(X), lib(y), lib(np.arange(60.0))), 0.2, xpnn.CategoricalCrossentropy(), 3, lib.xp
    )
    assert np.bincount(lib.host(y_check)).tolist() == [6, 4, 2]
    rows = lib.host(X_check)[:, 0].astype(int)
    assert rows.tolist() == [1, 4, 5, 10, 22, 25, 31, 34, 40, 44, 55, 56]  # part of what a seed means
    np.testing.assert_array_equal(lib.host(w_check), rows)
    assert sorted([*rows, *lib.host(X_train)[:, 0].astype(int)]) == list(range(60))
    assert w_train.shape == y_train.shape == (48,)


def test_training_with_a_split_is_training_on_the_rest(lib, rng):
    X, y = classes(rng)
    data = (lib(X), lib(y), None)
    train, check = held_out(data, 0.25, xpnn.CategoricalCrossentropy(), 5, lib.xp)
    options = {"optimizer": xpnn.Adam(0.05), "epochs": 4, "batch_size": 16, "seed": 5}
    ours = xpnn.fit(NETWORK, lib(X), lib(y), validation_split=0.25, metrics=["accuracy", xpnn.F1()], **options)
    plain = xpnn.fit(NETWORK, train[0], train[1], validation_data=check[:2], **options)
    np.testing.assert_array_equal(lib.host(ours.params), lib.host(plain.params))
    assert ours.history["validation_loss"] == plain.history["validation_loss"]
    assert list(ours.history) == ["loss", "validation_loss", "validation_accuracy", "validation_f1"]
    last = ours.evaluate(*check[:2], metrics=["f1"])
    assert ours.history["validation_accuracy"][-1] == pytest.approx(last["accuracy"], rel=1e-6)
    assert ours.history["validation_f1"][-1] == pytest.approx(last["f1"], rel=1e-6)


def test_metrics_of_every_kind_of_output(rng):
    X = rng.normal(size=(40, 4))
    for output, loss, y, metric in (
        ("sigmoid", None, (X[:, :1] > 0).astype(float), "roc_auc"),
        ("linear", "hinge", (X[:, :1] > 0).astype(float), "accuracy"),
        ("linear", "mse", X[:, :1] * 2, "r2"),
        ("softmax", None, np.eye(3)[np.argmax(X[:, :3], axis=1)], "balanced_accuracy"),
    ):
        network = xpnn.mlp([4, y.shape[1]], output=output)
        model = xpnn.fit(
            network, X, y, loss=loss, optimizer=xpnn.Adam(0.1), epochs=60, validation_data=(X, y), metrics=[metric]
        )
        assert model.history[f"validation_{metric}"][-1] > 0.9
        assert model.history[f"validation_{metric}"][-1] == pytest.approx(
            model.evaluate(X, y, metrics=[metric])[metric]
        )


def test_weights_of_classes_are_weights_of_samples(anywhere, rng):
    X, y = classes(rng)
    own = rng.uniform(0.5, 1.5, 60)
    factors = {0: 2.0, 2: 0.5}
    each = np.asarray([2.0, 1.0, 0.5])[y]
    options = {"optimizer": "adam", "epochs": 3, "batch_size": 16}
    ours = xpnn.fit(NETWORK, anywhere(X), anywhere(y), class_weight=factors, sample_weight=anywhere(own), **options)
    plain = xpnn.fit(NETWORK, anywhere(X), anywhere(y), sample_weight=anywhere(own * each), **options)
    np.testing.assert_allclose(anywhere.host(ours.params), anywhere.host(plain.params), rtol=1e-6)
    named = xpnn.fit(
        NETWORK, anywhere(X), anywhere(y), class_weight={"c": 0.5, "a": 2}, labels=["a", "b", "c"],
        sample_weight=anywhere(own), **options,
    )  # fmt: skip
    np.testing.assert_array_equal(anywhere.host(named.params), anywhere.host(ours.params))


@pytest.mark.parametrize("kind", ["labels", "one-hot", "sigmoid"])
def test_balanced_weights_are_scikit_learn_s(kind, rng):
    from sklearn.utils.class_weight import compute_sample_weight

    k = 2 if kind == "sigmoid" else 3
    y = np.repeat(np.arange(k), [30, 12, 3][:k])
    X = rng.normal(size=(len(y), 4))
    target = {"labels": y, "one-hot": np.eye(k)[y], "sigmoid": y[:, None].astype(float)}[kind]
    network = xpnn.mlp([4, 1 if kind == "sigmoid" else k], output="sigmoid" if kind == "sigmoid" else "softmax")
    ours = xpnn.fit(network, X, target, class_weight="balanced", epochs=3)
    plain = xpnn.fit(network, X, target, sample_weight=compute_sample_weight("balanced", y), epochs=3)
    np.testing.assert_allclose(ours.params, plain.params, rtol=1e-12)


def test_early_stopping_ends_the_training_and_brings_back_the_best(anywhere, rng):
    X, y = classes(rng, 24)
    stop = xpnn.EarlyStopping(patience=3)
    seen = []
    options = {"optimizer": xpnn.Adam(0.1), "epochs": 300, "validation_split": 0.25}
    model = xpnn.fit(
        NETWORK, anywhere(X), anywhere(y), callbacks=[lambda e: seen.append(anywhere.host(e.params)), stop], **options
    )
    losses = model.history["validation_loss"]
    best = int(np.argmin(losses))
    assert len(losses) == best + 1 + 4  # three are let pass, the fourth ends it
    assert len(losses) < 300
    assert stop.best.epoch == best + 1
    assert model.stopped == "callback"
    np.testing.assert_array_equal(anywhere.host(model.params), seen[best])
    again = xpnn.fit(NETWORK, anywhere(X), anywhere(y), callbacks=[stop], **options)  # starts anew
    np.testing.assert_array_equal(anywhere.host(again.params), anywhere.host(model.params))
    last = xpnn.fit(
        NETWORK, anywhere(X), anywhere(y), callbacks=[xpnn.EarlyStopping(patience=3, restore=False)], **options
    )
    np.testing.assert_array_equal(anywhere.host(last.params), seen[-1])


def test_the_best_comes_back_too_if_the_epochs_run_out(rng):
    X, y = classes(rng, 24)
    stop = xpnn.EarlyStopping(patience=1000)
    model = xpnn.fit(NETWORK, X, y, optimizer=xpnn.Adam(0.1), epochs=80, validation_split=0.25, callbacks=[stop])
    assert len(model.history["validation_loss"]) == 80
    assert stop.best.epoch < 80
    np.testing.assert_array_equal(model.params, stop.best.params)


@pytest.mark.parametrize(
    ("monitor", "rising", "values", "change", "stops_after"),
    [
        ("loss", set(), [3, 2, 1, 1, 1, 1], 0.0, 6),
        ("loss", set(), [3, 2.5, 2.6, 2.7, 2.6], 0.5, 4),  # 2.5 is not better by more than 0.5
        ("accuracy", {"accuracy"}, [0.1, 0.5, 0.4, 0.3, 0.2], 0.0, 5),
        ("accuracy", {"accuracy"}, [0.1, 0.2, 0.3, 0.4], 0.0, None),
        ("loss", set(), [math.nan, math.nan, 3, 2, 1, 1, 1, 1], 0.0, 8),  # a number is better than none
        ("accuracy", {"accuracy"}, [math.nan, 0.1, 0.5, math.nan, 0.4, 0.3], 0.0, 6),
    ],
)
def test_early_stopping_by_hand(monitor, rising, values, change, stops_after):
    stop = xpnn.EarlyStopping(monitor, patience=2, minimum_change=change)

    def after(i):
        return xpnn.Training(NETWORK, i, 99, 1, 1, i, {monitor: values[:i]}, 0.1, larger_is_better=frozenset(rising))

    stop.start(after(0))
    told = pytest.warns(RuntimeWarning, match="is nan after epoch 1") if math.isnan(values[0]) else nullcontext()
    with told:
        answers = [stop.epoch_end(after(i)) for i in range(1, len(values) + 1)]
    assert (answers.index(True) + 1 if True in answers else None) == stops_after


def test_what_is_never_a_number_neither_ends_the_training_nor_is_the_best(rng):
    X, y = classes(rng)
    one = y[:1].repeat(6, axis=0)  # of one class there is no area under the curve
    stop = xpnn.EarlyStopping("validation_roc_auc", patience=0)
    options = {"epochs": 5, "validation_data": (X[:6], one), "metrics": ["roc_auc"]}
    with pytest.warns(
        RuntimeWarning, match="validation_roc_auc is nan after epoch 1: .* need rows of every class"
    ) as told:
        model = xpnn.fit(NETWORK, X, y, callbacks=[stop], **options)
    assert len(told) == 1
    assert stop.best is None
    assert len(model.history["loss"]) == 5
    np.testing.assert_array_equal(model.params, xpnn.fit(NETWORK, X, y, epochs=5).params)


def refused(message, X=None, y=None, **options):
    rng = np.random.default_rng(0)
    data = classes(rng)
    with pytest.raises(InputError, match=message):
        xpnn.fit(NETWORK, data[0] if X is None else X, data[1] if y is None else y, **options)


def test_options_that_contradict_each_other_are_errors_before_the_first_step(rng):
    X, y = classes(rng)
    refused("validation_data and validation_split are both given", validation_split=0.1, validation_data=(X, y))
    refused(r"metrics=\['accuracy'\] are computed on validation data, and there are none", metrics=["accuracy"])
    refused("EarlyStopping watches 'validation_loss', but .* 'loss' only", callbacks=[xpnn.EarlyStopping()])
    refused(
        r"Did you mean 'validation_accuracy'\? Pass .* metrics=\['accuracy'\]",
        callbacks=[xpnn.EarlyStopping("val_accuracy")],
    )
    refused("watches 'validation_f1'", callbacks=[xpnn.EarlyStopping("validation_f1")], validation_split=0.2)
    refused("'r2' is for regression", metrics=["r2"], validation_split=0.2)
    refused("unknown metric", metrics=["acuracy"], validation_split=0.2)
    for split in (0, 1, -0.1, 2, "0.1", True):
        refused("validation_split must be a number above 0 and below 1", validation_split=split)
    few = np.asarray([0] * 30 + [1] * 29 + [2])
    refused(
        "validation_split=0.1 leaves none of class 2 to validate on, of which there are 1",
        y=few,
        validation_split=0.1,
    )
    refused("leaves none to validate on", X=X[:2], y=np.asarray([0, 0]), validation_split=0.1)
    refused("leaves none to train on", X=X[:2], y=np.asarray([0, 0]), validation_split=0.9)


def test_batches_of_one_are_refused_where_a_layer_needs_more(rng):
    X, y = classes(rng)
    network = xpnn.Sequential(xpnn.BatchNormalization(), xpnn.Dense(3, "softmax"), input_shape=(4,))
    for options in ({"batch_size": 1}, {"X": X[:1], "y": y[:1]}):
        data = {"X": X, "y": y} | options
        with pytest.raises(InputError, match="BatchNormalization needs batches of 2 samples or more"):
            xpnn.fit(network, **data)
    xpnn.fit(network, X, y, batch_size=59, epochs=1)  # a last batch of one is no harm


def test_class_weights_are_checked():
    refused("names the class 7, which there is not: 0, 1, 2", class_weight={7: 1.0})
    refused("names the class 'd', which there is not: 'a', 'b', 'c'", class_weight={"d": 1}, labels=["a", "b", "c"])
    refused("class_weight of 1 must be a number >= 0, got -1", class_weight={1: -1})
    refused("class_weight must be 'balanced' or a mapping", class_weight="even")
    refused("class_weight must be 'balanced' or a mapping", class_weight=np.ones(3))
    refused("leaves every sample without weight", class_weight={0: 0, 1: 0, 2: 0})
    numpy = LIBRARIES["numpy"]
    with pytest.raises(InputError, match="MeanSquaredError has none here"):
        xpnn.fit(xpnn.mlp([1, 1]), numpy([[1.0]]), numpy([[1.0]]), class_weight="balanced")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patience": -1}, "EarlyStopping: patience must be a whole number >= 0, got -1"),
        ({"patience": 1.5}, "EarlyStopping: patience must be"),
        ({"monitor": 5}, r"EarlyStopping: monitor must be a name .*, got 5\. Did you mean patience=5\?$"),
        ({"monitor": None}, r"EarlyStopping: monitor must be a name in the history such as .*, got None\.$"),
        ({"minimum_change": -1}, "EarlyStopping: minimum_change must be a number >= 0, got -1"),
    ],
)
def test_early_stopping_checks_its_numbers(options, message):
    with pytest.raises(InputError, match=message):
        xpnn.EarlyStopping(**options)
