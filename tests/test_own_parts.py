"""Parts of a user's own are used wherever xpnn's own are: trained, saved, loaded, and named where they are wrong."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

import xpnn
from xpnn import registry
from xpnn.errors import InputError, ModelFileError
from xpnn.files import tensors

from . import own_parts
from .conftest import LIBRARIES
from .own_parts import Charbonnier, Group, Halving, Ones, RootMeanSquare, Scale, Signum, Snake

HERE = "tests.own_parts"
NUMPY = LIBRARIES["numpy"]
NETWORK = xpnn.Sequential(
    xpnn.Dense(6, Snake(2.0), "he_normal", Ones()), Scale(0.5, Ones(), (1.0, 2.5)), xpnn.Dense(1, Snake()),
    input_shape=(3,),
)  # fmt: skip


def data(lib, dtype="float32", n=24):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(n, 3))
    return lib(X, dtype), lib(np.sin(X[:, :1]) + 0.1 * X[:, 1:2], dtype)


def trained(lib, dtype="float32", **options):
    X, y = data(lib, dtype)
    options = {"optimizer": Signum(Halving(0.02, every=40), 0.8), "loss": Charbonnier(epsilon=0.2)} | options
    return xpnn.fit(
        NETWORK, X, y, epochs=20, batch_size=8, validation_data=(X, y), metrics=[RootMeanSquare()], **options
    )


# trained


@pytest.mark.parametrize("compile", [None, False])
def test_parts_of_every_kind_train_together(compile, lib, dtype):
    model = trained(lib, dtype, compile=compile)
    X, y = data(lib, dtype)
    assert model.history["loss"][-1] < 0.7 * model.history["loss"][0]
    assert model.history["validation_RootMeanSquare"][-1] < model.history["validation_RootMeanSquare"][0]
    lib.check(model.params, dtype)
    assert set(model.evaluate(X, y, metrics=[RootMeanSquare()])) >= {"loss", "r2", "RootMeanSquare"}
    _, gradient = xpnn.value_and_grad(NETWORK, Charbonnier())(model.params, X, y, buffers=model.buffers)
    lib.check(gradient, dtype)


def test_the_summary_names_them(capsys):
    NETWORK.summary()
    said = capsys.readouterr().out
    assert "Dense Snake" in said
    assert "Scale" in said


# saved and loaded


@pytest.fixture
def saved(tmp_path):
    model = trained(NUMPY)
    model.save(tmp_path / "model.safetensors")
    return model, tmp_path / "model.safetensors"


@pytest.mark.parametrize(
    "trusted",
    [[HERE], (HERE,), ["json", HERE], [f"{HERE}:{name}" for name in ("Snake", "Scale", "Ones", "Charbonnier")]],
)
def test_a_model_comes_back_if_its_modules_are_trusted(saved, trusted):
    model, path = saved
    again = xpnn.load(path, trusted=trusted)
    assert again.network == model.network == NETWORK
    assert again.loss == Charbonnier(epsilon=0.2)
    assert hash(again.network) == hash(NETWORK)
    X, _ = data(NUMPY)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_a_part_whose_hyperparameters_are_no_fields_is_not_saved_without_them(tmp_path):
    model = xpnn.fit(xpnn.mlp([2, 3, 1], own_parts.Undeclared(3.0)), np.ones((4, 2)), np.ones((4, 1)), epochs=1)
    with pytest.raises(
        ModelFileError, match=r"Undeclared cannot be saved .* takes, k, is no field .* k: float = 1.0"
    ):
        model.save(tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_without_trust_every_such_part_is_named_and_nothing_is_imported(saved, monkeypatch):
    _, path = saved
    monkeypatch.setattr(registry.importlib, "import_module", lambda name: pytest.fail(f"imported {name}"))
    for trusted, missing in (
        ([], "Snake, tests.own_parts:Ones, tests.own_parts:Scale, tests.own_parts:Charbonnier"),
        ([f"{HERE}:Snake", f"{HERE}:Ones"], "Scale, tests.own_parts:Charbonnier"),
    ):
        with pytest.raises(ModelFileError, match=f"not xpnn's own: tests.own_parts:{missing}. ") as error:
            xpnn.load(path, trusted=trusted)
        assert f"pass trusted={[*trusted, HERE]!r}, on the command line --trust {HERE}." in str(error.value)
        assert "\n" not in str(error.value)


def test_a_package_is_not_trusted_with_what_is_below_it(saved):
    with pytest.raises(ModelFileError, match="not xpnn's own"):
        xpnn.load(saved[1], trusted=["tests"])


@pytest.mark.parametrize("trusted", [HERE, [own_parts]])
def test_trust_is_a_list_of_names(saved, trusted):
    with pytest.raises(InputError, match=r"trusted must be a list of modules such as \['my_parts'\], got"):
        xpnn.load(saved[1], trusted=trusted)


def test_a_part_of_another_kind_is_refused_where_it_stands():
    dense = registry.describe(xpnn.Dense(2)) | {"activation": {"class": f"{HERE}:Signum"}}
    with pytest.raises(
        ModelFileError, match="cannot rebuild .*activation must be a name or Activation object, got Sig"
    ):
        registry.build(dense, [HERE])
    with pytest.raises(ModelFileError, match="not xpnn's own: tests.own_parts:Signum"):
        registry.build(dense)


def changed(path, old, new):
    """The same file with other import paths in it, as somebody might make one."""
    arrays, header = tensors.read(path)
    text = json.dumps({name: header[name] for name in header if name != "version"})
    assert old in text
    tensors.write(path, arrays, json.loads(text.replace(old, new)))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "tests.own_parts:Missing",
            "tests.own_parts:Missing is no part: under that name there is nothing",
        ),
        ("tests.own_parts:not_a_part", "is no part: under that name there is <function not_a_part at"),
        ("tests.own_parts:Plain", "is no part: under that name there is <class 'tests.own_parts.Plain'>"),
        ("tests.own_parts:Path.cwd", "is no part: under that name there is nothing"),
        ("tests.own_parts:", "is no part"),
        (
            "tests.own_parts:Signum",
            "cannot rebuild a part of the model from .* unexpected keyword argument 'frequency'",
        ),
        ("os:system", "os:system is no part: under that name there is <built-in function system>"),
        ("nowhere.at.all:Snake", r"nowhere.at.all:Snake cannot be imported \(ModuleNotFoundError: No module named"),
        (":Snake", "cannot be imported .ValueError: Empty module name"),
        ("..xpnn:Snake", "cannot be imported .TypeError: "),
    ],
)
def test_what_is_no_part_is_an_error_that_says_what_was_found(saved, name, message):
    _, path = saved
    changed(path, f'"{HERE}:Snake"', json.dumps(name))
    with pytest.raises(ModelFileError, match=message):
        xpnn.load(path, trusted=[HERE, name.partition(":")[0]])


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("1 / 0", r"\(ZeroDivisionError: division by zero\)"),
        ("import sys; sys.exit(3)", r"\(SystemExit: 3\)"),
        ("class Snake", r"\(SyntaxError: "),
    ],
)
def test_a_module_that_cannot_be_imported_says_why(saved, tmp_path, monkeypatch, code, message):
    (tmp_path / "broken_parts.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    changed(saved[1], f'"{HERE}:Snake"', '"broken_parts:Snake"')
    with pytest.raises(ModelFileError, match=f"broken_parts:Snake cannot be imported {message}"):
        xpnn.load(saved[1], trusted=[HERE, "broken_parts"])


def test_hyperparameters_that_a_class_refuses_are_shown(saved):
    changed(saved[1], '"frequency": 2.0', '"frequence": 2.0')
    with pytest.raises(ModelFileError, match="cannot rebuild a part of the model from .*'frequence': 2.0"):
        xpnn.load(saved[1], trusted=[HERE])


def test_a_class_that_stands_in_no_module_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    @dataclass(frozen=True)
    class Inside(Snake):
        pass

    shadowed = dataclass(frozen=True)(type("Snake", (Snake,), {"__module__": HERE, "__qualname__": "Snake"}))
    at_top = dataclass(frozen=True)(type("Top", (Snake,), {"__module__": "__main__", "__qualname__": "Top"}))
    for f, message in (
        (Inside(), "Inside cannot be saved in a model file: the class is defined in a function, from where"),
        (at_top(), "Top cannot be saved in a model file: the class is defined in the program that is run"),
        (
            shadowed(),
            "Snake cannot be saved in a model file: the class is not what stands as Snake in the module tests",
        ),
    ):
        X, y = data(NUMPY)
        model = xpnn.fit(xpnn.mlp([3, 2, 1], hidden=f), X, y, epochs=1)
        with pytest.raises(ModelFileError, match=f"{message}.* Define it in a module, such as my_parts.py"):
            model.save(tmp_path / "m")
        assert list(tmp_path.iterdir()) == []


@dataclass(frozen=True)
class Holding(Snake):
    thing: object = None
    derived: object = field(default=None, init=False, compare=False)


@pytest.mark.parametrize(
    ("thing", "kind"),
    [(1j, "complex"), (np.float32(1), "float32"), ((1.0, b"2"), "bytes"), (Snake, "type"), ({}, "dict")],
)
def test_a_hyperparameter_that_a_file_cannot_hold_is_named(thing, kind):
    with pytest.raises(
        ModelFileError, match=rf"Holding: thing holds .* of type {kind}, which a model file cannot hold"
    ):
        registry.describe(Holding(thing=thing))


@pytest.mark.parametrize("thing", [None, True, 3, 2.5, "three", (), (1, (2.0, "x"), Snake(3.0)), Scale(bias=Ones())])
def test_numbers_texts_parts_and_tuples_of_them_come_back(thing):
    part = Holding(thing=thing)
    object.__setattr__(part, "derived", object())  # no hyperparameter
    description = json.loads(json.dumps(registry.describe(part)))
    again = registry.build(description, [HERE, __name__])
    assert again == part
    assert type(again.thing) is type(thing)


def test_registering_a_part_does_not_make_it_xpnn_s_own():
    from xpnn import activations

    @activations._registry.register("mine")
    @dataclass(frozen=True)
    class Sigmoid(Snake):
        pass

    try:
        assert activations.get("mine") == Sigmoid()
        assert registry.build({"class": "Sigmoid"}) == xpnn.Sigmoid()
        with pytest.raises(ModelFileError, match="Sigmoid cannot be saved"):
            registry.describe(Sigmoid())
    finally:
        del activations.NAMES["mine"]


def test_a_trained_network_with_them_can_be_pickled_and_moved(lib):
    model = trained(lib)
    again = pickle.loads(pickle.dumps(model)).to("numpy")
    X, _ = data(NUMPY)
    np.testing.assert_allclose(again.predict(X), model.to("numpy").predict(X), rtol=1e-6)


# on the command line


@pytest.fixture
def folder(tmp_path):
    """A folder with a table, a module of parts and a model that has one."""
    pytest.importorskip("click")
    pytest.importorskip("polars")
    rows = "".join(f"{i % 7},{(3 * i) % 5},{'yes' if i % 7 > 3 else 'no'}\n" for i in range(40))
    (tmp_path / "table.csv").write_text("a,b,answer\n" + rows)
    shutil.copy(own_parts.__file__, tmp_path / "my_parts.py")
    program = (
        "import xpnn, my_parts\n"
        "from dataclasses import replace\n"
        "from xpnn.cli import main\n"
        "assert main('train table.csv --target answer --hidden 4 --out m.safetensors --quiet'.split()) == 0\n"
        "model = xpnn.load('m.safetensors')\n"
        "hidden, output = model.network.layers\n"
        "hidden = xpnn.Dense(4, my_parts.Snake(1.5))\n"
        "network = xpnn.Sequential(hidden, output, input_shape=model.network.input_shape)\n"
        "replace(model, network=network).save('m.safetensors')\n"
    )
    made = run(tmp_path, "-c", program)
    assert made.returncode == 0, made.stderr
    return tmp_path


def run(folder, *words):
    environment = os.environ | {"PYTHONPATH": str(Path(xpnn.__file__).parents[1])}
    return subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, env=environment)


# the console command, on whose path the current folder is not
CONSOLE = "import sys; sys.path[0] = '/'; from xpnn.cli import main; sys.exit(main())"


def command(folder, *words):
    return run(folder, "-c", CONSOLE, *words)


def test_the_commands_take_a_module_to_trust(folder):
    predicted = command(folder, "predict", "m.safetensors", "table.csv", "--trust", "my_parts")
    assert predicted.returncode == 0, predicted.stderr
    assert predicted.stdout.splitlines()[0] == "answer"
    assert len(predicted.stdout.splitlines()) == 41
    scored = command(folder, "evaluate", "m.safetensors", "table.csv", "--trust", "json", "--trust", "my_parts:Snake")
    assert "accuracy" in scored.stdout, scored.stderr
    shown = command(folder, "summary", "m.safetensors", "--trust", "my_parts")
    assert "Dense Snake" in shown.stdout, shown.stderr
    assert run(folder, "-m", "xpnn", "summary", "m.safetensors", "--trust", "my_parts").stdout == shown.stdout


@pytest.mark.parametrize("words", [("predict", "table.csv"), ("evaluate", "table.csv"), ("summary",)])
def test_without_it_they_say_what_to_trust_and_import_nothing(folder, words):
    with (folder / "my_parts.py").open("a") as file:
        file.write("print('imported')\n")
    refused = command(folder, words[0], "m.safetensors", *words[1:])
    assert refused.returncode == 2
    assert "imported" not in refused.stdout + refused.stderr
    assert refused.stderr.startswith("xpnn: the model has parts that are not xpnn's own: my_parts:Snake. ")
    assert refused.stderr.rstrip().endswith("on the command line --trust my_parts.")
    assert len(refused.stderr.splitlines()) == 1


def test_a_file_in_the_folder_takes_the_place_of_no_module_that_is_installed(folder):
    (folder / "json.py").write_text("raise SystemExit('the file beside the table')")
    shown = command(folder, "summary", "m.safetensors", "--trust", "my_parts")
    assert shown.returncode == 0, shown.stderr


# wrong ones are named before anything is trained

part = dataclass(frozen=True)


@part
class Short(Snake):
    def backward(self, cache, da, *, xp):
        return da[:, :1]


@part
class Wide(Snake):
    def forward(self, z, *, xp):
        return xp.astype(z, xp.float64), z


@part
class Foreign(Snake):
    def forward(self, z, *, xp):
        return [[0.0] * z.shape[1]] * z.shape[0], z


@part
class ShortScale(Scale):
    def forward(self, params, x, ctx):
        return x[:, :1], x


@part
class FlatLoss(Charbonnier):
    def terms(self, prediction, y, *, xp):
        return (prediction - y)[:, 0], prediction


@part
class WideLoss(xpnn.Loss):
    def value_and_grad(self, prediction, y, sample_weight=None, *, xp=None):
        return xp.sum(prediction), xp.astype(prediction, xp.float64)


@part
class WideMetric(RootMeanSquare):
    def value(self, prediction, y, w, *, xp):
        return xp.sum((prediction - y) ** 2, axis=0)


@part
class FlatPenalty(Group):
    def value(self, w, *, xp):
        return w * w


@part
class WidePenalty(Group):
    def derivative(self, w, *, xp):
        return xp.astype(w, xp.float64)


@part
class ShortMoments(Signum):
    def init(self, params, *, xp):
        return (params[:1],)


@part
class FlatInitializer(xpnn.Initializer):
    def sample(self, shape, rng):
        return np.zeros(3)


@part
class TextSchedule(xpnn.Schedule):
    def at(self, t):
        return str(self.learning_rate)


def network(hidden="tanh", layer=None, **options):
    layers = [xpnn.Dense(4, hidden, **options), *([layer] if layer else []), xpnn.Dense(2)]
    return xpnn.Sequential(*layers, input_shape=(3,))


@pytest.mark.parametrize(
    ("net", "options", "message"),
    [
        (network(Short()), {}, r"Short.backward: dz must have shape \(3, 4\), got \(3, 1\)"),
        (network(Wide()), {}, "Wide.forward: a must be float32, as z is, got float64: take Python floats"),
        (network(Foreign()), {}, r"Foreign.forward: a must be an array of \w+, \(3, 4\), got list"),
        (network(layer=ShortScale()), {}, r"ShortScale.forward: y must have shape \(3, 4\), got \(3, 1\)"),
        (network(), {"loss": FlatLoss()}, r"FlatLoss.terms: terms must have shape \(3, 2\), got \(3,\)"),
        (
            network(),
            {"loss": WideLoss()},
            "WideLoss.value_and_grad: the gradient must be float32, as the prediction is",
        ),
        (network(), {"metrics": [WideMetric()]}, r"WideMetric.value must have shape \(\), got \(2,\)"),
        (network(), {"penalty": FlatPenalty(0.1)}, r"FlatPenalty.value must have shape \(\), got \(12,\)"),
        (network(), {"penalty": [xpnn.L2(0.1), WidePenalty(0.1)]}, "WidePenalty.derivative must be float32, as w is"),
        (network(), {"optimizer": ShortMoments()}, r"ShortMoments.init: moment 0 must have shape \(3,\), got \(1,\)"),
        (
            network(weight_initializer=FlatInitializer()),
            {},
            r"FlatInitializer.sample must return a NumPy array of shape \(3, 4\), got shape \(3,\)",
        ),
        (
            network(),
            {"optimizer": xpnn.SGD(TextSchedule(0.1))},
            "TextSchedule.rate: the rate must be a Python float, got str",
        ),
    ],
)
def test_fit_names_the_part_that_is_wrong_before_the_first_step(net, options, message, lib, rng):
    X, y = lib(rng.normal(size=(8, 3)), "float32"), lib(rng.normal(size=(8, 2)), "float32")
    called = []
    with pytest.raises(InputError, match=message):
        xpnn.fit(net, X, y, validation_data=(X, y), callbacks=[called.append], epochs=2, **options)
    assert called == []


@part
class OfNumPy(Snake):
    def forward(self, z, *, xp):
        return np.sin(np.asarray(z)), z


@pytest.mark.parametrize("name", [name for name in ("torch", "jax") if name in LIBRARIES])
def test_an_array_of_another_library_is_named(name, rng):
    X, y = LIBRARIES[name](rng.normal(size=(8, 3))), LIBRARIES[name](rng.normal(size=(8, 2)))
    with pytest.raises(InputError, match=f"OfNumPy.forward: a must be an array of {name}, as z is, got one of numpy"):
        xpnn.fit(network(OfNumPy()), X, y)


def test_parameters_to_start_from_stay_as_they_are(lib, rng):
    X, y = lib(rng.normal(size=(8, 3)), "float32"), lib(rng.normal(size=(8, 2)), "float32")
    net = network(Snake())
    params = net.init(0, like=X)
    before = lib.host(params).copy()
    with pytest.raises(InputError, match="ShortMoments.init"):
        xpnn.fit(net, X, y, params=params, optimizer=ShortMoments())
    xpnn.fit(net, X, y, params=params, optimizer=Signum(), epochs=1)
    np.testing.assert_array_equal(lib.host(params), before)


def test_so_do_value_and_grad_predict_and_evaluate(lib, rng):
    X, y = lib(rng.normal(size=(8, 3)), "float32"), lib(rng.normal(size=(8, 2)), "float32")
    net = network(Short())
    with pytest.raises(InputError, match="Short.backward: dz must have shape"):
        xpnn.value_and_grad(net, "mse")(net.init(0, like=X), X, y)
    with pytest.raises(InputError, match="FlatLoss.terms: terms must have shape"):
        xpnn.value_and_grad(network(), FlatLoss())(net.init(0, like=X), X, y)
    with pytest.raises(InputError, match=r"FlatPenalty.value must have shape"):
        xpnn.value_and_grad(network(), "mse", penalty=FlatPenalty(0.1))(network().init(0, like=X), X, y)
    wrong = network(layer=ShortScale())
    model = xpnn.Model(wrong, wrong.init(0, like=X), "mse", buffers=wrong.init_buffers(like=X))
    for use in (lambda: model.predict(X), lambda: model.predict(X), lambda: model.evaluate(X, y)):
        with pytest.raises(InputError, match="ShortScale.forward: y must have shape"):
            use()
    model = xpnn.Model(network(), network().init(0, like=X), FlatLoss())
    with pytest.raises(InputError, match=r"FlatLoss.terms: terms must have shape \(3, 2\), got \(3,\)"):
        model.evaluate(X, y)
    model = xpnn.Model(network(), network().init(0, like=X), "mse")
    with pytest.raises(InputError, match=r"WideMetric.value must have shape \(\), got \(2,\)"):
        model.evaluate(X, y, metrics=[WideMetric()])


def test_a_layer_whose_first_parameters_do_not_fit_is_named():
    @part
    class Swapped(Scale):
        def init(self, input_shape, rng):
            return dict(reversed(super().init(input_shape, rng).items()))

    net = xpnn.Sequential(Swapped(), input_shape=(3,))
    with pytest.raises(InputError, match=r"Swapped.init must return arrays of its parameter_shapes, \{'g': \(3,\)"):
        net.init(0)


def test_they_are_looked_at_once_not_at_each_step(rng):
    calls = []

    @part
    class Counted(Snake):
        def forward(self, z, *, xp):
            calls.append(z.shape)
            return super().forward(z, xp=xp)

    X, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    net = network(Counted())
    f, params = xpnn.value_and_grad(net, "mse"), net.init(0)
    for _ in range(5):
        f(params, X, y)
    assert calls.count((8, 4)) == 5
    assert len(calls) == 7  # of 3 rows, by itself and in its layer
    calls.clear()
    xpnn.fit(net, X, y, epochs=50, compile=False)
    looked = [shape for shape in calls if shape != (8, 4)]
    assert looked == [(3, 4)] * 2 * 2  # before the first step, and before the last loss
    calls.clear()
    xpnn.fit(network(), X, y, epochs=5)
    assert calls == []


def test_jax_may_compile_value_and_grad_with_them(rng):
    jax = pytest.importorskip("jax")
    X, y = jax.numpy.asarray(rng.normal(size=(8, 3))), jax.numpy.asarray(rng.normal(size=(8, 2)))
    net = network(Snake(), Scale())
    f, params = xpnn.value_and_grad(net, Charbonnier()), net.init(0, like=X)
    for ours, expected in zip(jax.jit(f)(params, X, y), f(params, X, y), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_torch_may_differentiate_through_them(rng):
    torch = pytest.importorskip("torch")
    X, y = torch.asarray(rng.normal(size=(8, 3))), torch.asarray(rng.normal(size=(8, 2)))
    net = network(Snake())
    params = net.init(0, like=X)
    _, gradient = xpnn.value_and_grad(net, Charbonnier())(params, X, y)
    leaf = params.clone().requires_grad_()
    Charbonnier()(net.forward(leaf, X), y).backward()
    torch.testing.assert_close(gradient, leaf.grad)


def test_the_library_knows_its_own_parts():
    assert registry.built_in(xpnn.Tanh)
    assert not registry.built_in(Snake)
