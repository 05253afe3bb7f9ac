"""Searching architectures: the space, the trials, the file that remembers them. Source: section 8."""

import csv
import dataclasses
import logging
import re
import subprocess
import sys

import numpy as np
import pytest

import xpnn
from xpnn.errors import BackendError, InputError
from xpnn.tuning import result, search, space, study

from .conftest import LIBRARIES
from .test_fit import quiet

optuna = pytest.importorskip("optuna", reason="Optuna is not installed: pip install 'xpnn[tune]'")

TINY = xpnn.SearchSpace(
    depth=(1, 2), width=(2, 8), activation=["tanh", "relu"], learning_rate=(1e-2, 0.3), batch_size=8
)


def data(n=48):
    rng = np.random.default_rng(7)
    X = rng.normal(size=(n, 3))
    return X, (X[:, 0] * X[:, 1] > 0).astype(int) + (X[:, 2] > 0.5)


def tune(X=None, y=None, **options):
    if X is None:
        X, y = data()
    return xpnn.tune(X, y, **{"space": TINY, "trials": 4, "epochs": 4, **options})


def tried(tuning):
    """All that two searches must agree on."""
    return [(t.number, t.parameters, t.score, t.epochs, t.state, t.reason) for t in tuning.trials]


# --- the space


def test_each_field_is_fixed_an_interval_or_choices():
    own = xpnn.SearchSpace(
        depth=[0, 2],
        width=[4, 16],
        activation=xpnn.ELU(0.5),
        optimizer=["sgd", xpnn.SGD(momentum=0.9)],
        learning_rate=0.1,
        dropout=0,
        weight_decay=(0, 1e-2),
        batch_size=[None, 16],
    )
    assert own.searched == ("depth", "width", "optimizer", "weight_decay", "batch_size")
    found = tune(space=own, trials=12, epochs=1).trials
    parameters = [trial.parameters for trial in found]
    assert {p["depth"] for p in parameters} == {0, 2}
    assert all(len(p["width"]) == p["depth"] and set(p["width"]) <= {4, 16} for p in parameters)
    assert {p["optimizer"] for p in parameters} == {"sgd", xpnn.SGD(momentum=0.9)}
    assert {p["batch_size"] for p in parameters} == {None, 16}
    assert {(p["activation"], p["learning_rate"], p["dropout"]) for p in parameters} == {(xpnn.ELU(0.5), 0.1, 0.0)}
    assert all(0 <= p["weight_decay"] <= 1e-2 for p in parameters)


def test_names_are_choices_in_a_list_as_in_a_tuple():
    assert xpnn.SearchSpace(activation=["relu", "elu"]) == xpnn.SearchSpace(activation=("relu", "elu"))
    assert xpnn.SearchSpace(depth=[1, 3]) != xpnn.SearchSpace(depth=(1, 3))
    assert hash(xpnn.SearchSpace()) == hash(xpnn.SearchSpace())


def test_parameters_become_a_network_and_an_optimizer():
    parameters = {
        "width": (5, 4), "activation": "tanh", "dropout": 0.25, "optimizer": xpnn.SGD(momentum=0.9),
        "learning_rate": 0.05, "weight_decay": 0.001,
    }  # fmt: skip
    expected = xpnn.Sequential(
        xpnn.Dense(5, "tanh"), xpnn.Dropout(0.25), xpnn.Dense(4, "tanh"), xpnn.Dropout(0.25),
        xpnn.Dense(2, "softmax"), input_shape=(3,),
    )  # fmt: skip
    assert space.network(parameters, (3,), xpnn.Softmax(), 2) == expected
    assert space.network({**parameters, "width": (), "dropout": 0.0}, (3,), xpnn.Linear(), 1) == xpnn.mlp([3, 1])
    assert space.optimizer(parameters) == xpnn.SGD(0.05, momentum=0.9, weight_decay=0.001)
    assert space.penalty({"l2": 0.1}, xpnn.L1(0.2)) == (xpnn.L1(0.2), xpnn.L2(0.1))
    assert space.penalty({"l2": 0.0}) == ()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"depth": -1}, r"SearchSpace: depth must be a whole number >= 0, an interval \(low, high\), or a list .*-1"),
        ({"depth": 1.5}, "SearchSpace: depth must be a whole number >= 0"),
        ({"depth": True}, "SearchSpace: depth must be a whole number >= 0"),
        ({"width": (64, 8)}, r"SearchSpace: width must be an interval .* with low <= high, got \(64, 8\)"),
        ({"width": (8, 16, 32)}, "SearchSpace: width as a tuple is an interval .*: write choices as a list"),
        ({"width": (0, 8)}, "SearchSpace: each end of the interval width must be a whole number >= 1"),
        ({"width": "8"}, "SearchSpace: width must be a whole number >= 1"),
        ({"width": []}, "SearchSpace: width has no choice"),
        ({"width": [8, 8]}, "SearchSpace: width has the same choice twice"),
        ({"activation": "rellu"}, "SearchSpace: unknown activation 'rellu'. Did you mean 'relu'"),
        ({"activation": ("relu", "than")}, "SearchSpace: unknown activation 'than'. Did you mean 'tanh'"),
        ({"activation": ()}, "SearchSpace: activation has no choice"),
        ({"activation": xpnn.ReLU}, r"SearchSpace: activation must be a name or Activation object.*write ReLU\(\)"),
        ({"optimizer": ["adam", 3]}, "SearchSpace: optimizer must be a name or Optimizer object, got 3"),
        ({"optimizer": "lbfgs"}, "SearchSpace: optimizer 'lbfgs' has no weight_decay: choose another"),
        ({"l2": (1, -1)}, "SearchSpace: each end of the interval l2 must be a number >= 0"),
        ({"learning_rate": 0}, "SearchSpace: learning_rate must be a number > 0"),
        ({"learning_rate": (0.0, 0.1)}, "SearchSpace: each end of the interval learning_rate must be a number > 0"),
        ({"learning_rate": float("nan")}, "SearchSpace: learning_rate must be a number > 0"),
        ({"learning_rate": (0.1, float("inf"))}, "SearchSpace: each end of the interval learning_rate"),
        ({"dropout": (0.0, 1.0)}, "SearchSpace: each end of the interval dropout must be a number >= 0 and < 1"),
        ({"weight_decay": [-1]}, "SearchSpace: weight_decay must be a number >= 0"),
        ({"batch_size": (None, 8)}, "SearchSpace: each end of the interval batch_size must be a whole number >= 1"),
        ({"batch_size": 0}, "SearchSpace: batch_size must be a whole number >= 1 or None"),
    ],
    ids=str,
)
def test_a_wrong_field_says_which(fields, message):
    with pytest.raises(InputError, match=message):
        xpnn.SearchSpace(**fields)


# --- the search


def test_a_search_finds_the_best_of_its_trials_where_the_arrays_are(lib):
    X, y = data()
    tuning, plain = tune(lib(X, "float32"), lib(y), trials=2), tune(X.astype(np.float32), y, trials=2)
    assert [t.parameters for t in tuning.trials] == [t.parameters for t in plain.trials]
    np.testing.assert_allclose([t.score for t in tuning.trials], [t.score for t in plain.trials], rtol=1e-3)
    assert tuning.best_trial.score == min(tuning.best.history["validation_loss"])
    assert tuning.best_trial.score == min(trial.score for trial in tuning.trials)
    assert tuning.best_parameters == tuning.best_trial.parameters
    lib.check(tuning.best.params, "float32")
    lib.check(tuning.best.predict(lib(X, "float32")), "float32")
    dense = [layer for layer in tuning.best.network.layers if isinstance(layer, xpnn.Dense)]
    assert [layer.units for layer in dense] == [*tuning.best_parameters["width"], 3]


def test_the_same_seed_gives_the_same_search_and_another_another():
    first, second, other = (tune(trials=12, seed=seed) for seed in (1, 1, 2))
    assert tried(first) == tried(second) != tried(other)
    np.testing.assert_array_equal(first.best.params, second.best.params)


def test_a_trial_is_a_fit():
    X, y = data()
    options = {"class_weight": "balanced", "labels": ["a", "b", "c"], "validation_split": 0.25, "clip_norm": 1.0}
    own = dataclasses.replace(TINY, l2=(0.001, 0.1))
    tuning = tune(X, y, space=own, metrics=["f1"], monitor="validation_accuracy", penalty=xpnn.L1(0.001), **options)
    chosen = tuning.best_parameters
    assert 0.001 <= chosen["l2"] <= 0.1
    model = xpnn.fit(
        tuning.best.network, X, y, optimizer=space.optimizer(chosen), batch_size=chosen["batch_size"], epochs=4,
        penalty=[xpnn.L1(0.001), xpnn.L2(chosen["l2"])], metrics=["f1", "accuracy"],
        callbacks=[xpnn.EarlyStopping("validation_accuracy")], **options,
    )  # fmt: skip
    assert model.history == tuning.best.history
    assert model.labels == tuning.best.labels == ["a", "b", "c"]
    np.testing.assert_array_equal(model.params, tuning.best.params)
    assert tuning.larger_is_better
    assert tuning.best_trial.score == max(t.score for t in tuning.trials) == max(model.history["validation_accuracy"])


def test_the_model_is_that_of_the_best_epoch():
    """With a patience a trial ends early; without one it runs to its end: the best epoch counts either way."""
    X, y = data()
    own = xpnn.SearchSpace(depth=1, width=8, activation="tanh", optimizer="adam", learning_rate=0.3, dropout=0.0)
    for patience in (2, None):
        tuning = xpnn.tune(X, y, space=own, trials=1, epochs=25, patience=patience, validation_data=(X, y[::-1]))
        losses = tuning.best.history["validation_loss"]
        assert (len(losses) < 25) == (patience is not None)
        assert tuning.best_trial.score == min(losses) < losses[-1]
        assert tuning.best_trial.epochs == len(losses)
        assert tuning.best.evaluate(X, y[::-1])["loss"] == pytest.approx(min(losses))


CLASSES = np.arange(24) % 3


@pytest.mark.parametrize(
    ("y", "options", "output", "outputs", "loss"),
    [
        (np.arange(24) % 2, {}, xpnn.Sigmoid(), 1, xpnn.BinaryCrossentropy()),
        (np.arange(24.0)[:, None] % 2, {}, xpnn.Sigmoid(), 1, xpnn.BinaryCrossentropy()),
        (np.arange(24) % 2 == 0, {}, xpnn.Sigmoid(), 1, xpnn.BinaryCrossentropy()),
        (CLASSES, {}, xpnn.Softmax(), 3, xpnn.CategoricalCrossentropy()),
        (CLASSES, {"labels": [*"abcd"]}, xpnn.Softmax(), 4, xpnn.CategoricalCrossentropy()),
        (CLASSES, {"output": "linear"}, xpnn.Linear(), 1, xpnn.MeanSquaredError()),
        (CLASSES, {"output": "softmax", "outputs": 5}, xpnn.Softmax(), 5, xpnn.CategoricalCrossentropy()),
        (CLASSES * 2, {"output": "softplus", "loss": "poisson"}, xpnn.Softplus(), 1, xpnn.Poisson()),
        (np.eye(4)[np.arange(24) % 4], {}, xpnn.Softmax(), 4, xpnn.CategoricalCrossentropy()),
        ((np.arange(48).reshape(24, 2) % 3 == 0) * 1, {}, xpnn.Sigmoid(), 2, xpnn.BinaryCrossentropy()),
        (np.linspace(0, 3, 24), {}, xpnn.Linear(), 1, xpnn.MeanSquaredError()),
        (np.ones((24, 2)) * 0.5, {"loss": "mae"}, xpnn.Linear(), 2, xpnn.MeanAbsoluteError()),
    ],
    ids=repr,
)
def test_the_targets_decide_the_output_unless_it_is_given(y, options, output, outputs, loss):
    model = tune(np.linspace(-1, 1, 24)[:, None], y, trials=1, epochs=1, **options).best
    assert (model.network.output_activation, model.network.shapes[-1], model.loss) == (output, (outputs,), loss)


def test_bad_trials_end_early():
    X, y = data()
    own = dataclasses.replace(TINY, learning_rate=[1e-6, 0.1], optimizer="adam", depth=1)
    tuning = xpnn.tune(X, y, space=own, trials=16, epochs=20, patience=None)
    pruned = [t for t in tuning.trials if t.state == "pruned"]
    assert pruned
    assert all(4 <= t.epochs < 20 and t.score is not None for t in pruned)
    assert all(t.state == "finished" for t in tuning.trials[:5])
    assert all(t.epochs == 20 for t in tuning.trials if t.state == "finished")
    assert tuning.best_trial.state == "finished"
    whole = xpnn.tune(X, y, space=own, trials=8, epochs=20, patience=None, prune=False)
    assert {(t.state, t.epochs) for t in whole.trials} == {("finished", 20)}


DIVERGING = dataclasses.replace(TINY, activation="relu", optimizer="sgd", learning_rate=[0.01, 1e30], dropout=0.0)


def test_a_trial_that_diverges_has_failed_and_the_others_go_on(lib):
    X, _ = data()
    with quiet(lib):
        own = dataclasses.replace(DIVERGING, depth=1, width=4)
        tuning = tune(lib(X), lib(X[:, 0]), space=own, trials=6, epochs=2)
    failed = [t for t in tuning.trials if t.parameters["learning_rate"] == 1e30]
    assert 0 < len(failed) < 6
    for trial in failed:
        assert (trial.state, trial.score) == ("failed", None)
        assert trial.reason == "the loss became NaN or infinite in epoch 1"
        assert trial not in tuning.ranking[: 6 - len(failed)]
    assert {t.state for t in tuning.trials if t not in failed} == {"finished"}
    assert "failed: the loss became NaN or infinite in epoch 1" in str(tuning)


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_trial_that_diverges_has_failed_whatever_stops_it(epochs):
    X, _ = data()
    own = dataclasses.replace(DIVERGING, depth=1, width=4)
    options = {"space": own, "trials": 6, "epochs": epochs}
    stopping = tune(X, X[:, 0], callbacks=[xpnn.StopOnNaN()], **options)
    assert "failed" in {t.state for t in stopping.trials}
    assert tried(stopping) == tried(tune(X, X[:, 0], **options))


def test_a_trial_that_ends_without_a_score_has_failed(monkeypatch):
    def fit(network, *data, **options):
        silent = network.layers[0].units == 8
        return xpnn.fit(network, *data, **{**options, "callbacks": [] if silent else options["callbacks"]})

    monkeypatch.setattr(search, "fit", fit)
    tuning = tune(space=dataclasses.replace(TINY, width=[2, 8]), trials=6)
    reasons = {(t.parameters["width"][0], t.state, t.reason) for t in tuning.trials}
    assert reasons == {(2, "finished", ""), (8, "failed", "it ended before its first epoch was over")}


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate"),
    ],
    ids=repr,
)
def test_a_trial_without_memory_has_failed(monkeypatch, error):
    def fit(network, *data, **options):
        if network.layers[0].units == 8:
            raise error
        return xpnn.fit(network, *data, **options)

    monkeypatch.setattr(search, "fit", fit)
    tuning = tune(space=dataclasses.replace(TINY, width=[2, 8]), trials=6)
    assert {(t.parameters["width"][0], t.reason) for t in tuning.trials} == {(2, ""), (8, "out of memory")}


def test_any_other_error_is_not_hidden(monkeypatch):
    def fit(*_, **__):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(search, "fit", fit)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        tune()


def test_a_score_that_is_no_number_fails():
    X = np.linspace(0, 1, 20)[:, None]
    y = np.arange(20) % 2
    message = "none of 2 trials finished: validation_roc_auc became nan in epoch 1. Score on rows of every class, or"
    with pytest.raises(InputError, match=message):
        tune(X, y, trials=2, validation_data=(X[:3], 0 * y[:3]), monitor="validation_roc_auc")


def test_without_a_trial_that_finishes_it_says_why(tmp_path):
    X, _ = data()
    own = dataclasses.replace(DIVERGING, learning_rate=1e30)
    message = (
        "none of 2 trials finished: the loss became NaN or infinite in epoch 1. Give SearchSpace a smaller learning_"
    )
    for _ in "run", "resumed":
        with pytest.raises(InputError, match=message):
            tune(X, X[:, 0], space=own, trials=2, storage=tmp_path / "search.log")


# --- resuming


def test_a_search_that_goes_on_finds_what_it_would_have_found_in_one_go(tmp_path):
    straight = tune(trials=14, epochs=6)
    storage = tmp_path / "search.log"
    tune(trials=4, epochs=6, storage=storage)
    told = []
    resumed = tune(trials=14, epochs=6, storage=storage, after_trial=told.append)
    assert tried(resumed) == tried(straight)
    assert [trial.number for trial in told] == list(range(5, 15))
    np.testing.assert_array_equal(resumed.best.params, straight.best.params)
    before = storage.read_bytes()
    again = tune(trials=3, epochs=6, storage=storage)  # what is there is there
    assert tried(again) == tried(straight)
    np.testing.assert_array_equal(again.best.params, straight.best.params)
    assert storage.read_bytes() == before


def test_failed_and_pruned_trials_are_remembered_too(tmp_path):
    X, _ = data()
    options = {"space": DIVERGING, "epochs": 10, "patience": None}
    straight = tune(X, X[:, 0], trials=14, **options)
    assert {t.state for t in straight.trials} == {"finished", "pruned", "failed"}
    for trials in (9, 14):
        resumed = tune(X, X[:, 0], trials=trials, storage=tmp_path / "search.log", **options)
    assert tried(resumed) == tried(straight)


@pytest.mark.parametrize("after", [0, 1, 3])
def test_ctrl_c_keeps_what_was_found(after, tmp_path):
    def interrupt(epoch):
        if len(over) == after and len(epoch.history["loss"]) == 2:
            raise KeyboardInterrupt

    over = []
    storage = tmp_path / "search.log"
    with pytest.raises(KeyboardInterrupt, match="interrupted") as stop:
        tune(callbacks=[interrupt], after_trial=over.append, storage=storage)
    assert isinstance(stop.value, xpnn.TuningInterrupted)
    if not after:
        assert stop.value.tuning is None
        assert not storage.exists()
    else:
        assert list(stop.value.tuning.trials) == over
        assert min(stop.value.tuning.best.history["validation_loss"]) == min(t.score for t in over)
    assert tried(tune(storage=storage)) == tried(tune())


def test_ctrl_c_while_the_best_is_trained_again_says_that_the_storage_has_it(tmp_path):
    def interrupt(epoch):
        raise KeyboardInterrupt

    storage = tmp_path / "search.log"
    straight = tune(storage=storage)
    before = storage.read_bytes()
    with pytest.raises(xpnn.TuningInterrupted, match="best of the storage was being trained again") as stop:
        tune(storage=storage, callbacks=[interrupt])
    assert stop.value.tuning is None
    assert storage.read_bytes() == before
    assert tried(tune(storage=storage)) == tried(straight)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 1}, "holds another search: there seed was 0, now it is 1: choose another storage, or ask for"),
        ({"epochs": 5}, "there epochs was 4, now it is 5"),
        ({"space": xpnn.SearchSpace(depth=1)}, r"there depth was \(1, 2\), now it is 1"),
        ({"monitor": "validation_accuracy"}, "there monitor was validation_loss, now it is validation_accuracy"),
        ({"output": "sigmoid", "y": np.eye(3)[data()[1]]}, "there y was int64 of shape .*now it is float64 of shape"),
        ({"X": data()[0] + 1}, r"there X was float64 of shape \(48, 3\) with hash \w+, now it is"),
        ({"X": data()[0].astype(np.float32)}, "there X was float64 .*, now it is float32"),
        ({"validation_split": 0.3}, "there validation_split was 0.2, now it is 0.3"),
        ({"sample_weight": np.ones(48)}, "there sample_weight was not given, now it is float64 of shape"),
        ({"penalty": xpnn.L1(0.1)}, r"there penalty was not given, now it is L1\(strength=0.1"),
        ({"prune": False}, "there prune was True, now it is False"),
        ({"loss": xpnn.CategoricalCrossentropy(label_smoothing=0.1)}, r"there loss was Cat.* now it is Cat.*0.1"),
    ],
    ids=str,
)
def test_the_storage_of_another_search_is_refused(options, message, tmp_path):
    storage = tmp_path / "search.log"
    X, y = data()
    tune(X, y, trials=1, storage=storage)
    before = storage.read_bytes()
    with pytest.raises(InputError, match=message):
        tune(**{"X": X, "y": y, "storage": storage, **options})
    assert storage.read_bytes() == before


def test_what_was_given_then_must_be_given_now(tmp_path):
    tune(trials=1, storage=tmp_path / "search.log", clip_norm=1.0)
    with pytest.raises(InputError, match="there clip_norm was 1.0, now it is not given"):
        tune(storage=tmp_path / "search.log")


@pytest.mark.skipif("torch" not in LIBRARIES, reason="needs PyTorch")
def test_the_storage_of_another_library_is_refused(tmp_path):
    X, y = data()
    tune(trials=1, storage=tmp_path / "search.log")
    with pytest.raises(InputError, match="there library was numpy, now it is torch"):
        tune(LIBRARIES["torch"](X), LIBRARIES["torch"](y), storage=tmp_path / "search.log")


FOREIGN = [b"a,y\n1,2\n", b"no newline", b'{"number": 1}\n', b"17\n", b"\xff\x00\n", "of others"]


@pytest.mark.parametrize("content", FOREIGN)
def test_a_file_that_is_no_storage_is_left_alone(content, tmp_path):
    storage = tmp_path / "search.log"
    if content == "of others":
        from optuna.storages import JournalStorage, journal

        optuna.create_study(study_name="mine", storage=JournalStorage(journal.JournalFileBackend(str(storage))))
        content = storage.read_bytes()
    storage.write_bytes(content)
    with pytest.raises(InputError, match="search.log is not the storage of a search, or is damaged: choose another"):
        tune(storage=storage)
    assert storage.read_bytes() == content


def test_a_storage_that_cannot_be_written_is_said_before_training(tmp_path):
    for path in (tmp_path / "nowhere" / "search.log", tmp_path):
        with pytest.raises(InputError, match="cannot write .*(does not exist|is a folder)"):
            tune(storage=path, callbacks=[lambda epoch: pytest.fail("trained")])


@pytest.mark.parametrize("lines", range(5))
def test_a_process_killed_while_it_wrote_loses_that_line_alone(lines, tmp_path):
    """The first lines are the study, its name tag, and two trials."""
    whole, storage = tmp_path / "whole.log", tmp_path / "search.log"
    tune(trials=2, storage=whole)
    kept = whole.read_bytes().splitlines(keepends=True)
    assert len(kept) == 4
    half = kept[lines][:-20] if 0 < lines < 4 else b""
    storage.write_bytes(b"".join(kept[:lines]) + half)
    for trials in (3, 4):  # what was appended can be read again
        resumed = tune(trials=trials, storage=storage)
    assert tried(resumed) == tried(tune(trials=4))


def test_the_lock_of_a_killed_process_does_not_hold_for_long(monkeypatch, tmp_path):
    monkeypatch.setattr(study, "_GRACE", 1)
    tune(trials=1, storage=tmp_path / "search.log")
    (tmp_path / "search.log.lock").touch()
    assert tried(tune(trials=2, storage=tmp_path / "search.log")) == tried(tune(trials=2))
    assert [path.name for path in tmp_path.iterdir()] == ["search.log"]


def test_a_disk_that_is_full_is_said_in_a_line(monkeypatch, tmp_path):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(optuna.storages.journal.JournalFileBackend, "append_logs", full)
    with pytest.raises(InputError, match="cannot write .*search.log: No space left on device"):
        tune(trials=1, storage=tmp_path / "search.log")


def test_two_searches_at_once_in_one_storage_are_noticed(tmp_path):
    storage = tmp_path / "search.log"

    def meanwhile(trial):
        if trial.number == 1:
            tune(trials=2, storage=storage)

    with pytest.raises(InputError, match="was written to by another search meanwhile: give each its own"):
        tune(storage=storage, after_trial=meanwhile)
    assert tried(tune(storage=storage)) == tried(tune())


def test_two_searches_that_begin_one_storage_are_noticed(tmp_path):
    storage = tmp_path / "search.log"
    began = []

    def meanwhile(training):
        if not began:
            began.append(True)
            tune(trials=1, storage=storage)

    with pytest.raises(InputError, match="was begun by another search meanwhile: give each its own"):
        tune(storage=storage, callbacks=[meanwhile])


def test_a_storage_that_is_damaged_meanwhile_is_said_to_be(tmp_path):
    storage = tmp_path / "search.log"

    def damage(trial):
        with storage.open("a") as file:
            file.write("garbage\n")

    with pytest.raises(InputError, match=r"search.log was damaged meanwhile: choose another name"):
        tune(storage=storage, after_trial=damage)


# --- what is shown


def test_the_table_is_best_first_and_the_file_in_order(tmp_path, capsys):
    X, _ = data()
    tuning = tune(X, X[:, 0], space=DIVERGING, trials=14, epochs=10, patience=None)
    lines = str(tuning).splitlines()
    columns = ["width", "learning_rate", "weight_decay", "state"]  # what was searched
    assert lines[0].split() == ["trial", "validation_loss", "epochs", "seconds", *columns]
    assert lines[1].index("finished") == lines[0].index("state")
    order = [int(line.split()[0]) for line in lines[1:]]
    assert order == [t.number for t in tuning.ranking]
    finished = [t.score for t in tuning.ranking if t.state == "finished"]
    assert finished == sorted(finished)
    states = [t.state for t in tuning.ranking]
    assert states == sorted(states, key=result.STATES.index)
    assert [line.split() for line in tuning.table(3).splitlines()[:4]] == [line.split() for line in lines[:4]]
    assert tuning.table(3).splitlines()[4:] == ["and 11 more"]
    assert repr(tuning).startswith("Tuning(14 trials, validation_loss 0.")

    tuning.to_csv(tmp_path / "trials.csv")
    with (tmp_path / "trials.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["trial"]) for row in rows] == list(range(1, 15))
    for row, trial in zip(rows, tuning.trials, strict=True):
        assert (float(row["validation_loss"]) if row["validation_loss"] else None) == trial.score
        assert float(row["learning_rate"]) == trial.parameters["learning_rate"]
        assert tuple(map(int, row["width"].split(","))) == trial.parameters["width"]
        assert (row["state"], row["reason"], int(row["epochs"])) == (trial.state, trial.reason, trial.epochs)


def test_a_table_that_cannot_be_written_says_so(tmp_path):
    tuning = tune(trials=1, epochs=1)
    with pytest.raises(InputError, match="cannot write .*trials.csv: the folder .*nowhere does not exist"):
        tuning.to_csv(tmp_path / "nowhere" / "trials.csv")


def test_progress_is_a_line_for_each_trial_and_optuna_is_silent(capfd, caplog):
    with caplog.at_level(logging.DEBUG):
        tune(trials=2, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"(trial [12]/2  validation_loss \d\.\d+  width \d(,\d)?  activation \w+  .*\n){2}", err)
    assert not caplog.records
    assert optuna.logging.get_verbosity() == optuna.logging.INFO  # others see what they saw


# --- what is wrong


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trials": 0}, "trials must be an integer >= 1, got 0"),
        ({"epochs": 0}, "epochs must be an integer >= 1, got 0"),
        ({"seed": -1}, "seed must be an integer >= 0, got -1"),
        ({"patience": -1}, "patience must be a whole number >= 0, got -1"),
        ({"space": {"depth": 1}}, "space must be a SearchSpace, got {'depth': 1}"),
        ({"batch_size": 8}, r"tune takes no batch_size: the space decides it: SearchSpace\(batch_size=...\)"),
        ({"optimizer": "adam"}, r"tune takes no optimizer: the space decides it"),
        ({"params": 1}, "tune takes no params: networks of different sizes cannot start from the same"),
        ({"monitor": "accuracy"}, "unknown monitor 'accuracy'. Did you mean 'validation_accuracy'"),
        ({"monitor": "loss"}, "unknown monitor 'loss'. Did you mean 'validation_loss'.*Valid: validation_loss"),
        ({"monitor": "f1"}, "unknown monitor 'f1'. Did you mean 'validation_f1'"),
        ({"monitor": None}, "unknown monitor 'None'"),
        (
            {"monitor": "validation_acuracy"},
            "unknown monitor 'validation_acuracy'. Did you mean 'validation_accuracy'",
        ),
        ({"monitor": "validation_r2"}, "the metric 'r2' is for regression, but"),
        ({"metrics": "f1"}, r"metrics must be a list .*: write \['f1'\]"),
        ({"output": "softmx"}, "unknown activation 'softmx'. Did you mean 'softmax'"),
        ({"loss": "msee"}, "unknown loss 'msee'"),
        ({"foo": 1}, "tune: unknown keyword 'foo'. Valid: X, y, space, .*class_weight"),
        ({"metric": ["f1"]}, "tune: unknown keyword 'metric'. Did you mean 'metrics'"),
        ({"validation_data": data(), "validation_split": 0.3}, "validation_data and validation_split are both given"),
        ({"callbacks": xpnn.StopOnNaN()}, "callbacks must be a list of callbacks or functions"),
        ({"validation_split": 0}, "validation_split must be a number above 0 and below 1"),
        ({"labels": ["a"]}, r"labels must be 3 names, one per class, got \['a'\]"),
        ({"X": np.zeros((0, 3)), "y": np.zeros(0)}, "y is empty"),
        ({"X": np.zeros(48)}, r"X must have shape \(n, d\), with a row per sample; got \(48,\)"),
        ({"X": np.full((48, 3), np.nan)}, "X holds nan at row 0, column 0"),
        ({"y": np.arange(48) * 7}, r"y holds 48 different whole numbers from 0 to 329: classes, or amounts\?"),
        ({"y": np.arange(48) - 1}, "different whole numbers from -1 to 46"),
    ],
    ids=str,
)
def test_bad_input_says_so_and_leaves_no_storage(options, message, tmp_path):
    X, y = data()
    storage = tmp_path / "search.log"
    with pytest.raises(InputError, match=message):
        tune(**{"X": X, "y": y, "storage": storage, **options})
    assert not storage.exists()


def test_a_metric_of_ones_own_can_be_monitored():
    tuning = tune(trials=2, metrics=["f1", xpnn.TopK(2)], monitor="validation_top_k(k=2)")
    assert list(tuning.best.history) == ["loss", "validation_loss", "validation_f1", "validation_top_k(k=2)"]
    assert tuning.larger_is_better
    assert not tune(trials=1, monitor="validation_log_loss").larger_is_better


def test_without_optuna_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(BackendError, match=r"tune needs Optuna: pip install 'xpnn\[tune\]'"):
        tune()


def test_importing_xpnn_does_not_import_optuna():
    program = "import sys, xpnn; sys.exit('optuna' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
