"""Metrics: scikit-learn's values on every library, and what evaluate makes of them."""

import dataclasses
import functools
import math
import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

import xpnn
from xpnn import backends, metrics
from xpnn.errors import InputError

from .cases import METRICS, scored
from .conftest import LIBRARIES

PAIRS = [(name, task) for name, (_, oracles) in METRICS.items() for task in oracles]
OUTPUTS = {"regression": "linear", "binary": "sigmoid", "multilabel": "sigmoid", "multiclass": "softmax"}


def data(task, how, weights, n=40):
    """Predictions, targets and weights on the host; always the same."""
    rng = np.random.default_rng(7)
    p, y = scored(task, how, n, rng)
    w = None if weights == "none" else rng.uniform(0.1, 3.0, n)
    if weights == "with zeros":
        w = w * rng.integers(0, 2, n)
    if how == "absent" and w is not None:
        w = np.ceil(w * 4) / 4  # sums without rounding, which scikit-learn's R² of a constant target depends on
    return p, y, w


@functools.cache
def oracle(name, task, how, weights):
    """scikit-learn's value."""
    p, y, w = data(task, how, weights)
    d = p.argmax(axis=1) if task == "multiclass" else p >= 0.5
    if task in ("binary", "multilabel"):
        y, d = y.astype(int), d.astype(int)
    if task == "binary":
        p, y, d = p[:, 0], y[:, 0], d[:, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about classes that do not occur
        return METRICS[name][1][task](sk, y, p, d, w)


@pytest.mark.parametrize("weights", ["none", "with zeros"])
@pytest.mark.parametrize("how", ["plain", "ties", "absent"])
@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_the_value_is_scikit_learn_s(name, task, how, weights, lib):
    metric = METRICS[name][0]
    p, y, w = data(task, how, weights)
    value = metric(lib(p), lib(y), None if w is None else lib(w))
    lib.check(value, "float64")
    assert value.shape == ()
    np.testing.assert_allclose(float(value), oracle(name, task, how, weights), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_float32_stays_float32(name, task, lib):
    p, y, w = data(task, "plain", "numbers")
    value = METRICS[name][0](lib(p, "float32"), lib(y), lib(w))
    lib.check(value, "float32")
    assert float(value) == pytest.approx(oracle(name, task, "plain", "numbers"), rel=1e-5)


@pytest.mark.parametrize("how", ["plain", "ties", "absent"])
@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_compiled_by_jax_it_is_the_same(name, task, how):
    jax = pytest.importorskip("jax")
    lib, metric = LIBRARIES["jax"], METRICS[name][0]
    p, y, w = map(lib, data(task, how, "numbers"))
    compiled = jax.jit(lambda *arrays: metric(*arrays, xp=lib.xp))
    for arguments in ((p, y), (p, y, w)):
        np.testing.assert_allclose(float(compiled(*arguments)), float(metric(*arguments)), rtol=1e-13)


@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_a_weight_of_two_equals_a_repeated_row(name, task, lib):
    metric = METRICS[name][0]
    p, y, _ = data(task, "ties", "none")
    w = np.arange(len(p)) % 3
    expected = metric(lib(np.repeat(p, w, axis=0)), lib(np.repeat(y, w, axis=0)))
    assert float(metric(lib(p), lib(y), lib(w))) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_larger_is_better_says_where_perfect_predictions_are(name, task, lib):
    metric = METRICS[name][0]
    p, y, _ = data(task, "plain", "none")
    perfect = np.eye(p.shape[1])[y] if task == "multiclass" else y
    poor, best = (float(metric(lib(guess), lib(y))) for guess in (p, perfect))
    if not (name == "top_k, 5" and poor == 1.0):  # of 5 classes
        assert (best > poor) is metric.larger_is_better
    assert best == pytest.approx(1.0 if metric.larger_is_better else 0.0, abs=1e-12)


@pytest.mark.parametrize(("name", "task"), [pair for pair in PAIRS if pair[1] == "binary"])
def test_one_column_takes_labels_of_any_type(name, task, lib):
    metric = METRICS[name][0]
    p, y, _ = data(task, "plain", "none")
    expected = float(metric(lib(p), lib(y)))
    for labels in (y[:, 0], y[:, 0].astype(np.int64), y[:, 0] > 0, y.astype(np.int8)):
        assert float(metric(lib(p), lib(labels))) == expected


@pytest.mark.parametrize("name", [name for name, task in PAIRS if task == "multiclass"])
def test_labels_may_be_of_a_narrow_type(name, lib):
    p, y, _ = data("multiclass", "plain", "none")
    assert float(METRICS[name][0](lib(p), lib(y.astype(np.uint8)))) == float(METRICS[name][0](lib(p), lib(y)))


@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_weights_that_are_all_zero_warn_of_nothing(name, task, lib):
    p, y, w = data(task, "plain", "numbers")
    value = float(METRICS[name][0](lib(p), lib(y), lib(0 * w)))
    assert value == 0.0 or math.isnan(value)


def test_values_by_hand(lib):
    p, y = lib([[0.9], [0.8], [0.6], [0.3], [0.3], [0.1]]), lib([1, 0, 1, 1, 0, 0])
    for name, expected in {
        "accuracy": 4 / 6,
        "balanced_accuracy": (2 / 3 + 2 / 3) / 2,
        "precision": 2 / 3,
        "recall": 2 / 3,
        "f1": 2 / 3,
        "roc_auc": (3 + 2 + 1.5) / 9,  # of 9 pairs; the two of 0.3 count half
        "log_loss": -math.log(0.9 * 0.2 * 0.6 * 0.3 * 0.7 * 0.9) / 6,
        "mse": (0.01 + 0.64 + 0.16 + 0.49 + 0.09 + 0.01) / 6,
        "mae": (0.1 + 0.8 + 0.4 + 0.7 + 0.3 + 0.1) / 6,
    }.items():
        assert float(metrics.get(name)(p, y)) == pytest.approx(expected, rel=1e-12), name
    assert float(xpnn.R2()(lib([[1.0], [2.0], [6.0]]), lib([1.0, 2.0, 3.0]))) == pytest.approx(1 - 9 / 2)
    assert float(xpnn.TopK(2)(lib([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]), lib([1, 0]))) == 0.5


def test_of_one_sample_there_is_no_r2(lib):
    """Nor has scikit-learn one."""
    one = lib(np.asarray([[2.0]]))
    assert math.isnan(float(metrics.get("r2")(one, one)))


def test_a_target_that_is_constant_has_an_r2_of_1_or_0(lib):
    y = lib(np.ones((4, 1)))
    assert float(xpnn.R2()(y, y)) == 1.0
    assert float(xpnn.R2()(lib(np.asarray([[1.0], [1.0], [1.0], [2.0]])), y)) == 0.0
    y = lib(np.full((30, 1), 0.1), "float32")  # whose mean, as it is rounded, is another number
    assert float(xpnn.R2()(y, y)) == 1.0
    assert float(xpnn.R2()(lib(np.linspace(0, 1, 30)[:, None], "float32"), y)) == 0.0
    varied = lib(np.asarray([[0.1], [0.1], [9.0]]))  # but not where it weighs something
    assert float(xpnn.R2()(lib(np.zeros((3, 1))), varied, lib([2.0, 1.0, 0.0]))) == 0.0


@pytest.mark.parametrize("name", metrics.NAMES)
def test_get_takes_a_name_or_the_metric_itself(name):
    metric = metrics.get(name)
    assert type(metric) is metrics.NAMES[name]
    assert metrics.get(metric) is metric
    assert metric.name in (name, "mse", "mae")


def test_hyperparameters_are_part_of_the_name():
    assert xpnn.F1("macro").name == "f1"
    assert xpnn.F1("micro").name == "f1(average='micro')"
    assert xpnn.TopK(3).name == "top_k(k=3)"


# --- errors -----------------------------------------------------------------------------------------------------


def test_hyperparameters_outside_their_interval_are_refused():
    for k in (0, -1, 2.5, "3", True):
        with pytest.raises(InputError, match=rf"TopK: k must be a whole number >= 1, got {k!r}"):
            xpnn.TopK(k)
    for cls in (xpnn.Precision, xpnn.Recall, xpnn.F1):
        with pytest.raises(
            InputError, match=r"unknown average 'mikro'. Did you mean 'micro'\?.*macro, micro, weighted"
        ):
            cls("mikro")
    with pytest.raises(InputError, match="unknown average 'None'. Valid: macro, micro, weighted"):
        xpnn.F1(None)


@pytest.mark.parametrize(
    ("metric", "prediction", "y", "message"),
    [
        (xpnn.F1(), (4,), np.ones(4), r"prediction must hold floating-point .*shape \(n, k\).*got .*shape \(4,\)"),
        (
            xpnn.F1(),
            (4, 3),
            np.ones((3, 4)),
            r"F1\(average='macro'\): y must have shape \(4, 3\) or be integer labels .* \(4,\), got .*\(3, 4\)\.",
        ),
        (xpnn.F1(), (4, 3), np.ones(4), r"or be integer labels with shape \(4,\), got .*float64 with shape \(4,\)\."),
        (
            xpnn.MSE(),
            (4, 1),
            np.ones(3),
            r"MSE\(\): y must have shape \(4, 1\) or \(4,\), got .* with shape \(3,\)\.",
        ),
        (xpnn.MSE(), (4, 3), np.arange(4), r"MSE\(\): y must have shape \(4, 3\), got .*int64 with shape \(4,\)\."),
        (
            xpnn.TopK(2),
            (4, 3),
            np.ones((4, 3)),
            r"TopK\(k=2\): y must be integer labels .*got .*: xp.argmax\(y, axis=1\) makes labels of one-hot rows",
        ),
        (xpnn.TopK(2), (4, 1), np.arange(4), r"TopK\(k=2\) is for multiclass, not for predictions of 1 column"),
    ],
)
def test_shapes_that_do_not_fit_are_never_broadcast(metric, prediction, y, message, lib):
    with pytest.raises(InputError, match=message):
        metric(lib(np.full(prediction, 0.5)), lib(y))


def test_predictions_are_floating_point_numbers_and_weights_one_per_row(lib):
    with pytest.raises(InputError, match=r"prediction must hold floating-point numbers .*got .*int64"):
        xpnn.Accuracy()(lib(np.ones((4, 1), dtype=np.int64)), lib(np.ones(4)))
    with pytest.raises(InputError, match=r"sample_weight must have shape \(4,\), got \(4, 1\)"):
        xpnn.Accuracy()(lib(np.ones((4, 1))), lib(np.ones(4)), lib(np.ones((4, 1))))


# --- evaluate ---------------------------------------------------------------------------------------------------


def model_for(task, lib, dtype="float64"):
    """A model that has learned a little, and its data on the host."""
    rng = np.random.default_rng(3)
    X, noise = rng.normal(size=(50, 3)), rng.normal(size=(50, 3))
    y = {
        "regression": X + noise,
        "binary": (X[:, :1] + noise[:, :1] > 0).astype(float),
        "multilabel": (X + noise > 0).astype(float),
        "multiclass": (X + noise).argmax(axis=1),
    }[task]
    network = xpnn.mlp([3, 4, 1 if task == "binary" else 3], hidden="tanh", output=OUTPUTS[task])
    start = network.init(0, like=lib(np.zeros(1), dtype))
    return xpnn.fit(network, lib(X, dtype), lib(y, dtype), epochs=5, params=start), X, y, rng.uniform(0.1, 2.0, 50)


@pytest.mark.parametrize("task", OUTPUTS)
def test_evaluate_gives_what_is_asked_for_besides_what_it_always_gives(task, lib, dtype):
    model, X, y, w = model_for(task, lib, dtype)
    always = model.evaluate(lib(X, dtype), lib(y, dtype), lib(w, dtype))
    names = [name for name, cls in metrics.NAMES.items() if task in cls.tasks and name not in always]
    wanted = [*names, *([] if task in ("regression", "binary") else [xpnn.F1("micro")])]
    scores = model.evaluate(lib(X, dtype), lib(y, dtype), lib(w, dtype), metrics=wanted)
    assert list(scores) == [*always, *names, *(["f1(average='micro')"] if len(wanted) > len(names) else [])]
    assert {name: scores[name] for name in always} == always
    assert set(map(type, scores.values())) == {float}
    p = model.predict(lib(X, dtype))
    for metric in wanted:
        name = metric if isinstance(metric, str) else metric.name
        expected = float(metrics.get(metric)(p, lib(y, dtype), lib(w, dtype)))
        assert scores[name] == pytest.approx(expected, rel=1e-4 if dtype == "float32" else 1e-12), name


def test_one_that_is_asked_for_by_the_name_of_a_usual_figure_is_weighted(lib):
    model, X, y, w = model_for("binary", lib)
    plain, asked = (model.evaluate(lib(X), lib(y), lib(w), metrics=m)["accuracy"] for m in ([], ["accuracy"]))
    right = (lib.host(model.predict(lib(X))) >= 0.5) == y
    assert plain == pytest.approx(right.mean())
    assert asked == pytest.approx(np.average(right[:, 0], weights=w))


def test_one_hot_rows_equal_labels_after_a_softmax(lib):
    model, X, y, w = model_for("multiclass", lib)
    names = [name for name, cls in metrics.NAMES.items() if "multiclass" in cls.tasks]
    labels, rows = (model.evaluate(lib(X), lib(t), lib(w), metrics=names) for t in (y, np.eye(3)[y]))
    assert rows == pytest.approx(labels, rel=1e-12)


def test_labels_after_several_sigmoids_are_taken_as_one_hot_rows(lib):
    network = xpnn.mlp([3, 4, 3], output="sigmoid")
    model = xpnn.Model(network, network.init(0, like=lib(np.zeros(1))), "categorical_crossentropy")
    X, y = np.random.default_rng(1).normal(size=(9, 3)), np.arange(9) % 3
    labels, rows = (model.evaluate(lib(X), lib(t), metrics=["f1"]) for t in (y, np.eye(3)[y]))
    assert labels == pytest.approx(rows, rel=1e-12)


def test_evaluate_reads_all_figures_from_the_device_at_once(lib, monkeypatch):
    model, X, y, w = model_for("multiclass", lib)
    backend, read = backends.of(model.params), []
    numbers = backend.numbers
    monkeypatch.setattr(backend, "numbers", lambda scalars, xp: read.append(len(scalars)) or numbers(scalars, xp))
    model.evaluate(lib(X), lib(y), lib(w), metrics=["f1", "roc_auc", "log_loss"])
    assert read == [5]


@dataclasses.dataclass(frozen=True)
class Surprise(xpnn.Metric):
    """A metric of a user's own."""

    base: float = 2.0
    larger_is_better = False
    tasks = ("multiclass",)

    def value(self, prediction, y, w, *, xp):
        return xp.sum(w * -xp.log(xp.max(prediction, axis=1))) / (xp.sum(w) * math.log(self.base))


def test_a_metric_of_one_s_own(lib):
    model, X, y, _ = model_for("multiclass", lib)
    scores = model.evaluate(lib(X), lib(y), metrics=[Surprise(), Surprise(10.0)])
    expected = -np.log(lib.host(model.predict(lib(X))).max(axis=1)).mean()
    assert scores["Surprise"] == pytest.approx(expected / math.log(2))
    assert scores["Surprise(base=10.0)"] == pytest.approx(expected / math.log(10))


@pytest.mark.parametrize(
    ("task", "metric", "message"),
    [
        (
            "regression",
            "roc_auc",
            r"the metric 'roc_auc' is for binary, multilabel, multiclass, but 3 outputs of Linear\(\) mean "
            r"regression: choose among mse, mean_squared_error, mae, mean_absolute_error, r2\.",
        ),
        (
            "multiclass",
            "r2",
            r"'r2' is for regression, but 3 outputs of Softmax\(\) mean multiclass: .*accuracy, .*log_loss\.",
        ),
        ("binary", xpnn.TopK(2), r"'top_k\(k=2\)' is for multiclass, but 1 output of Sigmoid\(\) mean binary"),
        (
            "multilabel",
            "balanced_accuracy",
            r"is for binary, multiclass, but 3 outputs of Sigmoid\(\) mean multilabel",
        ),
        ("multiclass", "mse", "is for regression, binary, multilabel, but 3 outputs"),
        ("binary", "acc", r"unknown metric 'acc'. Did you mean 'accuracy'\?"),
        ("binary", xpnn.F1, r"metric must be a name or Metric object, got .*: write F1\(\)"),
    ],
)
def test_a_metric_that_does_not_fit_is_refused_by_evaluate(task, metric, message):
    model, X, y, _ = model_for(task, LIBRARIES["numpy"])
    with pytest.raises(InputError, match=message):
        model.evaluate(X, y, metrics=[metric])


def test_metrics_are_a_list():
    model, X, y, _ = model_for("binary", LIBRARIES["numpy"])
    with pytest.raises(
        InputError, match=r"metrics must be a list of names or Metric objects, got 'f1': write \['f1'\]"
    ):
        model.evaluate(X, y, metrics="f1")


@pytest.mark.parametrize(
    ("output", "k", "expected"),
    [("linear", 1, "regression"), ("tanh", 2, "regression"), ("sigmoid", 1, "binary"), ("sigmoid", 2, "multilabel"),
     ("softmax", 2, "multiclass")],
)  # fmt: skip
def test_the_output_says_what_the_task_is(output, k, expected):
    assert metrics.task(xpnn.mlp([2, k], output=output).output_activation, k) == expected
