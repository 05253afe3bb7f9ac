"""Sparse data: the numbers of dense data and of scikit-learn, and nothing of X made dense on the way."""

import tracemalloc
import warnings

import numpy as np
import pytest

import xpnn
from xpnn import arrays, backends
from xpnn.compiler import Compiled
from xpnn.compiler.factor import Factor
from xpnn.compiler.record import record
from xpnn.compiler.recording import CannotRecord
from xpnn.compiler.shares import CannotShare, share
from xpnn.training.step import gradient_function

from .conftest import LIBRARIES

sklearn = pytest.importorskip("sklearn")
from scipy import sparse  # noqa: E402
from sklearn import base, neural_network  # noqa: E402

from xpnn.estimators.sparse import SparseMatrix  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

KINDS = ["two classes", "three classes", "several labels", "one target", "three targets"]


def table(kind, n=150, d=40):
    """(X, y, weights): X has a row and a column of zeros."""
    rng = np.random.default_rng(5)
    X = np.where(rng.random((n, d)) < 0.15, rng.standard_normal((n, d)), 0.0)
    X[3] = X[:, 5] = 0.0
    scores = X @ rng.standard_normal((d, 3)) + 0.1 * rng.standard_normal((n, 3))
    y = {
        "two classes": scores[:, 0] > 0,
        "three classes": np.argmax(scores, axis=1),
        "several labels": (scores > 0).astype(int),
        "one target": scores[:, 0],
        "three targets": scores,
    }[kind]
    return X, y, rng.uniform(0.2, 3.0, n)


def estimator(library, kind, **options):
    name = "MLPRegressor" if "target" in kind else "MLPClassifier"
    return getattr(library, name)(**{"hidden_layer_sizes": (9, 6), "max_iter": 12, "random_state": 3} | options)


def assert_same(ours, theirs, rtol=1e-7):
    for name in ("loss_", "loss_curve_", "validation_scores_", "validation_loss_curve_"):
        if getattr(theirs, name, None) is not None:
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=rtol, err_msg=name)
    for a, b in zip([*ours.coefs_, *ours.intercepts_], [*theirs.coefs_, *theirs.intercepts_], strict=True):
        a, b = np.asarray(a), np.asarray(b)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max())


@pytest.fixture
def stays_sparse(monkeypatch):
    """From when it is called, sparse data that are made dense are an error."""

    def made_dense(self, *_, **__):
        raise AssertionError("sparse data are made dense")

    def start():
        for kind in ("csr", "csc", "coo"):
            for each in (f"{kind}_array", f"{kind}_matrix"):
                for name in ("toarray", "todense"):
                    monkeypatch.setattr(getattr(sparse, each), name, made_dense)

    return start


OPTIONS = [
    {},
    {"batch_size": 31, "alpha": 0.1, "activation": "tanh"},
    {"solver": "sgd", "learning_rate_init": 0.02, "shuffle": False, "batch_size": 40},
    {"early_stopping": True, "activation": "logistic"},
    {"solver": "lbfgs", "alpha": 0.1},
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=repr)
@pytest.mark.parametrize("kind", KINDS)
def test_the_numbers_are_scikit_learns(kind, options, weighted, stays_sparse):
    X, y, w = table(kind)
    S = sparse.csr_array(X)
    weights = {"sample_weight": w} if weighted else {}
    theirs = estimator(neural_network, kind, **options).fit(S, y, **weights)
    stays_sparse()
    ours = estimator(xpnn, kind, **options).fit(S, y, **weights)
    assert_same(ours, theirs)
    np.testing.assert_allclose(ours.predict(S), theirs.predict(S), rtol=1e-6)
    if "target" not in kind:
        np.testing.assert_allclose(ours.predict_proba(S), theirs.predict_proba(S), rtol=1e-6, atol=1e-9)
    assert ours.score(S, y) == pytest.approx(theirs.score(S, y))


@pytest.mark.parametrize(
    "options",
    [
        {"dropout": 0.3},
        {"optimizer": xpnn.AdamW(0.01, weight_decay=0.1)},
        {"optimizer": xpnn.LBFGS(memory=3)},
        {"activation": ["gelu", "tanh"], "class_weight": "balanced"},
        {"loss": "mse"},
        {"early_stopping": True, "monitor": "validation_f1"},
    ],
    ids=repr,
)
def test_the_numbers_are_those_of_dense_data(options, stays_sparse):
    X, y, w = table("three classes")
    dense = estimator(xpnn, "three classes", **options).fit(X, y, sample_weight=w)
    S = sparse.csr_array(X)
    stays_sparse()
    ours = estimator(xpnn, "three classes", **options).fit(S, y, sample_weight=w)
    assert_same(ours, dense)
    np.testing.assert_allclose(ours.decision_function(S), dense.decision_function(X), rtol=1e-6)
    np.testing.assert_array_equal(ours.predict(X), dense.predict(X))


def test_going_on_and_validation_data(stays_sparse):
    X, y, _ = table("three classes")
    X_val, y_val, S, S_val = X[:50], y[:50], sparse.csr_array(X), sparse.csr_array(X[:50])
    stays_sparse()
    fitted = {}
    for name, data, val in (("dense", X, X_val), ("sparse", S, S_val), ("both", S, X_val), ("other", X, S_val)):
        model = estimator(xpnn, "three classes", warm_start=True, early_stopping=True, monitor="validation_loss")
        model.fit(data, y, validation_data=(val.astype("float32"), y_val))
        model.fit(data, y, validation_data=(val.astype("float32"), y_val))
        model.set_params(early_stopping=False, monitor=None).partial_fit(data[:30], y[:30])
        fitted[name] = model
    for name in ("sparse", "both", "other"):
        assert_same(fitted[name], fitted["dense"])


def test_callbacks_models_and_files_know_nothing_of_it(tmp_path, stays_sparse):
    X, y, _ = table("two classes")
    S, seen = sparse.csr_array(X), []
    stays_sparse()
    model = estimator(xpnn, "two classes", callbacks=[lambda training: seen.append(training.params.sum()) or False])
    model.fit(S, y)
    assert len(set(seen)) == len(seen) == 12
    model.save(tmp_path / "model.safetensors")
    again = xpnn.MLPClassifier.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(again.predict_proba(S), model.predict_proba(S))
    np.testing.assert_allclose(model.to_model().predict(X)[:, 0], model.predict_proba(S)[:, 1])
    np.testing.assert_array_equal(base.clone(model).fit(S, y).predict(S), model.predict(S))


@pytest.mark.parametrize(("first", "then"), [("float32", "float64"), ("float64", "float32")])
def test_going_on_with_data_of_another_dtype(first, then):
    X, y, _ = table("one target")
    S = sparse.csr_array(X)
    ours, dense = (
        estimator(xpnn, "one target").partial_fit(data.astype(first), y).partial_fit(data.astype(then), y)
        for data in (S, X)
    )
    assert ours.coefs_[0].dtype == first
    assert_same(ours, dense, rtol=1e-7 if first == "float64" else 1e-4)


@pytest.mark.parametrize("kind", ["csr_matrix", "csr_array", "csc_matrix", "coo_array"])
@pytest.mark.parametrize("index", ["int32", "int64"])
def test_every_format(kind, index, dtype):
    X, y, _ = table("one target")
    S = getattr(sparse, kind)(X.astype(dtype))
    for name in ("indices", "indptr", "row", "col"):
        if hasattr(S, name):
            setattr(S, name, getattr(S, name).astype(index))
    ours, dense = (estimator(xpnn, "one target").fit(data, y) for data in (S, X.astype(dtype)))
    assert ours.coefs_[0].dtype == dtype
    assert_same(ours, dense, rtol=1e-7 if dtype == "float64" else 1e-3)
    assert ours.predict(S).dtype == dtype
    np.testing.assert_allclose(ours.predict(S), ours.predict(X.astype(dtype)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e308])
def test_what_is_looked_at_in_short_is_refused_as_ever(value):
    X, y, _ = table("three classes")
    S = sparse.csr_array(X)
    model = estimator(xpnn, "three classes").fit(S, y)
    spoilt = S.copy()
    spoilt.data[[2, 5]] = value
    if value == 1e308:
        assert model.predict(spoilt).shape == y.shape
    else:
        with pytest.raises(ValueError, match="Input X contains"):
            model.predict(spoilt)
    for other, message in ((S[:, :-1], "X has 39 features, but"), (S[:0], "0 sample")):
        with pytest.raises(ValueError, match=message):
            model.predict(other)
    assert model.predict(S.astype(int)).shape == y.shape


def test_predictions_of_any_number_of_rows(stays_sparse, monkeypatch):
    X, y, _ = table("three classes")
    model = estimator(xpnn, "three classes", hidden_layer_sizes=(700, 500), max_iter=1).fit(X, y)
    rows = np.random.default_rng(0).integers(0, len(X), 5000)
    expected = model.predict_proba(X)
    S = sparse.csr_array(X)[rows]
    stays_sparse()
    for _ in range(3):  # recorded, it may be by another way
        for n in (1, 2, 16, 17, 150, 2500, 5000):  # so many that several threads share them
            np.testing.assert_allclose(model.predict_proba(S[:n]), expected[rows[:n]], rtol=1e-9)
    np.testing.assert_allclose(model.predict_proba(S[:9].astype("float32")), expected[rows[:9]], rtol=1e-4)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_data_that_could_not_be_held_dense(solver):
    n, d = 2000, 1_000_000  # sixteen gigabytes
    S = sparse.random_array((n, d), density=2e-6, format="csr", rng=np.random.default_rng(0))
    y = np.asarray(S.sum(axis=1)) > 1
    model = xpnn.MLPClassifier((1,), solver=solver, max_iter=1, batch_size=1000, random_state=0)
    tracemalloc.start()
    try:
        model.fit(S, y).predict(S)
        assert tracemalloc.get_traced_memory()[1] < 1e9  # of one batch alone it would be eight
    finally:
        tracemalloc.stop()


def test_other_libraries_get_dense_batches():
    if "torch" not in LIBRARIES:
        pytest.skip("needs PyTorch")
    X, y, _ = table("three classes")
    S = sparse.csr_array(X)
    for options in ({}, {"early_stopping": True}, {"solver": "lbfgs"}):
        ours, dense = (
            estimator(xpnn, "three classes", device="torch:cpu", **options).fit(data, y, validation_data=(val, y))
            for data, val in ((S, S), (X, X))
        )
        assert_same(ours, dense, rtol=1e-6)
        np.testing.assert_allclose(ours.predict_proba(S), dense.predict_proba(X), rtol=1e-6)
    batches = []
    with pytest.MonkeyPatch.context() as patch:
        toarray = sparse.csr_array.toarray
        patch.setattr(sparse.csr_array, "toarray", lambda S: batches.append(S.shape[0]) or toarray(S))
        estimator(xpnn, "three classes", device="torch:cpu", batch_size=20).fit(S, y)
    assert max(batches) == 20


# --- the matrix, and what is recorded of it ---------------------------------------------------------------------


def test_the_matrix_has_what_networks_take_of_their_data(rng):
    X, _, _ = table("one target")
    S = SparseMatrix(sparse.csr_array(X))
    xp = arrays.namespace(S=S)
    assert xp is arrays.namespace(X=X)
    assert backends.of(S).name == "numpy"
    assert (S.shape, S.ndim, S.dtype, len(S), S.itemsize) == (X.shape, 2, X.dtype, len(X), 8)
    assert S.density == np.mean(X != 0)
    W, rows = rng.standard_normal((X.shape[1], 3)), np.asarray([7, 7, 0, 149])
    for ours, dense in (
        (S, X),
        (xp.matrix_transpose(S), X.T),
        (S[10:33], X[10:33]),
        (S[:0], X[:0]),
        (S[140:500, ...], X[140:500]),
        (S[5:2], X[5:2]),
        (S[20:5:-3], X[20:5:-3]),
        (S[rows], X[rows]),
        (xp.take(S, rows, axis=0), X[rows]),
        (xp.astype(S, xp.float32), X.astype("float32")),
        (xp.broadcast_to(S[8:9], (4, X.shape[1])), X[[8] * 4]),
    ):
        assert ours.shape == dense.shape
        assert ours.dtype == dense.dtype
        other = W if dense.shape[1] == len(W) else rng.standard_normal((len(X), 3))
        np.testing.assert_allclose(ours @ other, dense @ other, rtol=1e-6, atol=1e-6)
        out = np.full((len(dense), 3), np.nan)
        ours.multiply(other, out)
        np.testing.assert_allclose(out, dense @ other, rtol=1e-6, atol=1e-6)
    for refused in (lambda: np.exp(S), lambda: np.sum(S), lambda: np.take(S, rows, axis=1), lambda: W.T @ S):
        with pytest.raises(TypeError):
            refused()


def test_formulas_take_it_as_they_are(rng):
    X, y, _ = table("two classes")
    network = xpnn.mlp([X.shape[1], 3, 1], "relu", "sigmoid")
    gradient = gradient_function(network, xpnn.losses.get("binary_crossentropy"))
    params, xp = network.init(), arrays.namespace(X=X)
    ours, dense = (
        gradient(xp, params, None, data, y[:, None] * 1.0, None, 0) for data in (SparseMatrix(sparse.csr_array(X)), X)
    )
    np.testing.assert_allclose(ours[0], dense[0], rtol=1e-12)
    np.testing.assert_allclose(ours[1], dense[1], rtol=1e-10, atol=1e-12)


class Doubled(Factor):
    """Twice a matrix, which is all that it tells."""

    device, ndim, density = "cpu", 2, 1.0

    def __init__(self, matrix):
        self.matrix, self.shape, self.dtype = matrix, matrix.shape, matrix.dtype

    @property
    def T(self):  # noqa: N802
        return Doubled(self.matrix.T)

    def __matmul__(self, other):
        return 2 * self.matrix @ other

    def multiply(self, other, out):
        np.matmul(2 * self.matrix, other, out=out)

    def __array_function__(self, function, types, args, kwargs):
        return self.T if function is np.matrix_transpose else NotImplemented

    def __array_ufunc__(self, function, method, *args, **options):
        return function(*(each.matrix if isinstance(each, Doubled) else each for each in args))


NUMPY = backends.get("numpy")
XP = NUMPY.namespace()


def gradients(xp, state, x):
    (W,) = state
    z = x @ W
    z += 1.0
    a = xp.maximum(z, 0.0)
    return xp.concat([xp.reshape(xp.matrix_transpose(x) @ a, (-1,)), xp.sum(a, axis=0)]), a


def test_products_of_a_factor_are_recorded(rng):
    compiled = Compiled(gradients, XP)
    W = rng.standard_normal((4, 3))
    for n in (6, 2, 6, 6):
        x = rng.standard_normal((n, 4))
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # as there would be, were it run call by call
            ours = compiled((W,), Doubled(x))
        for a, b in zip(ours, gradients(XP, (W,), 2 * x), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)
        for a, b in zip(compiled((W,), x), gradients(XP, (W,), x), strict=True):  # an array is no factor
            np.testing.assert_allclose(a, b, rtol=1e-12)
    assert not compiled.gave_up


@pytest.mark.parametrize(
    "function",
    [
        lambda xp, state, x: x + 1.0,
        lambda xp, state, x: xp.exp(x),
        lambda xp, state, x: xp.sum(x),
        lambda xp, state, x: x[:1, ...] @ state[0],
        lambda xp, state, x: xp.where(state[0] > 0, state[0], x),
        lambda xp, state, x: xp.matrix_transpose(state[0]) @ x,
        lambda xp, state, x: x @ xp.matrix_transpose(x),
        lambda xp, state, x: xp.concat([x, x]),
        lambda xp, state, x: xp.astype(x, xp.float32),
        lambda xp, state, x: x,
    ],
)
def test_nothing_else_of_a_factor_is_recorded(function, rng):
    with pytest.raises(CannotRecord, match="more than a product with a Doubled"):
        record(function, XP, ((rng.standard_normal((4, 4)),), Doubled(rng.standard_normal((4, 4)))))


def test_then_it_runs_call_by_call(rng):
    def function(xp, state, x):
        return x * state[0] + x @ state[0]

    W, x = rng.standard_normal((4, 4)), rng.standard_normal((4, 4))
    with pytest.warns(RuntimeWarning, match=r"runs call by call, which is slower \(more than a product"):
        ours = Compiled(function, XP)((W,), Doubled(x))
    np.testing.assert_allclose(ours, x * W + 2 * x @ W)


def test_a_step_of_a_factor_is_not_shared_out_among_lanes(rng):
    network = xpnn.mlp([4, 3, 1], "relu", "sigmoid")
    gradient = gradient_function(network, xpnn.losses.get("binary_crossentropy"))
    x, y, params = Doubled(rng.standard_normal((6, 4))), np.ones((6, 1)), network.init()

    def step(xp, state, x, y):
        value, slope, _ = gradient(xp, *state, None, x, y, None, 0)
        return value, state[0] - slope

    assert share(record(step, XP, ((params,), x.matrix, y)))
    with pytest.raises(CannotShare, match="is not cut into rows"):
        share(record(step, XP, ((params,), x, y)))
