"""The estimators: scikit-learn's numbers, on every library, and what they can do besides."""

import copy
import pickle
import warnings

import numpy as np
import pytest

import xpnn
from xpnn import arrays
from xpnn.errors import BackendError, InputError, ModelFileError
from xpnn.training import resting

from .conftest import LIBRARIES

sklearn = pytest.importorskip("sklearn")
from sklearn import base, datasets, model_selection, neural_network, pipeline, preprocessing  # noqa: E402
from sklearn.exceptions import ConvergenceWarning, NotFittedError  # noqa: E402

from xpnn.estimators import training  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:overflow encountered"),
]


def scaled(X):
    return (X - X.mean(axis=0)) / np.where(X.std(axis=0), X.std(axis=0), 1)


def table(kind):
    """(X, y, weights), of about a hundred rows."""
    rng = np.random.default_rng(7)
    if kind == "three classes":
        X, y = datasets.load_wine(return_X_y=True)
    elif kind in ("two classes", "several labels"):
        X, y = datasets.load_breast_cancer(return_X_y=True)
        X, y = X[:250], y[:250]
        if kind == "several labels":
            y = (X[:, :3] > np.median(X[:, :3], axis=0)).astype(int) ^ (rng.random((250, 3)) < 0.1)
    else:
        X, y = datasets.load_diabetes(return_X_y=True)
        X, y = X[:200], y[:200] / 100
        if kind == "three targets":
            y = np.c_[y, y**2, -y]
        elif kind == "counts":
            y = rng.poisson(y)
    X, y = X[::2], y[::2]  # half of it will do
    return scaled(X), y, rng.uniform(0.2, 3.0, len(X))


CLASSES = ["three classes", "two classes", "several labels"]
NUMBERS = ["one target", "three targets", "counts"]


def pair(kind, **options):
    """scikit-learn's estimator and xpnn's."""
    name = "MLPClassifier" if kind in CLASSES else "MLPRegressor"
    if kind == "counts":
        options["loss"] = "poisson"
    options = {"hidden_layer_sizes": (9, 6), "max_iter": 50, "random_state": 3} | options
    return getattr(neural_network, name)(**options), getattr(xpnn, name)(**options)


OPTIONS = [
    {},
    {"solver": "sgd", "learning_rate_init": 0.02},
    {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.1, "nesterovs_momentum": False},
    {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.02, "n_iter_no_change": 1, "tol": 0.02},
    {"solver": "sgd", "momentum": 0, "activation": "identity", "batch_size": 31},
    {"early_stopping": True, "n_iter_no_change": 4},
    {"early_stopping": True, "activation": "logistic", "solver": "sgd", "learning_rate": "adaptive"},
    {"activation": "tanh", "batch_size": 37, "shuffle": False, "alpha": 0.1},
    {"activation": "logistic", "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3, "alpha": 0, "hidden_layer_sizes": 7},
    {"solver": "lbfgs", "activation": "tanh", "alpha": 0.1},
    {"solver": "lbfgs", "activation": "logistic", "max_fun": 20, "alpha": 1.0},
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=repr)
@pytest.mark.parametrize("kind", [*CLASSES, *NUMBERS])
def test_the_numbers_are_scikit_learns(kind, options, weighted):
    X, y, w = table(kind)
    theirs, ours = pair(kind, **options)
    weights = {"sample_weight": w} if weighted else {}
    theirs.fit(X, y, **weights)
    ours.fit(X, y, **weights)
    close = {"rtol": 1e-7, "atol": 1e-9}
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    for name in ("loss_", "best_loss_", "best_validation_score_", "loss_curve_", "validation_scores_"):
        assert hasattr(ours, name) == hasattr(theirs, name), name
        expected = getattr(theirs, name, None)
        if expected is None:
            assert getattr(ours, name, None) is None
        else:
            np.testing.assert_allclose(getattr(ours, name), expected, err_msg=name, **close)
    for a, b in zip([*ours.coefs_, *ours.intercepts_], [*theirs.coefs_, *theirs.intercepts_], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-7 * np.abs(b).max())
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-6)
    assert ours.score(X, y) == pytest.approx(theirs.score(X, y))
    if kind in CLASSES:
        np.testing.assert_array_equal(ours.classes_, theirs.classes_)
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(ours.predict_log_proba(X), theirs.predict_log_proba(X), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("options", [OPTIONS[0], OPTIONS[3], OPTIONS[5], OPTIONS[9]], ids=repr)
@pytest.mark.parametrize("kind", [*CLASSES, *NUMBERS])
def test_every_library_gives_the_same_and_gets_its_own(kind, options, anywhere, dtype):
    X, y, w = table(kind)
    _, ours = pair(kind, **options | {"max_iter": 15})
    host = base.clone(ours).fit(X.astype(dtype), y, sample_weight=w)
    ours.fit(anywhere(X, dtype), anywhere(y), sample_weight=anywhere(w))
    tolerance = 1e-6 if dtype == "float64" else 2e-2
    np.testing.assert_allclose(ours.loss_, host.loss_, rtol=tolerance)
    for array in [*ours.coefs_, *ours.intercepts_]:
        anywhere.check(array, dtype)
    predicted = ours.predict(anywhere(X, dtype))
    anywhere.check(predicted)
    assert tuple(predicted.shape) == y.shape
    if dtype == "float64":
        np.testing.assert_allclose(anywhere.host(predicted), host.predict(X), rtol=1e-4, atol=1e-5)
    if kind in CLASSES:
        for method in ("predict_proba", "predict_log_proba", "decision_function"):
            anywhere.check(getattr(ours, method)(anywhere(X, dtype)), dtype)
    assert ours.score(anywhere(X, dtype), anywhere(y)) == pytest.approx(host.score(X.astype(dtype), y), abs=0.05)


LABELS = [
    np.array([2**40, 2**40 + 1, 2**40 + 3]),
    np.array([3, 7, 2**15], np.uint16),
    np.array([0, 1, 2**63], np.uint64),
    np.array([-1.0, 0.0, 2.0**40]),
    np.array([-3, 0, 100], np.int8),
]


@pytest.mark.parametrize("labels", LABELS, ids=lambda labels: str(labels.dtype))
def test_labels_come_back_to_the_digit(anywhere, labels):
    X, y, _ = table("three classes")
    model = xpnn.MLPClassifier((9,), learning_rate_init=0.02, max_iter=40, random_state=0).fit(anywhere(X), labels[y])
    predicted = model.predict(anywhere(X))
    anywhere.check(predicted, str(labels.dtype))
    assert (anywhere.host(predicted) == labels[y]).mean() > 0.9
    assert model.score(anywhere(X), labels[y]) > 0.9


def test_it_goes_where_an_array_is(anywhere):
    X, y, _ = table("three classes")
    model = xpnn.MLPClassifier((9,), max_iter=3, random_state=0).fit(X, y)
    before = model.predict_proba(X)
    moved = model.to(like=anywhere(X), dtype="float32")
    anywhere.check(moved.coefs_[0], "float32")
    np.testing.assert_allclose(anywhere.host(moved.predict_proba(anywhere(X, "float32"))), before, rtol=1e-4)
    with pytest.raises(InputError, match="give either like=array, or a backend"):
        model.to("numpy", like=anywhere(X))


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_half_precision_is_converted_as_numpys_is(kind, lib):
    if not hasattr(lib.xp, kind):
        pytest.skip(f"{lib.name} has no {kind}")
    X, y, _ = table("three classes")
    half = lib.xp.astype(lib(np.round(X)), getattr(lib.xp, kind))
    model = xpnn.MLPClassifier((9,), max_iter=3, random_state=0).fit(half, lib(y))
    assert model.coefs_[0].dtype == arrays.default_float(lib.xp)
    full = lib.xp.astype(half, model.coefs_[0].dtype)
    np.testing.assert_array_equal(lib.host(model.predict_proba(half)), lib.host(model.predict_proba(full)))


def test_text_and_mixed_libraries(anywhere):
    X, y, w = table("three classes")
    names = np.asarray(["red", "white", "rosé"])[y]
    model = xpnn.MLPClassifier((9,), learning_rate_init=0.02, max_iter=40, random_state=0)
    model.fit(anywhere(X), names, sample_weight=list(w))
    assert list(model.classes_) == ["red", "rosé", "white"]
    predicted = model.predict(anywhere(X))
    assert isinstance(predicted, np.ndarray)
    assert np.mean(predicted == names) > 0.9
    assert model.score(anywhere(X), names) > 0.9


def test_another_library_than_fitted_says_how_to_move():
    X, y, _ = table("three classes")
    for name, lib in LIBRARIES.items():
        if name in ("numpy", "numpy-readonly"):
            continue
        model = xpnn.MLPClassifier((9,), max_iter=5, random_state=0).fit(lib(X), lib(y))
        with pytest.raises(
            InputError, match=r"must use the same namespace.*X is a NumPy array\. estimator\.to\('numpy'\)"
        ):
            model.predict(X)
        before = lib.host(model.predict_proba(lib(X)))
        np.testing.assert_allclose(model.to("numpy").predict_proba(X), before, rtol=1e-6)
        with pytest.raises(InputError, match=f"these are numpy on cpu, and X is .*{name}"):
            model.predict(lib(X))
        model.partial_fit(X, y)  # the moments have moved as well


# --- going on ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["three classes", "two classes", "one target"])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fit_is_scikit_learns(kind, solver):
    X, y, w = table(kind)
    theirs, ours = pair(kind, solver=solver)
    classes = {"classes": np.unique(y)} if kind in CLASSES else {}
    for i in range(6):
        rows = slice(10 * i, 10 * i + 30)
        for each in (theirs, ours):
            each.partial_fit(X[rows], y[rows], sample_weight=w[rows], **(classes if i == 0 else {}))
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-7)
    for a, b in zip(ours.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)
    assert ours.t_ == theirs.t_


def test_there_is_no_partial_fit_with_lbfgs():
    for kind in ("three classes", "one target"):
        X, y, _ = table(kind)
        _, ours = pair(kind, solver="lbfgs")
        assert not hasattr(ours, "partial_fit")
        with pytest.raises(AttributeError, match="partial_fit"):
            ours.partial_fit(X, y)
        assert hasattr(pair(kind)[1], "partial_fit")


def test_a_warm_start_goes_on_with_the_optimizers_state():
    X, y, _ = table("three classes")
    options = {"max_iter": 10, "shuffle": False, "random_state": 0}
    whole = xpnn.MLPClassifier((8,), **options | {"max_iter": 30}).fit(X, y)
    parts = xpnn.MLPClassifier((8,), warm_start=True, **options)
    for _ in range(3):
        parts.fit(X, y)
    np.testing.assert_allclose(parts.loss_curve_, whole.loss_curve_, rtol=1e-12)
    np.testing.assert_allclose(parts.coefs_[0], whole.coefs_[0], rtol=1e-12)
    assert (parts.n_iter_, len(parts.loss_curve_)) == (10, 30)
    with pytest.raises(ValueError, match="warm_start can only be used where `y` has the same classes"):
        parts.fit(X, np.where(y == 2, 5, y))
    with pytest.raises(ValueError, match=r"go on with the network there is, 13-8-3 .*, but .* ask for 13-9-3"):
        parts.set_params(hidden_layer_sizes=(9,)).fit(X, y)


def test_copies_go_on_alike():
    X, y, _ = table("three classes")
    model = xpnn.MLPClassifier((8,), random_state=0).partial_fit(X, y, classes=[0, 1, 2])
    for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(twin.predict_proba(X), model.predict_proba(X))
        a, b = copy.deepcopy(model).partial_fit(X, y), twin.partial_fit(X, y)
        np.testing.assert_array_equal(a.coefs_[1], b.coefs_[1])


def test_weights_that_are_replaced_or_written_to_are_used():
    X, y, _ = table("one target")
    model = xpnn.MLPRegressor(hidden_layer_sizes=(5,), max_iter=5, random_state=0).fit(X, y)
    for twin in (model, pickle.loads(pickle.dumps(model))):
        twin.coefs_ = [0 * W for W in twin.coefs_]
        twin.intercepts_ = [twin.intercepts_[0], np.asarray([2.5])]
        np.testing.assert_allclose(twin.predict(X), 2.5)
        twin.intercepts_[1][...] = 1.5
        np.testing.assert_allclose(twin.predict(X), 1.5)
        twin.partial_fit(X, y)


# --- more than scikit-learn's -----------------------------------------------------------------------------------


def test_an_activation_for_each_layer_and_all_of_xpnns():
    X, y, _ = table("three classes")
    model = xpnn.MLPClassifier((8, 6), activation=["gelu", xpnn.ELU(0.5)], learning_rate_init=0.02, max_iter=60,
                               random_state=0).fit(X, y)  # fmt: skip
    layers = model.to_model().network.layers
    assert [each.activation for each in layers] == [xpnn.GELU(), xpnn.ELU(0.5), xpnn.Softmax()]
    assert model.score(X, y) > 0.9
    with pytest.raises(ValueError, match="activation must be one, or one for each of the 2 hidden layers"):
        model.set_params(activation=["relu"]).fit(X, y)


def test_dropout_is_drawn_by_the_random_state_and_left_out_of_predictions():
    X, y, _ = table("three classes")
    options = {"hidden_layer_sizes": (30, 20), "max_iter": 20, "dropout": [0.5, 0.0]}
    one, two, other = (xpnn.MLPClassifier(random_state=seed, **options).fit(X, y) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))
    assert np.any(one.predict_proba(X) != other.predict_proba(X))
    np.testing.assert_array_equal(one.predict_proba(X), one.predict_proba(X))
    assert [type(each).__name__ for each in one.to_model().network.layers] == ["Dense", "Dropout", "Dense", "Dense"]
    plain = xpnn.MLPClassifier(random_state=0, **options | {"dropout": 0.0}).fit(X, y)
    assert np.any(one.coefs_[0] != plain.coefs_[0])
    assert len(one.coefs_) == len(plain.coefs_) == 3


def test_class_weights_are_weights():
    X, y, _ = table("two classes")
    options = {"hidden_layer_sizes": (6,), "max_iter": 20, "random_state": 0}
    weighted = xpnn.MLPClassifier(class_weight={0: 3.0, 1: 1.0}, **options).fit(X, y)
    by_hand = xpnn.MLPClassifier(**options).fit(X, y, sample_weight=np.where(y == 0, 3.0, 1.0))
    np.testing.assert_allclose(weighted.coefs_[0], by_hand.coefs_[0], rtol=1e-12)
    names = np.asarray(["no", "yes"])[y]
    balanced = xpnn.MLPClassifier(class_weight="balanced", **options).fit(X, names)
    assert np.any(balanced.coefs_[0] != by_hand.coefs_[0])


def test_losses_and_optimizers_of_xpnn():
    X, y, _ = table("one target")
    model = xpnn.MLPRegressor("huber", (10,), optimizer=xpnn.Lion(0.01), max_iter=50, random_state=0).fit(X, y)
    assert type(model.to_model().loss).__name__ == "Huber"
    assert model.score(X, y) > 0.3
    X, y, _ = table("two classes")
    smooth = xpnn.MLPClassifier((6,), loss=xpnn.BinaryCrossentropy(label_smoothing=0.2), max_iter=200, tol=0,
                                random_state=0).fit(X, y)  # fmt: skip
    plain = xpnn.MLPClassifier((6,), max_iter=200, tol=0, random_state=0).fit(X, y)
    assert smooth.predict_proba(X).max() < plain.predict_proba(X).max()
    search = xpnn.MLPClassifier((6,), optimizer="lbfgs", max_iter=30, alpha=0.1, random_state=0).fit(X, y)
    same = xpnn.MLPClassifier((6,), solver="lbfgs", max_iter=30, alpha=0.1, random_state=0).fit(X, y)
    assert search.loss_ == pytest.approx(same.loss_, rel=0.05)
    assert not hasattr(search, "partial_fit")


def test_callbacks_and_a_curve_of_the_validation_loss():
    X, y, _ = table("three classes")
    seen = []

    def look(training):
        seen.append(training.epoch)
        return training.epoch == 7

    model = xpnn.MLPClassifier((6,), callbacks=[look, xpnn.LearningRateLogger()], max_iter=30, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it was asked to stop: that is no failure to converge
        model.fit(X, y, validation_data=(X[:50], y[:50]))
    assert seen == list(range(1, 8))
    assert (model.n_iter_, len(model.validation_loss_curve_)) == (7, 7)
    expected = -np.mean(np.log(model.predict_proba(X[:50])[np.arange(50), y[:50]]))
    assert model.validation_loss_curve_[-1] == pytest.approx(expected)
    assert model.to_model().history["learning_rate"] == [0.001] * 7


@pytest.mark.parametrize("monitor", ["validation_loss", "validation_f1", "validation_accuracy"])
def test_early_stopping_watches_what_it_is_told_to(monitor):
    X, y, _ = table("three classes")
    options = {"hidden_layer_sizes": (20,), "learning_rate_init": 0.02, "max_iter": 300, "random_state": 0}
    model = xpnn.MLPClassifier(early_stopping=True, monitor=monitor, n_iter_no_change=5, **options).fit(X, y)
    history = model.to_model().history[monitor]
    sign = -1 if monitor == "validation_loss" else 1
    assert model.validation_scores_ == [sign * value for value in history]
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.n_iter_ < 300
    if monitor == "validation_accuracy":
        score = xpnn.MLPClassifier(early_stopping=True, n_iter_no_change=5, **options).fit(X, y)
        assert score.validation_scores_ == pytest.approx(model.validation_scores_)


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_a_device_is_where_host_data_are_trained(name):
    if name not in LIBRARIES:
        pytest.skip(f"{name} cannot be used here")
    X, y, _ = table("three classes")
    model = xpnn.MLPClassifier((8,), device=name, max_iter=20, random_state=0).fit(X, y)
    host = xpnn.MLPClassifier((8,), max_iter=20, random_state=0).fit(X, y)
    LIBRARIES[name].check(model.coefs_[0])
    assert isinstance(model.predict_proba(X), np.ndarray)
    np.testing.assert_allclose(model.predict_proba(X), host.predict_proba(X), rtol=1e-6)
    assert isinstance(model.predict(X), np.ndarray)


def test_devices_that_are_not_there():
    X, y, _ = table("three classes")
    with pytest.raises(BackendError, match=r"is called or has a device 'cuda:77' that can .* there are: numpy:cpu"):
        xpnn.MLPClassifier(device="cuda:77").fit(X, y)


def test_the_decision_function_is_the_logits():
    for kind in CLASSES:
        X, y, _ = table(kind)
        model = xpnn.MLPClassifier((6,), max_iter=10, random_state=0).fit(X, y)
        z, p = model.decision_function(X), model.predict_proba(X)
        if kind == "three classes":
            np.testing.assert_allclose(np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), p, rtol=1e-9)
        elif kind == "two classes":
            assert z.shape == (len(X),)
            np.testing.assert_allclose(1 / (1 + np.exp(-z)), p[:, 1], rtol=1e-9)
        else:
            np.testing.assert_allclose(1 / (1 + np.exp(-z)), p, rtol=1e-9)


def test_a_bar_instead_of_lines(capsys):
    X, y, _ = table("three classes")
    xpnn.MLPClassifier((6,), verbose="bar", max_iter=20, random_state=0).fit(X, y)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith("epoch 20/20  loss ")


@pytest.mark.parametrize("options", [OPTIONS[0], OPTIONS[3], OPTIONS[5]], ids=repr)
def test_what_is_said_is_what_scikit_learn_says(options, capsys):
    X, y, _ = table("three classes")
    said = []
    for each in pair("three classes", verbose=True, **options | {"max_iter": 30}):
        each.fit(X, y)
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert said[0]


def test_saved_and_loaded(tmp_path):
    path = tmp_path / "model.safetensors"
    cases = [
        (table("three classes"), xpnn.MLPClassifier((6,), activation=[xpnn.ELU(0.5)], optimizer=xpnn.AdamW(0.01))),
        (table("several labels"), xpnn.MLPClassifier((6, 5), dropout=0.1, early_stopping=True)),
        (table("one target"), xpnn.MLPRegressor("poisson", (6,), n_iter_no_change=np.inf)),
    ]
    for (X, y, _), model in cases:
        y = np.abs(y) if isinstance(model, xpnn.MLPRegressor) else y
        model.set_params(max_iter=8, random_state=np.int64(0)).fit(X, y)
        model.save(path)
        loaded = type(model).load(path)
        np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
        assert loaded.n_iter_ == 8
        assert loaded.loss_curve_ == model.loss_curve_
        assert loaded.validation_scores_ == model.validation_scores_
        assert loaded.get_params()["max_iter"] == 8
        for name in ("activation", "optimizer", "dropout", "n_iter_no_change"):
            assert loaded.get_params()[name] == model.get_params()[name]
        np.testing.assert_allclose(xpnn.load(path).predict(X).shape[0], len(X))
        loaded.fit(X, y)
        if not model.early_stopping:
            loaded.partial_fit(X, y)
    with pytest.raises(ModelFileError, match="holds an MLPRegressor, not an MLPClassifier: xpnn.load reads any"):
        xpnn.MLPClassifier.load(path)
    xpnn.fit(xpnn.mlp([2, 1]), np.ones((2, 2)), np.ones(2), epochs=1).save(path)
    with pytest.raises(ModelFileError, match="holds a model without estimator"):
        xpnn.MLPClassifier.load(path)


# --- in company -------------------------------------------------------------------------------------------------


def test_it_stands_where_scikit_learns_stood():
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import VotingClassifier

    X, y, _ = table("three classes")
    mlp = xpnn.MLPClassifier((8,), learning_rate_init=0.02, max_iter=60, random_state=0)
    whole = pipeline.make_pipeline(preprocessing.StandardScaler(), mlp)
    assert np.mean(model_selection.cross_val_score(whole, X, y, cv=3)) > 0.9
    grid = {"mlpclassifier__hidden_layer_sizes": [(4,), (8,)], "mlpclassifier__alpha": [1e-4, 1e-2]}
    search = model_selection.GridSearchCV(whole, grid, cv=3, n_jobs=2).fit(X, y)
    assert search.best_score_ > 0.9
    assert CalibratedClassifierCV(mlp, cv=3).fit(X, y).score(X, y) > 0.9
    voting = VotingClassifier(
        [("a", mlp), ("b", base.clone(mlp).set_params(random_state=1))], voting="soft", n_jobs=2
    )
    assert voting.fit(X, y).score(X, y) > 0.9
    assert "MLPClassifier" in mlp._repr_html_()


def test_threads_that_train_at_once_do_not_disturb_each_other():
    from joblib import Parallel, delayed

    X, y, _ = table("three classes")
    fit = lambda seed: xpnn.MLPClassifier((8,), max_iter=30, random_state=seed).fit(X, y).coefs_[0]  # noqa: E731
    alone = [fit(seed) for seed in range(4)]
    together = Parallel(n_jobs=4, backend="threading")(delayed(fit)(seed) for seed in range(4))
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a, b)


def test_metadata_are_routed():
    with sklearn.config_context(enable_metadata_routing=True):
        X, y, w = table("three classes")
        mlp = xpnn.MLPClassifier((8,), max_iter=10, random_state=0).set_fit_request(sample_weight=True)
        scaler = preprocessing.StandardScaler().set_fit_request(sample_weight=False)
        whole = pipeline.make_pipeline(scaler, mlp).fit(X, y, sample_weight=w)
        alone = base.clone(mlp).fit(preprocessing.StandardScaler().fit_transform(X), y, sample_weight=w)
        np.testing.assert_allclose(whole[-1].coefs_[0], alone.coefs_[0])


@pytest.mark.parametrize("frame", ["pandas", "polars"])
def test_tables_keep_their_names(frame):
    library = pytest.importorskip(frame)
    X, y, _ = table("three classes")
    names = [f"column {i}" for i in range(X.shape[1])]
    data = library.DataFrame({name: X[:, i] for i, name in enumerate(names)})
    target = library.Series("y", y) if frame == "polars" else library.Series(y, name="y")
    model = xpnn.MLPClassifier((8,), max_iter=20, random_state=0).fit(data, target)
    assert list(model.feature_names_in_) == names
    np.testing.assert_array_equal(
        model.predict(data), xpnn.MLPClassifier((8,), max_iter=20, random_state=0).fit(X, y).predict(X)
    )
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(
            data.rename({"column 0": "other"}) if frame == "polars" else data.rename(columns={"column 0": "other"})
        )


@pytest.mark.parametrize("kind", ["csr_array", "csc_array", "coo_array"])
def test_sparse_data(kind):
    from scipy import sparse

    X, y, _ = table("three classes")
    X = np.where(X > 0.5, X, 0.0)
    S = getattr(sparse, kind)(X)
    options = {"hidden_layer_sizes": (8,), "max_iter": 20, "random_state": 0, "batch_size": 20}
    theirs = neural_network.MLPClassifier(**options).fit(S, y)
    ours = xpnn.MLPClassifier(**options).fit(S, y)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-7)
    np.testing.assert_allclose(ours.predict_proba(S), theirs.predict_proba(S), rtol=1e-6)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-6)


# --- what goes wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"max_iter": 3}, {"solver": "lbfgs", "max_iter": 3}])
def test_not_converged_is_a_warning(options):
    X, y, _ = table("three classes")
    for each in pair("three classes", **options):
        with pytest.warns(ConvergenceWarning, match="max_iter|Maximum iterations"):
            each.fit(X, y)


def test_ctrl_c_keeps_what_there_is():
    X, y, _ = table("three classes")

    def interrupt(training):
        if training.epoch == 3:
            raise KeyboardInterrupt

    model = xpnn.MLPClassifier((6,), callbacks=[interrupt], max_iter=30, random_state=0)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model.fit(X, y)
    assert model.predict(X).shape == (len(X),)


def test_a_loss_that_is_not_finite():
    X = np.full((20, 2), 1e200)
    X[::2] *= -1
    for each in pair("one target"):
        with (
            np.errstate(all="ignore"),
            pytest.raises(ValueError, match="Solver produced non-finite parameter weights"),
        ):
            each.fit(X, X[:, 0])


def test_before_fitting_there_is_nothing_to_predict():
    for estimator in (xpnn.MLPClassifier(), xpnn.MLPRegressor()):
        for method in ("predict", "to_model"):
            with pytest.raises(NotFittedError):
                getattr(estimator, method)(*([np.ones((2, 2))] if method == "predict" else []))


def test_constructors_have_scikit_learns_parameters_and_defaults():
    for name in ("MLPClassifier", "MLPRegressor"):
        theirs, ours = getattr(neural_network, name)(), getattr(xpnn, name)()
        assert theirs.get_params().items() <= ours.get_params().items()


def test_without_scikit_learn_it_says_what_to_install(monkeypatch):
    import sys

    for name in [each for each in sys.modules if each.startswith(("xpnn.estimators", "sklearn"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(xpnn, "estimators", raising=False)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=r"xpnn.MLPClassifier needs scikit-learn: pip install 'xpnn\[sklearn\]'"):
        xpnn.MLPClassifier()


# --- what a reviewer found --------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"solver": "sgd"}], ids=repr)
def test_outputs_that_saturate_cost_what_scikit_learn_says(options):
    X, y = datasets.load_breast_cancer(return_X_y=True)  # not scaled: probabilities of 0 and 1 at once
    iris, kinds = datasets.load_iris(return_X_y=True)
    for data, labels, seed in ((X, y, 4), (X, y, 0), (iris * 1e3, kinds, 0)):
        theirs, ours = pair("two classes", hidden_layer_sizes=(20,), random_state=seed, **options)
        theirs.fit(data, labels)
        ours.fit(data, labels)
        assert ours.n_iter_ == theirs.n_iter_
        np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-7)


def test_a_warm_start_takes_the_rate_it_is_given():
    X, y, _ = table("three classes")
    model = xpnn.MLPClassifier((5,), solver="sgd", momentum=0, max_iter=3, warm_start=True, random_state=0).fit(X, y)
    before = model.coefs_[0].copy()
    model.set_params(learning_rate_init=1e-12).fit(X, y)
    np.testing.assert_allclose(model.coefs_[0], before, atol=1e-9)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"solver": "adam"}, {"solver": "sgd"}),
        ({"solver": "sgd"}, {"solver": "adam"}),
        ({"solver": "sgd", "momentum": 0.0}, {"momentum": 0.9}),
        ({"solver": "lbfgs"}, {"solver": "adam"}),
        ({"solver": "adam"}, {"optimizer": "lion"}),
    ],
)
def test_a_warm_start_with_another_solver_begins_its_moments_anew(first, then):
    X, y, _ = table("three classes")
    model = xpnn.MLPClassifier((5,), max_iter=3, warm_start=True, random_state=0, **first).fit(X, y)
    loss = model.loss_
    model.set_params(**then, max_iter=20).fit(X, y)
    assert model.loss_ < loss * 1.1


class Failing(xpnn.Callback):
    def epoch_end(self, training):
        if training.epoch == 2:
            raise OSError("no more room")


@pytest.mark.parametrize("kind", ["three classes", "one target"])
@pytest.mark.parametrize(
    ("method", "options", "spoil"),
    [
        ("partial_fit", {}, lambda X, y: (X[:, :1], y)),
        ("partial_fit", {}, lambda X, y: (np.full_like(X, np.nan), y)),
        ("partial_fit", {}, lambda X, y: (X, y[:-1])),
        ("fit", {}, lambda X, y: (X[:, :1], np.full(len(X), np.nan))),
        ("fit", {"warm_start": True, "hidden_layer_sizes": (9,)}, lambda X, y: (X, y)),
        ("fit", {"callbacks": [Failing()]}, lambda X, y: (X[:, :2], y)),
        ("fit", {"warm_start": True, "callbacks": [Failing()]}, lambda X, y: (X, y)),
        ("fit", {"solver": "sgd", "learning_rate_init": 1e300}, lambda X, y: (X, y)),
    ],
)
def test_a_training_that_fails_leaves_what_there_was(kind, method, options, spoil):
    X, y, _ = table(kind)
    cls = xpnn.MLPClassifier if kind == "three classes" else xpnn.MLPRegressor
    model = cls(hidden_layer_sizes=(5,), max_iter=3, random_state=0).fit(X, y)
    before, expected = copy.deepcopy(vars(model)), model.predict(X)
    model.set_params(**options)
    with pytest.raises((ValueError, OSError)), np.errstate(all="ignore"):
        getattr(model, method)(*spoil(X, y))
    assert vars(model).keys() == before.keys()
    assert model._state.step == before["_state"].step
    np.testing.assert_equal(model._state.moments, before["_state"].moments)
    for name in ("loss_curve_", "coefs_", "n_features_in_", "n_iter_", "t_", "n_outputs_", "best_loss_"):
        np.testing.assert_equal(getattr(model, name), before[name])
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-13)  # of the second time, so recorded


def test_callbacks_stay_as_they_are_given(tmp_path):
    X, y, _ = table("three classes")
    stop = xpnn.EarlyStopping("loss", patience=2)
    model = xpnn.MLPClassifier((5,), max_iter=5, callbacks=[stop, xpnn.TimeLimit(100)], random_state=0).fit(X, y)
    assert stop.best is None
    for twin in (base.clone(model).fit(X, y), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(twin.predict(X), model.predict(X))
    model.save(tmp_path / "m.safetensors")
    loaded = xpnn.MLPClassifier.load(tmp_path / "m.safetensors")
    assert loaded.callbacks is None
    assert loaded.hidden_layer_sizes == (5,)


def test_one_class_is_always_right():
    X, _, _ = table("three classes")
    for each in pair("three classes", early_stopping=True, max_iter=6):
        assert each.fit(X, np.full(len(X), 7)).validation_scores_ == [1.0] * 6


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "log_cosh", "binary_crossentropy", "kullback_leibler"])
def test_every_loss_of_probabilities(loss):
    X, y, _ = table("three classes")
    options = {"learning_rate_init": 0.02, "max_iter": 150, "random_state": 0}
    model = xpnn.MLPClassifier((16,), loss=loss, early_stopping=True, n_iter_no_change=40, **options).fit(X, y)
    assert model.score(X, y) > 0.8
    if loss != "kullback_leibler":
        X, y, _ = table("two classes")
        assert xpnn.MLPClassifier((16,), loss=loss, **options).fit(X, y).score(X, y) > 0.8


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_the_parameters_decide_where_it_predicts(name, tmp_path):
    if name not in LIBRARIES:
        pytest.skip(f"{name} cannot be used here")
    X, y, _ = table("three classes")
    model = xpnn.MLPClassifier((5,), max_iter=3, device=name, random_state=0).fit(X, y)
    expected = model.predict_proba(X)
    model.save(tmp_path / "m.safetensors")
    np.testing.assert_allclose(
        xpnn.MLPClassifier.load(tmp_path / "m.safetensors").predict_proba(X), expected, rtol=1e-6
    )
    np.testing.assert_allclose(model.to("numpy").predict_proba(X), expected, rtol=1e-6)
    host = xpnn.MLPClassifier((5,), max_iter=3, random_state=0).fit(X, y).set_params(device=name)
    np.testing.assert_allclose(host.predict_proba(X), expected, rtol=1e-6)
    host.partial_fit(X, y)  # goes on where it is
    assert isinstance(host.coefs_[0], np.ndarray)


def test_going_on_in_another_library_says_how_to_move():
    X, y, _ = table("three classes")
    lib = LIBRARIES["strict"]
    for warm in (True, False):
        model = xpnn.MLPClassifier((5,), max_iter=2, warm_start=warm).fit(X, y)
        with pytest.raises(
            InputError, match=rf"MLPClassifier.{'fit' if warm else 'partial_fit'}\(\) must use the same"
        ):
            (model.fit if warm else model.partial_fit)(lib(X), lib(y))


def test_without_hidden_layers_too_logistic_weights_begin_smaller():
    X, y, _ = table("three classes")
    theirs, ours = pair("three classes", hidden_layer_sizes=(), activation="logistic", max_iter=5)
    np.testing.assert_allclose(ours.fit(X, y).coefs_[0], theirs.fit(X, y).coefs_[0], rtol=1e-9)


def test_ctrl_c_goes_back_to_the_best_too():
    X, y, _ = table("three classes")
    y = np.random.default_rng(0).integers(0, 2, len(y))  # nothing to learn: scores go up and down
    kept = {}

    def interrupt(training):
        kept[training.epoch] = training.params
        if training.epoch == 15:
            raise KeyboardInterrupt

    options = {"early_stopping": True, "n_iter_no_change": 100, "learning_rate_init": 0.05, "random_state": 0}
    model = xpnn.MLPClassifier((6,), callbacks=[interrupt], max_iter=30, **options)
    with pytest.warns(UserWarning, match="interrupted"):
        model.fit(X, y)
    best = 1 + int(np.argmax(model.validation_scores_))
    np.testing.assert_array_equal(model.coefs_[0].ravel(), kept[best][: model.coefs_[0].size])


def test_ctrl_c_ends_lbfgs_as_in_scikit_learn():
    X, y, _ = table("three classes")

    def interrupt(training):
        raise KeyboardInterrupt

    model = xpnn.MLPClassifier((6,), solver="lbfgs", callbacks=[interrupt])
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert not hasattr(model, "coefs_")


def test_a_warm_start_that_finds_nothing_better_keeps_the_best():
    X, _, _ = table("three classes")
    y = np.random.RandomState(0).randint(0, 2, len(X))
    options = {"early_stopping": True, "validation_fraction": 0.3, "learning_rate_init": 0.05, "n_iter_no_change": 5}
    model = xpnn.MLPClassifier((20,), max_iter=300, warm_start=True, random_state=0, **options).fit(X, y)
    before, best = model.coefs_[0].copy(), model.best_validation_score_
    for _ in range(3):
        model.fit(X, y)
        if model.best_validation_score_ == best:
            np.testing.assert_array_equal(model.coefs_[0], before)
            return
        before, best = model.coefs_[0].copy(), model.best_validation_score_
    raise AssertionError("each run found something better: take another seed")


def test_names_of_columns_are_forgotten_with_the_table(lib):
    pd = pytest.importorskip("pandas")
    X, y, _ = table("three classes")
    model = xpnn.MLPClassifier((5,), max_iter=2).fit(pd.DataFrame(X, columns=[f"c{i}" for i in range(13)]), y)
    model.fit(lib(X[:, :2]), lib(y))
    assert model.n_features_in_ == 2
    assert not hasattr(model, "feature_names_in_")


def test_targets_of_another_kind_are_refused():
    X, y, _ = table("three classes")
    labels = np.c_[y == 0, y > 0, X[:, 0] > 0].astype(int)
    with pytest.raises(ValueError, match="`y` has classes not in `self.classes_`"):
        xpnn.MLPClassifier((5,)).partial_fit(X, labels, classes=[0, 1])
    model = xpnn.MLPClassifier((5,), max_iter=5, warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="was fitted with multiclass targets, and y is multilabel-indicator now"):
        model.fit(X, labels)
    with pytest.raises(ValueError, match="class_weight='balanced' is not known from a part of the data"):
        xpnn.MLPClassifier(class_weight="balanced").partial_fit(X, y, classes=[0, 1, 2])


def test_validation_data_are_what_early_stopping_looks_at():
    X, y, _ = table("three classes")
    options = {"hidden_layer_sizes": (6,), "max_iter": 8, "early_stopping": True, "random_state": 0}
    model = xpnn.MLPClassifier(**options).fit(X, y, validation_data=(X[:30], y[:30, None]))
    assert model.t_ == 8 * len(X)  # none is held out
    assert len(model.validation_scores_) == len(model.validation_loss_curve_) == 8
    assert model.best_validation_score_ == model.score(X[:30], y[:30])
    again = xpnn.MLPClassifier(warm_start=True, **options).fit(X, y, validation_data=(X, y))
    again.fit(X, y, validation_data=(X, y))
    assert len(again.validation_loss_curve_) == len(again.loss_curve_) == 16


@pytest.mark.parametrize("monitor", ["accuracy", "f1", "loss", "validation_loss"])
def test_monitors_by_their_short_names(monitor):
    X, y, _ = table("three classes")
    model = xpnn.MLPClassifier((6,), max_iter=8, early_stopping=True, monitor=monitor, random_state=0).fit(X, y)
    history = model.to_model().history[f"validation_{monitor.removeprefix('validation_')}"]
    sign = -1 if monitor.endswith("loss") else 1
    assert model.validation_scores_ == [sign * value for value in history]
    assert len(history) == 8
    with pytest.raises(ValueError, match="L-BFGS does not stop early"):
        xpnn.MLPClassifier(solver="lbfgs", early_stopping=True, monitor=monitor).fit(X, y)


def test_a_warm_start_may_be_judged_in_another_way():
    X, y, _ = table("three classes")
    model = xpnn.MLPClassifier((5,), max_iter=4, warm_start=True, random_state=0).fit(X, y)
    model.set_params(early_stopping=True).fit(X, y)
    assert (len(model.loss_curve_), len(model.validation_scores_), model.best_loss_) == (8, 4, None)
    model.set_params(early_stopping=False).fit(X, y)
    assert (len(model.loss_curve_), model.validation_scores_) == (12, None)
    assert np.isfinite(model.best_loss_)


def test_parts_of_a_stream_of_any_size(rng, monkeypatch):
    """Steps with a number of rows that comes but once are not compiled, and no others give what they give."""
    X, y, _ = table("three classes")
    sizes = [*range(5, 40), *[20] * 30]
    models = []
    for often in (training.OFTEN, 0):
        monkeypatch.setattr(training, "OFTEN", often)
        monkeypatch.setattr(resting, "_functions", {})
        models.append(xpnn.MLPClassifier((5,), random_state=0).partial_fit(X, y, classes=np.unique(y)))
        for n in sizes:
            models[-1].partial_fit(X[:n], y[:n])
        (step,) = resting._functions.values() or [None]
        assert len(step._alone.programs) == (1 if often else 36)
    np.testing.assert_allclose(models[0].coefs_[0], models[1].coefs_[0], rtol=1e-12)
