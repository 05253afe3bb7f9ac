"""Models: predicting, scoring, moving, saving and loading."""

import dataclasses
import importlib

import numpy as np
import pytest

import xpnn
from xpnn import arrays, backends
from xpnn.errors import ArrayError, BackendError, InputError, ModelFileError
from xpnn.files import tensors

from .conftest import LIBRARIES


def trained(lib, dtype="float64", output="softmax", k=3, **options):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(30, 2))
    y = {
        "softmax": np.arange(30) % k,
        "sigmoid": (X[:, :1] > 0) * np.ones(k),
        "linear": X[:, :1] * np.arange(1, k + 1),
    }
    network = xpnn.mlp([2, 5, k], hidden="tanh", output=output)
    return xpnn.fit(network, lib(X, dtype), lib(y[output], dtype), epochs=20, optimizer=xpnn.SGD(0.5), **options), X


def test_predict_is_the_forward_pass(lib, dtype):
    model, X = trained(lib, dtype)
    expected = lib.host(model.network.forward(model.params, lib(X, dtype)))
    for _ in range(2):  # a number of rows that comes again may be compiled for
        y_hat = model.predict(lib(X, dtype))
        lib.check(y_hat, dtype)
        np.testing.assert_allclose(lib.host(y_hat), expected, rtol=2e-6 if dtype == "float32" else 1e-13)
    np.testing.assert_allclose(lib.host(y_hat).sum(axis=1), 1.0, rtol=1e-6)


def test_torch_parameters_that_autograd_follows_predict(rng):
    torch = pytest.importorskip("torch")
    network, X = xpnn.mlp([3, 4, 2]), torch.asarray(rng.normal(size=(5, 3)))
    model = xpnn.Model(network, torch.nn.Parameter(network.init(0, like=X)), "mse")
    for _ in range(2):
        torch.testing.assert_close(model.predict(X), network.forward(model.params.detach(), X))


def test_predict_takes_other_dtypes_and_answers_in_the_model_s(lib):
    model, _ = trained(lib, "float32")
    lib.check(model.predict(lib([[1.0, 2.0]], "float64")), "float32")
    lib.check(model.predict(lib([[1, 2]])), "float32")


@pytest.mark.parametrize(
    ("output", "k", "shape"), [("softmax", 3, (4,)), ("sigmoid", 1, (4,)), ("sigmoid", 2, (4, 2))]
)
def test_predict_labels_gives_class_numbers(output, k, shape, anywhere):
    model, X = trained(anywhere, output=output, k=k)
    labels, y_hat = model.predict_labels(anywhere(X[:4])), anywhere.host(model.predict(anywhere(X[:4])))
    assert tuple(labels.shape) == shape
    expected = y_hat.argmax(axis=1) if output == "softmax" else (y_hat >= 0.5).reshape(shape)
    np.testing.assert_array_equal(anywhere.host(labels), expected)


def test_predict_labels_gives_names_where_there_are_some(lib):
    model, X = trained(lib, labels=["a", "b", "c"])
    numbers = lib.host(model.predict(lib(X))).argmax(axis=1)
    assert model.predict_labels(lib(X)).tolist() == ["abc"[i] for i in numbers]


def test_labels_of_different_kinds_stay_themselves():
    model, X = trained(LIBRARIES["numpy"], labels=[1, "b", 2.5])
    assert set(map(type, model.predict_labels(X).tolist())) <= {int, str, float}
    assert trained(LIBRARIES["numpy"], labels=[10, 20, 30])[0].predict_labels(X).dtype.kind == "i"


def test_a_regression_has_no_labels():
    model, X = trained(LIBRARIES["numpy"], output="linear")
    with pytest.raises(
        InputError, match=r"predict_labels needs a softmax or sigmoid output, this network's is Linear\(\)"
    ):
        model.predict_labels(X)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones((4, 3)), r"X must have shape \(n, 2\).*got \(4, 3\)"),
        (np.ones((0, 2)), "X is empty"),
        (np.array([[1.0, 2.0], [np.nan, 1.0]]), "X holds nan at row 1, column 0"),
    ],
)
def test_predict_refuses_bad_features(X, message, lib):
    model, _ = trained(lib)
    with pytest.raises(InputError, match=message):
        model.predict(lib(X))


def test_evaluate_classification(anywhere, dtype):
    model, X = trained(anywhere, dtype)
    labels = np.arange(30) % 3
    scores = model.evaluate(anywhere(X, dtype), anywhere(labels))
    y_hat = anywhere.host(model.predict(anywhere(X, dtype)))
    assert scores["accuracy"] == pytest.approx((y_hat.argmax(axis=1) == labels).mean(), rel=1e-6)
    assert scores["loss"] == pytest.approx(-np.log(y_hat[np.arange(30), labels]).mean(), rel=1e-5)
    assert model.evaluate(anywhere(X, dtype), anywhere(np.eye(3)[labels], dtype)) == pytest.approx(scores)


def test_evaluate_several_labels(anywhere):
    model, X = trained(anywhere, output="sigmoid", k=2)
    y = (X > 0).astype(float)
    expected = ((anywhere.host(model.predict(anywhere(X))) >= 0.5) == (y == 1)).mean()
    assert model.evaluate(anywhere(X), anywhere(y))["accuracy"] == pytest.approx(expected)


def test_evaluate_regression(anywhere):
    model, X = trained(anywhere, output="linear", k=2)
    y = np.stack([X[:, 0], X[:, 1] + 1], axis=1)
    y_hat = anywhere.host(model.predict(anywhere(X)))
    scores = model.evaluate(anywhere(X), anywhere(y))
    assert scores["loss"] == pytest.approx(((y_hat - y) ** 2).mean())
    assert scores["mean_absolute_error"] == pytest.approx(abs(y_hat - y).mean())
    assert scores["r2"] == pytest.approx((1 - ((y_hat - y) ** 2).sum(0) / ((y - y.mean(0)) ** 2).sum(0)).mean())


def test_r2_of_a_constant_target_is_a_number(lib):
    model, X = trained(lib, output="linear", k=1)
    assert model.evaluate(lib(X), lib(np.ones(30)))["r2"] == 0.0


def test_evaluate_weighs_the_loss(lib):
    model, X = trained(lib, output="sigmoid", k=1)
    y, w = (X[:, 0] > 0).astype(float), np.zeros(30)
    w[[3, 4]] = 2.0, 1.0
    scores = model.evaluate(lib(X), lib(y), lib(w))
    repeated = model.evaluate(lib(X[[3, 3, 4]]), lib(y[[3, 3, 4]]))
    assert scores["loss"] == pytest.approx(repeated["loss"])


@pytest.mark.parametrize("method", ["predict", "predict_labels", "evaluate"])
def test_arrays_of_another_library_are_an_error_that_says_how_to_move(method):
    torch = pytest.importorskip("torch")
    model, X = trained(LIBRARIES["numpy"])
    given = (torch.asarray(X), torch.arange(30) % 3)[: 2 if method == "evaluate" else 1]
    with pytest.raises(ArrayError, match=r"X is a torch array but model is a numpy array: .*model.to\(like=X\)"):
        getattr(model, method)(*given)


def test_none_is_no_array():
    model, X = trained(LIBRARIES["numpy"])
    with pytest.raises(ArrayError, match="X must be an array, got None"):
        model.predict(None)
    with pytest.raises(ArrayError, match="y must be an array, got None"):
        model.evaluate(X, None)


def test_a_model_can_be_put_together_by_hand(lib):
    network = xpnn.mlp([2, 1], output="sigmoid")
    model = xpnn.Model(network, network.init(0, like=lib(np.zeros(1))), "binary_crossentropy")
    assert model.loss == xpnn.BinaryCrossentropy()
    assert tuple(model.predict(lib([[1.0, 2.0]])).shape) == (1, 1)
    with pytest.raises(InputError, match=r"Model\(network, params, loss\): network must be a Sequential"):
        xpnn.Model("2-1", network.init(), "mse")


def test_an_overflow_in_the_conversion_is_an_error_not_an_infinity(lib):
    model, _ = trained(lib, "float32")
    message = r"X holds 1e\+300, too large for .*float32, at row 0, column 1"
    with np.errstate(over="ignore"), pytest.raises(InputError, match=message):  # strict is built on NumPy
        model.predict(lib([[1.0, 1e300]], "float64"))


# --- moving ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", LIBRARIES)
def test_a_moved_model_predicts_the_same(there, dtype):
    model, X = trained(LIBRARIES["numpy"], dtype)
    lib = LIBRARIES[there]
    moved = model.to(like=lib(X, dtype))
    lib.check(moved.params, dtype)
    tolerance = 1e-6 if dtype == "float32" else 1e-14
    np.testing.assert_allclose(lib.host(moved.predict(lib(X, dtype))), model.predict(X.astype(dtype)), rtol=tolerance)
    back = moved.to("numpy")
    assert type(back.params) is np.ndarray
    assert back.params.tobytes() == model.params.tobytes()


def test_to_changes_the_dtype_in_place_of_the_library(lib):
    model, _ = trained(lib)
    lib.check(model.to(dtype="float32").params, "float32")
    with pytest.raises(InputError, match="dtype must be 'float32' or 'float64', got 'int32'"):
        model.to(dtype="int32")


def test_a_model_stays_on_its_device_by_that_device_s_name(anywhere):
    model, _ = trained(anywhere)
    here = backends.of(model.params)
    name = here.device_name(model.params)
    assert name in here.device_names()
    assert arrays.device(model.to(dtype="float32").params) == arrays.device(model.params)
    assert name in repr(model)


def test_to_needs_to_be_told_where():
    model, X = trained(LIBRARIES["numpy"])
    with pytest.raises(InputError, match="to: give either like=array, or a backend, device or dtype"):
        model.to()
    with pytest.raises(InputError, match="to: give either"):
        model.to("numpy", like=X)
    with pytest.raises(BackendError, match=r"unknown backend 'numpi'. Did you mean 'numpy'"):
        model.to("numpi")


def test_float64_on_jax_without_x64_is_an_error_not_a_loss_of_digits():
    jax = pytest.importorskip("jax")
    experimental = importlib.import_module("jax.experimental")  # where it was before JAX 0.8
    off = experimental.enable_x64 if hasattr(experimental, "enable_x64") else jax.enable_x64
    model, _ = trained(LIBRARIES["numpy"])
    with (
        off(False),
        pytest.raises(BackendError, match=r"jax gave float32 where float64 was asked for: .*jax_enable_x64"),
    ):
        model.to("jax")


# --- files ----------------------------------------------------------------------------------------------------


def test_saved_and_loaded_it_is_the_same_model(anywhere, dtype, tmp_path):
    model, X = trained(anywhere, dtype, labels=["a", "b", "c"])
    path = tmp_path / "model.safetensors"
    model.save(path)
    for again in (xpnn.load(path, like=anywhere(X, dtype)), xpnn.load(str(path), like=anywhere(np.zeros(1)))):
        anywhere.check(again.params, dtype)
        assert anywhere.host(again.params).tobytes() == anywhere.host(model.params).tobytes()
        assert again.network == model.network
        assert again.loss == model.loss
        assert again.history == model.history
        assert list(again.labels) == ["a", "b", "c"]
        assert again.stopped == "epochs"
    on_host = xpnn.load(path)
    assert type(on_host.params) is np.ndarray


@pytest.mark.parametrize("name", [n for n in ("torch", "jax", "cupy") if n in LIBRARIES])
def test_load_on_a_backend_by_name(name, tmp_path):
    model, host = trained(LIBRARIES["numpy"])
    model.save(tmp_path / "m")
    X = LIBRARIES[name](host)
    loaded = xpnn.load(tmp_path / "m", backend=name, device=backends.of(X).device_name(X))
    LIBRARIES[name].check(loaded.predict(X), "float64")


def test_load_takes_an_array_or_a_backend_not_both(tmp_path):
    with pytest.raises(InputError, match="load: give either like=array, or a backend and device"):
        xpnn.load(tmp_path / "m", like=np.ones(1), backend="numpy")


def test_a_device_needs_a_library(tmp_path):
    model, _ = trained(LIBRARIES["numpy"])
    model.save(tmp_path / "m")
    with pytest.raises(InputError, match="load: 'torch' is a library: write backend='torch'"):
        xpnn.load(tmp_path / "m", device="torch")
    with pytest.raises(InputError, match=r"load: device 'cuda:0' of which library\? Give backend='torch'"):
        xpnn.load(tmp_path / "m", device="cuda:0")


def test_metadata_that_is_no_json_is_an_error_of_ours(tmp_path):
    model, _ = trained(LIBRARIES["numpy"])
    with pytest.raises(ModelFileError, match="cannot write .*not JSON serializable"):
        dataclasses.replace(model, metadata={"a": np.float32(1)}).save(tmp_path / "m")


def test_hyperparameters_survive_the_file(tmp_path):
    network = xpnn.Sequential(
        xpnn.Dense(3, xpnn.ELU(0.7), "lecun_normal"), xpnn.Dense(2, xpnn.LeakyReLU(0.2)), input_shape=(2,)
    )
    X = np.ones((4, 2))
    model = xpnn.fit(network, X, X, loss=xpnn.MeanSquaredError("sum"), epochs=1)
    model.save(tmp_path / "m")
    again = xpnn.load(tmp_path / "m")
    assert again.network == network
    assert again.loss == xpnn.MeanSquaredError("sum")


def test_other_programs_can_read_the_arrays(tmp_path):
    from safetensors.numpy import load_file

    model, _ = trained(LIBRARIES["numpy"])
    model.save(tmp_path / "m.safetensors")
    named = load_file(tmp_path / "m.safetensors")
    assert set(named) == {"layers.0.W", "layers.0.b", "layers.1.W", "layers.1.b"}
    np.testing.assert_array_equal(named["layers.1.W"], model.network.unflatten(model.params)[1]["W"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda named, header: header.pop("network"), "does not describe a model of xpnn: KeyError"),
        (lambda named, header: header["network"].update(input_shape=[3]), r"W of layer 1 must have shape \(3, 5\)"),
        (lambda named, header: named.pop("layers.1.b"), "does not describe a model of xpnn: KeyError.*layers.1.b"),
        (lambda named, header: named.update(extra=np.ones(1)), "holds arrays that its network does not have: extra"),
        (lambda named, header: header.update(history=3), "history should be dict, is 3"),
        (lambda named, header: header.update(metadata=[]), r"metadata should be dict, is \[\]"),
        (
            lambda named, header: named.update({"layers.0.b": named["layers.0.b"].astype(np.float32)}),
            "its arrays should be all float32 or all float64, and are float32, float64",
        ),
        (
            lambda named, header: named.update({n: a.astype(np.int64) for n, a in named.items()}),
            "its arrays should be all float32 or all float64, and are int64",
        ),
        (
            lambda named, header: header["loss"].update({"class": "Guess"}),
            "uses a part 'Guess' that this xpnn does not have",
        ),
    ],
)
def test_a_model_file_that_does_not_fit_together(change, message, tmp_path):
    model, _ = trained(LIBRARIES["numpy"])
    model.save(tmp_path / "m")
    named, header = tensors.read(tmp_path / "m")
    change(named, header)
    tensors.write(tmp_path / "m", named, header)
    with pytest.raises(ModelFileError, match=message):
        xpnn.load(tmp_path / "m")


def test_a_failed_save_keeps_what_was_there(tmp_path, monkeypatch):
    model, X = trained(LIBRARIES["numpy"])
    path = tmp_path / "m"
    model.save(path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ModelFileError, match=r"cannot write .*: No space left on device"):
        xpnn.fit(model.network, X, np.arange(30) % 3, epochs=1).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_repr_and_str_say_what_it_is(capsys):
    model, _ = trained(LIBRARIES["numpy"])
    assert repr(model) == "Model(2-5-3, 33 parameters, CategoricalCrossentropy, numpy float64 on cpu)"
    model.summary()
    assert capsys.readouterr().out == f"{model}\n"
    assert "Dense softmax" in str(model)


def test_a_generic_library_is_moved_to_by_its_package_name():
    strict = pytest.importorskip("array_api_strict")
    model, _ = trained(LIBRARIES["numpy"])
    assert arrays.namespace(params=model.to("array_api_strict").params) is strict


@pytest.mark.parametrize(("k", "labels"), [(1, ["no", "yes"]), (3, ["no", "so", "yes"]), (3, [1, "two", 3.5])])
def test_it_is_evaluated_on_the_names_of_its_classes_too(lib, rng, k, labels):
    numbers = rng.integers(0, len(labels), 30)
    X = lib(rng.normal(size=(30, 4)), "float32")
    network = xpnn.mlp([4, 5, k], output="sigmoid" if k == 1 else "softmax")
    loss = "binary_crossentropy" if k == 1 else "categorical_crossentropy"
    model = xpnn.fit(network, X, lib(numbers), loss=loss, epochs=2, labels=labels)
    names = np.array(labels, dtype=object if len({*map(type, labels)}) > 1 else None)[numbers]
    assert model.evaluate(X, names) == model.evaluate(X, lib(numbers))
    spoilt = np.where(numbers == 1, "nothing", "no")
    with pytest.raises(InputError, match="y holds 'no|'nothing', but should hold, .n,., the model's classes"):
        model.evaluate(X, spoilt)
    with pytest.raises(InputError, match=r"y has shape \(30, 1\), but should hold"):
        model.evaluate(X, names[:, None])


def test_outputs_that_are_labels_of_their_own_have_no_names_in_y(rng):
    X, y = rng.normal(size=(30, 4)), rng.integers(0, 2, (30, 2))
    model = xpnn.fit(xpnn.mlp([4, 2], output="sigmoid"), X, y, epochs=1, labels=["warm", "dry"])
    with pytest.raises(InputError, match="y must hold real numbers, got dtype <U4|y has shape"):
        model.evaluate(X, np.array(["warm", "dry"])[y])
