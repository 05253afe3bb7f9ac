"""``xpnn tune``: the search on the command line."""

import dataclasses
import re
import signal
import sys

import numpy as np
import pytest

import xpnn
from xpnn.training import fastest

pytest.importorskip("click")
pl = pytest.importorskip("polars")
pytest.importorskip("optuna", reason="Optuna is not installed: pip install 'xpnn[tune]'")

from xpnn.cli import searching, tune  # noqa: E402  (needs click and polars)

from .test_cli import TARGETS, Run, check_error, posix, process, table  # noqa: E402
from .test_readme import ROOT  # noqa: E402

SMALL = ["--width", "2,8", "--depth", "1,2", "--learning-rate", "0.01,0.3", "--epochs", 3]


class Tune(Run):
    """The command line, with the words of a small search at hand."""

    def words(self, *words, target="class", data="data.csv", trials=3):
        others = [w for name in TARGETS if data == "data.csv" and name != target for w in ("--ignore", name)]
        usual = ["--target", target, "--out", self.model, "--trials", trials]
        return [str(word) for word in ("tune", self.folder / data, *usual, *SMALL, *others, *words)]

    def tune(self, *words, **usual):
        return self(*self.words(*words, **usual))

    def trials(self):
        """What a table of trials says, but for the seconds."""
        return pl.read_csv(self.folder / "trials.csv").drop("seconds")


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(fastest, "_TRIAL", 0.0)
    table().write_csv(tmp_path / "data.csv")
    return Tune(tmp_path, capsys)


@pytest.mark.parametrize(
    ("target", "task"),
    [("class", "binary, 2 classes"), ("kind", "multiclass, 3 classes"), ("amount", "regression, 1 target")],
)
def test_the_best_of_the_trials_is_in_the_model_file(run, target, task):
    code, out, err = run.tune("--table", run.folder / "trials.csv", target=target)
    assert code == 0, err
    assert f"{task} (--task to change)" in out
    assert "3 trials over depth, width, activation, optimizer, learning_rate, dropout, weight_decay\n" in out
    assert re.fullmatch(r"(trial \d/3  validation_loss \d\.\d+  width [\d,]+  activation .*\n){3}", err)
    scores = [float(score) for score in re.findall(r"^ +\d  (\d\.\d+) +3 ", out, re.MULTILINE)]
    assert scores == sorted(scores)
    assert len(scores) == 3
    assert run.trials()["validation_loss"].min() == pytest.approx(scores[0], rel=1e-5)
    score = re.search(r"^validation +(.*\(1[23] rows\))$", out, re.MULTILINE)[1]
    assert score in run.good("summary", run.model)
    assert run.predictions(run.folder / "data.csv").columns == [target]
    model = xpnn.load(run.model)
    assert min(model.history["validation_loss"]) == run.trials()["validation_loss"].min()
    found = model.metadata["tuning"]
    assert (found["trials"], found["validation_loss"]) == (3, run.trials()["validation_loss"].min())
    assert run.trials().row(found["trial"] - 1, named=True)["validation_loss"] == found["validation_loss"]


def test_the_class_that_a_search_is_for_is_chosen_and_kept(run):
    classes = xpnn.load(run.model).labels if run.tune()[0] == 0 else None
    code, out, err = run.tune("--positive", classes[0], "--monitor", "validation_f1")
    assert code == 0, err
    assert f", f1 of {classes[0]} " in out
    assert xpnn.load(run.model).labels == classes[::-1]
    assert f'positive = "{classes[0]}"' in run.good("summary", run.model, "--options")


def test_a_search_for_the_likeliest_five_of_three_classes_is_none(run):
    err = run.tune("--monitor", "validation_top_k", target="kind")[2]
    assert "--monitor top_k is how often the class is among the 5 likeliest: of 3 classes it always is" in err


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("class", ["--monitor", "validation_accuracy"]),
        ("kind", ["--depth", 0, "--batch-size", 0]),
        ("amount", ["--dropout", 0, "--weight-decay", 0, "--l2", "0.01,0.1", "--loss", "huber"]),
    ],
)
def test_train_makes_the_same_model_from_its_options(run, target, words):
    pytest.importorskip("tomli_w")
    assert run.tune(*words, target=target)[0] == 0
    tuned = xpnn.load(run.model)
    (run.folder / "best.toml").write_text(run.good("summary", run.model, "--options"))
    words = ["--config", run.folder / "best.toml", "--out", run.folder / "again.safetensors", "--quiet"]
    run.good("train", run.folder / "data.csv", *words)
    trained = xpnn.load(run.folder / "again.safetensors")
    np.testing.assert_array_equal(trained.params, tuned.params)
    assert trained.history == tuned.history
    assert trained.metadata["validation"] == tuned.metadata["validation"]
    assert trained.metadata["options"] == tuned.metadata["options"]


def test_a_real_table_reaches_a_sensible_accuracy_in_a_few_trials(run):
    breast_cancer = ROOT / "examples" / "data" / "breast_cancer.csv"
    words = ["--target", "diagnosis", "--out", run.model, "--trials", 5, "--epochs", 15, "--quiet"]
    assert run("tune", breast_cancer, *words, "--monitor", "validation_accuracy") == (0, "", "")
    assert float(re.search(r"validation +accuracy ([\d.]+)%", run.good("summary", run.model))[1]) > 95
    back = run.predictions(breast_cancer)
    assert (back["diagnosis"] == pl.read_csv(breast_cancer)["diagnosis"]).mean() > 0.95


def test_ranges_are_a_number_an_interval_or_several_to_choose_from(run):
    words = ["--depth", "2", "--width", "3,5,7", "--activation", "elu", "--optimizer", "adam,lion", "--dropout", "0"]
    code, out, err = run.tune(*words, "--batch-size", "0", "--weight-decay", "0,0.1", trials=4)
    assert code == 0, err
    assert "4 trials over width, optimizer, learning_rate, weight_decay\n" in out
    kept = xpnn.load(run.model).metadata["options"]
    assert set(kept["hidden"]) <= {3, 5, 7}
    assert (len(kept["hidden"]), kept["activation"], kept["batch_size"]) == (2, ["elu"], 0)
    assert kept["optimizer"] in ("adam", "lion")


def test_the_table_shows_the_best_and_the_file_all(run, monkeypatch):
    monkeypatch.setattr(tune, "_SHOWN", 2)
    _, out, _ = run.tune("--table", run.folder / "trials.csv", trials=5)
    assert len(re.findall(r" (finished|pruned)$", out, re.MULTILINE)) == 2
    assert "\nand 3 more\n" in out
    assert run.trials()["trial"].to_list() == [1, 2, 3, 4, 5]


def test_the_same_seed_gives_the_same_file(run):
    files = []
    for seed in (1, 1, 2):
        assert run.tune("--quiet", "--seed", seed) == (0, "", "")
        files.append(run.model.read_bytes())
    assert files[0] == files[1] != files[2]


def _straight(run, words, trials):
    """The model and the trials of a search in one go, whose files are then removed."""
    assert run.tune(*words, "--quiet", "--table", run.folder / "trials.csv", trials=trials)[0] == 0
    found = xpnn.load(run.model), run.trials()
    run.model.unlink()
    return found


def test_a_killed_process_goes_on_as_if_nothing_had_happened(run):
    words, storage = ["--epochs", 60, "--patience", 60], ["--storage", run.folder / "search.log"]
    model, trials = _straight(run, words, 12)
    started = process(*run.words(*words, *storage, trials=12))
    while not (said := started.stderr.readline()).startswith("trial 3/12"):
        assert said, "it should be under way"
    started.kill()
    started.communicate(timeout=30)
    assert not run.model.exists()
    code, _, err = run.tune(*words, *storage, "--table", run.folder / "trials.csv", trials=12)
    assert code == 0, err
    first = int(re.match(r"trial (\d+)/12 ", err)[1])
    assert 4 <= first <= 12
    assert run.trials().equals(trials)
    resumed = xpnn.load(run.model)
    np.testing.assert_array_equal(resumed.params, model.params)
    assert resumed.history == model.history


@posix
def test_ctrl_c_saves_the_best_so_far(run):
    words = ["--epochs", 60, "--storage", run.folder / "search.log", "--backend", "numpy"]
    started = process(*run.words(*words, trials=100_000))
    while not (said := started.stderr.readline()).startswith("trial 2/"):
        assert said, "it should be under way"
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=30)
    assert started.returncode == 130, err
    said = re.search(r"^xpnn: interrupted; (.*) holds the best model of (\d+) trials; the same command", err, re.M)
    assert said[1] == str(run.model)
    assert "Traceback" not in err
    assert re.search(r"^validation +accuracy", out, re.MULTILINE)
    assert run.predictions(run.folder / "data.csv").height == 60
    code, out, _ = run.tune(*words, trials=int(said[2]))
    assert code == 0
    assert f"{int(said[2])} trials over" in out


def test_ctrl_c_before_a_trial_is_over_saves_nothing(run, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(tune.search, "fit", interrupt)
    code, _, err = run.tune()
    assert (code, err) == (130, "xpnn: interrupted before there was a model; nothing was saved\n")
    assert not run.model.exists()


def test_ctrl_c_before_the_best_is_trained_again_says_that_the_search_goes_on(run, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    words = "--quiet", "--storage", run.folder / "s.log"
    assert run.tune(*words)[0] == 0
    run.model.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(tune.search, "fit", interrupt)
        code, _, err = run.tune(*words)
    assert code == 130
    assert err.endswith("nothing was saved; the same command goes on with the search\n")
    assert run.tune(*words)[0] == 0
    assert run.model.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--trials", "0"], "Invalid value for '--trials': 0 is not in the range x>=1"),
        (["--width", "64,8"], r"'--width': width must be an interval \(low, high\) with low <= high, got \(64, 8\)"),
        (["--width", "8..64"], "'--width': must be a number, LOW,HIGH, or three numbers or more .*'8..64'"),
        (["--width", ""], "'--width': width has no choice: give at least one"),
        (["--depth", "-1"], "'--depth': depth must be a whole number >= 0"),
        (["--learning-rate", "0"], "'--learning-rate': learning_rate must be a number > 0"),
        (["--learning-rate", "fast"], "'--learning-rate': must be a number, LOW,HIGH, or three numbers or more"),
        (["--l2", "0.1"], "--l2 and --weight-decay both pull the weights towards 0: give --weight-decay 0 with"),
        (["--dropout", "0,1"], "'--dropout': each end of the interval dropout must be a number >= 0 and < 1"),
        (["--activation", "relu,thanh"], "'--activation': unknown activation 'thanh'. Did you mean 'tanh'"),
        (["--optimizer", "adma"], "'--optimizer': unknown optimizer 'adma'. Did you mean 'adam'"),
        (["--monitor", "accuracy"], "unknown monitor 'accuracy'. Did you mean 'validation_accuracy'"),
        (["--monitor", "validation_r2"], "the metric 'r2' is for regression, but"),
        (["--loss", "msee"], "unknown loss 'msee'. Did you mean 'mse'"),
        (["--validation", "0"], "--validation 0 holds out no rows to compare the trials by"),
        (["--validation", "1"], "--validation must be at least 0 and under 1"),
        (["--target", "clas"], "unknown column 'clas'. Did you mean 'class'"),
        (["--epochs", "0"], "Invalid value for '--epochs'"),
        (["--patience", "-1"], "Invalid value for '--patience'"),
        (["--backend", "numpy", "--device", "cuda:0"], "numpy has no device 'cuda:0' here"),
        (["--out", "data.csv"], "--out .*data.csv is the data file itself: choose another name"),
        (["--storage", "data.csv"], "--storage .*data.csv is the data file itself"),
        (["--table", "data.csv"], "--table .*data.csv is the data file itself"),
        (["--storage", "model.safetensors"], "--storage .*model.safetensors is the file of --out itself"),
        (["--table", "model.safetensors"], "--table .*model.safetensors is the file of --out itself"),
        (["--table", "s.log", "--storage", "s.log"], "--table .*s.log is the file of --storage itself"),
        (["--table", "nowhere/trials.csv"], "cannot write .*trials.csv: the folder .*nowhere does not exist"),
        (["--storage", "nowhere/search.log"], "cannot write .*search.log: the folder .*nowhere does not exist"),
        (["--storage", "other.csv"], "other.csv is not the storage of a search, or is damaged"),
        (["--out", "nowhere/model"], "the folder .*nowhere does not exist"),
        (["--learning-rate", "1e30", "--activation", "relu", "--optimizer", "sgd"], "none of 3 trials finished"),
    ],
    ids=" ".join,
)
def test_a_wrong_option_says_so_and_nothing_is_lost(run, words, message, monkeypatch):
    monkeypatch.chdir(run.folder)
    run.model.write_bytes(b"old")
    (run.folder / "other.csv").write_text("a,b\n1,2\n")
    before = {path: path.read_bytes() for path in run.folder.iterdir()}
    target = "amount" if "1e30" in words else "class"
    check_error(run.tune("--quiet", *words, target=target), message)
    assert {path: path.read_bytes() for path in run.folder.iterdir()} == before


def test_the_storage_of_another_search_is_refused(run):
    storage = run.folder / "search.log"
    run.tune("--storage", storage)
    before, model = storage.read_bytes(), run.model.read_bytes()
    check_error(run.tune("--quiet", "--storage", storage, "--seed", 1), "search.log holds another search: there")
    check_error(run.tune("--quiet", "--storage", storage, "--depth", 1), r"there depth was \(1, 2\), now it is 1")
    assert (storage.read_bytes(), run.model.read_bytes()) == (before, model)


def test_without_the_target_it_says_what_is_missing(run):
    check_error(run("tune"), "Missing argument 'DATA'")
    check_error(run("tune", "data.csv", "--out", "m"), "Missing option '--target'")
    check_error(run("tune", "data.csv", "--target", "y"), "Missing option '--out'")


def test_without_optuna_it_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    check_error(run.tune("--quiet"), r"tune needs Optuna: pip install 'xpnn\[tune\]'")
    assert not run.model.exists()


@posix
def test_the_search_goes_on_when_nobody_reads_its_progress(run):
    with process(*run.words()) as started:
        started.stderr.close()
        assert re.search(r"^model ", started.stdout.read(), re.MULTILINE)
    assert started.returncode == 0


def test_what_a_gpu_library_raises_is_said_in_a_line(run, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("CUDA error: illegal access.\nMore lines")

    monkeypatch.setattr(tune.search, "fit", fail)
    check_error(run.tune("--quiet"), "numpy on cpu failed: RuntimeError: CUDA error: illegal access.\n")


def test_auto_tries_the_largest_network_of_the_space(run, monkeypatch):
    seen = []

    def choose(network, loss, optimizer, x, y, *, steps, device, trying):
        seen.append((network.name, optimizer, x.shape, steps))
        return fastest.Choice("numpy", "cpu", "so said the test")

    monkeypatch.setattr(tune, "choose", choose)
    _, out, _ = run.tune("--dropout", 0, "--optimizer", "adam", "--weight-decay", 0, "--batch-size", "8,16")
    assert seen == [("4-8-8-1", xpnn.Adam(0.3), (16, 4), 3 * 3 * 3)]
    assert "numpy on cpu (so said the test)" in out


def test_the_options_are_those_of_the_command():
    from xpnn.cli.commands import xpnn as command

    given = {parameter.name for parameter in command.commands["tune"].params}
    assert given == {field.name for field in dataclasses.fields(searching.Options)}
    assert {field.name for field in dataclasses.fields(xpnn.SearchSpace)} <= given
