"""The protocol of callbacks, and those that come with xpnn apart from early stopping: see test_validation."""

import csv
import gc
import importlib.util
import json
import math
import struct
import weakref

import numpy as np
import pytest

import xpnn
from xpnn.errors import BackendError, InputError, TrainingDiverged, TrainingInterrupted
from xpnn.training.callbacks import stopping


def train(*calls, epochs=3):
    X = np.arange(8.0)[:, None] / 8
    return xpnn.fit(xpnn.mlp([1, 1]), X, 2 * X, epochs=epochs, validation_data=(X, 2 * X), callbacks=calls)


class Diary(xpnn.Callback):
    """Writes down which hooks are called, and with what."""

    def __init__(self, every=0, stop_at=None, fail_in=None):
        self.every, self.stop_at, self.fail_in = every, stop_at, fail_in
        self.pages = []

    def write(self, hook, now):
        self.pages.append((hook, now.epoch, now.batch, now.step, now.stopped))
        if hook == self.fail_in:
            raise OSError(f"no more ink in {hook}")
        return self.stop_at == (hook, now.epoch, now.batch)

    def start(self, training):
        self.write("start", training)

    def batch_end(self, training):
        return self.write("batch", training)

    def epoch_end(self, training):
        return self.write("epoch", training)

    def end(self, training):
        self.write("end", training)


DATA = np.arange(8.0)[:, None] / 8


def fit(*calls, epochs=2, batch_size=3, X=DATA, **options):
    return xpnn.fit(xpnn.mlp([1, 1]), X, 2 * X, epochs=epochs, batch_size=batch_size, callbacks=calls, **options)


def test_every_hook_is_called_in_its_place():
    diary = Diary(every=2)
    model = fit(diary)
    assert diary.pages == [
        ("start", 0, 0, 0, ""),
        ("batch", 1, 2, 2, ""),
        ("epoch", 1, 3, 3, ""),
        ("batch", 2, 2, 5, ""),
        ("epoch", 2, 3, 6, ""),
        ("end", 2, 0, 6, "epochs"),
    ]
    assert model.stopped == "epochs"
    rare = Diary(every=0)
    fit(rare)
    assert [page[0] for page in rare.pages] == ["start", "epoch", "epoch", "end"]


def test_a_batch_shows_its_loss_its_rate_and_copies_of_the_parameters(anywhere):
    seen = []

    class Look(xpnn.Callback):
        every = 1

        def batch_end(self, training):
            seen.append((training.loss, training.learning_rate, training.params, training.batches, training.epochs))
            assert len(training.history["loss"]) == training.epoch - 1
            with pytest.raises(TypeError):
                training.history["mine"] = []

    network, X = xpnn.mlp([1, 1]), anywhere(DATA)
    options = {"shuffle": False, "optimizer": xpnn.SGD(xpnn.Exponential(0.1, 0.5, unit="step"))}
    xpnn.fit(network, X, X, epochs=2, batch_size=4, callbacks=[Look()], **options)
    params = network.init(0)
    for i, (loss, rate, shown, batches, epochs) in enumerate(seen):
        rows = DATA[:4] if i % 2 == 0 else DATA[4:]
        expected, gradient = xpnn.value_and_grad(network, "mse")(params, rows, rows)
        params = params - 0.1 * 0.5**i * gradient
        assert loss == pytest.approx(float(expected))
        assert rate == pytest.approx(0.1 * 0.5**i)
        np.testing.assert_allclose(anywhere.host(shown), params, rtol=1e-9)
        assert (batches, epochs) == (2, 2)
    assert len(seen) == 4


def test_a_stop_within_an_epoch_ends_it_there():
    diary = Diary(every=1, stop_at=("batch", 2, 2))
    model = fit(diary, epochs=9, shuffle=False, validation_data=(DATA, 2 * DATA))
    assert [page[:2] for page in diary.pages[-3:]] == [("batch", 2), ("epoch", 2), ("end", 2)]
    assert diary.pages[-1][3:] == (5, "callback")
    assert model.stopped == "callback"
    assert {name: len(values) for name, values in model.history.items()} == {"loss": 2, "validation_loss": 2}
    halves = []
    fit(Diary(), lambda now: halves.append(now.params), epochs=1, shuffle=False)
    first = xpnn.fit(
        xpnn.mlp([1, 1]), DATA[:6], 2 * DATA[:6], batch_size=3, shuffle=False, epochs=1, params=halves[0]
    )
    np.testing.assert_allclose(model.params, first.params, rtol=1e-12)


@pytest.mark.parametrize("hook", ["start", "batch", "epoch", "end"])
def test_a_callback_that_raises_stops_with_its_error_and_loses_nothing(hook, lib):
    diary, other, kept = Diary(every=2, fail_in=hook), Diary(), []
    X = lib(DATA)
    watch = lambda now: kept.append(lib.host(now.params))  # noqa: E731
    with pytest.raises(OSError, match=f"no more ink in {hook}") as failure:
        xpnn.fit(xpnn.mlp([1, 1]), X, X, epochs=2, batch_size=3, callbacks=[watch, other, diary])
    error = failure.value
    assert diary.pages[-1][0] in (hook, "end")
    assert other.pages[-1][0] == "end"  # every other one may still tidy up
    if hook == "start":
        assert not hasattr(error, "model")
        return
    assert error.model.stopped == ("epochs" if hook == "end" else "error")
    assert any("Diary" in note and "model" in note for note in error.__notes__)
    if hook == "batch":  # in the middle of the first epoch: as it is there
        half = xpnn.fit(
            xpnn.mlp([1, 1]), X, X, epochs=1, batch_size=3, callbacks=[Diary(every=1, stop_at=("batch", 1, 2))]
        )
        np.testing.assert_array_equal(lib.host(error.model.params), lib.host(half.params))
        assert error.model.history == {"loss": []}
    else:
        np.testing.assert_array_equal(lib.host(error.model.params), kept[-1])
        assert len(error.model.history["loss"]) == len(kept)


def test_a_function_that_raises_is_named():
    def look(now):
        return now.history["accuracy"]

    with pytest.raises(KeyError) as failure:
        fit(look)
    assert failure.value.__notes__ == ["raised by the callback look in epoch 1; its .model is the model then"]


def test_two_that_fail_are_both_heard_of():
    with pytest.raises(OSError, match="no more ink in epoch") as failure:
        fit(Diary(fail_in="end"), Diary(fail_in="epoch"))
    assert "Diary.end raised as well: OSError('no more ink in end')" in failure.value.__notes__


@pytest.mark.parametrize(("what", "stopped"), [("diverged", "diverged"), ("ctrl-c", "interrupted")])
def test_the_end_is_told_whatever_ended_it(what, stopped):
    def interrupt(now):
        if what == "ctrl-c" and now.epoch == 2:
            raise KeyboardInterrupt

    diary = Diary()
    with pytest.raises((TrainingDiverged, TrainingInterrupted)), np.errstate(all="ignore"):
        fit(diary, interrupt, epochs=500, optimizer=xpnn.SGD(1e9 if what == "diverged" else 0.1))
    assert diary.pages[-1][0] == "end"
    assert diary.pages[-1][-1] == stopped


@pytest.mark.parametrize("hook", ["start", "epoch", "end"])
def test_ctrl_c_in_any_hook_leaves_the_model(hook):
    class Interrupted(Diary):
        def write(self, where, now):
            super().write(where, now)
            if where == hook:
                raise KeyboardInterrupt

    last = Diary()
    with pytest.raises(TrainingInterrupted) as stop:
        fit(Interrupted(), last)
    done = {"start": 0, "epoch": 1, "end": 2}[hook]
    assert stop.value.epoch == done == len(stop.value.model.history["loss"])
    if hook != "start":
        assert last.pages[-1][0] == "end"


def test_ctrl_c_once_more_at_the_end_loses_nothing():
    class Twice(xpnn.Callback):
        def epoch_end(self, training):
            raise KeyboardInterrupt

        def end(self, training):
            raise KeyboardInterrupt

    diary = Diary()
    with pytest.raises(TrainingInterrupted) as stop:
        fit(Twice(), diary)
    assert stop.value.model.stopped == "interrupted"
    assert diary.pages[-1][0] == "end"


def test_all_are_told_of_the_end_whoever_raises():
    diary = Diary()
    with pytest.raises(OSError, match="no more ink") as failure:
        fit(Diary(fail_in="end"), Diary(fail_in="end"), diary)
    assert diary.pages[-1] == ("end", 2, 0, 6, "epochs")
    assert failure.value.model.stopped == "epochs"
    assert any("raised as well" in note for note in failure.value.__notes__)


def test_what_is_shown_cannot_be_written_to(lib):
    if lib.name in ("numpy-readonly", "strict", "jax"):
        pytest.skip("arrays of that library cannot be written to, or not so")
    X = lib(DATA)

    def deface(training):
        training.params[...] = 7.0
        for change in (lambda values: values.clear(), lambda values: values.append(1.0)):
            with pytest.raises(AttributeError):
                change(training.history["loss"])

    stop = xpnn.EarlyStopping("loss", patience=100)
    model, plain = (xpnn.fit(xpnn.mlp([1, 1]), X, X, epochs=3, callbacks=calls) for calls in ([deface, stop], []))
    np.testing.assert_array_equal(lib.host(model.params), lib.host(plain.params))
    assert model.history == plain.history


def test_the_best_epoch_does_not_keep_the_data_alive():
    X = np.arange(8.0)[:, None]
    alive, stop = weakref.ref(X), xpnn.EarlyStopping("loss")
    xpnn.fit(xpnn.mlp([1, 1]), X, X, epochs=3, optimizer=xpnn.SGD(1e-3), callbacks=[stop])
    del X
    gc.collect()
    assert alive() is None
    assert stop.best.params.shape == (2,)


class Adding(xpnn.Callback):
    def __init__(self, adds, figures):
        self.adds, self._figures = adds, figures

    def figures(self, training):
        return self._figures


@pytest.mark.parametrize(
    ("calls", "message"),
    [
        ([Adding("mine", {})], "Adding: adds must be a tuple of names, got 'mine'"),
        ([Adding((3,), {})], "Adding: adds must be a tuple of names"),
        ([Adding(("loss",), {})], "Adding adds 'loss' to the history, which has it already"),
        ([xpnn.LearningRateLogger(), xpnn.LearningRateLogger()], "LearningRateLogger adds 'learning_rate' to the"),
        ([Adding(("mine",), {})], r"Adding.figures must give a number for each of mine, got \{\}"),
        ([Adding(("mine",), {"mine": "text"})], "Adding.figures must give a number"),
        ([Adding(("mine",), 3)], "Adding.figures must give a number for each of mine, got 3"),
    ],
)
def test_figures_are_numbers_under_names_of_their_own(calls, message):
    with pytest.raises(InputError, match=message) as failure:
        fit(*calls)
    if "figures" in message:
        assert len(failure.value.model.history["loss"]) == 1  # the epoch was over


class Keras(xpnn.Callback):
    def on_epoch_end(self, training): ...


class Unnamed(xpnn.Callback):
    def figures(self, training):
        return {"z": 1.0}


class Never(xpnn.Callback):
    def batch_end(self, training): ...


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            Keras(),
            "Keras has on_epoch_end, which is never called: a callback's methods are start, batch_end, epoch_end",
        ),
        (Unnamed(), "Unnamed has figures, but adds no names"),
        (Never(), "Never has batch_end: say after how many batches"),
        (
            lambda training: training.params,
            "a callback answers with True to end the training, or with nothing; got a",
        ),
    ],
)
def test_what_would_be_passed_over_is_said(call, message):
    with pytest.raises(InputError, match=message):
        fit(call)


def test_what_a_callback_adds_is_in_the_history_and_can_be_watched():
    class Norm(xpnn.Callback):
        adds = ("norm",)

        def figures(self, training):
            return {"norm": np.linalg.norm(training.params)}

    stop = xpnn.EarlyStopping("norm", patience=3, restore=False)
    model = fit(Norm(), stop, epochs=60, optimizer=xpnn.SGD(0.5))
    assert list(model.history) == ["loss", "norm"]
    assert model.history["norm"][-1] == pytest.approx(float(np.linalg.norm(model.params)))
    assert len(model.history["norm"]) == stop.best.epoch + 4 < 60


@pytest.mark.parametrize("larger", [True, False])
def test_a_callback_says_of_what_it_adds_whether_larger_is_better(larger):
    class Mine(xpnn.Callback):
        adds = ("mine", "other")
        larger_is_better = ("mine",) if larger else ()

        def figures(self, training):
            return {"mine": float(training.epoch), "other": 0.0}

    stop = xpnn.EarlyStopping("mine", patience=3)
    assert len(fit(Mine(), stop, epochs=20).history["mine"]) == (20 if larger else 5)
    assert stop.best.epoch == (20 if larger else 1)


@pytest.mark.parametrize("strange", ["norm", ("loss",), (3,)])
def test_larger_is_better_of_what_it_adds_alone(strange):
    mine = type("Mine", (xpnn.Callback,), {"adds": ("norm",), "larger_is_better": strange})
    with pytest.raises(InputError, match="Mine: larger_is_better must be a tuple of names that it adds, got "):
        fit(mine())


def test_the_learning_rate_is_logged():
    optimizer = xpnn.SGD(xpnn.StepDecay(0.1, every=2, factor=0.5))
    model = fit(xpnn.LearningRateLogger(), optimizer=optimizer, epochs=4)
    assert model.history["learning_rate"] == pytest.approx([0.1, 0.1, 0.05, 0.05])
    by_step = fit(xpnn.LearningRateLogger(), optimizer=xpnn.SGD(xpnn.Exponential(1.0, 0.5, unit="step")))
    assert by_step.history["learning_rate"] == pytest.approx([0.5**2, 0.5**5])  # of each epoch's last step
    plateau = xpnn.SGD(xpnn.ReduceOnPlateau(1e-9, patience=0, factor=0.5, monitor="loss", threshold=1.0))
    assert fit(xpnn.LearningRateLogger(), optimizer=plateau, epochs=3).history["learning_rate"][-1] < 1e-9


@pytest.mark.parametrize("every", [0, 1])
def test_stop_on_nan_gives_the_last_good_model(every, lib):
    X = lib(DATA + 1.0)
    options = {"epochs": 500, "optimizer": xpnn.SGD(1e9), "batch_size": 3}
    with np.errstate(all="ignore"):
        with pytest.raises(TrainingDiverged) as stop:
            xpnn.fit(xpnn.mlp([1, 1]), X, X, **options)
        diary = Diary()
        model = xpnn.fit(xpnn.mlp([1, 1]), X, X, callbacks=[xpnn.StopOnNaN(every), diary], **options)
    assert model.stopped == "diverged" == diary.pages[-1][-1]
    assert np.all(np.isfinite(lib.host(model.params)))
    np.testing.assert_array_equal(lib.host(model.params), lib.host(stop.value.model.params))
    assert all(map(math.isfinite, model.history["loss"]))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([xpnn.EarlyStopping], r"write EarlyStopping\(...\), an object, instead of the class"),
        ([1], "callbacks must be a list of callbacks or functions, got 1 among them"),
        (
            xpnn.StopOnNaN(),
            r"must be a list of callbacks or functions such as \[stop_early\], got StopOnNaN",
        ),
        ([xpnn.StopOnNaN(-1)], "StopOnNaN: every must be a whole number of batches >= 0, got -1"),
        ([xpnn.TimeLimit(1, every=0.5)], "TimeLimit: every must be a whole number of batches >= 0, got 0.5"),
        (3, "callbacks must be a list"),
    ],
)
def test_what_is_no_callback(given, message):
    with pytest.raises(InputError, match=message):
        xpnn.fit(xpnn.mlp([1, 1]), DATA, DATA, callbacks=given)


def records(folder):
    """The events in a folder, read by the format of TensorFlow's records: length, its sum, data, its sum."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            found.append(Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return [(v.tag, event.step, v.simple_value) for event in found for v in event.summary.value]


@pytest.mark.skipif(importlib.util.find_spec("tensorboardX") is None, reason="tensorboardX is not installed")
@pytest.mark.parametrize("every", [0, 2])
def test_tensorboard_gets_the_history(every, tmp_path):
    folder = tmp_path / "runs" / "one"
    model = fit(xpnn.TensorBoard(folder, every=every), epochs=3, validation_data=(DATA, 2 * DATA))
    found = records(folder)
    for name, values in model.history.items():
        assert [(step, value) for tag, step, value in found if tag == name] == [
            (i, pytest.approx(value)) for i, value in enumerate(values, 1)
        ]
    steps = {tag: [step for each, step, _ in found if each == tag] for tag in ("batch/loss", "batch/learning_rate")}
    assert set(map(tuple, steps.values())) == {(2, 5, 8) if every else ()}


@pytest.mark.skipif(importlib.util.find_spec("tensorboardX") is None, reason="tensorboardX is not installed")
def test_tensorboard_says_at_once_where_it_cannot_write(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="TensorBoard: cannot write into .*file"):
        fit(xpnn.TensorBoard(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "mine"


def test_tensorboard_says_what_to_install(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorboardX" else find(name))
    with pytest.raises(BackendError, match=r"TensorBoard needs tensorboardX: pip install 'xpnn\[tensorboard\]'"):
        xpnn.TensorBoard("runs")


def test_a_time_limit_ends_the_training(monkeypatch):
    clock = iter([100.0, 101.0, 104.0, 109.9, 110.0, 115.0])
    monkeypatch.setattr(stopping.time, "monotonic", lambda: next(clock))
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


def test_json_has_no_nan(tmp_path):
    pytest.importorskip("scipy")
    path = tmp_path / "history.jsonl"
    calls = [xpnn.LearningRateLogger(), xpnn.HistoryFile(path)]
    xpnn.fit(xpnn.mlp([1, 1]), DATA, DATA, optimizer="lbfgs", epochs=1, callbacks=calls)
    assert json.loads(path.read_text().splitlines()[0])["learning_rate"] is None


def test_a_file_that_is_there_is_not_lost(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("mine")
    with pytest.raises(
        InputError,
        match=r"is there already: choose another, 'history-\{n\}.csv' for a file for each training, or say overwrite",
    ):
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


def test_a_history_file_for_each_training(tmp_path):
    (tmp_path / "h-2.csv").write_text("somebody's")
    callback = xpnn.HistoryFile(tmp_path / "h-{n}.csv")
    for _ in range(3):
        train(callback)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["h-1.csv", "h-2.csv", "h-3.csv", "h-4.csv"]
    assert (tmp_path / "h-2.csv").read_text() == "somebody's"
    assert len({(tmp_path / f"h-{n}.csv").read_text() for n in (1, 3, 4)}) == 1


def test_the_bar_in_a_notebook_ends_with_the_last_epoch():
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    for needed in ("ipykernel", "ipywidgets", "rich"):
        pytest.importorskip(needed)
    source = "import numpy as np, xpnn\nX = np.eye(3)\nmodel = xpnn.fit(xpnn.mlp([3, 1]), X, X[:, :1], progress=True)"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    client = nbclient.NotebookClient(notebook, kernel_name="python3")
    client.execute()
    shown = [
        each["data"]["text/plain"] for state in client.widget_state.values() for each in state.get("outputs", ())
    ]
    assert len(shown) == 1
    assert "epoch 100/100" in shown[0]
    assert "loss" in shown[0]
