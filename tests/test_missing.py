"""``--missing``: tables with empty cells, whose rows are left out or whose cells are filled."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

import xpnn

click = pytest.importorskip("click")
pl = pytest.importorskip("polars")

from xpnn import tables  # noqa: E402  (needs polars)
from xpnn.cli import main  # noqa: E402  (needs click and polars)
from xpnn.cli.data import read  # noqa: E402

N = 60


def table(**columns):
    """Numbers, text and classes, with holes where columns are given with None."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=N)
    usual = {"a": a, "b": rng.normal(size=N), "t": rng.choice(["left", "right"], N), "y": np.where(a > 0, "p", "n")}
    return pl.DataFrame(usual | columns)


def holes(values, *rows):
    return [None if i in rows else v for i, v in enumerate(values)]


@pytest.fixture
def holed():
    full = table()
    return full.with_columns(
        pl.Series("a", holes(full["a"], 3, 4, 50)),
        pl.Series("t", holes(full["t"], 4, 7)),
        pl.Series("y", holes(full["y"], 9)),
    )


class Run:
    def __init__(self, folder, capsys):
        self.folder, self.capsys, self.model = folder, capsys, folder / "model.safetensors"

    def __call__(self, *words):
        self.capsys.readouterr()
        code = main([str(word) for word in words])
        return code, *self.capsys.readouterr()

    def write(self, data, name="data.csv"):
        path = self.folder / name
        data.write_parquet(path) if name.endswith("parquet") else data.write_csv(path)
        return path

    def train(self, path, *words):
        return self("train", path, "--target", "y", "--epochs", 3, "--out", self.model, *words)


@pytest.fixture
def run(tmp_path, capsys):
    return Run(tmp_path, capsys)


def data(path, missing, **options):
    usual = {"task": "auto", "validation": 0.25, "ignore": [], "seed": 0}
    return read(path, options.pop("targets", ["y"]), missing=missing, **usual | options)


def test_an_error_says_what_can_be_done(run, holed):
    code, out, err = run.train(run.write(holed))
    assert (code, out) == (2, "")
    assert "column 'a' is empty in row 4 (and 2 more); column 't' is empty in row 5 (and 1 more)" in err
    assert err.endswith("let --missing fill or drop do it, or leave columns out with --ignore.\n")
    for way in ("fill", "drop"):
        assert run.train(run.write(holed), "--missing", way)[0] == 0


def test_filled_numbers_are_the_mean_and_filled_text_is_no_value(run, holed):
    found = data(run.write(holed), "fill", validation=0)
    rest = holed.drop_nulls("y")
    assert found.schema.filled
    assert found.schema.numeric["a"][0] == pytest.approx(rest["a"].mean())
    assert found.schema.numeric["a"][1] == pytest.approx(rest["a"].std(ddof=0))
    assert found.schema.text == {"t": ["left", "right"]}
    order = np.argsort(np.where(rest["a"].is_null(), np.inf, rest["a"].to_numpy()))
    x = found.x[np.argsort(np.where(found.x[:, 0] == 0, np.inf, found.x[:, 0]))]
    np.testing.assert_allclose(
        x[: len(order) - 3, 0],
        ((rest["a"].to_numpy() - rest["a"].mean()) / rest["a"].std(ddof=0))[order][:-3],
        rtol=1e-4,
        atol=1e-6,
    )
    assert np.count_nonzero(found.x[:, 0] == 0) == 3
    assert np.count_nonzero(found.x[:, 2:].sum(axis=1) == 0) == 2
    assert found.gaps == [
        "1 row of 60 left out, without a target",
        f"column 'a' is empty in 3 rows: taken for the mean, {rest['a'].mean():.6g}",
        "column 't' is empty in 2 rows: taken for none of its values",
    ]


def test_means_are_those_of_the_rows_to_train_on(run, holed):
    found = data(run.write(holed), "fill")
    filled = found.x[:, 0] == 0
    assert found.x[~filled, 0].mean() == pytest.approx(0, abs=1e-6)
    assert found.x[~filled, 0].std() == pytest.approx(1, abs=1e-5)


def test_rows_that_are_left_out_are_those_with_a_hole_in_a_column_that_is_used(run, holed):
    names = [f"id{i}" for i in range(N)]
    holed = holed.with_columns(pl.Series("name", holes(names, *range(0, N, 2))), pl.Series("none", [None] * N))
    found = data(run.write(holed), "drop", validation=0)
    assert len(found.x) == N - 5
    assert not found.schema.filled
    assert found.gaps == ["5 rows of 60 left out, without a cell that is needed"]
    assert set(found.schema.ignored) == {"name", "none"}
    ignoring = data(run.write(holed), "drop", validation=0, ignore=["a"])
    assert len(ignoring.x) == N - 3


def test_what_is_not_used_in_all_rows_is_not_in_those_that_are_left(run):
    """Fewer rows have fewer values: the holes of a column of names would count then."""
    few = {"name": holes([f"id{i}" for i in range(N)], *range(0, N, 2)), "a": holes([1.0, 2.0] * 30, *range(20, 59))}
    found = data(run.write(table(**few)), "drop", validation=0)
    assert len(found.x) == 21
    assert found.schema.ignored == {"name": "text with 30 different values"}


def test_without_a_hole_it_is_as_without_the_option(run):
    path = run.write(table())
    models = []
    for way in ("error", "fill", "drop"):
        assert run.train(path, "--missing", way, "--quiet")[0] == 0
        models.append(xpnn.load(run.model).params)
    np.testing.assert_array_equal(models[0], models[1])
    np.testing.assert_array_equal(models[0], models[2])


def test_predictions_fill_as_the_training_did_and_say_so(run, holed):
    assert run.train(run.write(holed), "--missing", "fill")[0] == 0
    schema = tables.schema_of(xpnn.load(run.model))
    mean = schema.numeric["a"][0]
    rows = pl.DataFrame({"a": [None, mean, 0.5], "b": [None, None, None], "t": ["left", "left", None]})
    code, out, err = run("predict", run.model, run.write(rows, "new.csv"), "--probabilities")
    assert code == 0
    first, second, third = out.splitlines()[1:]
    assert first == second != third
    assert err.splitlines() == [
        f"note: column 'a' is empty in 1 row: taken for the mean, {mean:.6g}",
        f"note: column 'b' is empty in 3 rows: taken for the mean, {schema.numeric['b'][0]:.6g}",
        "note: column 't' is empty in 1 row: taken for none of its values",
    ]


def test_a_model_that_was_not_trained_so_takes_no_holes(run, holed):
    assert run.train(run.write(holed), "--missing", "drop")[0] == 0
    code, _, err = run("predict", run.model, run.write(holed))
    assert code == 2
    assert "column 'a' is empty in row 4" in err
    assert "--missing" not in err  # there is no such option here


def test_nan_in_a_binary_file_is_an_empty_cell(run):
    full = table()
    strange = full.with_columns(pl.when(pl.int_range(pl.len()) == 5).then(math.nan).otherwise("a").alias("a"))
    assert "row 6 holds nan" in run.train(run.write(strange, "data.parquet"))[2]
    assert len(data(run.write(strange, "data.parquet"), "drop", validation=0).x) == N - 1
    assert run.train(run.write(strange, "data.parquet"), "--missing", "fill")[0] == 0
    assert run("predict", run.model, run.write(strange, "data.parquet"))[0] == 0


@pytest.mark.parametrize(
    ("targets", "task"), [(["y"], "regression"), (["y", "z"], "regression"), (["u", "v"], "multilabel")]
)
def test_rows_without_a_target_are_left_out_by_both(run, targets, task):
    rng = np.random.default_rng(1)
    numbers = {name: holes(rng.normal(size=N), i) for i, name in enumerate("yz")}
    labels = {name: holes(rng.integers(0, 2, N), i) for i, name in enumerate("uv")}
    path = run.write(table(**numbers, **labels))
    for way in ("fill", "drop"):
        ignore = [name for name in "yzuv" if name not in targets]
        found = data(path, way, validation=0, targets=targets, ignore=ignore)
        assert found.schema.task == task
        assert len(found.x) == len(found.y) == N - len(targets)


def test_rows_without_a_weight_are_left_out(run, holed):
    weights = holes(np.arange(N) + 1.0, 20)
    found = data(run.write(holed.with_columns(pl.Series("w", weights))), "fill", validation=0, sample_weight="w")
    assert len(found.x) == len(found.weights) == N - 2
    assert sorted(found.weights) == sorted(i + 1.0 for i in range(N) if i not in (9, 20))
    assert found.gaps[0] == "2 rows of 60 left out, without a target or weight"


@pytest.mark.parametrize("way", ["fill", "drop"])
def test_what_cannot_be_used_is_named_with_its_row_in_the_file(run, holed, way):
    for name, value in (("a", math.inf), ("b", -math.inf)):
        strange = holed.with_columns(pl.when(pl.int_range(pl.len()) == 30).then(value).otherwise(name).alias(name))
        assert f"column {name!r}, row 31 holds" in run.train(run.write(strange), "--missing", way)[2]


def test_a_column_that_is_empty_in_all_rows_to_train_on_is_not_used(run):
    for row in range(N):
        found = data(run.write(table(c=holes(range(N), *(i for i in range(N) if i != row)))), "fill", validation=0.5)
        if found.schema.ignored == {"c": "empty"}:
            break
    else:
        pytest.fail("the one cell was in the rows to train on each time")


def test_if_too_few_rows_are_left_it_says_so(run):
    path = run.write(table(a=holes(range(N), *range(2, N)), b=holes(range(N), 1)))
    err = run.train(path, "--missing", "drop")[2]
    assert "without rows that lack a cell that is needed 1 row of 60 would be left: at least 2 are needed" in err
    assert err.endswith("use --missing fill.\n")
    assert run.train(path, "--missing", "fill")[0] == 0


def test_the_plan_and_the_files_tell(run, holed):
    code, out, _ = run.train(run.write(holed), "--missing", "fill")
    assert code == 0
    assert re.search(r"^note +1 row of 60 left out, without a target$", out, re.MULTILINE)
    assert re.search(r"^note +column 'a' is empty in 3 rows: taken for the mean, -?[\d.]+$", out, re.MULTILINE)
    assert "--missing fill" in run("summary", run.model)[1]
    again = run.folder / "again.toml"
    again.write_text(run("summary", run.model, "--options")[1])
    first = xpnn.load(run.model).params
    assert run("train", run.write(holed), "--config", again, "--out", run.model)[0] == 0
    np.testing.assert_array_equal(xpnn.load(run.model).params, first)


def test_a_search_fills_too(run, holed):
    pytest.importorskip("optuna")
    words = ["--trials", 2, "--epochs", 2, "--quiet", "--missing", "fill"]
    code, _, err = run("tune", run.write(holed), "--target", "y", "--out", run.model, *words)
    assert code == 0, err
    assert tables.schema_of(xpnn.load(run.model)).filled


@pytest.mark.parametrize(
    ("way", "rows", "left"),
    [("fill", 59, "1 row of 60 left out, without a target"), ("drop", 55, "5 rows of 60 left out, without a cell")],
)
def test_evaluate_takes_the_rows_that_the_training_would(run, holed, way, rows, left):
    path = run.write(holed)
    assert run.train(path, "--missing", way)[0] == 0
    code, out, err = run("evaluate", run.model, path)
    assert code == 0
    assert out.split()[:2] == ["rows", str(rows)]
    assert left in err
    code, out, err = run("evaluate", run.model, run.write(holed.with_columns(y=pl.lit(None, pl.String)), "none.csv"))
    assert code == 2
    assert "no row of the table has all that is needed: 'y'" in err


def test_a_model_trained_without_gaps_is_not_scored_on_a_part_of_the_rows(run, holed):
    assert run.train(run.write(table()))[0] == 0
    code, _, err = run("evaluate", run.model, run.write(holed, "holed.csv"))
    assert code == 2
    assert "is empty in row" in err
