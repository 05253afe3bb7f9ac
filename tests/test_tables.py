import datetime
import decimal
import gzip
import json
import math
import sys

import numpy as np
import pytest

import xpnn
from xpnn import random, tables
from xpnn.errors import InputError

pl = pytest.importorskip("polars")


def written(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def table(n=40, **columns):
    """n rows: a numeric column a, a text column t, a 0/1 column y; columns given replace or follow them."""
    rng = np.random.default_rng(7)
    usual = {"a": rng.normal(3.0, 2.0, n), "t": ["u", "v"] * (n // 2), "y": [0, 1] * (n // 2)}
    return pl.DataFrame({**usual, **columns})


def schema(data, target="y", task="binary", **options):
    targets = [target] if isinstance(target, str) else target
    return tables.make_schema(data, options.pop("train", data), targets, task, **options)


# --- reading


@pytest.mark.parametrize(
    ("name", "content", "columns", "first"),
    [
        ("plain.csv", "a,y\n1.5,0\n", ["a", "y"], (1.5, 0)),
        ("tabs.tsv", "a\ty\n1.5\t0\n", ["a", "y"], (1.5, 0)),
        ("quoted.csv", '"a,b","y"\n"p,q","r ""s"""\n', ["a,b", "y"], ("p,q", 'r "s"')),
        ("unicode.csv", "größe,цель\n1,да\n", ["größe", "цель"], (1, "да")),
        ("bom.csv", b"\xef\xbb\xbfy,a\n1,2\n", ["y", "a"], (1, 2)),
        ("crlf.csv", "a,y\r\n1,x\r\n", ["a", "y"], (1, "x")),
        ("newline.csv", 'a,y\n1,"p\nq"\n', ["a", "y"], (1, "p\nq")),
        ("bool.csv", "a,y\ntrue,false\n", ["a", "y"], (True, False)),
        ("missing.csv", "a,b,c,d,y\nNA,nan,NULL,?,1\n", ["a", "b", "c", "d", "y"], (None, None, None, None, 1)),
        ("short.csv", "a,y\n1,2\n3\n", ["a", "y"], (1, 2)),
        ("data[1]*.csv", "a,y\n1,2\n", ["a", "y"], (1, 2)),  # not a pattern of names
        ("UPPER.CSV", "a,y\n1,2\n", ["a", "y"], (1, 2)),
        ("late.csv", "a,y\n" + "1,2\n" * 2000 + "1.5,x\n", ["a", "y"], (1.0, "2")),  # types follow from all rows
    ],
)
def test_csv_files_are_read_as_they_are_meant(tmp_path, name, content, columns, first):
    read = tables.read(written(tmp_path / name, content))
    assert read.columns == columns
    assert read.row(0) == first


def test_parquet_files_are_read_with_their_types(tmp_path):
    data = table(d=[datetime.date(2024, 1, 1)] * 40)
    data.write_parquet(tmp_path / "data.parquet")
    assert tables.read(tmp_path / "data.parquet").equals(data)


def test_columns_that_must_be_text_keep_their_leading_zeros(tmp_path):
    path = written(tmp_path / "zip.csv", "zip,a\n01234,1\n")
    assert tables.read(path).row(0) == (1234, 1)
    assert tables.read(path, text=["zip", "not there"]).row(0) == ("01234", 1)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("zero.csv", "", "csv is empty"),
        ("blank.csv", "\n\n", "csv is empty"),
        ("header.csv", "a,y\n", "has no rows"),
        ("ragged.csv", "a,y\n1,2\n1,2,3\n", "a row has more cells than the header"),
        ("binary.csv", bytes(range(256)) * 20, "cannot read .* as a table"),
        ("latin1.csv", "größe,y\n1,2\n".encode("latin1"), "is not UTF-8; save the file as UTF-8"),
        ("utf16.csv", "a,y\n1,2\n".encode("utf16"), "is not UTF-8; save the file as UTF-8"),
        ("latin1-cells.csv", "a,y\nü,2\n".encode("latin1"), "invalid utf-8"),
        ("twice.csv", "a,y,y\n1,2,3\n", "two columns named 'y'"),
        ("unnamed.csv", ",,y\n1,2,3\n", "two columns named ''"),
        ("zero.parquet", "", "(?i)as a table: .*parquet file must contain"),
        ("broken.parquet", "PAR1 and no more", "cannot read .* as a table"),
        ("text.parquet", "a,y\n1,2\n", "cannot read .* as a table"),
    ],
)
def test_files_that_are_no_table_say_why_in_one_line(tmp_path, name, content, message):
    path = written(tmp_path / name, content)
    with pytest.raises(InputError, match=message) as caught:
        tables.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_parquet_table_has_no_rows(tmp_path):
    table().head(0).write_parquet(tmp_path / "empty.parquet")
    with pytest.raises(InputError, match="has no rows"):
        tables.read(tmp_path / "empty.parquet")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_missing_file_or_a_folder_says_so(tmp_path, suffix):
    with pytest.raises(InputError, match=r"cannot read .*: No such file or directory\.$"):
        tables.read(tmp_path / f"missing{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(InputError, match=r"cannot read .*: Is a directory\.$"):
        tables.read(tmp_path / f"folder{suffix}")


# --- the task


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ([0, 1] * 20, "binary"),
        ([0.0, 1.0] * 20, "binary"),
        ([7.5, -2.25] * 20, "binary"),
        (["no", "yes"] * 20, "binary"),
        ([True, False] * 20, "binary"),
        ([0, 1, None, 1] * 10, "binary"),
        ([3, 7, 11, 3] * 10, "multiclass"),
        ([1.0, 2.0, 3.0, 3.0] * 10, "multiclass"),
        (["a", "b", "c", "c"] * 10, "multiclass"),
        (["a", "b"] * 19 + ["rare", "a"], "multiclass"),
        (list(range(40)), "regression"),
        (list(range(10)) * 4, "regression"),
        (list(range(8)) * 5, "multiclass"),
        ([1.0, 2.0, 3.5, 3.0] * 10, "regression"),
        (list(range(21)) * 5, "regression"),
        (list(range(20)) * 5, "multiclass"),
    ],
)
def test_one_target_decides_the_task(values, task):
    assert tables.infer_task(pl.DataFrame({"y": values}), ["y"]) == task


@pytest.mark.parametrize(
    ("y", "z", "task"),
    [
        ([0, 1], [True, False], "multilabel"),
        ([0.0, 1.0], [1, 1], "multilabel"),
        ([0, 1], [2, 3], "regression"),
        ([0.5, 1.5], [2, 3], "regression"),
    ],
)
def test_several_targets_decide_the_task(y, z, task):
    assert tables.infer_task(pl.DataFrame({"y": y, "z": z}), ["y", "z"]) == task


def test_several_targets_of_text_are_refused():
    with pytest.raises(InputError, match=r"all 0/1 .* or all numbers .*'y', 't'"):
        tables.infer_task(table(), ["y", "t"])


# --- the schema


def test_numeric_columns_are_standardised_and_text_columns_one_hot_encoded():
    data = table()
    x, notes = schema(data).features(data)
    assert x.dtype == np.float32
    assert x.shape == (40, 3)
    np.testing.assert_allclose(x[:, 0].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(x[:, 0].std(), 1, atol=1e-6)
    assert x[:4, 1:].tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]
    assert notes == []


def test_means_scales_and_text_values_are_taken_from_the_training_rows_alone():
    data = table(4, a=[1.0, 3.0, 100.0, 200.0], t=["u", "x", "v", "w"])
    made = schema(data, train=data[:2])
    assert made.numeric == {"a": (2.0, 1.0)}
    assert made.text == {"t": ["u", "x"]}


def test_the_order_of_the_columns_and_columns_besides_do_not_matter():
    data = table()
    made = schema(data)
    x = made.features(data)[0]
    assert np.array_equal(made.features(data.select("t", "y", "a").with_columns(other=1))[0], x)


@pytest.mark.parametrize("value", [5, 0.1, 10.0**25, True, "left"])
def test_a_column_that_is_the_same_in_all_rows_is_not_used(value):
    """Its weights would stay what they were drawn as, and count once a row has another value."""
    made = schema(table(a=[value] * 40))
    assert made.ignored == {"a": f"the same in all rows to train on: {value}"}
    data = table(40)
    kept = data.with_columns(pl.Series("t", ["left"] * 30 + ["right"] * 10))
    assert schema(kept, train=kept[:20]).ignored == {"t": "the same in all rows to train on: left"}


@pytest.mark.parametrize("n", [40, 2000])
def test_a_stray_cell_among_many_numbers_is_named(n):
    """However few different numbers there are for so many rows."""
    ages = [str(18 + i % 60) for i in range(n)]
    ages[5] = "-"
    with pytest.raises(
        InputError, match="column 'a', row 6: '-' is not a number, but most of the column is: correct"
    ):
        schema(table(n, a=ages))
    with pytest.raises(
        InputError, match="column 'y', row 6: '-' is not a number, but most of the column is: correct"
    ):
        schema(table(n, y=ages), task="multiclass")


def test_a_few_numbers_may_be_codes():
    assert schema(table(a=["1", "2", "3", "2B"] * 10)).text["a"] == ["1", "2", "2B", "3"]
    assert schema(table(a=["10 kg", "20 kg"] * 20)).text["a"] == ["10 kg", "20 kg"]


def test_disguised_numbers_of_few_values_for_many_rows_are_not_used():
    made = schema(table(2000, a=[f"{i % 62},5" for i in range(2000)]))
    assert made.ignored["a"].startswith("text with 62 different values, which look like numbers: write them plainly")


@pytest.mark.parametrize("written", ["{},5", "{}.3%", "1,{:03}.5"])
def test_disguised_numbers_are_no_classes(written):
    data = table(300, y=[written.format(i % 49) for i in range(300)])
    first = sorted(written.format(i) for i in range(49))[0]
    with pytest.raises(InputError, match=f"the target 'y' holds '{first}' and 48 more that look like numbers: write"):
        schema(data, task="multiclass")


@pytest.mark.parametrize(
    "values",
    [[True, False] * 20, [decimal.Decimal(i) for i in range(40)], list(range(40))],
    ids=["bool", "decimal", "int"],
)
def test_every_kind_of_number_is_a_numeric_column(values):
    assert set(schema(table(a=values)).numeric) == {"a"}


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([f"id{i}" for i in range(40)], "text with 40 different values"),
        ([datetime.date(2024, 1, 1) + datetime.timedelta(i) for i in range(40)], "text with 40 different values"),
        ([None] * 40, "empty"),
        ([[1, 2]] * 40, "holds List(Int64)"),
        ([{"q": 1}] * 40, "holds Struct"),
        ([b"\xff"] * 40, "holds Binary"),
        ([datetime.timedelta(i) for i in range(40)], "holds Duration"),
    ],
    ids=["id", "date", "empty", "list", "struct", "binary", "duration"],
)
def test_columns_of_no_use_are_left_out_and_the_reason_is_kept(values, why):
    made = schema(table(odd=values))
    assert list(made.ignored) == ["odd"]
    assert why in made.ignored["odd"]
    assert made.n_features == 3


@pytest.mark.parametrize("written", ["{},5", "$1,1{:02}.50", "-{}.3%", "{} kg", "{} km/h", "1'0{:02}.5", "€ {}"])
def test_numbers_in_another_notation_are_told_how_to_be_used(written):
    made = schema(table(odd=[written.format(i) for i in range(40)]))
    assert made.ignored["odd"].endswith("which look like numbers: write them plainly, as 1234.5, to use them")


@pytest.mark.parametrize(
    ("content", "separator"),
    [
        ("a;b;y\n1,5;2,5;x\n", ";"),
        ('n;a;y\n"x, y";1;p\n', ";"),
        ("a\tb\n1,5\t2,5\n", r"\\t"),
        ("a|b\n1,5|2\n", "[|]"),
    ],
)
def test_cells_that_are_separated_by_something_else(tmp_path, content, separator):
    (tmp_path / "eu.csv").write_text(content)
    with pytest.raises(
        InputError, match=f"eu.csv as a table: its cells look separated by '{separator}': save it with"
    ):
        tables.read(tmp_path / "eu.csv")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("t.xlsx", "a spreadsheet: save it as"),
        ("t.csv.zip", "packed: unpack it first"),
        ("t.XZ", "packed: unpack it"),
    ],
)
def test_files_of_other_kinds_are_told(tmp_path, name, what):
    (tmp_path / name).write_bytes(b"PK junk")
    with pytest.raises(InputError, match=f"{name}: it is {what}"):
        tables.read(tmp_path / name)


@pytest.mark.parametrize(("name", "separator"), [("t.csv.gz", ","), ("t.tsv.gz", "\t"), ("t.TSV.GZ", "\t")])
def test_gz_comes_on_top_of_the_kind(tmp_path, name, separator):
    (tmp_path / name).write_bytes(gzip.compress(table().write_csv(separator=separator).encode()))
    assert tables.read(tmp_path / name).columns == ["a", "t", "y"]


@pytest.mark.parametrize("written", ["id{}", "{}-12-2024", "Mr {}", "{} Main Street", "12:{:02}", "x"])
def test_other_text_is_not_taken_for_numbers(written):
    made = schema(table(odd=[written.format(i) for i in range(40)]))
    assert "numbers" not in made.ignored.get("odd", "")


def test_an_asked_for_column_is_left_out():
    made = schema(table(), ignore=["a"])
    assert made.ignored == {"a": "left out as asked"}
    assert made.n_features == 2


def test_if_no_column_is_left_each_one_says_why():
    data = table().drop("a").with_columns(t=pl.Series([f"id{i}" for i in range(40)]))
    with pytest.raises(InputError, match=r"no column is left .*'y'; column 't': text with 40 different values"):
        schema(data)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_feature_that_is_not_finite_names_its_column_and_row(bad):
    with pytest.raises(InputError, match=f"column 'a', row 8 holds {bad}"):
        schema(table(a=[1.0] * 7 + [bad] + [2.0] * 32))


@pytest.mark.parametrize("name", ["a", "t", "y"])
def test_an_empty_cell_names_its_column_and_row(name):
    data = table().with_columns(pl.when(pl.int_range(pl.len()) != 7).then(name).alias(name))
    with pytest.raises(InputError, match=f"column '{name}' is empty in row 8: "):
        schema(data)


def test_one_word_among_numbers_is_named_rather_than_the_column_dropped():
    values = [str(i) for i in range(40)]
    values[3] = "-"
    with pytest.raises(InputError, match="column 'a', row 4: '-' is not a number, but most of the column is"):
        schema(table(a=values))


def test_numbers_too_large_to_standardise_name_their_column():
    with pytest.raises(InputError, match=r"column 'a' holds numbers too large to compute with, up to 1e\+300"):
        schema(table(a=[1e300, -1e300] * 20))


def test_a_number_far_outside_those_of_training_names_its_column_and_row():
    made = schema(table())
    with pytest.raises(InputError, match=r"column 'a', row 2 holds 1e\+300: too far from the values in training"):
        made.features(table(2, a=[1.0, 1e300]))


def test_unknown_text_is_none_of_the_known_values_and_is_noted():
    x, notes = schema(table()).features(table(2, t=["u", "new"]))
    assert x[:, 1:].tolist() == [[1, 0], [0, 0]]
    assert notes == [
        "column 't' has values that were not there in training: 'new'; they count as none of the known ones"
    ]


@pytest.mark.parametrize(
    ("columns", "message"),
    [(["t"], "lacks the column 'a' that the model uses; it has: 't'"), (["y"], "lacks the columns 'a', 't' that")],
)
def test_a_table_without_a_feature_of_the_model_lists_its_columns(columns, message):
    with pytest.raises(InputError, match=message):
        schema(table()).features(table().select(columns))


def test_a_cell_of_text_in_a_numeric_column_is_named():
    with pytest.raises(InputError, match="column 'a', row 2: 'q' is not a number"):
        schema(table()).features(table(2, a=["1", "q"]))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["a", "Y"], r"unknown column 'y'\. Valid: a, Y\.$"),
        (["a", "yy"], r"unknown column 'y'\. Did you mean 'yy'\? Valid: a, yy\.$"),
        (["a;y"], r"Valid: a;y\. Its cells look separated by ';': save it with commas \(.csv\) or tabs \(.tsv\)\.$"),
    ],
)
def test_a_missing_target_lists_the_columns_and_hints(columns, message):
    with pytest.raises(InputError, match=message):
        schema(pl.DataFrame({name: [0, 1] for name in columns}))


def test_an_unknown_column_to_leave_out_is_refused():
    with pytest.raises(InputError, match="unknown column 'b'"):
        schema(table(), ignore=["b"])


def test_the_target_cannot_be_left_out():
    with pytest.raises(InputError, match="column 'y' is the target: it cannot be left out"):
        schema(table(), ignore=["y"])


# --- targets


@pytest.mark.parametrize(
    ("values", "task", "message"),
    [
        ([5] * 40, "multiclass", r"1 different value \(5\): there is nothing to tell apart"),
        ([1, 2, 3, 4] * 10, "binary", "binary needs two classes, but .* 4 different values"),
        ([f"c{i}" for i in range(40)], "multiclass", "40 different values in 40 rows: too many"),
        ([f"{i}" for i in range(39)] + ["x"], "multiclass", "row 40: 'x' is not a number, but most"),
        ([math.nan, 1.0] * 20, "binary", "column 'y', row 1 holds nan"),
        ([1.0, 2.0, math.inf, 1.0] * 10, "multiclass", "column 'y', row 3 holds inf"),
        ([[1], [2]] * 20, "binary", r"holds List\(Int64\), not classes"),
        ([b"p", b"q"] * 20, "binary", "holds Binary, not classes"),
        ([decimal.Decimal(0), decimal.Decimal(1)] * 20, "binary", "holds Decimal.*, not classes"),
        ([datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)] * 20, "binary", "holds Date, not classes"),
        (["no", "yes"] * 20, "regression", "regression needs numbers, but the target 'y' holds 'no' in row 1"),
        (["1.5"] * 39 + ["x"], "regression", "the target 'y' holds 'x' in row 40"),
        ([1.0, math.nan] * 20, "regression", "column 'y', row 2 holds nan"),
        ([0, 2] * 20, "multilabel", "targets of 0/1 or true/false; column 'y' holds other values"),
        (["no", "yes"] * 20, "multilabel", "targets of 0/1 or true/false; column 'y' holds other values"),
    ],
)
def test_a_target_that_does_not_fit_the_task_says_why(values, task, message):
    with pytest.raises(InputError, match=message):
        schema(table(y=values), task=task)


def test_classes_take_one_target():
    with pytest.raises(InputError, match="multiclass takes one target, got 2: 'y', 't'"):
        schema(table(), ["y", "t"], "multiclass")


@pytest.mark.parametrize(
    "values",
    [[0, 1], [3, 7, 11], [0.0, 1.0], [True, False], ["no", "yes"], ["да", "нет"], ["p,q", 'r "s"', "\n"], ["1", "x"]],
    ids=str,
)
def test_classes_come_back_as_they_were(values):
    data = table(n=24).with_columns(y=pl.Series(values * (24 // len(values))))
    task = tables.infer_task(data, ["y"])
    made = tables.from_json(json.loads(json.dumps(schema(data, task=task).to_json())))
    y = made.outputs(data)
    certain = y if task == "binary" else np.eye(len(values))[y]
    back = made.predictions(certain.astype(np.float32))
    assert back.equals(data.select("y"))
    assert back.schema == data.select("y").schema


def test_probabilities_are_named_after_the_classes():
    made = schema(table(y=["no", "yes"] * 20))
    back = made.predictions(np.array([[0.25], [0.5]]), probabilities=True)
    assert back.to_dict(as_series=False) == {"y": ["no", "yes"], "P(no)": [0.75, 0.5], "P(yes)": [0.25, 0.5]}


def test_labels_have_a_probability_each():
    made = schema(table(z=[True] * 40), ["y", "z"], "multilabel")
    back = made.predictions(np.array([[0.25, 0.75]]), probabilities=True)
    assert back.to_dict(as_series=False) == {"y": [0], "z": [1], "P(y)": [0.25], "P(z)": [0.75]}
    assert made.outputs(table(z=[True] * 40))[:2].tolist() == [[0, 1], [1, 1]]


def test_regression_targets_are_standardised_and_come_back_in_their_units():
    data = table(y=np.linspace(100, 200, 40), z=[5.0] * 40)
    made = schema(data, ["y", "z"], "regression")
    y = made.outputs(data)
    np.testing.assert_allclose(y.std(axis=0), [1, 0], atol=1e-6)
    np.testing.assert_allclose(made.predictions(y).to_numpy(), data.select("y", "z").to_numpy(), rtol=1e-6)
    np.testing.assert_allclose(made.in_units(y), data.select("y", "z").to_numpy(), rtol=1e-6)


def test_a_class_that_was_not_there_in_training_is_named():
    with pytest.raises(InputError, match=r"column 'y', row 2: the class 5 is not one that the model knows \(0, 1\)"):
        schema(table()).outputs(table(2, y=[0, 5]))


def test_text_columns_and_text_classes_are_to_be_read_as_text():
    assert schema(table(y=["1", "x"] * 20)).as_text == ["t", "y"]
    assert schema(table()).as_text == ["t"]


# --- a description from a file


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("numeric", 3),
        ("numeric", {"a": 1}),
        ("numeric", {"a": [0, 1, 2]}),
        ("numeric", {"a": ["x", 1]}),
        ("numeric", {"a": [0, 0]}),
        ("numeric", {"a": [math.nan, 1]}),
        ("text", 3),
        ("text", []),
        ("text", {"t": 3}),
        ("text", {"t": [1, 2]}),
        ("targets", 3),
        ("targets", []),
        ("targets", [1]),
        ("targets", ["y", "z"]),
        ("task", "guess"),
        ("task", 3),
        ("task", "regression"),
        ("task", "multilabel"),
        ("classes", None),
        ("classes", 3),
        ("classes", ["a"]),
        ("classes", ["a", "b", "c"]),
        ("classes", [["a"], "b"]),
        ("scales", [[1]]),
        ("ignored", 3),
        ("ignored", {"q": 1}),
        ("besides", 1),
    ],
)
def test_a_broken_description_is_refused(key, value):
    with pytest.raises(InputError, match="description of its columns is broken"):
        tables.from_json({**schema(table()).to_json(), key: value})


@pytest.mark.parametrize("description", [None, 3, [1], "x", {}])
def test_something_else_than_a_description_is_refused(description):
    with pytest.raises(InputError, match="description of its columns is broken"):
        tables.from_json(description)


# --- the split


def test_the_split_takes_each_row_once_and_of_each_class_the_same_share():
    y = np.array([0] * 50 + [1] * 10 + [2])
    rows, held = random.split(y, 0.2, np.random.default_rng(0), classes=True)
    assert sorted([*rows, *held]) == list(range(61))
    assert np.bincount(y[held], minlength=3).tolist() == [10, 2, 0]  # the only row of a class is trained on


def test_the_split_of_numbers_counts_rows_alone():
    rows, held = random.split(np.linspace(0, 1, 50), 0.2, np.random.default_rng(0), classes=False)
    assert (len(rows), len(held)) == (40, 10)


def test_the_split_follows_the_generator():
    one, two, other = (random.split(np.zeros(50), 0.2, np.random.default_rng(s), classes=False)[1] for s in (1, 1, 2))
    assert one.tolist() == two.tolist() != other.tolist()


def test_nothing_is_held_out_of_a_share_of_zero():
    rows, held = random.split(np.zeros(5), 0.0, np.random.default_rng(0), classes=True)
    assert (len(rows), len(held)) == (5, 0)


def test_blanks_around_names_and_cells_do_not_count(tmp_path):
    path = tmp_path / "blanks.csv"
    path.write_text("age, height ,name, label\n31, 1.5, Ann ,1\n 42,?, Bob,0\n")
    table = tables.read(path)
    assert table.columns == ["age", "height", "name", "label"]
    assert table["age"].to_list() == [31, 42]
    assert table["height"].to_list() == [1.5, None]
    assert table["name"].to_list() == ["Ann", "Bob"]
    assert tables.read(path, text=["height"])["height"].to_list() == ["1.5", None]


def test_two_names_that_differ_by_blanks_alone_are_an_error(tmp_path):
    path = tmp_path / "twice.csv"
    path.write_text("a, a,y\n1,2,0\n")
    with pytest.raises(InputError, match="two columns named 'a'"):
        tables.read(path)


def test_all_columns_with_empty_cells_are_named_at_once():
    data = table(a=[1.0] * 7 + [None] + [2.0] * 30 + [None, None]).with_columns(
        t=pl.when(pl.int_range(pl.len()) != 4).then(pl.col("t"))
    )
    with pytest.raises(
        InputError, match=r"^column 'a' is empty in row 8 \(and 2 more\); column 't' is empty in row 5: "
    ):
        schema(data)


def test_whole_numbers_that_differ_in_every_row_are_pointed_out():
    data = table(a=list(range(1000, 1040)))
    assert tables.row_numbers(data, schema(data)) == ["a"]
    assert tables.row_numbers(table(), schema(table())) == []


def test_a_trained_model_s_schema_prepares_columns_in_python(tmp_path):
    from xpnn.cli import main

    data = table()
    data.write_csv(tmp_path / "data.csv")
    words = [str(tmp_path / "data.csv"), "--target", "y", "--out", str(tmp_path / "m"), "--quiet", "--epochs", "2"]
    assert main(["train", *words]) == 0
    model = xpnn.load(tmp_path / "m")
    made = tables.schema_of(model)
    X, notes = made.features(data)
    assert notes == []
    predicted = made.predictions(model.predict(X))["y"].to_list()
    assert predicted == model.predict_labels(X).tolist()


def test_a_model_trained_on_arrays_has_no_schema():
    X = np.ones((2, 2))
    model = xpnn.fit(xpnn.mlp([2, 1]), X, X[:, :1], epochs=1)
    with pytest.raises(InputError, match="trained on arrays, not by 'xpnn train'"):
        tables.schema_of(model)


def test_an_empty_target_says_so():
    with pytest.raises(InputError, match="the target 'y' is empty"):
        schema(table().with_columns(y=pl.lit(None)), task="binary")


class Frame:
    """A table of another library."""

    columns = ("a", "t", "y")


def test_a_table_of_another_library_is_refused():
    with pytest.raises(InputError, match="must be one of Polars, got a Frame: use polars.from_pandas"):
        schema(table()).features(Frame())


def test_tables_need_polars(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(InputError, match=r"reading tables needs Polars: pip install 'xpnn\[cli\]'"):
        tables.read(written(tmp_path / "a.csv", "a,y\n1,2\n"))
