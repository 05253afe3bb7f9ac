import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest

import xpnn
from xpnn import backends, tables
from xpnn.backends.generic import Backend
from xpnn.files import tensors
from xpnn.training import fastest

from .conftest import LIBRARIES

pytest.importorskip("click")
pl = pytest.importorskip("polars")

from xpnn.cli import data, main, train, using  # noqa: E402  (needs click and polars)


def table(n=60):
    """Rows whose targets follow from the columns a, b and t."""
    rng = np.random.default_rng(3)
    a, b = rng.normal(5, 3, n), rng.normal(-1, 0.1, n)
    t = rng.choice(["left", "right"], n)
    return pl.DataFrame(
        {
            "a": a,
            "b": b,
            "t": t,
            "class": np.where(a > 5, "high", "low"),
            "kind": np.where(a > 7, 30, np.where(a > 3, 20, 10)),
            "amount": 100 + 7 * a + 50 * (t == "left"),
            "p": a > 5,
            "q": (t == "left").astype(int),
        }
    )


TARGETS = ["class", "kind", "amount", "p", "q"]


class Run:
    """The command line in this process."""

    def __init__(self, folder, capsys):
        self.folder = folder
        self.capsys = capsys
        self.model = folder / "model.safetensors"

    def __call__(self, *words):
        """Exit code, standard output, standard error."""
        self.capsys.readouterr()
        code = main([str(word) for word in words])
        return code, *self.capsys.readouterr()

    def train(self, *words, data="data.csv", target="class", epochs=3):
        """Train on a file of the folder; without the other target columns if it is the usual one."""
        others = [w for name in TARGETS if data == "data.csv" and name != target for w in ("--ignore", name)]
        return self(
            "train", self.folder / data, "--target", target, "--out", self.model, "--epochs", epochs, *others, *words
        )

    def good(self, *words):
        """Standard output of a call that must succeed."""
        code, out, err = self(*words)
        assert code == 0, err
        return out

    def predictions(self, data):
        """What predict writes, as a table."""
        self.good("predict", self.model, data, "--out", self.folder / "predictions.csv")
        return pl.read_csv(self.folder / "predictions.csv")


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(fastest, "_TRIAL", 0.0)  # a few steps tell enough here
    table().write_csv(tmp_path / "data.csv")
    return Run(tmp_path, capsys)


def check_error(result, message):
    """Exit code 2, nothing on standard output, one or two lines on standard error that match."""
    code, out, err = result
    assert code == 2
    assert err.startswith("xpnn: ")
    assert re.search(message, err), err
    assert len(err.splitlines()) <= 2
    assert "Traceback" not in err
    return out


# --- train, predict, evaluate with nothing but the target


@pytest.mark.parametrize(
    ("target", "task", "network"),
    [
        ("class", "binary, 2 classes", "4-32-1"),
        ("kind", "multiclass, 3 classes", "4-32-3"),
        ("amount", "regression, 1 target", "4-32-1"),
        ("p", "binary, 2 classes", "4-32-1"),
    ],
)
def test_the_target_alone_gives_a_sensible_model(run, target, task, network):
    code, out, _ = run.train(target=target, epochs=100)
    assert code == 0
    assert f"{task} (--task to change)" in out
    assert f"{network}, " in out
    assert re.search(r"^data +4\d rows to train on, 1\d to validate; 4 features$", out, re.MULTILINE)
    assert re.search(r"^validation +(accuracy|R²) ", out, re.MULTILINE)
    scores = run.good("evaluate", run.model, run.folder / "data.csv")
    number = re.search(r"^(?:accuracy|R²) +([\d.]+)", scores, re.MULTILINE)
    assert float(number[1]) > (0.9 if target == "amount" else 90)
    assert re.search(r"^rows +60$", scores, re.MULTILINE)


@pytest.mark.parametrize("target", ["class", "kind", "amount", "p", "q"])
def test_predictions_come_back_as_the_target_was(run, target):
    run.train("--quiet", target=target)
    back = run.predictions(run.folder / "data.csv")
    assert back.columns == [target]
    assert back.schema[target] == pl.read_csv(run.folder / "data.csv").schema[target]
    assert back.height == 60
    if target != "amount":
        assert set(back[target]) <= set(table()[target])


def test_several_targets_are_several_labels(run):
    assert (
        run("train", run.folder / "data.csv", "--target", "p", "--target", "q", "--out", run.model, "--quiet")[0] == 0
    )
    run.good("predict", run.model, run.folder / "data.csv", "--out", run.folder / "out.csv", "--probabilities")
    back = pl.read_csv(run.folder / "out.csv")
    assert back.columns == ["p", "q", "P(p)", "P(q)"]
    assert set(back["q"]) == {0, 1}
    assert "multilabel" in run.good("summary", run.model)


def test_several_targets_of_numbers_are_a_regression_of_each(run):
    words = [
        "--target",
        "amount",
        "--ignore",
        "class",
        "--ignore",
        "p",
        "--ignore",
        "q",
        "--out",
        run.model,
        "--quiet",
    ]
    assert run("train", run.folder / "data.csv", "--target", "kind", *words, "--task", "regression")[0] == 0
    assert run.predictions(run.folder / "data.csv").columns == ["kind", "amount"]


def test_predict_takes_the_columns_in_any_order_and_without_the_target(run):
    run.train("--quiet")
    expected = run.predictions(run.folder / "data.csv")
    table().select("t", "b", "a").with_columns(other=1).write_csv(run.folder / "other.csv")
    assert run.predictions(run.folder / "other.csv").equals(expected)


def test_parquet_and_csv_give_the_same(run):
    run.train("--quiet")
    expected = run.predictions(run.folder / "data.csv")
    table().write_parquet(run.folder / "data.parquet")
    assert run.predictions(run.folder / "data.parquet").equals(expected)
    first = run.model.read_bytes()
    words = [w for name in TARGETS[1:] for w in ("--ignore", name)]
    assert run.train("--quiet", *words, data="data.parquet")[0] == 0
    assert run.model.read_bytes() == first


def test_predict_prints_csv_and_nothing_else(run):
    run.train("--quiet")
    code, out, err = run("predict", run.model, run.folder / "data.csv")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "class"
    assert set(out.splitlines()[1:]) <= {"high", "low"}
    assert len(out.splitlines()) == 61


def test_probabilities_add_up_to_one(run):
    run.train("--quiet", target="kind")
    run.good("predict", run.model, run.folder / "data.csv", "--probabilities", "--out", run.folder / "out.csv")
    back = pl.read_csv(run.folder / "out.csv")
    assert back.columns == ["kind", "P(10)", "P(20)", "P(30)"]
    np.testing.assert_allclose(back.select(pl.exclude("kind")).to_numpy().sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", ["p.parquet", "p.PQ", "p.tsv", "p.txt"])
def test_predictions_are_written_as_their_ending_says(run, name):
    run.train("--quiet")
    printed = run.good("predict", run.model, run.folder / "data.csv")
    run.good("predict", run.model, run.folder / "data.csv", "--out", run.folder / name)
    if name.endswith("txt"):
        assert (run.folder / name).read_text(encoding="utf-8") == printed
    else:
        assert tables.read(run.folder / name).write_csv() == printed


@pytest.mark.parametrize("name", [None, "p.csv", "p.parquet"])
def test_columns_are_kept_as_they_are_written(run, name):
    run.train("--quiet")
    data = pl.read_csv(run.folder / "data.csv")
    data = data.with_columns(pl.Series("id", [f"{i:03}" for i in range(data.height)]), (data["a"] * 2).alias("x,y"))
    data.write_csv(run.folder / "with_id.csv")
    plain = run.good("predict", run.model, run.folder / "data.csv").splitlines()[1:]
    words = ["--keep", "id,a", "--keep", "x,y", *([] if name is None else ["--out", run.folder / name])]
    out = run.good("predict", run.model, run.folder / "with_id.csv", *words)
    if name is None:
        (run.folder / "p.csv").write_text(out)
    found = tables.read(run.folder / (name or "p.csv"), text=["id"])
    assert found.columns == ["id", "a", "x,y", "class"]
    assert found["id"].to_list() == data["id"].to_list()
    np.testing.assert_allclose(found["x,y"], data["x,y"], rtol=1e-12)
    assert found["class"].to_list() == plain


@pytest.mark.parametrize(
    ("keep", "message"),
    [("idd", "--keep: unknown column 'idd'"), ("class", "--keep class: predictions are called so")],
)
def test_columns_that_cannot_be_kept(run, keep, message):
    run.train("--quiet")
    check_error(run("predict", run.model, run.folder / "data.csv", "--keep", keep), message)


def test_a_column_called_as_a_probability_cannot_be_kept(run):
    run.train("--quiet")
    data = pl.read_csv(run.folder / "data.csv").with_columns(pl.lit(1).alias("P(high)"))
    data.write_csv(run.folder / "more.csv")
    words = ["predict", run.model, run.folder / "more.csv", "--keep", "P(high)"]
    assert run(*words)[0] == 0
    check_error(run(*words, "--probabilities"), r"--keep P\(high\): predictions are called so")


def test_a_dash_is_told_what_to_be(run):
    run.train("--quiet")
    check_error(run("predict", run.model, "-"), "cannot read -: .* For standard input give /dev/stdin")
    check_error(
        run("predict", run.model, run.folder / "data.csv", "--out", "-"), "--out - would be a file of that name"
    )


def test_text_that_looks_like_numbers_later_is_still_text(run):
    rows = "".join(
        f"{code},{i},{label}\n" for i, (code, label) in enumerate([("01234", 1), ("0567", 2), ("A1", "x")] * 9)
    )
    (run.folder / "codes.csv").write_text("code,a,y\n" + rows)
    run.train("--quiet", data="codes.csv", target="y")
    (run.folder / "part.csv").write_text("code,a,y\n01234,0,1\n0567,1,2\n")
    for command in ("predict", "evaluate"):
        code, _, err = run(command, run.model, run.folder / "part.csv")
        assert (code, err) == (0, "")


def test_values_that_were_not_there_in_training_are_noted(run):
    run.train("--quiet")
    (run.folder / "new.csv").write_text("a,b,t\n1,2,up\n")
    code, out, err = run("predict", run.model, run.folder / "new.csv")
    assert (code, len(out.splitlines())) == (0, 2)
    assert err == (
        "note: column 't' has values that were not there in training: 'up'; they count as none of the known ones\n"
    )


def test_a_class_with_one_row_is_trained_on(run):
    rows = "".join(f"{i},{'rare' if i == 3 else 'ab'[i % 2]}\n" for i in range(40))
    (run.folder / "rare.csv").write_text("a,y\n" + rows)
    code, out, _ = run.train(data="rare.csv", target="y")
    assert code == 0
    assert "multiclass, 3 classes" in out


def test_columns_that_are_not_used_are_named_with_the_reason(run):
    table().with_columns(id=pl.Series([f"id{i}" for i in range(60)])).write_csv(run.folder / "ids.csv")
    out = run.train(data="ids.csv")[1]
    assert "not used" in out
    assert "column 'id': text with" in out
    assert "id (text with" in run.good("summary", run.model)


def test_two_rows_are_enough_without_validation(run):
    (run.folder / "two.csv").write_text("a,y\n1,2\n2,3\n")
    code, out, _ = run.train("--validation", 0, data="two.csv", target="y")
    assert code == 0
    assert "2 rows to train on, 0 to validate" in out
    assert not re.search("^validation", out, re.MULTILINE)


# --- options


def test_the_same_seed_gives_the_same_file_and_another_seed_another(run):
    files = []
    for seed in (1, 1, 2):
        run.train("--quiet", "--seed", seed)
        files.append(run.model.read_bytes())
    assert files[0] == files[1] != files[2]


@pytest.mark.parametrize(
    ("words", "network"),
    [
        (["--hidden", "16,8"], "4-16-8-1"),
        (["--hidden", ""], "4-1"),
        (["--hidden", "3", "--activation", "tanh"], "4-3-1"),
    ],
)
def test_hidden_layers_are_as_asked(run, words, network):
    assert f"network  {network}, " in " ".join(run.train(*words)[1].replace("network   ", "network  ").splitlines())
    assert f"Network {network}, " in run.good("summary", run.model)


def test_each_hidden_layer_may_have_its_own_activation(run):
    run.train("--quiet", "--hidden", "4,3", "--activation", "tanh,sigmoid")
    names = [type(layer.activation).__name__ for layer in xpnn.load(run.model).network.layers]
    assert names == ["Tanh", "Sigmoid", "Sigmoid"]


@pytest.mark.parametrize("target", ["class", "kind"])
def test_classes_trained_with_squared_errors_are_scored_by_accuracy(run, target):
    code, out, err = run.train("--loss", "mse", target=target)
    assert code == 0, err
    assert "accuracy" in out
    assert "accuracy" in run.good("evaluate", run.model, run.folder / "data.csv")
    assert "MeanSquaredError" in run.good("summary", run.model)


def test_training_stops_at_the_tolerance(run):
    out = run.train("--tol", 10)[1]
    assert "trained     1 epoch (the loss is at or under --tol)" in re.sub("trained +", "trained     ", out)
    assert xpnn.load(run.model).stopped == "tol"


def test_a_batch_size_of_0_is_one_step_per_epoch(run):
    assert run.train("--batch-size", 0)[0] == 0


def test_quiet_prints_nothing(run):
    assert run.train("--quiet") == (0, "", "")


def test_without_a_terminal_progress_is_plain_lines(run):
    err = run.train()[2]
    assert re.match(r"epoch 1/3  loss [\d.]+  validation [\d.]+\n", err)
    assert len(err.splitlines()) == 3
    assert "\x1b" not in err


def test_summary_shows_the_network_the_columns_and_the_training(run):
    run.train("--quiet")
    out = run.good("summary", run.model)
    for part in (
        "Network 4-32-1",
        "193 parameters",
        "3 epochs, loss from",
        "binary: high, low",
        "a, b",
        "t (2 values)",
    ):
        assert part in out


def test_the_model_file_can_be_loaded_from_python(run):
    run.train("--quiet")
    model = xpnn.load(run.model)
    assert model.labels == ["high", "low"]
    assert len(model.history["loss"]) == len(model.history["validation_loss"]) == 3


# --- backends


def test_auto_says_which_backend_and_why(run):
    alone = backends.installed() == ["numpy"]
    reason = "the only library installed" if alone else "about .* s of training, too short to try other libraries"
    assert re.search(rf"^backend +numpy on cpu \({reason}\)$", run.train()[1], re.MULTILINE)


@pytest.mark.parametrize("quiet", [False, True])
def test_libraries_that_are_tried_are_told(run, monkeypatch, quiet):
    """It takes seconds to load one."""
    monkeypatch.setattr(backends, "installed", lambda: ["numpy", "jax"])
    monkeypatch.setattr(fastest, "_WORTH_TRYING", 0.0)
    monkeypatch.setattr(fastest, "_seconds_per_step", lambda *_: 1.0)
    monkeypatch.setattr(backends, "usable_device", lambda name, device=None: "cpu")
    code, _, err = run.train(*["--quiet"] * quiet)
    assert code == 0
    assert ("trying jax …\n" in err) == (not quiet)
    assert "trying numpy" not in err


@pytest.mark.parametrize("name", [name for name in backends.KNOWN if name in LIBRARIES])
def test_each_backend_trains_the_same_model(run, name):
    run.train("--quiet", "--backend", "numpy")
    expected = xpnn.load(run.model).params
    out = run.train("--backend", name)[1]
    assert re.search(rf"^backend +{name} on \S+ \(as asked\)$", out, re.MULTILINE)
    np.testing.assert_allclose(xpnn.load(run.model).params, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["cupy", "torch", "jax"])
def test_a_backend_that_is_not_installed_says_how_to_install_it(run, monkeypatch, name):
    monkeypatch.setattr(Backend, "available", lambda self: False)
    message = f"{name} cannot be used here: not installed: pip install 'xpnn"
    check_error(run.train("--backend", name), re.escape(message))
    assert not run.model.exists()


def test_devices_lists_every_library(run, monkeypatch):
    monkeypatch.setattr(Backend, "available", lambda self: self.name == "numpy")
    out = run.good("devices")
    assert re.search(r"^numpy +\S+ +cpu +yes$", out, re.MULTILINE)
    assert len(re.findall("no +not installed: pip install", out)) == 3


def test_an_unknown_device_lists_those_there_are(run):
    check_error(
        run.train("--backend", "numpy", "--device", "cuda:0"), "numpy has no device 'cuda:0' here; it has: cpu"
    )


# --- errors


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--learning-rate", "0"], "--learning-rate must be a number > 0, got 0.0"),
        (["--learning-rate", "-1"], "--learning-rate must be a number > 0, got -1.0"),
        (["--learning-rate", "nan"], "--learning-rate must be a number > 0, got nan"),
        (["--learning-rate", "fast"], "Invalid value for '--learning-rate': 'fast'"),
        (["--activation", "rellu"], "unknown activation 'rellu'. Did you mean 'relu'. Valid: .*sigmoid"),
        (["--loss", "msee"], "unknown loss 'msee'. Did you mean 'mse'. Valid: .*binary_crossentropy"),
        (["--loss", "bce"], "unknown loss 'bce'. Did you mean 'binary_crossentropy'. Valid: "),
        (["--optimizer", "sdg"], "unknown optimizer 'sdg'. .*Valid: sgd"),
        (["--loss", "categorical_crossentropy"], "needs several classes, but the task is binary: use binary_cross"),
        (["--loss", "kullback_leibler"], "needs several classes, but the task is binary: use binary_cross"),
        (["--activation", "relu,tanh"], "--activation gives 2 for the 1 hidden layer of"),
        (["--activation", ""], "--activation gives 0 for the 1 hidden layer of"),
        (["--hidden", "0"], "--hidden must be node counts of 1 or more, got 0"),
        (["--hidden", "16;8"], "must be node counts such as 16,8, got '16;8'"),
        (["--hidden", "1000000000000"], "allocate|memory"),
        (["--epochs", "0"], "Invalid value for '--epochs': 0 is not in the range x>=1"),
        (["--batch-size", "-1"], "Invalid value for '--batch-size': -1 is not in the range x>=0"),
        (["--tol", "nan"], "tol must be a number, got nan"),
        (["--seed", "-1"], "Invalid value for '--seed': -1 is not in the range x>=0"),
        (["--validation", "1"], "--validation must be at least 0 and under 1, got 1.0"),
        (["--validation", "nan"], "--validation must be at least 0 and under 1, got nan"),
        (["--validation", "-0.1"], "--validation must be at least 0 and under 1, got -0.1"),
        (["--validation", "0.999"], "--validation 0.999 of 60 rows leaves none to train on"),
        (["--validation", "0.001"], "--validation 0.001 of 60 rows is no row"),
        (["--task", "guess"], "'guess' is not one of 'auto', 'binary'"),
        (["--task", "regression"], "regression needs numbers, but the target 'class' holds '(high|low)' in row 1"),
        (["--backend", "numpi"], "'numpi' is not one of 'auto', 'numpy'"),
        (["--target", "class"], "--target names a column twice: class, class"),
        (["--target", "clas"], "unknown column 'clas'. Did you mean 'class'. Valid: a, b, t, class"),
        (["--ignore", "class"], "column 'class' is the target"),
        (["--ignore", "a", "--ignore", "b", "--ignore", "t"], "no column is left to learn from"),
        (["--epoch", "3"], "No such option.*--epoch"),
    ],
    ids=" ".join,
)
def test_a_wrong_option_says_so_before_anything_is_written(run, words, message):
    run.model.write_bytes(b"old")
    check_error(run.train(*words), message)
    assert run.model.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "bad.csv is empty"),
        ("a,y\n", "has no rows"),
        ("a,y\n1,2\n", "has 1 row: at least 2 are needed"),
        ("a,y\n" + "1,0\n2,1\n" * 20 + ",1\n", "column 'a' is empty in row 41"),
        ("a,y\n" + "1,0\n2,1\n" * 20 + "nan,1\n", "column 'a' is empty in row 41"),
        ("a,y\n" + "1,0\n2,1\n" * 20 + "-inf,1\n", "column 'a', row 41 holds -inf"),
        ("a,y\n" + "1,0\n2,1\n" * 20 + "3,\n", "column 'y' is empty in row 41"),
        ("a,y\n" + "1,0\n2,1\n" * 20 + "1e300,1\n-1e300,0\n", "column 'a' holds numbers too large"),
        ("a,y\n" + "1,5\n2,5\n" * 20, "1 different value .5.: there is nothing to tell apart"),
        ("a,y\n1,2,3\n", "more cells than the header"),
        ("a;y\n1;2\n", "unknown column 'y'.* look separated by ';'"),
        ("a,y,y\n" + "1,0,1\n2,1,0\n" * 20, "two columns named 'y'"),
        ("id,y\n" + "".join(f"i{i},{i % 2}\n" for i in range(40)), "no column is left .*'id': text with 40"),
    ],
)
def test_bad_data_says_what_and_where(run, content, message):
    (run.folder / "bad.csv").write_text(content)
    check_error(run.train(data="bad.csv", target="y"), message)
    assert not run.model.exists()


def test_data_that_is_missing_or_a_folder_says_so(run):
    check_error(run.train(data="missing.csv"), "cannot read .*missing.csv: No such file or directory")
    (run.folder / "folder.csv").mkdir()
    check_error(run.train(data="folder.csv"), "cannot read .*folder.csv: Is a directory")


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("missing/model", "the folder .*missing does not exist"),
        (".", "is a folder, not a file"),
        ("data.csv/model", "data.csv is not a folder"),
        ("data.csv", "is the data file itself: choose another name"),
    ],
)
def test_an_unwritable_model_is_found_before_training(run, monkeypatch, out, message):
    monkeypatch.setattr(train, "fit", lambda *_, **__: pytest.fail("trained"))
    before = (run.folder / "data.csv").read_bytes()
    words = ["train", run.folder / "data.csv", "--target", "class", "--out", run.folder / out]
    assert check_error(run(*words), message) == ""
    assert (run.folder / "data.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("missing/out.csv", "the folder .*missing does not exist"),
        (".", "is a folder, not a file"),
        ("data.csv", "is the data file itself"),
        ("model.safetensors", "is the model file itself"),
        ("out.xlsx", "a table is written as .csv, .tsv or .parquet, and '.xlsx' is none of them"),
    ],
)
def test_unwritable_predictions_are_found_before_predicting(run, monkeypatch, out, message):
    run.train("--quiet")
    before = run.model.read_bytes()
    monkeypatch.setattr(using.tables, "read", lambda *_, **__: pytest.fail("read the data"))
    check_error(run("predict", run.model, run.folder / "data.csv", "--out", run.folder / out), message)
    assert run.model.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train"], "Missing argument 'DATA'"),
        (["train", "data.csv", "--out", "m"], "Missing option '--target'"),
        (["train", "data.csv", "--target", "y"], "Missing option '--out'"),
        (["predict"], "Missing argument 'MODEL'"),
        (["predict", "m"], "Missing argument 'DATA'"),
        (["trian"], "No such command 'trian'"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_says_what_is_missing(run, words, message):
    check_error(run(*words), message)


def test_without_a_command_the_help_is_shown(run):
    code, out, err = run()
    assert (code, out) == (2, "")
    for command in ("train", "predict", "evaluate", "summary", "devices"):
        assert f"  {command} " in err


@pytest.mark.parametrize("words", [["--help"], ["train", "-h"], ["--version"]], ids=" ".join)
def test_help_and_version_succeed(run, words):
    assert run.good(*words)


@pytest.mark.skipif(sys.platform == "win32", reason="no such names of pipes")
def test_a_pipe_is_read_once_and_in_any_command(run):
    """Its rows are needed twice where classes and --keep are to be as they are written."""
    rows = "id,a,y\n" + "".join(f"0{i},{i % 7},{'no' if i % 2 else 'yes'}\n" for i in range(40))

    def piped():
        there, here = os.pipe()
        with os.fdopen(here, "w") as pipe:
            pipe.write(rows)
        return f"/dev/fd/{there}"

    assert run("train", piped(), "--target", "y", "--ignore", "id", "--epochs", 2, "--out", run.model)[0] == 0
    assert run("evaluate", run.model, piped())[0] == 0
    assert run.good("predict", run.model, piped(), "--keep", "id").startswith("id,y\n00,")


@pytest.mark.parametrize("missing", ["click", "polars"])
def test_without_the_libraries_of_the_command_line_it_says_what_to_install(capsys, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    assert main(["devices"]) == 2
    assert capsys.readouterr().err == f"xpnn: the command line needs {missing}: pip install 'xpnn[cli]'\n"


# --- model files


@pytest.mark.parametrize("command", ["predict", "evaluate", "summary"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda whole: None, "cannot read .*: No such file or directory"),
        (lambda whole: b"", "is not a model file of xpnn"),
        (lambda whole: whole[: len(whole) // 2], "is not a model file of xpnn"),
        (lambda whole: whole[:-4] + b"\x00\x01\x02\x03", "is damaged"),
        (lambda whole: whole.replace(b'\\"a\\": [', b'\\"a\\": [1', 1).replace(b"[1-", b"[2", 1), "broken|damaged"),
        (lambda whole: b"a,y\n1,2\n", "is not a model file of xpnn"),
    ],
    ids=["missing", "empty", "half", "numbers", "mean", "csv"],
)
def test_a_broken_model_file_is_refused(run, command, damage, message):
    run.train("--quiet")
    whole = run.model.read_bytes()
    damaged = damage(whole)
    assert damaged != whole
    run.model.unlink()
    if damaged is not None:
        run.model.write_bytes(damaged)
    check_error(run(command, run.model, *([] if command == "summary" else [run.folder / "data.csv"])), message)


def _change(run, path, value):
    arrays, header = tensors.read(run.model)
    *folders, name = path
    place = header
    for folder in folders:
        place = place[folder]
    place[name] = value
    tensors.write(run.model, arrays, header)


@pytest.mark.parametrize("command", ["predict", "evaluate"])
@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["network"], "x", "does not describe a model"),
        (["network", "layers"], [], "does not describe a model"),
        (["network", "layers", 0, "units"], 5, "does not describe a model"),
        (["network", "layers", 0, "class"], "os.system", "uses a part 'os.system' that this xpnn does not have"),
        (["network", "layers", 0, "activation"], "rellu", "cannot rebuild a part of the model|unknown activation"),
        (["loss"], {"class": "ReLU"}, "does not describe a model"),
        (["metadata", "table"], {"numeric": 3}, "description of its columns is broken"),
        (["metadata", "table", "targets"], [], "description of its columns is broken"),
        (["metadata", "table", "numeric"], {"a": [0, 1]}, "its columns do not fit its network"),
        (["metadata", "table"], None, "it was trained on arrays, not by 'xpnn train'"),
    ],
)
def test_a_model_file_with_a_wrong_description_is_refused(run, command, path, value, message):
    run.train("--quiet")
    _change(run, path, value)
    check_error(run(command, run.model, run.folder / "data.csv"), message)


def test_a_model_saved_from_python_has_a_summary_but_no_columns(run):
    x = np.linspace(0, 1, 8).reshape(4, 2)
    xpnn.fit(xpnn.mlp([2, 1]), x, x[:, :1], epochs=2).save(run.model)
    assert "Network 2-1" in run.good("summary", run.model)
    check_error(run("predict", run.model, run.folder / "data.csv"), "it was trained on arrays, not by 'xpnn train'")


@pytest.mark.parametrize(
    ("content", "command", "message"),
    [
        ("a,t\n1,left\n", "predict", "lacks the column 'b' that the model uses; it has: 'a', 't'"),
        ("a,b,t\n1,2,left\n", "evaluate", "no column 'class', the target: .*, predict does without\\.\n$"),
        ("a,b,t,class\n1,2,left,middle\n", "evaluate", "row 1: the class 'middle' is not one that the model knows"),
        ("a,b,t,class\n1,2,left,\n", "evaluate", "column 'class' is empty in row 1"),
        ("a,b,t\n1,2,left\n1,,left\n", "predict", "column 'b' is empty in row 2"),
        ("a,b,t\n1,2,left\n1,q,left\n", "predict", "column 'b', row 2: 'q' is not a number"),
        ("a,b,t\n1,2,left\n1,inf,left\n", "predict", "column 'b', row 2 holds inf"),
        ("a,b,t\n1,2,left\n1e300,2,left\n", "predict", "column 'a', row 2 holds 1e.300: too far from the values"),
        ("a,b,t\n", "predict", "has no rows"),
    ],
)
def test_data_that_the_model_cannot_take_says_why(run, content, command, message):
    run.train("--quiet")
    (run.folder / "new.csv").write_text(content)
    assert check_error(run(command, run.model, run.folder / "new.csv"), message) == ""


def test_probabilities_of_numbers_are_refused(run):
    run.train("--quiet", target="amount")
    check_error(
        run("predict", run.model, run.folder / "data.csv", "--probabilities"), "predicts numbers .regression."
    )


# --- divergence and Ctrl-C


def test_a_loss_that_is_not_finite_keeps_the_last_good_model_and_names_the_epoch(run):
    code, _, err = run.train("--learning-rate", 5, target="amount", epochs=30)
    said = re.search(
        r"the loss became NaN or infinite in epoch (\d+); (\S+) holds the last good model, that of epoch (\d+)", err
    )
    assert code == 2
    assert said, err
    assert said[2] == str(run.model)
    model = xpnn.load(run.model)
    assert np.isfinite(model.params).all()
    assert len(model.history["loss"]) == int(said[3]) < int(said[1])
    assert model.stopped == "diverged"
    assert run.predictions(run.folder / "data.csv").height == 60


def test_a_loss_that_is_not_finite_at_once_leaves_the_old_file(run):
    run.model.write_bytes(b"old")
    err = run.train("--learning-rate", 1e30, target="amount", epochs=30)[2]
    assert re.search("NaN or infinite in epoch [12]; nothing was saved. Use a smaller --learning-rate", err)
    assert run.model.read_bytes() == b"old"


def test_without_a_learning_rate_smaller_ones_are_tried(run, monkeypatch):
    monkeypatch.setattr(train, "_RATES_OF_REGRESSION", (5.0, 0.01))
    code, out, _ = run.train(target="amount", epochs=30)
    assert code == 0
    assert "the loss diverged with learning rate 5; trying a tenth of it" in out
    assert len(xpnn.load(run.model).history["loss"]) == 30


def test_every_optimizer_begins_with_a_learning_rate_of_its_own(run):
    assert run.train("--optimizer", "adam")[0] == 0
    options = types.SimpleNamespace(learning_rate=None, optimizer="adam")
    assert train._rates(options, types.SimpleNamespace(task="multiclass")) == pytest.approx((0.001, 0.0001, 0.00001))
    options.optimizer = "sgd"
    assert train._rates(options, types.SimpleNamespace(task="multiclass"))[0] == 0.1
    assert train._rates(options, types.SimpleNamespace(task="regression"))[0] == 0.01
    options.learning_rate = 0.3
    assert train._rates(options, types.SimpleNamespace(task="regression")) == (0.3,)


class _CtrlC(xpnn.Callback):
    """Progress whose reader presses Ctrl-C in some epoch."""

    at = 1

    def epoch_end(self, training):
        if training.epoch == self.at:
            raise KeyboardInterrupt


def test_ctrl_c_in_the_first_epoch_leaves_the_old_file(run, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("xpnn.training.loop.EpochLoss.add", interrupt)
    run.model.write_bytes(b"old")
    code, _, err = run.train()
    assert (code, err) == (130, "xpnn: interrupted in the first epoch; nothing was saved\n")
    assert run.model.read_bytes() == b"old"


def test_ctrl_c_saves_the_model_as_of_the_last_epoch(run, monkeypatch):
    run.train("--quiet", epochs=4)
    expected = xpnn.load(run.model)
    run.model.unlink()
    monkeypatch.setattr(train, "_Shown", type("_", (_CtrlC,), {"at": 4}))
    code, _, err = run.train(epochs=100)
    assert (code, err) == (130, f"xpnn: interrupted; {run.model} holds the model as of epoch 4\n")
    saved = xpnn.load(run.model)
    assert np.array_equal(saved.params, expected.params)
    assert saved.history == expected.history
    assert saved.stopped == "interrupted"


def test_ctrl_c_before_training_is_said_in_a_line(run, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(using.tables, "read", interrupt)
    code, out, err = run.train()
    assert (code, out, err.strip()) == (130, "", "xpnn: interrupted")


# --- a process of its own


def process(*words, **options):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "encoding": "utf-8"}
    environment = {**os.environ, "PYTHONWARNINGS": "default", **options.pop("env", {})}
    return subprocess.Popen([sys.executable, "-m", "xpnn", *map(str, words)], env=environment, **{**pipes, **options})


def training(run, *words, **options):
    data = ["train", run.folder / "data.csv", "--target", "class", "--out", run.model]
    return process(*data, *(w for name in TARGETS[1:] for w in ("--ignore", name)), *words, **options)


posix = pytest.mark.skipif(os.name != "posix", reason="signals and pipes as POSIX has them")


@posix
def test_a_process_interrupted_by_ctrl_c_saves_and_says_so(run):
    started = training(run, "--epochs", 10_000_000, "--learning-rate", 1e-6, "--backend", "numpy")
    assert started.stderr.readline().startswith("epoch 1/")
    time.sleep(0.3)  # some more epochs
    started.send_signal(signal.SIGINT)
    _, err = started.communicate(timeout=30)
    assert started.returncode == 130
    said = re.search(r"^xpnn: interrupted; (.*) holds the model as of epoch (\d+)$", err, re.MULTILINE)
    assert said, err
    assert "Traceback" not in err
    assert len(xpnn.load(run.model).history["loss"]) == int(said[2])
    assert run.predictions(run.folder / "data.csv").height == 60


@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_what_else_ends_a_process_is_as_ctrl_c(run, name):
    """A time limit of the system, a connection that breaks."""
    # which whoever runs the tests may have had ignored
    code = f"import signal, sys, xpnn.cli; signal.signal(signal.{name}, signal.SIG_DFL); sys.exit(xpnn.cli.main())"
    words = ["train", run.folder / "data.csv", "--target", "class", "--out", run.model, "--epochs", 10_000_000]
    command = [sys.executable, "-c", code, *map(str, words), "--learning-rate", "1e-6", "--backend", "numpy"]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert started.stderr.readline().startswith("epoch 1/")
    started.send_signal(getattr(signal, name))
    _, err = started.communicate(timeout=30)
    assert started.returncode == 130
    assert "holds the model as of epoch" in err
    assert len(xpnn.load(run.model).history["loss"]) >= 1


@posix
def test_a_signal_that_is_to_be_ignored_is(run):
    """As nohup has it of the connection that breaks."""
    words = ["train", run.folder / "data.csv", "--target", "class", "--out", run.model, "--epochs", 300]
    command = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", sys.executable, "-m", "xpnn", *map(str, words)]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert started.stderr.readline().startswith("epoch 1/")
    started.send_signal(signal.SIGHUP)
    started.communicate(timeout=30)
    assert started.returncode == 0


@posix
@pytest.mark.parametrize("closed", ["stdout", "stderr", "both"])
def test_closed_streams_take_nothing(run, closed):
    shell = "exec " + {"stdout": ">&-", "stderr": "2>&-", "both": ">&- 2>&-"}[closed]
    train = f'"{sys.executable}" -m xpnn train "{run.folder}/data.csv" --target class --epochs 2 --out "{run.model}"'
    predict = f'"{sys.executable}" -m xpnn predict "{run.model}" "{run.folder}/data.csv"'
    for command in (train, predict):
        done = subprocess.run(["sh", "-c", f"{shell}; {command}"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    assert run.model.exists()


@posix
def test_a_process_that_fails_prints_one_line_and_no_warning(run):
    done = process(
        "train", run.folder / "data.csv", "--target", "amount", "--out", run.model, "--learning-rate", 1e30, "--quiet"
    )
    out, err = done.communicate(timeout=30)
    assert (done.returncode, out) == (2, "")
    assert re.fullmatch("xpnn: the loss became NaN or infinite in epoch .*\n", err)


@posix
def test_predictions_may_be_cut_short_by_their_reader(run):
    run.train("--quiet")
    pl.concat([table()] * 500).write_csv(run.folder / "long.csv")
    with process("predict", run.model, run.folder / "long.csv") as started:
        assert started.stdout.readline() == "class\n"
        started.stdout.close()
        assert started.stderr.read() == ""
    assert started.returncode == 0


@posix
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_training_goes_on_when_nobody_reads_its_progress(run, stream):
    with training(run, "--epochs", 20) as started:
        getattr(started, stream).close()
        said = (started.stderr if stream == "stdout" else started.stdout).read()
    assert started.returncode == 0
    assert "Traceback" not in said
    assert "BrokenPipe" not in said
    assert len(xpnn.load(run.model).history["loss"]) == 20


@posix
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
def test_a_full_disk_behind_the_output_is_said_in_a_line(run):
    run.train("--quiet")
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = process("summary", run.model, stdout=full)
        _, err = done.communicate(timeout=30)
    assert (done.returncode, err) == (2, "xpnn: No space left on device\n")


def test_an_output_without_the_letters_does_not_stop_training(run):
    done = process(
        *["train", run.folder / "data.csv", "--target", "amount", "--out", run.model, "--epochs", 2],
        env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )
    out, err = done.communicate(timeout=30)
    assert done.returncode == 0, err
    assert r"R\xb2" in out


def _on_a_terminal(run, *words):
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    started = training(run, *words, stderr=theirs, env={"TERM": "xterm", "COLUMNS": "100", "NO_COLOR": ""})
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # so Linux says that the other end has closed
        pass
    finally:
        os.close(ours)
    out, _ = started.communicate(timeout=30)
    assert started.returncode == 0, shown
    return out, shown.decode()


@posix
def test_on_a_terminal_progress_is_a_bar_with_the_loss(run):
    pytest.importorskip("rich")
    out, shown = _on_a_terminal(run, "--epochs", 50)
    assert "━" in shown
    assert "\x1b[" in shown
    assert "50/50" in shown
    assert re.search(r"loss.* validation", shown)
    assert shown.endswith("\x1b[?25h")  # the cursor is back
    assert re.search(r"^validation +accuracy", out, re.MULTILINE)


@posix
def test_on_a_terminal_quiet_shows_nothing(run):
    assert _on_a_terminal(run, "--epochs", 5, "--quiet") == ("", "")


def test_the_options_are_those_of_the_command():
    from xpnn.cli.commands import xpnn as command
    from xpnn.cli.options import HYPERPARAMETERS

    given = {parameter.name for parameter in command.commands["train"].params if parameter.expose_value}
    given = given - set(HYPERPARAMETERS) | {"hyperparameters"}
    assert given == {field.name for field in dataclasses.fields(train.Options)}


# --- what helps people on


def test_several_regression_targets_have_their_own_figures(run):
    table().with_columns(more=pl.col("a") * 3 + 1).select("a", "b", "t", "amount", "more").write_csv(
        run.folder / "d.csv"
    )
    out = run.good(
        "train", run.folder / "d.csv", "--target", "amount", "--target", "more", "--out", run.model, "--epochs", 50
    )
    assert "regression, 2 targets" in out
    for name in ("amount", "more"):
        assert re.search(rf"validation .*R² of {name} 0\.\d+, root mean squared error of {name} \d", out)
        assert re.search(rf"mean absolute error of {name} +\d", run.good("evaluate", run.model, run.folder / "d.csv"))


def test_the_validation_score_stays_in_the_model_file(run):
    _, out, _ = run.train()
    score = re.search(r"validation +(accuracy .*)", out)[1]
    assert re.search(r"validation +(accuracy .*)", run.good("summary", run.model))[1] == score
    assert score.endswith("(12 rows)")


def test_a_validation_loss_that_has_been_less_is_pointed_out(run):
    rng = np.random.default_rng(0)
    noise = {name: rng.normal(size=60) for name in "abcdefgh"} | {"y": rng.normal(size=60)}
    pl.DataFrame(noise).write_csv(run.folder / "noise.csv")
    _, out, _ = run.train("--learning-rate", 0.05, data="noise.csv", target="y", epochs=200)
    epoch, value = re.search(r"note +the validation loss was least after epoch (\d+) \((\S+),", out).groups()
    losses = xpnn.load(run.model).history["validation_loss"]
    assert min(losses) == losses[int(epoch) - 1] == pytest.approx(float(value), rel=1e-3)


def test_a_column_that_may_name_the_rows_is_pointed_out(run):
    table().with_row_index("id").write_csv(run.folder / "id.csv")
    _, out, _ = run.train(data="id.csv")
    assert re.search(r"note +column 'id' is a different whole number in every row: --ignore it", out)


def test_a_list_of_targets_shows_how_to_give_several(run):
    check_error(run.train(target="p,q"), r"unknown column 'p,q'.* For several give --target p --target q")


def test_model_and_data_the_wrong_way_round(run):
    run.train("--quiet")
    check_error(run("predict", run.folder / "data.csv", run.model), "looks like a table: give the MODEL first")


def test_evaluating_without_the_target_says_what_it_needs(run):
    run.train("--quiet")
    table().drop("class").write_csv(run.folder / "new.csv")
    check_error(
        run("evaluate", run.model, run.folder / "new.csv"), "has no column 'class', the target: evaluate compares"
    )


def test_a_loss_of_classes_for_numbers(run):
    check_error(
        run.train("--loss", "binary_crossentropy", target="amount"),
        "--loss binary_crossentropy is for classes, but the task is regression: use mse",
    )


@pytest.mark.parametrize("loss", ["hinge", "poisson"])
def test_a_loss_that_tables_are_not_learned_with(loss, run):
    check_error(run.train("--loss", loss, target="amount"), f"--loss {loss} does not go with tables, .*: use mse, or")


def test_a_device_that_no_library_has(run):
    check_error(
        run.train("--device", "abacus:0"), "no library here can train on device 'abacus:0': 'xpnn devices' lists"
    )


@pytest.mark.parametrize(
    ("first", "second"), [("01", "02"), ("True", "False"), ("1e3", "2"), ("1", "2"), ("true", "false"), ("a b", "c")]
)
def test_class_names_come_back_as_they_are_written(run, first, second):
    rows = "".join(f"{i},{first if i % 2 else second}\n" for i in range(40))
    (run.folder / "names.csv").write_text("x,y\n" + rows)
    code, _, err = run.train(data="names.csv", target="y", epochs=2)
    assert code == 0, err
    printed = run.good("predict", run.model, run.folder / "names.csv", "--probabilities").splitlines()
    assert set(re.findall(r"P\((.*?)\)", printed[0])) == {first, second}
    assert {line.split(",")[0] for line in printed[1:]} <= {first, second}
    assert "accuracy" in run.good("evaluate", run.model, run.folder / "names.csv")


def test_what_a_gpu_library_raises_is_said_in_a_line(run, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("CUDA out of memory.\nMore lines")

    monkeypatch.setattr(train, "fit", fail)
    code, _, err = run.train()
    assert (code, err) == (2, "xpnn: numpy on cpu failed: RuntimeError: CUDA out of memory.\n")


def test_ctrl_c_while_scoring_does_not_lose_the_model(run, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "score", interrupt)
    code, out, _ = run.train()
    assert code == 0
    assert len(xpnn.load(run.model).history["loss"]) == 3
    assert re.search("validation +interrupted", out)


def test_optimizer_batch_size_and_seed_reach_the_training(run):
    """In one step over all rows their order is of no account; in several it is, and the weights follow the seed."""

    def losses(*words):
        assert run.train("--quiet", "--optimizer", "sgd", *words)[0] == 0
        return xpnn.load(run.model).history["loss"]

    whole = losses("--batch-size", 0)
    assert whole == losses("--batch-size", 0)
    assert whole == pytest.approx(losses("--batch-size", 1000))
    assert whole != pytest.approx(losses("--batch-size", 8))
    assert whole != pytest.approx(losses("--batch-size", 0, "--seed", 1))
