"""The callbacks that come with xpnn, apart from early stopping: see test_validation."""

import csv
import json

import numpy as np
import pytest

import xpnn
from xpnn.errors import InputError
from xpnn.training import callbacks


def train(*calls, epochs=3):
    X = np.arange(8.0)[:, None] / 8
    return xpnn.fit(xpnn.mlp([1, 1]), X, 2 * X, epochs=epochs, validation_data=(X, 2 * X), callbacks=calls)


def test_a_time_limit_ends_the_training(monkeypatch):
    clock = iter([100.0, 100.0, 104.0, 109.9, 110.0, 115.0])
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: next(clock))
    model = train(xpnn.TimeLimit(10), epochs=50)
    assert len(model.history["loss"]) == 4
    assert model.stopped == "callback"


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), "10", True])
def test_the_time_must_be_above_zero(seconds):
    with pytest.raises(InputError, match="TimeLimit: seconds must be a number > 0"):
        xpnn.TimeLimit(seconds)


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_the_history_is_in_the_file(ending, tmp_path):
    path = tmp_path / f"history.{ending}"
    seen = []

    def look(epoch):  # each line is there as soon as its epoch is over
        seen.append(len(path.read_text().splitlines()) - (ending == "csv"))

    model = train(xpnn.HistoryFile(path), look)
    assert seen == [1, 2, 3]
    text = path.read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines())) if ending == "csv" else list(map(json.loads, text.splitlines()))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    for name in ("loss", "validation_loss"):
        assert [float(row[name]) for row in rows] == list(model.history[name])


def test_a_file_that_is_there_is_not_lost(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("mine")
    with pytest.raises(InputError, match="is there already: choose another, or say overwrite=True"):
        xpnn.HistoryFile(path)
    replacing = xpnn.HistoryFile(path, overwrite=True)
    assert path.read_text() == "mine"  # until the first epoch is over
    train(replacing)
    assert path.read_text().startswith("epoch,loss,validation_loss")
    late = xpnn.HistoryFile(tmp_path / "other.csv")
    (tmp_path / "other.csv").write_text("written meanwhile")
    with pytest.raises(InputError, match="is there already"):
        train(late)
    assert (tmp_path / "other.csv").read_text() == "written meanwhile"


@pytest.mark.parametrize(
    ("name", "message"),
    [("history.txt", "must end in .csv or .jsonl"), ("nowhere/history.csv", "there is no folder '.*nowhere'")],
)
def test_a_file_that_cannot_be_written_is_said_at_once(name, message, tmp_path):
    with pytest.raises(InputError, match=message):
        xpnn.HistoryFile(tmp_path / name)
