"""The options of ``xpnn train``: what each does, what contradicts itself, and options from a file."""

import dataclasses
import importlib.util
import json
import re
import sys
import tomllib

import numpy as np
import pytest

import xpnn
from xpnn.training import fastest
from xpnn.training.callbacks import HistoryFile
from xpnn.training.progress import Progress

click = pytest.importorskip("click")
pl = pytest.importorskip("polars")

from xpnn.cli import main, train  # noqa: E402  (needs click and polars)
from xpnn.cli.options import GROUPS, HYPERPARAMETERS  # noqa: E402


class Run:
    """The command line in this process, on tables of two classes, of three, and of numbers."""

    def __init__(self, folder, capsys):
        self.folder = folder
        self.capsys = capsys
        self.model = folder / "model.safetensors"
        rng = np.random.default_rng(3)
        a, b = rng.normal(size=60), rng.normal(size=60)
        rows = {"a": a, "b": b, "w": rng.integers(1, 4, 60)}
        targets = {
            "two": np.where(a + 0.3 * rng.normal(size=60) > 0.8, "rare", "often"),
            "three": np.where(a > 0.5, 3, np.where(a > -0.5, 2, 1)),
            "number": 3 * a - b + rng.normal(size=60),
        }
        for name, y in targets.items():
            pl.DataFrame(rows | {"y": y}).write_csv(folder / f"{name}.csv")

    def __call__(self, *words):
        """Exit code, standard output, standard error."""
        self.capsys.readouterr()
        code = main([str(word) for word in words])
        return code, *self.capsys.readouterr()

    def train(self, *words, data="two", epochs=4):
        """Train on one of the tables, without its column of weights unless it is asked for."""
        unused = [] if "w" in words else ["--ignore", "w"]
        length = ["--epochs", epochs] if epochs else []
        return self(
            "train", self.folder / f"{data}.csv", "--target", "y", "--out", self.model, *length, *unused, *words
        )

    def trained(self, *words, **options):
        """The model of a training that must succeed."""
        code, _, err = self.train("--quiet", *words, **options)
        assert code == 0, err
        return xpnn.load(self.model)

    def refused(self, *words, **options):
        """What is said of options that cannot be: a line, before anything is written."""
        code, out, err = self.train(*words, **options)
        assert (code, out) == (2, "")
        assert not self.model.exists()
        assert re.fullmatch(r"xpnn: .*\n", err), err
        return err

    def write(self, name, text):
        """A file of the folder."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(fastest, "_TRIAL", 0.0)
    return Run(tmp_path, capsys)


@pytest.fixture
def fitted(monkeypatch):
    """What `fit` is called with."""
    calls = []

    def fit(*args, **options):
        calls.append(options)
        return xpnn.fit(*args, **options)

    monkeypatch.setattr(train, "fit", fit)
    return calls


# --- the help


def test_help_lists_the_options_in_groups_within_80_columns(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run("train", "--help")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    headings = [line.removesuffix(":") for line in out.splitlines() if re.match(r"\S+:$", line)]
    assert headings == [*GROUPS, "Other"]
    parts = re.split(r"^(\S+):$", out, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    for heading, options in GROUPS.items():
        for option in options:
            assert re.search(rf"^  {option.opts[0]}\b", sections[heading], re.MULTILINE), option.opts[0]
    assert "--config" in sections["Other"]
    assert "None" not in out
    starts = {len(found[0]) for found in re.finditer(r"^  --[\w-]+(?: \S+)*  +(?=\S)", out, re.MULTILINE)}
    assert len(starts) == 1  # the texts of all groups begin in one column


def test_help_lists_the_losses_that_tables_are_learned_with_and_no_others(run):
    _, out, _ = run("train", "--help")
    listed = re.search(r"--loss NAME\s+By default the task decides\. ([^.]*)\.", out)[1].replace("\n", " ")
    names = [name.strip() for name in listed.split(",")]
    assert {"mse", "huber", "binary_crossentropy"} < set(names)
    for name in xpnn.losses.NAMES:
        accepted = [data for data in ("two", "three", "number") if run.train("--loss", name, data=data)[0] == 0]
        usual = next(other for other, cls in xpnn.losses.NAMES.items() if cls is xpnn.losses.NAMES[name])
        assert bool(accepted) == (usual in names), name


# --- the network


def layers(model):
    return [type(layer).__name__ for layer in model.network.layers]


def test_dropout_comes_after_each_hidden_layer(run):
    model = run.trained("--hidden", "4,3", "--dropout", "0.1,0.2")
    assert layers(model) == ["Dense", "Dropout", "Dense", "Dropout", "Dense"]
    assert [layer.rate for layer in model.network.layers[1::2]] == [0.1, 0.2]
    assert [layer.rate for layer in run.trained("--hidden", "4,3", "--dropout", 0.3).network.layers[1::2]] == [
        0.3
    ] * 2


@pytest.mark.parametrize(("name", "layer"), [("batch", "BatchNormalization"), ("layer", "LayerNormalization")])
def test_normalisation_comes_between_a_hidden_layer_and_its_dropout(run, name, layer):
    code, out, _ = run.train("--hidden", 4, "--normalize", name, "--dropout", 0.1)
    assert code == 0
    assert re.search(
        rf"^network +2-4-1 with {name} normalisation and dropout 0\.1, \d+ parameters$", out, re.MULTILINE
    )
    assert layers(xpnn.load(run.model)) == ["Dense", layer, "Dropout", "Dense"]


def test_weights_begin_as_asked(run):
    model = run.trained("--weight-initializer", "he_uniform")
    assert {type(layer.weight_initializer).__name__ for layer in model.network.layers} == {"HeUniform"}
    assert not np.array_equal(model.params, run.trained().params)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dropout", "1"], "--dropout: rate must be a number from 0 to below 1, got 1.0"),
        (["--dropout", "0.1,0.2"], "--dropout gives 2 for the 1 hidden layer of --hidden"),
        (["--dropout", "some"], "Invalid value for '--dropout': must be shares such as 0.2,0.1, got 'some'"),
        (["--dropout", "0.1", "--hidden", ""], "--dropout goes after hidden layers, and --hidden names none"),
        (["--normalize", "batch", "--hidden", ""], "--normalize batch goes after hidden layers, and --hidden names"),
        (["--normalize", "all"], "Invalid value for '--normalize': 'all' is not one of 'batch', 'layer'"),
        (
            ["--normalize", "batch", "--batch-size", "1"],
            "--normalize batch needs 2 rows .* --batch-size 1 of 48 rows",
        ),
        (["--hidden", "8,0"], "--hidden must be node counts of 1 or more, got 0."),
        (["--weight-initializer", "he"], "--weight-initializer: unknown initializer 'he'. Did you mean 'he_uniform'"),
    ],
)
def test_networks_that_cannot_be(run, words, message):
    assert re.search(message, run.refused(*words))


# --- loss and weights


def test_label_smoothing_is_of_the_cross_entropies(run):
    assert run.trained("--label-smoothing", 0.1).loss == xpnn.BinaryCrossentropy(label_smoothing=0.1)
    assert run.trained("--label-smoothing", 0.1, data="three").loss == xpnn.CategoricalCrossentropy(
        label_smoothing=0.1
    )


def test_huber_has_its_delta(run):
    assert run.trained("--loss", "huber", "--huber-delta", 0.5, data="number").loss == xpnn.Huber(delta=0.5)


def test_quantiles_are_predicted_as_columns_of_their_own_and_in_order(run):
    words = ["--loss", "quantile", "--quantiles", "0.1,0.5,0.95", "--optimizer", "adam", "--learning-rate", 0.01]
    code, out, err = run.train(*words, data="number", epochs=100)
    assert code == 0, err
    assert re.search(r"^network +2-32-3, ", out, re.MULTILINE)
    model = xpnn.load(run.model)
    assert model.loss == xpnn.Quantile(quantiles=(0.1, 0.5, 0.95))
    assert run("predict", run.model, run.folder / "number.csv", "--out", run.folder / "p.csv")[0] == 0
    predicted, table = pl.read_csv(run.folder / "p.csv"), pl.read_csv(run.folder / "number.csv")
    assert predicted.columns == ["y", "y q0.1", "y q0.5", "y q0.95"]
    assert (predicted["y q0.1"] <= predicted["y q0.5"]).all()
    assert (predicted["y q0.5"] <= predicted["y q0.95"]).all()
    error = predicted["y"] - table["y"]
    inside = (predicted["y q0.1"] <= table["y"]) & (table["y"] <= predicted["y q0.95"])
    scores = run("evaluate", run.model, run.folder / "number.csv")[1]
    assert float(re.search(r"mean absolute error +(\S+)", scores)[1]) == pytest.approx(error.abs().mean(), rel=1e-4)
    assert re.search(rf"^within q0\.1 and q0\.95 +{inside.mean():.2%}$", scores, re.MULTILINE)
    assert 0.5 < inside.mean() < 1


@pytest.mark.parametrize(
    ("given", "row"), [("0.1,0.9", "within q0.1 and q0.9"), ("0.9", "up to q0.9"), ("0.5001", "up to q0.5001")]
)
def test_without_the_median_there_is_no_one_prediction(run, given, row):
    code, out, err = run.train("--loss", "quantile", "--quantiles", given, data="number")
    assert code == 0, err
    assert re.search(rf"^validation +{row} [\d.]+% \(12 rows\)$", out, re.MULTILINE), out
    assert run("predict", run.model, run.folder / "number.csv", "--out", run.folder / "p.csv")[0] == 0
    predicted, y = pl.read_csv(run.folder / "p.csv"), pl.read_csv(run.folder / "number.csv")["y"]
    columns = [f"y q{level}" for level in given.split(",")]
    assert predicted.columns == columns
    inside = y <= predicted[columns[-1]]
    if len(columns) > 1:
        inside &= y >= predicted[columns[0]]
    scores = run("evaluate", run.model, run.folder / "number.csv")[1]
    assert [line.rsplit(maxsplit=1) for line in scores.splitlines()] == [
        ["rows", "60"], [row, f"{inside.mean():.2%}"]
    ]  # fmt: skip
    refused = run("evaluate", run.model, run.folder / "number.csv", "--metrics", "mae")[2]
    assert re.search("--metrics mae: there is no one prediction to score .* 0.5 among them", refused)


def test_without_the_median_no_metric_can_be_watched(run):
    words = ["--loss", "quantile", "--quantiles", "0.1,0.9", "--metrics", "mae"]
    assert "there is no one prediction to score among the quantiles 0.1, 0.9" in run.refused(*words, data="number")


@pytest.mark.parametrize("given", ["0.5", "0.1,0.5000000000001,0.9"])
def test_the_median_is_the_prediction(run, given):
    out = run.train("--loss", "quantile", "--quantiles", given, data="number")[1]
    assert re.search("^validation +R² ", out, re.MULTILINE)
    predicted = pl.read_csv(run("predict", run.model, run.folder / "number.csv")[1].encode())
    assert predicted.columns[0] == "y"
    assert "y q0.5" in predicted.columns


def test_quantiles_of_several_targets_stay_apart(run):
    table = pl.read_csv(run.folder / "number.csv").with_columns(z=100 - 5 * pl.col("a"))
    table.write_csv(run.folder / "number.csv")
    run.trained("--target", "z", "--loss", "quantile", data="number", epochs=60)
    assert run("predict", run.model, run.folder / "number.csv", "--out", run.folder / "p.csv")[0] == 0
    predicted = pl.read_csv(run.folder / "p.csv")
    assert predicted.columns == [name + q for name in ("y", "z") for q in ("", " q0.1", " q0.5", " q0.9")]
    assert predicted["z"].mean() == pytest.approx(table["z"].mean(), rel=0.05)
    assert predicted["y"].mean() == pytest.approx(table["y"].mean(), abs=1)


def test_balanced_classes_are_weighted_by_their_number(run, fitted):
    model = run.trained("--class-weight", "balanced")
    assert fitted[-1]["class_weight"] == "balanced"
    assert not np.array_equal(model.params, run.trained().params)


@pytest.mark.parametrize(
    ("data", "given", "weights"),
    [
        ("two", "rare=3,often=0.5", {"rare": 3.0, "often": 0.5}),
        ("three", "3=2", {3: 2.0}),
        ("two", "rare=1", {"rare": 1}),
    ],
)
def test_classes_are_weighted_by_their_names_in_the_table(run, fitted, data, given, weights):
    model = run.trained("--class-weight", given, data=data)
    assert fitted[-1]["class_weight"] == weights
    plain = run.trained(data=data)
    assert np.array_equal(model.params, plain.params) == (set(weights.values()) == {1})


def test_names_of_classes_may_hold_commas_and_truth_is_written_as_in_tables(run, fitted):
    (run.folder / "names.csv").write_text("a,y\n" + "".join(f'{i},"{"b, c" if i % 2 else "d"}"\n' for i in range(20)))
    (run.folder / "truth.csv").write_text(
        "a,y\n" + "".join(f"{i},{'true' if i % 2 else 'false'}\n" for i in range(20))
    )
    common = ["--target", "y", "--out", run.model, "--quiet", "--epochs", 1]
    assert run("train", run.folder / "names.csv", *common, "--class-weight", "b, c=2,d=3")[0] == 0
    assert fitted[-1]["class_weight"] == {"b, c": 2.0, "d": 3.0}
    assert run("train", run.folder / "truth.csv", *common, "--class-weight", "true=2")[0] == 0
    assert list(fitted[-1]["class_weight"].values()) == [2.0]


def test_a_column_of_weights_is_no_feature_and_counts_rows(run, fitted):
    """A weight of 2 is a row given twice: in full batches both give the same loss."""
    code, out, _ = run.train("--sample-weight", "w", "--validation", 0, "--batch-size", 0)
    assert code == 0
    assert re.search(r"^not used +column 'w': the weights of the rows$", out, re.MULTILINE)
    weighted = xpnn.load(run.model)
    assert weighted.network.input_shape == (2,)
    table = pl.read_csv(run.folder / "two.csv")
    np.testing.assert_array_equal(fitted[-1]["sample_weight"], table["w"])
    plain = run.trained("--validation", 0, "--batch-size", 0)
    assert weighted.history["loss"][0] != pytest.approx(plain.history["loss"][0], rel=1e-4)


def test_weights_stay_with_their_rows_when_some_are_held_out(run, fitted, monkeypatch):
    seen = []
    monkeypatch.setattr(
        train, "fit", lambda network, x, y, **options: seen.append((x, options)) or xpnn.fit(network, x, y, **options)
    )
    run.trained("--sample-weight", "w")
    x, options = seen[0]
    table = pl.read_csv(run.folder / "two.csv")
    schema = xpnn.tables.schema_of(xpnn.load(run.model))
    of_row = {tuple(row): w for row, w in zip(schema.features(table)[0].tolist(), table["w"], strict=True)}
    assert [of_row[tuple(row)] for row in x.tolist()] == options["sample_weight"].tolist()


@pytest.mark.parametrize(
    ("words", "data", "message"),
    [
        (["--label-smoothing", "0.1"], "number",
         "--label-smoothing goes with the loss binary_.* or categorical_.*, but here it is mse .the task is regr"),
        (["--label-smoothing", "2"], "two", "--label-smoothing: label_smoothing must be between 0 and 1, got 2"),
        (["--huber-delta", "1"], "number", "--huber-delta goes with the loss huber, but here it is mse"),
        (["--huber-delta", "0", "--loss", "huber"], "number", "--huber-delta: delta must be > 0, got 0"),
        (["--loss", "quantile"], "two", "--loss quantile is for numbers, but the task is binary: use binary"),
        (["--quantiles", "0.5"], "number", "--quantiles goes with the loss quantile, but here it is mse"),
        (["--quantiles", "0.5,0.5", "--loss", "quantile"], "number", "--quantiles must be .* in increasing order"),
        (["--quantiles", "5,50,95", "--loss", "quantile"], "number", "--quantiles must be .*, got 5,50,95.$"),
        (["--class-weight", "balanced"], "number", "--class-weight is for classes .* but the task is regression"),
        (["--class-weight", "balanced", "--loss", "mse"], "two", "--class-weight goes with .* but --loss is mse"),
        (["--class-weight", "rear=2"], "two", "unknown class 'rear'. Did you mean 'rare'. Valid: often, rare"),
        (["--class-weight", "rare=-1"], "two", "--class-weight of 'rare' must be a number >= 0, got -1"),
        (["--class-weight", "rare=nan"], "two", "--class-weight of 'rare' must be a number >= 0, got nan"),
        (["--class-weight", "rare=0,often=0"], "two", "--class-weight leaves every row without weight"),
        (["--class-weight", "equal"], "two", "'--class-weight': must be balanced, or weights such as benign=1"),
        (["--class-weight", "rare=1,often"], "two", "'--class-weight': must be balanced, or weights such as"),
        (["--sample-weight", "v"], "two", "--sample-weight: unknown column 'v'"),
        (["--sample-weight", "a", "--ignore", "a"], "two", "--sample-weight and --ignore name the same column"),
        (["--sample-weight", "y"], "two", "--sample-weight and --target name the same column 'y'"),
        (["--sample-weight", "a"], "two", r"column 'a', row \d+ holds -\d.*: a weight must be >= 0"),
    ],
)  # fmt: skip
def test_losses_and_weights_that_cannot_be(run, words, data, message):
    assert re.search(message, run.refused(*words, data=data))


def test_weights_that_are_all_0_say_so(run):
    pl.read_csv(run.folder / "two.csv").with_columns(w=0).write_csv(run.folder / "two.csv")
    assert "column 'w' holds weights that are all 0" in run.refused("--sample-weight", "w")


# --- the optimizer


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_every_hyperparameter_of_an_optimizer_has_an_option_that_changes_the_training(run, fitted, name):
    option = HYPERPARAMETERS[name]
    given = [] if option.is_flag else [2] if option.type is click.INT else [0.5]
    for optimizer, cls in xpnn.optimizers.NAMES.items():
        if name not in cls.__dataclass_fields__:
            message = run.refused("--optimizer", optimizer, option.opts[0], *given)
            assert f"{option.opts[0]}: {optimizer} has no {name}; it has: --" in message
            continue
        more = ["--momentum", 0.5] if name in ("nesterov", "dampening") else []
        more += [] if optimizer == "lbfgs" else ["--learning-rate", 0.01]
        # full steps, so that there is nothing random but the weights
        common = ["--optimizer", optimizer, "--batch-size", 0, *more]
        changed = run.trained(*common, option.opts[0], *given, epochs=8)
        assert getattr(fitted[-1]["optimizer"], name) == (given or [True])[0]
        assert not np.array_equal(changed.params, run.trained(*common, epochs=8).params), optimizer
        run.model.unlink()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--momentum", "1"], "--momentum must be a number from 0 to below 1, got 1.0"),
        (["--optimizer", "adam", "--beta-1", "-0.1"], "--beta-1 must be a number from 0 to below 1, got -0.1"),
        (["--optimizer", "adam", "--beta-2", "1"], "--beta-2 must be a number from 0 to below 1, got 1.0"),
        (["--weight-decay", "-1"], "--weight-decay must be a number >= 0, got -1.0"),
        (["--nesterov"], "nesterov needs --momentum > 0 and --dampening 0"),
        (["--optimizer", "adam", "--momentum", "0.9"], "adam has no momentum; it has: --beta-1, --beta-2, --epsilon"),
    ],
)
def test_hyperparameters_that_cannot_be(run, words, message):
    assert message in run.refused(*words)


def test_penalties_and_clipped_gradients_reach_the_training(run, fitted):
    plain = run.trained(epochs=20)
    penalised = run.trained("--l1", 0.01, "--l2", 0.1, epochs=20)
    assert fitted[-1]["penalty"] == [xpnn.L1(0.01), xpnn.L2(0.1)]
    assert np.linalg.norm(penalised.params) < np.linalg.norm(plain.params)
    for option in ("clip_norm", "clip_value"):
        clipped = run.trained(f"--{option.replace('_', '-')}", 1e-4, epochs=20)
        assert fitted[-1][option] == 1e-4
        assert clipped.history["loss"][-1] > plain.history["loss"][-1]


def test_lbfgs_takes_all_rows_at_once_and_says_why_it_ended(run, fitted):
    code, out, err = run.train("--optimizer", "lbfgs", "--l2", 0.1, epochs=500)
    assert code == 0, err
    assert re.search(r"^trained +\d+ epochs \(converged\), loss", out, re.MULTILINE)
    assert fitted[-1]["batch_size"] is None
    options = xpnn.load(run.model).metadata["options"]
    assert (options["batch_size"], options["learning_rate"]) == (0, None)
    first = run.model.read_bytes()
    run.trained("--optimizer", "lbfgs", "--l2", 0.1, "--batch-size", 0, epochs=500)
    assert run.model.read_bytes() == first


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--l1", "0"], "--l1: strength must be a number > 0, got 0.0"),
        (["--l2", "nan"], "--l2: strength must be a number > 0, got nan"),
        (["--clip-norm", "0"], "--clip-norm must be a number > 0, got 0"),
        (["--clip-value", "-1"], "--clip-value must be a number > 0, got -1"),
        (["--clip-norm", "1", "--clip-value", "1"], "--clip-norm and --clip-value are both given: leave out one"),
        (["--l2", "0.1", "--weight-decay", "0.2"], "--l2 0.1 and --weight-decay 0.2 both pull the weights towards 0"),
        (
            ["--l2", "0.1", "--optimizer", "adamw"],
            "--l2 0.1 and --weight-decay 0.01 (the default of adamw) both pull",
        ),
        (["--optimizer", "lbfgs", "--batch-size", "8"], "lbfgs takes all rows at once, but --batch-size is 8"),
        (["--optimizer", "lbfgs", "--learning-rate", "1"], "--learning-rate 1.0: lbfgs has no learning rate"),
        (["--optimizer", "lbfgs", "--schedule", "cosine"], "--schedule cosine: lbfgs has no learning rate"),
        (["--optimizer", "lbfgs", "--warmup", "2"], "--warmup 2.0: lbfgs has no learning rate"),
        (["--optimizer", "lbfgs", "--clip-norm", "1"], "lbfgs needs gradients as they are: leave out --clip-norm"),
        (["--optimizer", "lbfgs", "--dropout", "0.1"], "needs one loss for the same parameters: leave out --dropout"),
        (
            ["--optimizer", "lbfgs", "--normalize", "batch"],
            "--optimizer lbfgs does not go with --normalize batch: use",
        ),
        (["--learning-rate", "0"], "--learning-rate must be a number > 0, got 0"),
        (["--learning-rate", "nan", "--schedule", "cosine"], "--learning-rate must be a number > 0, got nan"),
        (["--optimizer", "lbfgs", "--memory", "0"], "--memory must be a whole number >= 1, got 0"),
        (["--optimizer", "lbfgs", "--memory", "0.5"], "Invalid value for '--memory': '0.5' is not a valid integer"),
    ],
)
def test_gradients_that_cannot_be(run, words, message):
    assert message in run.refused(*words)


# --- the learning rate


def rates(fitted, epochs=4, per_epoch=2):
    """The rate at each step of the last training."""
    rate = fitted[-1]["optimizer"].rate
    return [rate(step, per_epoch, {"loss": [1.0] * (step // per_epoch)}) for step in range(epochs * per_epoch)]


COMMON = ["--learning-rate", 0.1, "--batch-size", 24]  # two steps in each epoch


@pytest.mark.filterwarnings("ignore:nothing is learned after")
@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", xpnn.Constant(0.1)),
        ("cosine", xpnn.Cosine(0.1, over=8)),
        ("cosine:minimum=0.01", xpnn.Cosine(0.1, over=8, minimum=0.01)),
        ("cosine:over=2", xpnn.Cosine(0.1, over=4)),
        ("cosine:over=3,unit=step", xpnn.Cosine(0.1, over=3)),
        ("cosine:over=2,unit=epoch", xpnn.Cosine(0.1, over=2, unit="epoch")),
        ("cosine:unit=epoch", xpnn.Cosine(0.1, over=4, unit="epoch")),
        ("one-cycle", xpnn.OneCycle(0.1, over=8)),
        ("cosine_restarts:first=1,longer=2", xpnn.CosineRestarts(0.1, first=2, longer=2)),
        ("step:every=2,factor=0.5", xpnn.StepDecay(0.1, every=2, factor=0.5)),
        ("multi_step:milestones=1,3,factor=0.5", xpnn.MultiStep(0.1, milestones=(1, 3), factor=0.5)),
        ("multi_step: milestones=2", xpnn.MultiStep(0.1, milestones=(2,))),
        ("exponential:factor=0.9", xpnn.Exponential(0.1, factor=0.9)),
        ("inverse_scaling:power=1", xpnn.InverseScaling(0.1, power=1)),
        ("reduce_on_plateau:patience=1,monitor=validation_loss",
         xpnn.ReduceOnPlateau(0.1, patience=1, monitor="validation_loss")),
    ],
)  # fmt: skip
def test_the_rate_follows_its_schedule(run, fitted, schedule, expected):
    model = run.trained(*COMMON, "--schedule", schedule)
    assert fitted[-1]["optimizer"].learning_rate == expected
    if not schedule.startswith(("constant", "reduce")):
        assert not np.array_equal(model.params, run.trained(*COMMON).params)


@pytest.mark.filterwarnings("ignore:nothing is learned after")
def test_warm_up_comes_before_any_schedule_and_the_rest_is_the_schedules(run, fitted):
    run.trained(*COMMON, "--warmup", 1, "--schedule", "cosine")
    assert fitted[-1]["optimizer"].learning_rate == xpnn.Warmup(xpnn.Cosine(0.1, over=6), over=2)
    assert rates(fitted)[:3] == pytest.approx([0.0, 0.05, 0.1])
    run.trained(*COMMON, "--warmup", 1.5)
    assert rates(fitted) == pytest.approx([0, 0.1 / 3, 0.2 / 3, *[0.1] * 5])
    run.trained(*COMMON, "--warmup", 1, "--schedule", "cosine:unit=epoch")
    assert fitted[-1]["optimizer"].learning_rate.then == xpnn.Cosine(0.1, over=3, unit="epoch")


def test_a_schedule_begins_with_each_rate_that_is_tried(run, fitted, monkeypatch):
    monkeypatch.setattr(train, "_RATES_OF_REGRESSION", (1e30, 0.01))
    code, out, err = run.train("--schedule", "cosine", data="number")
    assert code == 0, err
    assert "trying a tenth of it" in out
    assert [call["optimizer"].learning_rate.learning_rate for call in fitted] == [1e30, 0.01]
    assert xpnn.load(run.model).metadata["options"]["learning_rate"] == 0.01


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--schedule", "cosin:over=2"], "--schedule: unknown schedule 'cosin'"),  # two begin so
        (["--schedule", "sine"], "--schedule: unknown schedule 'sine'. Did you mean 'cosine'"),
        (["--schedule", "warmup:over=2"], "Warm-up is --warmup, before any other"),
        (["--schedule", "cosine:over=5"], "cosine:over=5 takes 5 epochs, but --epochs gives 4: shorten it"),
        (["--schedule", "cosine:over=3", "--warmup", "2"],
         "--schedule cosine:over=3 and --warmup 2 take 5 epochs, but --epochs gives 4: shorten them"),
        (["--warmup", "5"], "--warmup 5 takes 5 epochs, but --epochs gives 4"),
        (["--warmup", "nan"], "--warmup must be a number > 0, got nan"),
        (["--warmup", "inf"], "--warmup must be a number > 0, got inf"),
        (["--schedule", "one_cycle", "--warmup", "5"],
         "--schedule one_cycle is left 0 steps of --epochs 4 by --warmup 5: shorten the warm-up, or train for"),
        (["--schedule", "cosine", "--warmup", "4"], "--schedule cosine is left 0 steps of --epochs 4 by --warmup 4"),
        (["--schedule", "one_cycle", "--epochs", "1", "--batch-size", "0"],
         "--schedule one_cycle is left 1 step of --epochs 1: train for longer"),
        (["--warmup", "0"], "Invalid value for '--warmup': 0.0 is not in the range x>0"),
        (["--schedule", "multi_step"], "--schedule multi_step takes 90 epochs, but --epochs gives 4"),
        (["--schedule", "cosine:ovr=2"], "--schedule cosine:ovr=2: unknown number 'ovr'. Did you mean 'over'"),
        (["--schedule", "cosine:2"], "write its numbers as step_decay:every=30,factor=0.5"),
        (["--schedule", "cosine:over=2,over=3"], "over is given twice"),
        (["--schedule", "cosine:over=long"], "over must be a whole number >= 1, got 'long'"),
        (["--schedule", "cosine:learning_rate=2"], "give the rate as --learning-rate"),
        (["--schedule", "step:factor=2"], "step:factor=2: factor must be a number above 0 and at most 1, got 2"),
        (["--schedule", "reduce:monitor=validation_loss", "--validation", "0"],
         "--schedule reduce:monitor=validation_loss watches validation_loss, but --validation 0 holds no rows out"),
        (["--schedule", "reduce:monitor=validation_f1"], "unknown monitor 'validation_f1'"),
    ],
)  # fmt: skip
def test_schedules_that_cannot_be(run, words, message):
    assert message in run.refused(*words)


# --- validation and stopping


def test_metrics_are_recorded_each_epoch_and_printed(run):
    code, out, _ = run.train("--metrics", "f1,roc_auc,accuracy")
    assert code == 0
    model = xpnn.load(run.model)
    assert list(model.history) == [
        "loss",
        "validation_loss",
        "validation_f1",
        "validation_roc_auc",
        "validation_accuracy",
    ]
    row = re.search(r"^validation +(.*)$", out, re.MULTILINE)[1]
    assert re.match(r"accuracy [\d.]+%, loss [\d.]+, f1 of rare ([\d.]+), roc_auc ([\d.]+) \(12 rows\)$", row), row
    assert f"roc_auc {model.history['validation_roc_auc'][-1]:.4g} (12 rows)" in row
    assert row in run("summary", run.model)[1]


def test_metrics_of_numbers_are_given_once_in_the_units_of_the_table(run):
    out = run.train("--metrics", "mse,r2,mae", data="number")[1]
    validation = re.search(r"^validation +(.*) \(12 rows\)$", out, re.MULTILINE)[1]
    names = [re.sub(" [-\\d.]+$", "", figure) for figure in validation.split(", ")]
    assert names == ["R²", "root mean squared error", "mean absolute error", "mse"]
    values = [float(figure.split()[-1]) for figure in validation.split(", ")]
    assert values[3] == pytest.approx(values[1] ** 2, rel=1e-4)
    scale = xpnn.load(run.model).metadata["table"]["scales"][0][1]
    assert values[3] == pytest.approx(xpnn.load(run.model).history["validation_mse"][-1] * scale**2, rel=1e-4)


@pytest.mark.parametrize(("words", "positive"), [([], "rare"), (["--positive", "often"], "often")])
def test_metrics_of_one_of_two_classes_name_it(run, words, positive):
    sklearn = pytest.importorskip("sklearn.metrics")
    out = run.train("--metrics", "f1,precision,recall,roc_auc", *words)[1]
    row = re.search(r"^validation +(.*)$", out, re.MULTILINE)[1]
    for name in ("f1", "precision", "recall"):
        assert f", {name} of {positive} " in row
    assert row in run("summary", run.model)[1]
    predicted = pl.read_csv(run("predict", run.model, run.folder / "two.csv")[1].encode())["y"].to_numpy()
    y = pl.read_csv(run.folder / "two.csv")["y"].to_numpy()
    expected = sklearn.f1_score(y, predicted, pos_label=positive)
    scores = run("evaluate", run.model, run.folder / "two.csv")[1]
    assert re.search(rf"^f1 of {positive} +{expected:.4g}$", scores, re.MULTILINE), scores


def test_the_positive_class_changes_neither_the_rows_held_out_nor_the_predictions_names(run):
    first = run.trained("--metrics", "accuracy", "--epochs", 60)
    predicted = run("predict", run.model, run.folder / "two.csv")[1]
    second = run.trained("--metrics", "accuracy", "--epochs", 60, "--positive", "often")
    assert (first.labels, second.labels) == (["often", "rare"], ["rare", "often"])
    again = run("predict", run.model, run.folder / "two.csv")[1]
    assert sum(a != b for a, b in zip(predicted.splitlines(), again.splitlines(), strict=True)) < 6
    assert first.metadata["table"]["numeric"] == second.metadata["table"]["numeric"]


def test_the_stored_options_repeat_the_positive_class(run):
    run.trained("--positive", "often")
    assert "--positive often" in run("summary", run.model)[1]
    first = run.model.read_bytes()
    run.trained("--config", run.write("again.toml", run("summary", run.model, "--options")[1]))
    assert run.model.read_bytes() == first


@pytest.mark.parametrize(
    ("given", "data", "message"),
    [
        ("never", "two", "--positive: unknown class 'never'.* Valid: often, rare."),
        ("1", "three", "--positive is for two classes, but the task is multiclass: leave it out."),
    ],
)
def test_positive_classes_that_cannot_be(run, given, data, message):
    assert re.search(message, run.refused("--positive", given, data=data))


def test_evaluate_scores_what_is_asked_for_and_else_what_the_training_did(run):
    run.trained("--metrics", "f1")
    usual = run("evaluate", run.model, run.folder / "two.csv")[1]
    assert [line.split("  ")[0] for line in usual.splitlines()] == ["rows", "accuracy", "loss", "f1 of rare"]
    asked = run("evaluate", run.model, run.folder / "two.csv", "--metrics", "roc_auc,accuracy")[1]
    assert [line.split("  ")[0] for line in asked.splitlines()] == ["rows", "accuracy", "loss", "roc_auc"]
    code, out, err = run("evaluate", run.model, run.folder / "two.csv", "--metrics", "r2")
    assert (code, out) == (2, "")
    assert "the metric 'r2' is for regression" in err


def test_the_likeliest_five_of_three_classes_are_no_metric(run):
    says = r"--metrics top_k is how often the class is among the 5 likeliest: of 3 classes it always is; leave it out"
    assert re.search(says, run.refused("--metrics", "top_k", data="three"))
    run.trained(data="three")
    assert re.search(says, run("evaluate", run.model, run.folder / "three.csv", "--metrics", "top_k")[2])


def noise(run):
    """Nothing to learn: what is held out becomes worse soon."""
    rng = np.random.default_rng(0)
    pl.DataFrame({name: rng.normal(size=60) for name in "abcdefgh"} | {"w": 1.0, "y": rng.normal(size=60)}).write_csv(
        run.folder / "noise.csv"
    )


def test_early_stopping_keeps_the_best_parameters(run):
    noise(run)
    words = ["--learning-rate", 0.05, "--early-stopping", "--patience", 5]
    code, out, _ = run.train(*words, data="noise", epochs=200)
    assert code == 0
    stopped = xpnn.load(run.model)
    losses = stopped.history["validation_loss"]
    best = losses.index(min(losses)) + 1
    assert len(losses) == best + 6 < 200
    assert re.search(rf"^trained +{best + 6} epochs \(early stopping\), loss", out, re.MULTILINE)
    assert re.search(rf"^kept +the parameters of epoch {best}, whose validation_loss was best: ", out, re.MULTILINE)
    assert "note" not in out
    until = run.trained("--learning-rate", 0.05, data="noise", epochs=best)
    assert np.array_equal(stopped.params, until.params)


def test_patience_monitor_and_least_change_are_early_stoppings(run, fitted):
    run.trained(
        "--early-stopping", "--patience", 3, "--monitor", "validation_f1", "--metrics", "f1", "--min-change", 0.1
    )
    stopping = fitted[-1]["callbacks"][0]
    assert (stopping.patience, stopping.monitor, stopping.minimum_change) == (3, "validation_f1", 0.1)
    run.trained("--early-stopping", "--monitor", "loss", "--validation", 0)
    assert fitted[-1]["callbacks"][0].monitor == "loss"


def test_a_loss_that_was_less_before_points_to_early_stopping(run):
    noise(run)
    out = run.train("--learning-rate", 0.05, data="noise", epochs=200)[1]
    assert re.search(r"note +the validation loss was least after epoch \d+ .* or --early-stopping may do better", out)


def test_training_ends_when_the_time_is_over(run):
    code, out, _ = run.train("--time-limit", 1e-9, epochs=1000)
    assert code == 0
    assert re.search(r"^trained +1 epoch \(the time of --time-limit is over\)", out, re.MULTILINE)
    assert len(xpnn.load(run.model).history["loss"]) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--early-stopping", "--validation", "0"],
         "--early-stopping watches validation_loss, but --validation 0 holds no rows out: give it a share"),
        (["--metrics", "f1", "--validation", "0"], "--metrics f1 are of the rows held out, but --validation 0 "),
        (["--metrics", "r2"], "--metrics: the metric 'r2' is for regression"),
        (["--metrics", "f2"], "--metrics: unknown metric 'f2'. Valid: "),
        (["--metrics", "f_1"], "--metrics: unknown metric 'f_1'. Did you mean 'f1'"),
        (["--patience", "3"], "--patience 3 is of --early-stopping, which is not given: add it, or leave it out"),
        (["--monitor", "loss"], "--monitor loss is of --early-stopping, which is not given"),
        (["--min-change", "0.1"], "--min-change 0.1 is of --early-stopping, which is not given"),
        (["--early-stopping", "--min-change", "-1"], "--min-change: minimum_change must be a number >= 0, got -1.0"),
        (["--early-stopping", "--patience", "-1"], "Invalid value for '--patience': -1 is not in the range x>=0"),
        (["--early-stopping", "--monitor", "validation_f1"], "--monitor: unknown name 'validation_f1'"),
        (["--early-stopping", "--monitor", "validation_f1"], "Add --metrics f1."),
        (["--time-limit", "0"], "Invalid value for '--time-limit': 0.0 is not in the range x>0"),
        (["--time-limit", "nan"], "--time-limit: seconds must be a number > 0, got nan"),
    ],
)  # fmt: skip
def test_validation_that_cannot_be(run, words, message):
    assert message in run.refused(*words)


# --- the log


def test_the_history_is_written_as_it_grows(run):
    table, lines = run.folder / "h.csv", run.folder / "h.jsonl"
    out = run.train("--history", table, "--metrics", "f1")[1]
    assert re.search(rf"^history +{re.escape(str(table))}$", out, re.MULTILINE)
    model = run.trained("--history", lines, "--metrics", "f1")
    assert pl.read_csv(table)["validation_f1"].to_list() == model.history["validation_f1"]
    assert [json.loads(line)["loss"] for line in lines.read_text().splitlines()] == model.history["loss"]
    run.trained("--history", table, epochs=2)  # as --out, it takes the place of an earlier one
    assert pl.read_csv(table).height == 2


def test_a_rate_that_changes_is_in_the_history(run):
    file = run.folder / "h.csv"
    model = run.trained("--schedule", "exponential:factor=0.5", "--learning-rate", 0.1, "--history", file)
    assert model.history["learning_rate"] == pytest.approx([0.1, 0.05, 0.025, 0.0125])
    assert pl.read_csv(file)["learning_rate"].to_list() == model.history["learning_rate"]


def test_the_history_is_written_for_tensorboard(run):
    pytest.importorskip("tensorboardX")
    run.trained("--tensorboard", run.folder / "events")
    (file,) = (run.folder / "events").iterdir()
    assert b"validation_loss" in file.read_bytes()
    run.model.unlink()
    assert "three.csv: cannot write into" in run.refused("--quiet", "--tensorboard", run.folder / "three.csv")


def test_the_folder_for_tensorboard_is_no_file_of_another_option(run):
    history = run.folder / "h.csv"
    for words, of in (
        ([run.folder / "two.csv"], "the data file"),
        ([run.model], "the file of --out"),
        ([history, "--history", history], "the file of --history"),
    ):
        assert re.search(f"^xpnn: --tensorboard .* is {of} itself: choose", run.refused("--tensorboard", *words))


def test_a_history_that_cannot_be_written_says_so_and_harms_no_file(run):
    data = (run.folder / "two.csv").read_bytes()
    assert "--history x.txt: the file's name must end in .csv or .jsonl" in run.refused("--history", "x.txt")
    assert "cannot write --history" in run.refused("--history", run.folder / "no" / "h.csv")
    assert "two.csv is the data file itself" in run.refused("--history", run.folder / "two.csv")
    both = "--history", run.folder / "h.csv", "--out", run.folder / "h.csv"
    assert re.search("--history .*h.csv is the file of --out itself", run.refused(*both))
    assert (run.folder / "two.csv").read_bytes() == data


def test_a_history_that_can_no_longer_be_written_costs_no_model(run, monkeypatch):
    def full(self, training):
        if training.epoch == 3:
            raise OSError(28, "No space left on device")
        return write(self, training)

    write = HistoryFile.epoch_end
    monkeypatch.setattr(HistoryFile, "epoch_end", full)
    file = run.folder / "h.csv"
    code, _, err = run.train("--quiet", "--history", file)
    assert code == 2
    assert err == (
        f"xpnn: cannot write --history {file}: No space left on device; {run.model} holds the model as of epoch 3.\n"
    )
    assert len(xpnn.load(run.model).history["loss"]) == 3


def test_a_record_that_cannot_be_closed_costs_no_model(run, monkeypatch):
    def full(self, training):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(HistoryFile, "end", full)
    code, _, err = run.train("--quiet", "--history", run.folder / "h.csv")
    assert code == 2
    assert err.endswith(f"h.csv: No space left on device; {run.model} holds the model as of epoch 4.\n")
    assert len(xpnn.load(run.model).history["loss"]) == 4


def test_a_callback_that_raises_is_not_the_devices_fault_and_before_an_epoch_saves_nothing(run, monkeypatch):
    def raises(self, training):
        raise RuntimeError("broken")

    monkeypatch.setattr(Progress, "epoch_end", raises)
    code, _, err = run.train("--epochs", 1)
    assert (code, err) == (2, f"xpnn: RuntimeError: broken; {run.model} holds the model as of epoch 1.\n")
    run.model.unlink()
    pytest.importorskip("tensorboardX")
    events = run.write("events", "")
    assert run.refused("--quiet", "--tensorboard", events).startswith(f"xpnn: --tensorboard {events}: cannot write")


# --- options from a file


TOML = """
epochs = 3
[network]
hidden = [4, 3]
dropout = 0.1
activation = ["tanh", "relu"]
[optimizer]
optimizer = "adam"
weight-decay = 1e-3
[data]
class_weight = {rare = 2, often = 1.5}
ignore = ["w"]
[validation]
early-stopping = true
"""
YAML = """
epochs: 3
network: {hidden: [4, 3], dropout: 0.1, activation: "tanh,relu"}
optimizer: adam
weight-decay: 1e-3   # text, as YAML 1.1 has it
class_weight: "rare=2,often=1.5"
Data:
  ignore: w
early_stopping: yes
"""
JSON = json.dumps(tomllib.loads(TOML))


@pytest.mark.parametrize(("name", "text"), [("r.toml", TOML), ("r.yaml", YAML), ("r.yml", YAML), ("r.json", JSON)])
def test_a_file_holds_options_in_each_format(run, name, text):
    if name.startswith("r.y"):
        pytest.importorskip("yaml")
    expected = run.trained(
        *["--hidden", "4,3", "--dropout", 0.1, "--activation", "tanh,relu", "--optimizer", "adam"],
        *["--weight-decay", 0.001, "--class-weight", "rare=2,often=1.5", "--early-stopping"],
        epochs=3,
    )
    file = run.write(name, text)
    out = run.folder / "other.safetensors"
    code, _, err = run("train", run.folder / "two.csv", "--target", "y", "--out", out, "--quiet", "--config", file)
    assert code == 0, err
    model = xpnn.load(out)
    assert model.metadata["options"] == expected.metadata["options"]
    assert np.array_equal(model.params, expected.params)


def test_a_table_that_is_no_group_is_compared_with_the_groups(run):
    code, _, err = run("train", "--config", run.write("r.toml", "[nework]\nhidden = 3"))
    assert code == 2
    assert "r.toml: there is no table 'nework': did you mean 'network'?" in err


def test_columns_to_leave_out_may_have_commas_between_or_in_their_names(run):
    table = pl.read_csv(run.folder / "two.csv")
    table.with_columns(pl.col("a").alias("c,d"), pl.col("b").alias("e")).write_csv(run.folder / "commas.csv")
    ignored = run.trained("--ignore", "c,d", "--ignore", "b, e", data="commas").metadata["table"]["ignored"]
    assert list(ignored) == ["w", "c,d", "b", "e"]
    assert "unknown column 'f'" in run("train", run.folder / "commas.csv", "--target", "y", "--out", run.model,
                                       "--ignore", "b,f")[2]  # fmt: skip


def test_the_command_line_wins_over_the_file(run):
    file = run.write("r.toml", "epochs = 3\nhidden = 5\nignore = ['a', 'w']\nseed = 7\nmetrics = 'f1'")
    model = run.trained("--config", file, "--hidden", 4, "--seed", 0, epochs=2)  # trained() ignores w alone
    assert model.network.shapes == ((2,), (4,), (1,))
    assert len(model.history["loss"]) == 2
    assert model.metadata["options"]["seed"] == 0
    assert model.metadata["options"]["metrics"] == ["f1"]


def test_the_command_line_takes_back_the_flags_of_a_file(run):
    file = run.write("r.toml", "early-stopping = true\nmomentum = 0.5\nnesterov = true\nquiet = true")
    assert run.train("--config", file) == (0, "", "")
    options = xpnn.load(run.model).metadata["options"]
    assert (options["early_stopping"], options["nesterov"]) == (True, True)
    code, out, _ = run.train("--config", file, "--no-early-stopping", "--no-nesterov", "--no-quiet")
    assert code == 0
    assert "trained" in out
    assert "kept" not in out
    options = xpnn.load(run.model).metadata["options"]
    assert (options["early_stopping"], options.get("nesterov")) == (False, None)


@pytest.mark.parametrize(
    ("text", "words", "note"),
    [
        (
            "early-stopping = true\npatience = 5\nmonitor = 'loss'",
            ["--no-early-stopping"],
            "--no-early-stopping takes back --monitor, --patience of the file",
        ),
        (
            "momentum = 0.5\nnesterov = true\nweight-decay = 0.1",
            ["--optimizer", "adam"],
            "--optimizer adam takes back --momentum, --nesterov of the file",
        ),
        (
            "learning-rate = 0.1\nschedule = 'cosine'\nbatch-size = 8\ndropout = 0.1",
            ["--optimizer", "lbfgs"],
            "--optimizer lbfgs takes back --batch-size, --learning-rate, --schedule, --dropout of the file",
        ),
        (
            "label-smoothing = 0.1\nloss = 'binary_crossentropy'",
            ["--loss", "mse"],
            "--loss mse takes back --label-smoothing of the file",
        ),
    ],
)
def test_what_the_command_line_has_no_use_for_lapses_in_the_file(run, text, words, note):
    file = run.write("r.toml", text)
    code, _, err = run.train("--config", file, *words)
    assert code == 0, err
    assert f"note: {note}\n" in err
    options = xpnn.load(run.model).metadata["options"]
    for option in re.findall(r"--(\S+)", note.partition("takes back")[2].replace(",", "")):
        assert option == "batch-size" or not options.get(option.replace("-", "_"))
    assert options.get("weight_decay") == (0.1 if "weight-decay" in text else None)
    assert run.train("--config", file, *words, "--quiet")[2] == ""


def test_what_contradicts_itself_in_one_place_is_refused(run):
    file = run.write("r.toml", "patience = 5\noptimizer = 'adam'\nmomentum = 0.5")
    assert "--momentum: adam has no momentum" in run.refused("--config", file, "--early-stopping")
    assert "--patience 3 is of --early-stopping" in run.refused("--no-early-stopping", "--patience", 3)
    file = run.write("r.toml", "optimizer = 'adam'")
    assert "--momentum: adam has no momentum" in run.refused("--config", file, "--momentum", 0.5)


def test_of_several_files_the_later_ones_win(run):
    a = run.write("a.toml", "hidden = 3\n[steps]\nepochs = 2\nbatch-size = 8")
    b = run.write("b.yaml" if importlib.util.find_spec("yaml") else "b.json", '{"epochs": 3, "hidden": 5}')
    both = run.trained("--config", a, "--config", b, epochs=None)
    assert len(both.history["loss"]) == 3
    assert both.network.shapes[1] == (5,)
    assert both.metadata["options"]["batch_size"] == 8
    wrong = run.write("c.toml", "epoch = 3")
    run.model.unlink()
    assert "c.toml: there is no option 'epoch'" in run.refused("--config", wrong, "--config", a)


def test_the_file_alone_is_enough(run):
    file = run.write(
        "r.toml",
        f"data = {json.dumps(str(run.folder / 'two.csv'))}\ntarget = 'y'\nignore = 'w'\nepochs = 2\nquiet = true\n"
        f"out = {json.dumps(str(run.model))}",
    )
    assert run("train", "--config", file) == (0, "", "")
    assert len(xpnn.load(run.model).history["loss"]) == 2


def test_without_the_file_what_it_could_hold_is_asked_for(run):
    code, _, err = run("train", "--config", run.write("r.toml", "epochs = 2"), "--out", run.model)
    assert code == 2
    assert "Missing" in err


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("r.toml", "epoch = 3", "r.toml: there is no option 'epoch': did you mean 'epochs'?"),
        ("r.toml", "[network]\ndrop_out = 3", "r.toml: there is no option 'drop_out': did you mean 'dropout'?"),
        ("r.toml", "zzz = 3", "r.toml: there is no option 'zzz': see 'xpnn train --help'."),
        ("r.toml", "config = 'r.toml'", "r.toml: there is no option 'config'"),
        ("r.toml", "epochs = 'many'", "r.toml: epochs: 'many' is not a valid integer"),
        ("r.toml", "epochs = 2.5", "r.toml: epochs: '2.5' is not a valid integer.\n"),
        ("r.toml", "l2 = 'much'", "r.toml: l2: 'much' is not a valid number.\n"),
        ("r.toml", "time-limit = 'long'", "r.toml: time-limit: 'long' is not a valid number.\n"),
        ("r.toml", "epochs = true", "r.toml: epochs: must be a value, got true."),
        ("r.toml", "epochs = 0", "r.toml: epochs: 0 is not in the range x>=1"),
        ("r.toml", "epochs = [1, 2]", "r.toml: epochs: must be a text or a number, got [1, 2]."),
        ("r.toml", "epochs = 1979-05-27", 'r.toml: epochs: must be a text or a number, got "1979-05-27".'),
        ("r.toml", "quiet = 'yes'", 'r.toml: quiet: must be true or false, got "yes".'),
        ("r.toml", "nesterov = 1", "r.toml: nesterov: must be true or false, got 1."),
        ("r.toml", "hidden = [3, 'x']", "r.toml: hidden: must be node counts such as 16,8, got '3,x'."),
        ("r.toml", "hidden = {a = 1}", 'r.toml: hidden: must be a text or a number, got {"a": 1}.'),
        ("r.toml", "class-weight = {rare = 'x'}", "r.toml: class-weight: must be balanced, or weights such as"),
        ("r.toml", "epochs = 2\n[steps]\nepochs = 3", "r.toml: 'epochs' is given twice."),
        ("r.toml", "epochs = 2\nhidden = [", "r.toml is not TOML: "),
        ("r.toml", "epochs = 2\nhidden = = 3", "(at line 2, column 10)"),
        ("r.json", '{"epochs": 2,\n "hidden": }', "r.json is not JSON: Expecting value: line 2 column 12"),
        ("r.json", "[1]", "r.json must hold options by name, such as 'epochs: 50'."),
        ("r.json", '{"epochs": null}', "r.json: epochs: must be a text or a number, got null."),
        ("r.yaml", "epochs: 2\nhidden: [3", "(at line 2, column 11)"),
        ("r.yaml", "- epochs", "r.yaml must hold options by name"),
        ("r.ini", "epochs = 2", "r.ini: the file's name must end in .toml, .yaml, .yml, .json."),
    ],
)
def test_files_that_cannot_be_used_say_where_and_why(run, name, text, message):
    if name == "r.yaml":
        pytest.importorskip("yaml")
    assert message in run.refused("--config", run.write(name, text), epochs=None)


def test_a_file_that_is_missing_or_no_text(run):
    assert "cannot read" in run.refused("--config", run.folder / "none.toml")
    (run.folder / "r.toml").write_bytes(b"\xff\xfe")
    assert "it is not UTF-8" in run.refused("--config", run.folder / "r.toml")


def test_without_its_library_yaml_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    message = run.refused("--config", run.write("r.yaml", "epochs: 2"))
    assert "YAML needs PyYAML: pip install 'xpnn[yaml]', or write TOML" in message


def test_without_its_library_toml_is_not_written(run, monkeypatch):
    run.trained()
    monkeypatch.setitem(sys.modules, "tomli_w", None)
    code, out, err = run("summary", run.model, "--options")
    assert (code, out, err) == (2, "", "xpnn: writing TOML needs tomli-w: pip install 'xpnn[cli]'.\n")


def test_the_extra_that_is_named_exists():
    from pathlib import Path

    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert any("PyYAML" in each for each in project["optional-dependencies"]["yaml"])


# --- the options used


def test_the_model_file_holds_what_was_used(run):
    options = run.trained("--optimizer", "adam", "--beta-1", 0.8, "--schedule", "cosine").metadata["options"]
    assert options["beta_1"] == 0.8
    assert options["schedule"] == "cosine"
    assert options["learning_rate"] == 0.001
    assert (options["backend"], options["device"]) == ("numpy", "cpu")
    assert options["validation"] == 0.2
    assert not {"data", "out", "quiet", "history"} & set(options)


def test_summary_shows_the_options_that_differ_from_the_defaults(run):
    run.trained(
        "--hidden", "", "--ignore", "b", "--learning-rate", 0.1, "--early-stopping", "--nesterov", "--momentum", 0.5
    )
    _, out, _ = run("summary", run.model)
    shown = " ".join(re.search(r"^options +(.*(?:\n +.*)*)", out, re.MULTILINE)[1].split())
    assert shown == (
        "--ignore w --ignore b --hidden '' --momentum 0.5 --nesterov --epochs 4 --batch-size 32 --learning-rate 0.1 "
        "--early-stopping --backend numpy --device cpu"
    )
    assert max(len(line) for line in out.splitlines() if "--" in line) < 120


def test_the_options_that_are_shown_give_the_same_numbers(run):
    rate = 0.012345678901234567
    run.trained("--learning-rate", rate, "--class-weight", "rare=1.23456789,often=2", "--momentum", 0.5)
    shown = " ".join(run("summary", run.model)[1].split())
    assert f"--learning-rate {rate!r} " in shown
    assert "--class-weight rare=1.23456789,often=2 " in shown
    assert "--momentum 0.5 " in shown


def test_the_order_of_the_words_does_not_change_the_file(run):
    words = ["--centered"], ["--momentum", 0.1], ["--rho", 0.8], ["--epsilon", 1e-7]
    files = []
    for order in (words, words[::-1]):
        run.trained("--optimizer", "rmsprop", *(word for pair in order for word in pair))
        files.append(run.model.read_bytes())
    assert files[0] == files[1]
    toml = run.write("again.toml", run("summary", run.model, "--options")[1])
    run.trained("--config", toml)
    assert run.model.read_bytes() == files[0]


def test_a_run_is_repeated_from_the_options_in_its_model_file(run):
    words = ["--hidden", "6,4", "--activation", "tanh,relu", "--dropout", 0.1, "--normalize", "layer"]
    words += ["--optimizer", "adamw", "--weight-decay", 0.02, "--schedule", "cosine:minimum=1e-5", "--warmup", 0.5]
    words += ["--class-weight", "rare=2,often=1.5", "--sample-weight", "w", "--label-smoothing", 0.05, "--seed", 3]
    words += ["--metrics", "f1,roc_auc", "--early-stopping", "--patience", 0, "--batch-size", 0, "--validation", 0.3]
    first = run.trained(*words)
    code, toml, _ = run("summary", run.model, "--options")
    assert code == 0
    file = run.write("again.toml", toml)
    again = run.folder / "again.safetensors"
    code, _, err = run("train", run.folder / "two.csv", "--config", file, "--out", again, "--quiet")
    assert code == 0, err
    second = xpnn.load(again)
    assert np.array_equal(first.params, second.params)
    assert first.history == second.history
    assert first.metadata == second.metadata
    assert run.model.read_bytes() == again.read_bytes()
    assert set(tomllib.loads(toml)) <= {heading.lower() for heading in GROUPS}


@pytest.mark.parametrize("words", [[], ["--hidden", ""], ["--hidden", "", "--validation", 0, "--quiet"]])
def test_the_options_of_any_model_can_be_read_again(run, words):
    first = run.trained(*words)
    file = run.write("again.toml", run("summary", run.model, "--options")[1])
    assert run("train", run.folder / "two.csv", "--config", file, "--out", run.model, "--quiet")[0] == 0
    assert xpnn.load(run.model).metadata == first.metadata


def test_a_model_trained_in_python_has_no_options(run):
    model = xpnn.fit(xpnn.mlp([1, 1]), np.array([[0.0], [1.0]]), np.array([0.0, 1.0]), epochs=1)
    model.save(run.model)
    code, out, err = run("summary", run.model, "--options")
    assert (code, out) == (2, "")
    assert "holds no options: it was not trained by 'xpnn train'" in err
    assert "options" not in run("summary", run.model)[1]


@pytest.mark.parametrize("options", [{"hidden": {"a": None}}, {"targets": "y", "ignore": 3, "epochs": [None]}, [1]])
def test_options_that_are_broken_are_said_in_a_line(run, options):
    model = xpnn.fit(xpnn.mlp([1, 1]), np.array([[0.0], [1.0]]), np.array([0.0, 1.0]), epochs=1)
    dataclasses.replace(model, metadata={"options": options}).save(run.model)
    code, out, err = run("summary", run.model, "--options")
    assert (code, out) == (2, "")
    assert re.fullmatch("xpnn: .*(the options are broken|holds no options).*\n", err), err
    assert run("summary", run.model)[0] == 0


@pytest.mark.filterwarnings("default")
def test_a_class_that_is_not_among_the_rows_to_validate_on_is_told(run):
    rng = np.random.default_rng(0)
    rows = {"x": rng.normal(size=200), "y": ["a", "b"] * 99 + ["a", "rare"]}
    pl.DataFrame(rows).write_csv(run.folder / "single.csv")
    words = ["--metrics", "roc_auc", "--monitor", "validation_roc_auc", "--early-stopping", "--patience", 1]
    code, out, err = run(
        "train", run.folder / "single.csv", "--target", "y", "--epochs", 5, "--out", run.model, *words
    )
    assert code == 0, err
    assert re.search("note +no row to validate on is of class rare: the scores do not tell how well it is found", out)
    assert "xpnn: validation_roc_auc is nan after epoch 1: until it is a number, EarlyStopping neither" in err
    assert "5 epochs" in out
    assert "kept" not in out
