"""What the estimators refuse, and what they say then; what goes on where."""

import inspect
import re

import numpy as np
import pytest

import xpnn
from xpnn.errors import BackendError, InputError

from .conftest import LIBRARIES

pytest.importorskip("sklearn")
from scipy.sparse import csr_array
from sklearn import base, config_context, model_selection, neural_network, pipeline, preprocessing
from sklearn.exceptions import ConvergenceWarning

from .test_estimators import table

X, Y, _ = table("three classes")
V, LABELS = X[:9], Y[:9]

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "reluu"}, "unknown activation 'reluu'. Did you mean 'relu'"),
        ({"activation": 3}, "The 'activation' parameter of MLPClassifier must be"),
        ({"alpha": -1}, "The 'alpha' parameter"),
        ({"solver": "newton"}, "The 'solver' parameter"),
        ({"dropout": 1.0}, "The 'dropout' parameter"),
        (
            {"dropout": [1.0]},
            r"from 0 to below 1, or one per hidden layer, got \[1.0\]",
        ),
        ({"dropout": ("x",)}, "from 0 to below 1, or one per hidden layer, got .'x'"),
        ({"class_weight": {0: "a"}}, "class_weight must be numbers >= 0, got 'a' for class 0"),
        ({"class_weight": {1: -1}}, "class_weight must be numbers >= 0, got -1 for class 1"),
        ({"class_weight": [1, 2, 3]}, r"class_weight must map each class .* several labels; got \[1, 2, 3\]"),
        ({"class_weight": [{0: 1}]}, "class_weight must map each class to its weight, as in .'a': 1, 'b': 2.,"),
        ({"solver": "adamw"}, "solver must be one of adam, sgd, lbfgs, got 'adamw': write optimizer='adamw'"),
        ({"solver": "Adam"}, r"got 'Adam': write solver='adam'\.$"),
        ({"solver": "RMSprop"}, "got 'RMSprop': write optimizer='rmsprop', which is one of xpnn's"),
        ({"optimizer": xpnn.Adam}, r"optimizer must be a name or Optimizer object, got .*: write Adam\(\)"),
        ({"activation": xpnn.ReLU}, r"activation must be a name or Activation object, got .*: write ReLU\(\)"),
        ({"activation": [xpnn.ReLU]}, r"activation must be a name .*: write ReLU\(\)"),
        ({"activation": np.tanh}, "got <ufunc 'tanh'>: one of your own is an object of a class derived from Acti"),
        ({"loss": xpnn.MeanSquaredError}, r"loss must be a name or Loss object, .*: write MeanSquaredError\(\)"),
        ({"loss": min}, "loss must be .* min>: one of your own is an object of a class derived from Loss"),
        (
            {"optimizer": dict},
            "optimizer must be .*'dict'>: one of your own is an object of a class derived from Opt",
        ),
        ({"optimizer": "addam"}, "unknown optimizer 'addam'. Did you mean 'adam'"),
        ({"hidden_layer_sizes": (4, 0)}, "hidden_layer_sizes must be > 0"),
        ({"callbacks": [3]}, "callbacks must be a list of callbacks or functions, got 3"),
        ({"early_stopping": True, "validation_fraction": 0.001}, "validation set is too small|should be greater"),
    ],
)
def test_bad_parameters(options, message):
    X, y, _ = table("three classes")
    with pytest.raises(ValueError, match=message):
        xpnn.MLPClassifier(**options).fit(X, y)


def test_sizes_are_whole_numbers():
    X, y, _ = table("three classes")
    with pytest.raises(TypeError, match=r"hidden_layer_sizes must be whole numbers, got \[5.5\]"):
        xpnn.MLPClassifier((5.5,)).fit(X, y)


def test_losses_that_do_not_fit_are_refused():
    X, y, _ = table("two classes")
    for loss in ("categorical_crossentropy", "kullback_leibler"):
        with pytest.raises(ValueError, match="needs an output for each of more than two classes"):
            xpnn.MLPClassifier(loss=loss).fit(X, y)
    with pytest.raises(ValueError, match="loss='hinge' is not for an MLPClassifier: use one of log_loss, mse"):
        xpnn.MLPClassifier(loss="hinge").fit(X, y)
    X, y, _ = table("counts")
    assert xpnn.MLPRegressor(xpnn.Poisson(), (8,), max_iter=30, random_state=0).fit(X, y).predict(X).min() > 0
    with pytest.raises(
        ValueError, match=r"an output for each of 2 quantiles .* as in xpnn.Quantile\(quantiles=\(0.9,\)\)"
    ):
        xpnn.MLPRegressor(xpnn.Quantile(quantiles=(0.1, 0.9))).fit(X, y)
    with pytest.raises(ValueError, match="loss='poisson' is for targets >= 0, but y holds -"):
        xpnn.MLPRegressor("poisson").fit(X, y - 100)


def test_what_it_monitors_must_be_there():
    X, y, _ = table("three classes")
    with pytest.raises(ValueError, match="monitor='validation_loss' needs early_stopping=True or validation_data"):
        xpnn.MLPClassifier(monitor="validation_loss").fit(X, y)
    with pytest.raises(ValueError, match="unknown monitor 'validation_acuracy'. Did you mean 'validation_accuracy'"):
        xpnn.MLPClassifier(monitor="validation_acuracy", early_stopping=True).fit(X, y)
    with pytest.raises(ValueError, match="monitor='f1' needs .* partial_fit has neither: leave it out there"):
        xpnn.MLPClassifier(monitor="f1").partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="validation_data: y has classes that the y to train on has not: .*7"):
        xpnn.MLPClassifier().fit(X, y, validation_data=(X, y + 7))


# --- parameters that contradict each other -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate_init", 0.1),
        ("learning_rate", "adaptive"),
        ("solver", "lbfgs"),
        ("momentum", 0.5),
        ("nesterovs_momentum", False),
        ("beta_1", 0.8),
        ("epsilon", 1e-6),
        ("max_fun", 11),
    ],
)
@pytest.mark.parametrize("optimizer", ["adam", xpnn.AdamW(0.01), xpnn.SGD(), "lbfgs"])
def test_what_says_something_of_solvers_is_refused_beside_an_optimizer(name, value, optimizer):
    model = xpnn.MLPClassifier((4,), optimizer=optimizer, max_iter=2, **{name: value})
    with pytest.raises(ValueError, match=f"{name}={value!r} says something of a solver, but optimizer=") as caught:
        model.fit(X, Y)
    advice = str(caught.value).partition(f"leave out {name}, or ")[2]
    if name == "solver":
        assert advice == "optimizer."
        return
    example = re.fullmatch(r"(?:say it there|use one with \w+), as in optimizer=(.*)\.", advice)
    model.set_params(**{name: inspect.signature(xpnn.MLPClassifier).parameters[name].default})
    model.set_params(optimizer=eval(example[1])).fit(X, Y)  # what it says can be done
    there = {"learning_rate_init": "learning_rate", "nesterovs_momentum": "nesterov", "max_fun": "max_evaluations"}
    if name == "learning_rate":
        assert isinstance(model.optimizer.learning_rate, xpnn.ReduceOnPlateau)
    else:
        assert getattr(model.optimizer, there.get(name, name)) == value
    if advice.startswith("say it there"):
        assert type(model.optimizer) is type(xpnn.optimizers.get(optimizer))


def test_dropout_needs_hidden_layers_and_steps():
    X, y, _ = table("three classes")
    with pytest.raises(ValueError, match="hidden_layer_sizes has none"):
        xpnn.MLPClassifier((), dropout=0.2).fit(X, y)
    for options in ({"solver": "lbfgs"}, {"optimizer": "lbfgs"}, {"optimizer": xpnn.LBFGS()}):
        with pytest.raises(ValueError, match=r"dropout=\[0.2, 0\]: L-BFGS needs one loss for the same parameters"):
            xpnn.MLPClassifier((4, 3), dropout=[0.2, 0], **options).fit(X, y)
        xpnn.MLPClassifier((4, 3), dropout=[0, 0], max_iter=2, **options).fit(X, y)


@pytest.mark.parametrize("loss", ["hinge", "binary_crossentropy", "categorical_crossentropy", xpnn.KullbackLeibler()])
def test_losses_of_classes_are_not_for_numbers(loss):
    X, y, _ = table("one target")
    with pytest.raises(InputError, match="is not for an MLPRegressor: use one of squared_error, poisson, mse"):
        xpnn.MLPRegressor(loss).fit(X, y)


def test_names_are_suggested_among_those_that_fit():
    X, y, _ = table("one target")
    with pytest.raises(InputError, match=r"unknown loss 'squared_eror'. Did you mean 'squared_error'\?"):
        xpnn.MLPRegressor("squared_eror").fit(X, y)
    with pytest.raises(InputError, match="unknown activation 'logistc'. Did you mean 'logistic'"):
        xpnn.MLPRegressor(activation="logistc").fit(X, y)
    X, y, _ = table("three classes")
    for loss in ("logloss", "crossentropy", "cross_entropy", "CrossEntropy"):
        with pytest.raises(InputError, match=f"unknown loss '{loss}'. Did you mean 'log_loss'"):
            xpnn.MLPClassifier(loss=loss).fit(X, y)
        with pytest.raises(InputError, match=f"loss='{loss}' is for classes, which MLPClassifier predicts: use one"):
            xpnn.MLPRegressor(loss=loss).fit(X, y)
    with pytest.raises(InputError, match="unknown loss 'binary_cross_entropy'. Did you mean 'binary_crossentropy'"):
        xpnn.MLPClassifier(loss="binary_cross_entropy").fit(X, y)


@pytest.mark.parametrize(
    ("watched", "said"),
    [
        ("validation_loss", ""),
        ("validation_accuracy", ""),
        ("accuracy", "Did you mean 'validation_accuracy'? "),
        ("val_loss", "Did you mean 'validation_loss'? "),
    ],
)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_what_a_callback_watches_and_is_not_recorded(watched, said, early_stopping):
    """The message's advice is followed, and works."""
    X, y, _ = table("three classes")
    model = xpnn.MLPClassifier((4,), max_iter=9, early_stopping=early_stopping, random_state=0)
    name = "validation_loss" if "loss" in watched else "validation_accuracy"
    advice = f"(to an estimator: monitor={name!r}, and validation_data or early_stopping=True), or watch another."
    with pytest.raises(InputError, match=f"only. {re.escape(said)}Pass validation data.*{re.escape(advice)}$"):
        model.set_params(callbacks=[xpnn.EarlyStopping(watched)]).fit(X, y)
    model.set_params(callbacks=[xpnn.EarlyStopping(name, patience=0)], monitor=name)
    shown = {} if early_stopping else {"validation_data": (X, y)}
    assert len(model.fit(X, y, **shown).to_model().history[name]) == model.n_iter_


def test_what_is_recorded_by_another_name():
    model = xpnn.MLPClassifier((4,), early_stopping=True, callbacks=[xpnn.EarlyStopping("score")])
    with pytest.raises(
        InputError, match=r"records 'loss', 'validation_score' only. Did you mean 'validation_score'\?$"
    ):
        model.fit(X, Y)


def test_monitor_records_and_early_stopping_judges():
    """Without early_stopping a monitor stops nothing; with L-BFGS, too, it is recorded."""
    X, y, _ = table("three classes")
    options = {"hidden_layer_sizes": (4,), "monitor": "f1", "max_iter": 30, "random_state": 0}
    for solver in ("adam", "lbfgs"):
        model = xpnn.MLPClassifier(solver=solver, n_iter_no_change=1, tol=1e-9, **options)
        model.fit(X, y, validation_data=(X, (y + 1) % 3))  # hopeless: it never becomes better
        history = model.to_model().history
        assert len(history["validation_f1"]) == len(history["loss"]) == model.n_iter_ > 10
        assert getattr(model, "validation_scores_", None) is None


def test_a_schedule_watches_what_is_recorded():
    optimizer = xpnn.Adam(xpnn.ReduceOnPlateau(0.1, monitor="validation_loss", patience=0, threshold=10.0))
    model = xpnn.MLPClassifier((4,), optimizer=optimizer, callbacks=[xpnn.LearningRateLogger()], max_iter=9)
    with pytest.raises(InputError, match=r"schedule watches 'validation_loss', .* set monitor='validation_loss' and"):
        model.fit(X, Y)
    model.set_params(monitor="validation_loss", early_stopping=True).fit(X, Y)
    assert model.to_model().history["learning_rate"][-1] < 0.1


def test_a_schedule_takes_smaller_for_better():
    optimizer = xpnn.Adam(xpnn.ReduceOnPlateau(0.1, monitor="validation_score"))
    with pytest.raises(InputError, match="watches 'validation_score', of which larger is better, .* watch a loss"):
        xpnn.MLPClassifier((4,), optimizer=optimizer, early_stopping=True).fit(X, Y)
    optimizer = xpnn.Adam(xpnn.ReduceOnPlateau(0.1, monitor="validation_accuracy"))
    network = xpnn.mlp([13, 3], output="softmax")
    with pytest.raises(InputError, match="watches 'validation_accuracy', of which larger is better"):
        xpnn.fit(network, X, Y, optimizer=optimizer, metrics=["accuracy"], validation_data=(X, Y))


def test_a_part_of_a_stream_may_weigh_nothing():
    model = xpnn.MLPClassifier((4,), class_weight={0: 0}).partial_fit(X, Y, classes=np.unique(Y))
    model.partial_fit(X[Y == 0], Y[Y == 0])
    assert model.t_ == len(Y) + (Y == 0).sum()
    before = model.coefs_[0].copy()
    assert np.isfinite(model.partial_fit(X, Y).coefs_[0]).all()  # the stream goes on
    assert np.any(model.coefs_[0] != before)


def test_what_is_held_out_must_weigh_something():
    w = np.arange(len(Y)) == 1  # which is trained on, with this random_state
    with pytest.raises(ValueError, match="early_stopping: the samples held out all weigh 0"):
        xpnn.MLPClassifier(early_stopping=True, max_iter=2, random_state=0).fit(X, Y, w)


def test_a_file_imports_nothing_by_the_name_of_a_device(tmp_path, monkeypatch):
    (tmp_path / "intruder.py").write_text("raise SystemExit('was imported')")
    monkeypatch.syspath_prepend(tmp_path)
    xpnn.MLPClassifier((4,), max_iter=2).fit(X, Y).set_params(device="intruder").save(tmp_path / "m.safetensors")
    with pytest.warns(RuntimeWarning, match="has a device 'intruder' that can be used; .* stays on NumPy"):
        loaded = xpnn.MLPClassifier.load(tmp_path / "m.safetensors")
    with pytest.raises(BackendError, match="no library here is called or has a device 'intruder'"):
        loaded.fit(X, Y)


def test_another_monitor_is_judged_anew():
    model = xpnn.MLPClassifier((8,), early_stopping=True, warm_start=True, max_iter=9, random_state=0).fit(X, Y)
    before = model.coefs_[0].copy()
    model.set_params(monitor="loss").fit(X, Y)
    assert len(model.validation_scores_) == model.n_iter_ == 9
    assert model.best_validation_score_ == max(model.validation_scores_) < 0
    assert np.any(model.coefs_[0] != before)
    assert len(model.loss_curve_) == 18


@pytest.mark.parametrize(
    ("kind", "y_val", "message"),
    [
        ("three classes", np.eye(3, dtype=int), "validation_data: y is multilabel-indicator, .* is multiclass"),
        ("several labels", np.asarray([0, 1, 1]), "validation_data: y is binary, .* is multilabel-indicator"),
        ("several labels", np.eye(3, 2, dtype=int), "validation_data: y has 2 columns, .* has"),
    ],
)
def test_targets_to_validate_on_are_of_the_same_kind(kind, y_val, message):
    X, y, _ = table(kind)
    with pytest.raises(InputError, match=message):
        xpnn.MLPClassifier((4,), max_iter=2).fit(X, y, validation_data=(X[:3], y_val))


def test_labels_to_validate_on_may_be_sparse():
    X, y, _ = table("several labels")
    model = xpnn.MLPClassifier((4,), max_iter=2, random_state=0)
    curves = [
        model.fit(X, y, validation_data=(X, each(y))).validation_loss_curve_ for each in (np.asarray, csr_array)
    ]
    assert curves[0] == curves[1]


def test_parameters_set_to_what_they_are_stay_the_objects_they_are():
    optimizer = xpnn.Adam(0.1)
    model = xpnn.MLPClassifier(optimizer=optimizer)
    assert model.set_params(**model.get_params()).optimizer is optimizer


class WithHead(xpnn.MLPClassifier):
    """One with another estimator among its parameters."""

    def __init__(self, head=None):
        super().__init__()
        self.head = head


def test_other_estimators_among_the_parameters_have_theirs():
    model = WithHead(head=preprocessing.StandardScaler())
    assert model.get_params()["head__with_mean"] is True
    assert model.set_params(head__with_mean=False).head.with_mean is False


@pytest.mark.parametrize("name", ["score", "validation_score"])
def test_who_watches_the_score_is_told_its_monitor(name):
    callbacks = [xpnn.EarlyStopping(name)]
    with pytest.raises(InputError, match=r"\(to an estimator: monitor='validation_score', and"):
        xpnn.MLPClassifier((4,), callbacks=callbacks).fit(X, Y, validation_data=(V, LABELS))


def test_class_weights_that_leave_nothing_to_learn():
    X, y, w = table("three classes")
    for given in (None, w):
        with pytest.raises(ValueError, match=r"class_weight=\{0: 0, 1: 0, 2: 0\} makes all samples weigh 0"):
            xpnn.MLPClassifier(class_weight={0: 0, 1: 0, 2: 0}).fit(X, y, sample_weight=given)
    with pytest.raises(ValueError, match="makes all samples weigh 0: .* give a class that y has a weight > 0"):
        xpnn.MLPClassifier(class_weight={0: 0}).fit(X, y, sample_weight=(y == 0).astype(float))
    with pytest.raises(ValueError, match="at least one non-zero"):
        xpnn.MLPClassifier().fit(X, y, sample_weight=0 * w)
    xpnn.MLPClassifier(class_weight={0: 0, 1: 0}, max_iter=2).fit(X, y)


def test_log_loss_is_the_cross_entropy():
    for kind in ("three classes", "two classes", "several labels"):
        X, y, _ = table(kind)
        named, usual = (
            xpnn.MLPClassifier((4,), max_iter=3, random_state=0, **o).fit(X, y) for o in ({"loss": "log_loss"}, {})
        )
        assert named.loss_curve_ == usual.loss_curve_


def test_the_output_is_told_by_the_loss():
    X, y, _ = table("counts")
    for loss, f in (
        ("poisson", "exp"),
        (xpnn.Poisson(), "exp"),
        ("huber", "identity"),
        ("squared_error", "identity"),
    ):
        assert xpnn.MLPRegressor(loss, (4,), max_iter=2).fit(X, y).out_activation_ == f


# --- parameters of parts --------------------------------------------------------------------------------------------


def test_parameters_of_parts_are_parameters():
    mine = xpnn.Adam(0.5)
    model = xpnn.MLPClassifier((4,), optimizer=mine, activation=xpnn.LeakyReLU(0.2))
    params = model.get_params()
    assert (params["optimizer__learning_rate"], params["activation__negative_slope"]) == (0.5, 0.2)
    assert not any("__" in name for name in model.get_params(deep=False))
    copy = base.clone(model).set_params(optimizer__learning_rate=0.1, optimizer__beta_1=0.8, alpha=0.3)
    assert (copy.optimizer, copy.alpha, model.optimizer) == (xpnn.Adam(0.1, beta_1=0.8), 0.3, mine)
    assert model.optimizer is mine
    assert mine.learning_rate == 0.5
    named = xpnn.MLPClassifier(optimizer="adamw").set_params(optimizer__learning_rate=xpnn.Cosine(0.1, over=9))
    assert named.optimizer == xpnn.AdamW(xpnn.Cosine(0.1, over=9))
    both = xpnn.MLPRegressor().set_params(loss__delta=2.0, loss="huber")
    assert both.loss == xpnn.Huber(delta=2.0)


def test_they_can_be_searched():
    mine = xpnn.SGD(0.5)
    mlp = pipeline.make_pipeline(
        preprocessing.StandardScaler(), xpnn.MLPClassifier((4,), optimizer=mine, max_iter=20, random_state=0)
    )
    decay = xpnn.StepDecay(0.1)
    grid = {"mlpclassifier__optimizer__learning_rate": [1e-9, decay]}
    search = model_selection.GridSearchCV(mlp, grid, cv=2).fit(X, Y)
    assert search.best_params_ == {"mlpclassifier__optimizer__learning_rate": decay}
    assert search.best_estimator_[-1].optimizer == xpnn.SGD(decay)
    assert mlp[-1].optimizer is mine
    assert mine == xpnn.SGD(0.5)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"optimizer__rate": 1}, r"Invalid parameter 'rate' for optimizer=Adam\(.*Valid .*: \['learning_rate', "),
        ({"alpha__x": 1}, r"Invalid parameter 'x' for alpha=0\.0001, which has none\.$"),
        ({"optimiser__rate": 1}, "Invalid parameter 'optimiser' for estimator"),
        ({"loss__delta": 1}, "Invalid parameter 'delta' for loss=None, which has none"),
        ({"optimizer": None, "optimizer__rate": 1}, r"optimizer=None, which has none: .* optimizer=xpnn.Adam\(\)"),
        ({"optimizer": "addam", "optimizer__rate": 1}, "Invalid parameter 'rate' for optimizer='addam', which has"),
    ],
)
def test_parts_have_no_such_parameter(params, message):
    with pytest.raises(ValueError, match=message):
        xpnn.MLPClassifier(optimizer=xpnn.Adam()).set_params(**params)


# --- data --------------------------------------------------------------------------------------------------------


def test_targets_of_a_regressor_are_numbers():
    X, y, _ = table("one target")
    for spoilt in (np.arange(len(y)).astype("datetime64[D]"), np.where(y > 1, "a", "b")):
        with pytest.raises(ValueError, match=re.escape(f"y must hold numbers, got dtype {spoilt.dtype}")):
            xpnn.MLPRegressor().fit(X, spoilt)


@pytest.mark.parametrize("cls", [xpnn.MLPClassifier, xpnn.MLPRegressor])
def test_negative_weights_are_named(cls):
    X, y, _ = table("three classes")
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        cls().fit(X, y, sample_weight=-np.ones(len(y)))


def test_labels_are_weighted_by_a_mapping_each():
    X, y, _ = table("several labels")
    options = {"max_iter": 5, "random_state": 0}
    weights = [{0: 1, 1: 3}, {0: 1, 1: 1}, {0: 2, 1: 1}]
    model = xpnn.MLPClassifier((4,), class_weight=weights, **options).fit(X, y)
    w = np.prod([np.where(y[:, j], each[1], each[0]) for j, each in enumerate(weights)], axis=0)
    expected = xpnn.MLPClassifier((4,), **options).fit(X, y, sample_weight=w)
    np.testing.assert_allclose(model.coefs_[0], expected.coefs_[0], rtol=1e-12)
    with pytest.raises(ValueError, match="should be a list of dicts"):
        xpnn.MLPClassifier(class_weight={0: 1, 1: 2}).fit(X, y)


def test_one_row_must_be_a_table_of_one_row(lib):
    X, y, _ = table("three classes")
    model = xpnn.MLPClassifier((4,), max_iter=2).fit(lib(X), lib(y))
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array instead"):
        model.predict(lib(X[0]))


def test_predictions_come_back_where_x_was_in_another_dtype_too(lib):
    X, y, _ = table("three classes")
    model = xpnn.MLPClassifier((4,), max_iter=2).fit(lib(X, "float32"), lib(y))
    for method in (model.predict, model.predict_proba):
        lib.check(method(lib(X, "float64")))


@pytest.mark.parametrize(
    ("monitor", "message"),
    [
        ("val_loss", "unknown monitor 'val_loss'. Did you mean 'validation_loss'? Valid: validation_score, "),
        ("acc", "unknown monitor 'acc'. Did you mean 'validation_accuracy'? "),
        ("auc", "unknown monitor 'auc'. Did you mean 'validation_roc_auc'? "),
        ("validation_xyz", "unknown monitor 'validation_xyz'. Valid: validation_score, validation_loss, "),
        ("mse", "monitor='mse' is for regression, binary, multilabel, but this is multiclass: choose among "),
        ("validation_r2", "monitor='validation_r2' is for regression, but this is multiclass: choose among "),
    ],
)
def test_monitors_that_do_not_fit(monitor, message):
    X, y, _ = table("three classes")
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        xpnn.MLPClassifier(monitor=monitor, early_stopping=True).fit(X, y)
    assert "validation_f1" in str(caught.value)
    assert "validation_mse" not in str(caught.value)


def test_the_score_is_in_the_history_by_its_name():
    X, y, _ = table("three classes")
    options = {"hidden_layer_sizes": (6,), "max_iter": 8, "early_stopping": True, "random_state": 0}
    usual, named = (xpnn.MLPClassifier(**o, **options).fit(X, y) for o in ({}, {"monitor": "validation_score"}))
    for model in (usual, named):
        assert model.to_model().history["validation_score"] == model.validation_scores_ == usual.validation_scores_
    stop = xpnn.EarlyStopping("validation_score", patience=0, restore=False)
    model = xpnn.MLPClassifier(callbacks=[stop], **options | {"max_iter": 300}).fit(X, y)
    assert model.validation_scores_[-1] <= max(model.validation_scores_[:-1])
    assert model.n_iter_ == 1 + int(np.argmax(model.validation_scores_[:-1])) + 1
    given = xpnn.MLPClassifier((6,), monitor="score", max_iter=8, random_state=0).fit(X, y, validation_data=(X, y))
    assert given.to_model().history["validation_score"][-1] == given.score(X, y)
    assert given.validation_scores_ is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((V[:, :4], LABELS), "X has 4 features, but MLPClassifier is expecting 13"),
        ((V, LABELS[:4]), r"Found input variables with inconsistent numbers of samples: \[9, 4\]"),
        ((np.full_like(V, np.nan), LABELS), "Input X contains NaN"),
        ((LABELS, V), "Expected 2D array, got 1D array instead"),
        ((V, LABELS + 7), r"y has classes that the y to train on has not: \[7"),
    ],
)
def test_what_is_wrong_with_validation_data_names_them(data, message):
    for name, given in (
        ("validation_data", {"validation_data": data}),
        ("X_val, y_val", {"X_val": data[0], "y_val": data[1]}),
    ):
        with pytest.raises(InputError, match=f"^{name}: {message}"):
            xpnn.MLPClassifier().fit(X, Y, **given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"validation_data": V}, r"must be a pair \(X, y\), got one of type ndarray; .* say early_stopping=True"),
        ({"validation_data": 0.2}, r"must be a pair \(X, y\), got one of type float"),
        ({"validation_data": (V, LABELS, LABELS)}, r"must be a pair \(X, y\), got a tuple of 3"),
        ({"validation_data": (V, None)}, "^validation_data: This MLPClassifier estimator requires y to be passed"),
        ({"X_val": V}, "X_val is given without y_val: give both, or neither"),
        ({"y_val": LABELS}, "y_val is given without X_val: give both, or neither"),
        (
            {"validation_data": (V, LABELS), "X_val": V, "y_val": LABELS},
            "validation_data and X_val, y_val are both given, and say the same: give one of them",
        ),
    ],
)
def test_how_validation_data_are_given(given, message):
    with pytest.raises(InputError, match=message):
        xpnn.MLPClassifier().fit(X, Y, **given)


def test_validation_data_are_where_the_training_is():
    lib = LIBRARIES["strict"]
    with pytest.raises(InputError, match="^validation_data: X is .*strict on .*, but the X to train on is numpy"):
        xpnn.MLPClassifier().fit(X, Y, validation_data=(lib(V), LABELS))
    with pytest.raises(InputError, match="^validation_data: X is numpy on cpu, but the X to train on is .*strict"):
        xpnn.MLPClassifier().fit(lib(X), Y, validation_data=(V, LABELS))


def test_a_pipeline_transforms_the_data_to_validate_on():
    scaled = preprocessing.StandardScaler().fit(X[9:])
    mlp = xpnn.MLPClassifier((5,), max_iter=5, random_state=0)
    data = {"validation_data": (scaled.transform(V), LABELS)}
    expected = base.clone(mlp).fit(scaled.transform(X[9:]), Y[9:], **data)
    with config_context(enable_metadata_routing=True):
        steps = [preprocessing.StandardScaler(), mlp.set_fit_request(X_val=True, y_val=True)]
        whole = pipeline.make_pipeline(*steps, transform_input=["X_val"]).fit(X[9:], Y[9:], X_val=V, y_val=LABELS)
    assert whole[-1].validation_loss_curve_ == expected.validation_loss_curve_


@pytest.mark.parametrize("cls", [xpnn.MLPClassifier, xpnn.MLPRegressor])
def test_what_diverges_may_be_the_learning_rates_fault(cls):
    y = Y.astype(float) if cls is xpnn.MLPRegressor else Y
    begins = (
        r"^Solver produced non-finite parameter weights\. The input data may contain large values and need to be "
    )
    for options, rate in (
        ({"solver": "sgd", "learning_rate_init": 1e200}, "learning_rate_init=1e+200"),
        ({"optimizer": xpnn.SGD(1e200)}, "learning_rate=1e+200"),
    ):
        ends = re.escape(f"preprocessed, or the learning rate may be too large ({rate}).")
        with pytest.raises(ValueError, match=f"{begins}{ends}$"):
            cls(hidden_layer_sizes=(4,), alpha=1e100, **options).fit(X, y)


def test_sparse_arrays_of_other_libraries_are_named():
    torch = pytest.importorskip("torch")
    sparse = torch.tensor(X).to_sparse()
    model = xpnn.MLPClassifier((4,), max_iter=2).fit(torch.tensor(X), Y)
    for use in (lambda: model.predict(sparse), lambda: model.fit(sparse, Y)):
        with pytest.raises(InputError, match=r"X is a sparse Tensor \(torch\.sparse_coo\).* X.to_dense\(\)"):
            use()


class Sparse:
    """As CuPy's: no array, and not one of SciPy's."""

    shape, ndim, dtype, indptr = X.shape, 2, X.dtype, np.zeros(1)

    def toarray(self):
        return X


def test_sparse_matrices_that_are_not_scipys_are_told_from_them(lib):
    model = xpnn.MLPClassifier((4,), max_iter=2).fit(lib(X), Y)
    for use in (lambda: model.predict(Sparse()), lambda: model.fit(Sparse(), Y)):
        with pytest.raises(InputError, match=r"X is a sparse Sparse \(.*test_estimator_errors\).* X.toarray\(\)"):
            use()


# --- elsewhere ---------------------------------------------------------------------------------------------------


def test_what_was_trained_on_a_device_is_loaded_there_and_goes_on(tmp_path):
    if "torch" not in LIBRARIES:
        pytest.skip("torch cannot be used here")
    X, y, _ = table("three classes")
    model = xpnn.MLPClassifier((5,), max_iter=3, device="torch", random_state=0, warm_start=True).fit(X, y)
    model.save(tmp_path / "m.safetensors")
    loaded = xpnn.MLPClassifier.load(tmp_path / "m.safetensors")
    LIBRARIES["torch"].check(loaded.coefs_[0])
    for each in (loaded.partial_fit(X, y), loaded.fit(X, y)):
        LIBRARIES["torch"].check(each.coefs_[0])
    host = xpnn.MLPClassifier.load(tmp_path / "m.safetensors", backend="numpy")
    assert isinstance(host.coefs_[0], np.ndarray)
    assert isinstance(host.partial_fit(X, y).coefs_[0], np.ndarray)
    assert isinstance(model.to("numpy").fit(X, y).coefs_[0], np.ndarray)


def test_a_device_that_is_not_there_when_loading_is_a_warning(tmp_path):
    X, y, _ = table("three classes")
    model = xpnn.MLPClassifier((5,), max_iter=3).fit(X, y).set_params(device="quantum")
    model.save(tmp_path / "m.safetensors")
    with pytest.warns(RuntimeWarning, match="no library here is called or has a device 'quantum'.* stays on NumPy"):
        loaded = xpnn.MLPClassifier.load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


@pytest.mark.parametrize("where", ["torch", "torch:cpu", "cpu"])
def test_where_to_move_is_said_as_device_says_it(where):
    torch = pytest.importorskip("torch")
    model = xpnn.MLPClassifier((4,), max_iter=2).fit(torch.tensor(X), Y)
    for place in (where, torch.device("cpu")):
        assert isinstance(model.to(place).coefs_[0], torch.Tensor)  # "cpu" is its own library's first
    assert isinstance(model.to(device="cpu").coefs_[0], torch.Tensor)
    assert isinstance(model.to("numpy").to("cpu").coefs_[0], np.ndarray)
    assert isinstance(model.to(torch.device("cpu")).coefs_[0], torch.Tensor)
    assert isinstance(model.to("numpy").to("torch", torch.device("cpu")).coefs_[0], torch.Tensor)


def test_where_it_cannot_move():
    model = xpnn.MLPClassifier((4,), max_iter=2).fit(X, Y)
    for where in ("pandas", "cuda:77", "abacus", "jax.numpy"):
        with pytest.raises(BackendError, match=r"no library here is called or has a device .*there are: numpy:cpu"):
            model.to(where)
    with pytest.raises(InputError, match="to: say a library, a device or a dtype"):
        model.to()
    with pytest.raises(InputError, match="to: 3 is no name: say a library and its device"):
        model.to(3)
    assert model.to("array_api_strict").coefs_[0].shape == (13, 4)


def test_the_dtype_alone(lib):
    model = xpnn.MLPClassifier((4,), max_iter=2).fit(lib(X, "float64"), lib(Y)).to(dtype="float32")
    lib.check(model.coefs_[0], "float32")


def test_host_data_after_a_move_say_what_helps():
    """Each of the two ways that the message names helps."""
    if "torch" not in LIBRARIES:
        pytest.skip("torch cannot be used here")
    model = xpnn.MLPClassifier((4,), max_iter=2, random_state=0).fit(X, Y).to("torch")
    expected = LIBRARIES["torch"].host(model.predict_proba(LIBRARIES["torch"](X)))
    for given, called in ((X, "a NumPy array"), (X.tolist(), "a list")):
        with pytest.raises(
            InputError,
            match=f"same device as the estimator's parameters: these are torch on cpu, and X is {called}. "
            r"estimator.to\('numpy'\) moves them, or estimator.set_params\(device='torch:cpu'\) takes NumPy arrays, "
            "tables and lists where they are",
        ):
            model.predict_proba(given)
    model.set_params(device="torch:cpu")
    np.testing.assert_array_equal(model.predict_proba(X.tolist()), expected)
    np.testing.assert_allclose(model.set_params(device=None).to("numpy").predict_proba(X), expected, rtol=1e-9)


def test_moved_to_another_dtype_it_goes_on_in_that():
    X, y, _ = table("three classes")
    model = xpnn.MLPClassifier((5,), max_iter=3, warm_start=True).fit(X, y).to("numpy", dtype="float32")
    assert model.coefs_[0].dtype == model.partial_fit(X, y).coefs_[0].dtype == model.fit(X, y).coefs_[0].dtype
    assert model.coefs_[0].dtype == model.predict_proba(X).dtype == np.float32


def test_classes_that_are_dates_are_saved(tmp_path):
    X, y, _ = table("two classes")
    dates = np.array(["2020-01-01", "2021-02-03"], "datetime64[D]")
    model = xpnn.MLPClassifier((5,), max_iter=3).fit(X, dates[y])
    model.save(tmp_path / "m.safetensors")
    loaded = xpnn.MLPClassifier.load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(loaded.classes_, dates)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert xpnn.load(tmp_path / "m.safetensors").labels == ["2020-01-01", "2021-02-03"]


# --- what is said ------------------------------------------------------------------------------------------------


def test_without_a_terminal_the_last_epoch_is_told_and_why_it_stopped(capsys):
    X, y, _ = table("three classes")
    model = xpnn.MLPClassifier((5,), max_iter=300, tol=1, n_iter_no_change=3, verbose="bar").fit(X, y)
    out, err = capsys.readouterr()
    assert err.splitlines()[-1].startswith(f"epoch {model.n_iter_}/300  loss ")
    assert out == "Training loss did not improve more than tol=1.000000 for 3 consecutive epochs. Stopping.\n"


def test_a_bar_shows_the_score_that_is_judged(capsys):
    X, y, _ = table("three classes")
    model = xpnn.MLPClassifier((5,), max_iter=3, early_stopping=True, verbose="bar").fit(X, y)
    last = f"epoch 3/3  loss {model.loss_:.4g}  validation_score {model.validation_scores_[-1]:.4g}"
    assert capsys.readouterr().err.splitlines()[-1] == last


def test_a_validation_loss_is_printed_where_there_is_one(capsys):
    X, y, _ = table("three classes")
    model = xpnn.MLPClassifier((5,), max_iter=3, verbose=True).fit(X, y, validation_data=(X, y))
    said = capsys.readouterr().out.splitlines()
    assert said[1::2] == [f"Validation loss: {each:.8f}" for each in model.validation_loss_curve_]


@pytest.mark.parametrize("rows", [1, 7])
def test_a_part_is_trained_on_without_compiling_a_prediction(rows, monkeypatch):
    """partial_fit of a few rows is called often; what it is worth in the end is told by its parameters."""
    from xpnn.compiler import rows as predicting

    def refuse(*arguments):
        raise AssertionError("nothing is predicted")

    X, y, _ = table("three classes")
    theirs, ours = (cls((5,), random_state=0) for cls in (neural_network.MLPClassifier, xpnn.MLPClassifier))
    monkeypatch.setattr(predicting.Rows, "__call__", refuse)
    for i in range(3):
        for model in (theirs, ours):
            model.partial_fit(X[i * rows : (i + 1) * rows], y[i * rows : (i + 1) * rows], classes=[0, 1, 2])
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], rtol=1e-7)
    monkeypatch.undo()
    wild = xpnn.MLPClassifier((5,), solver="sgd", learning_rate_init=1e308, alpha=1e5, random_state=0)
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        wild.partial_fit(X[:rows], y[:rows], classes=[0, 1, 2])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e308])
def test_what_is_looked_at_in_short_is_refused_as_ever(value):
    """Only numbers that are finite pass at once; large ones, whose sum is not, are looked at one by one."""
    X, y, _ = table("three classes")
    model = xpnn.MLPClassifier((4,), max_iter=2).fit(X, y)
    spoilt = X.copy()
    spoilt[[1, 2], [0, 3]] = value
    if value == 1e308:
        assert model.predict(spoilt).shape == y.shape
    else:
        with pytest.raises(ValueError, match="Input X contains"):
            model.predict(spoilt)
    for other, message in ((X[:, :-1], "X has 12 features, but"), (X[:0], "0 sample"), (X[0], "Expected 2D")):
        with pytest.raises(ValueError, match=message):
            model.predict(other)
    assert model.predict(X.astype(int)).shape == model.predict(X.tolist()).shape == y.shape
    assert model.predict(X.astype(">f8")).tolist() == model.predict(X).tolist()


@pytest.mark.parametrize("form", [np.asarray, csr_array])
@pytest.mark.parametrize("other", [-1, 2])
def test_several_labels_are_0_or_1(form, other):
    X, y, _ = table("several labels")
    with pytest.raises(ValueError, match=rf"y of several labels must hold 0 and 1 alone, but holds \[{other}\]"):
        xpnn.MLPClassifier((4,)).fit(X, form(np.where(y == 1, other, 0)))


@pytest.mark.parametrize("sizes", [(8,), [8], 8])
def test_what_comes_first_of_a_regressor_is_the_loss(sizes):
    with pytest.raises(InputError, match=r"it is the first parameter, .* did you mean hidden_layer_sizes=.?8"):
        xpnn.MLPRegressor(sizes).fit(X, Y)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("cls", [xpnn.MLPClassifier, xpnn.MLPRegressor])
def test_warnings_point_to_the_line_that_called(cls, solver):
    with pytest.warns(ConvergenceWarning) as caught:
        cls(hidden_layer_sizes=(4,), max_iter=2, solver=solver).fit(X, Y)
    assert [each.filename for each in caught] == [__file__]


def test_a_loss_that_needs_quantiles_is_not_named_among_those_that_do_without():
    with pytest.raises(InputError, match="unknown loss 'bogus'") as error:
        xpnn.MLPRegressor(loss="bogus", max_iter=2).fit([[0.0], [1.0]], [0.0, 1.0])
    assert "quantile" not in str(error.value)


def test_true_is_no_number_of_nodes():
    with pytest.raises(TypeError, match=r"hidden_layer_sizes must be whole numbers, got \[True\]"):
        xpnn.MLPClassifier((True,), max_iter=2).fit([[0.0], [1.0]], [0, 1])
