"""xpnn bench: every contender computes the same, the figures follow from the times, and what fails leaves the rest.

Nothing here asserts a time.
"""

import dataclasses
import json
import math
import re
import sys

import numpy as np
import pytest

import xpnn
from xpnn import backends, bench
from xpnn.bench import contenders, machine, measure, memory, peers, plot, report, rows, sweeps
from xpnn.bench.contenders import Contender
from xpnn.bench.measure import Measured, Timing
from xpnn.bench.rows import Result, Row
from xpnn.bench.sweeps import Sweep
from xpnn.bench.workload import Product, Workload
from xpnn.compiler import together
from xpnn.compiler.team import Team
from xpnn.errors import BackendError, InputError

SMALL = Workload((5, 8, 6, 3), batch=12)


def found(predict=False):
    """Contenders here that need no long compilation, once: xpnn on each library and device, then the peers."""
    own, _ = contenders.find(["all"], predict=predict)
    others, _ = peers.find(["all"], predict=predict)
    return [c for c in own + others if "compile" not in c.variant]


TRAINING, PREDICTING = found(), found(predict=True)


# --- every contender computes the same


def reference(workload, steps):
    """What xpnn on NumPy gives in float64."""
    double = dataclasses.replace(workload, dtype="float64")
    return np.asarray(
        contenders.of_xpnn("numpy", "cpu", contenders.Way(contenders.EAGER, False)).prepare(double)(steps)
    )


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("contender", TRAINING, ids=lambda c: c.label)
def test_every_contender_has_the_same_loss_after_some_steps(contender, optimizer):
    workload = dataclasses.replace(SMALL, optimizer=optimizer)
    for steps in (1, 7):
        loss = float(contender.prepare(workload)(steps))
        assert loss == pytest.approx(float(reference(workload, steps)), rel=2e-5)
    assert loss < float(reference(workload, 1))


@pytest.mark.parametrize("contender", [c for c in TRAINING if c.program != "sklearn"], ids=lambda c: c.label)
def test_steps_go_on_where_the_last_ones_stopped(contender):
    run = contender.prepare(SMALL)
    run(3)
    assert float(run(2)) == pytest.approx(float(reference(SMALL, 5)), rel=2e-5)


@pytest.mark.parametrize("contender", PREDICTING, ids=lambda c: c.label)
def test_every_contender_predicts_the_same(contender):
    workload = dataclasses.replace(SMALL, predict=True)
    prediction = contender.prepare(workload)(2)
    host = prediction if isinstance(prediction, np.ndarray) else backends.of(prediction).to_host(prediction)
    np.testing.assert_allclose(host, reference(workload, 1), rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore")  # the compiler's, of its own parts
@pytest.mark.parametrize("predict", [False, True], ids=["training", "prediction"])
def test_what_torch_compiles_computes_the_same(predict, monkeypatch):
    """Traced and split as always, but run by PyTorch's own operators: compiling them takes a minute."""
    torch = pytest.importorskip("torch")
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **_: compile_(function, backend="aot_eager"))
    workload = dataclasses.replace(SMALL, predict=predict)
    compiled = [c for c in peers.find(["torch"], predict=predict)[0] if c.device == "cpu" and c.mode == "compiled"]
    assert len(compiled) == (1 if predict else 2)
    for contender in compiled:
        np.testing.assert_allclose(contender.prepare(workload)(3).numpy(), reference(workload, 3), rtol=1e-4)
    memory.release()


@pytest.mark.parametrize("predict", [False, True], ids=["training", "prediction"])
@pytest.mark.parametrize("contender", [c for c in TRAINING if c.program == "xpnn"], ids=lambda c: c.label)
def test_the_products_alone_are_those_of_a_linear_network(contender, predict):
    workload = dataclasses.replace(SMALL, predict=predict)
    expected = workload.data()[0]
    for W, _ in workload.parameters():
        expected = expected @ W
    for alone in contenders.products_alone(contender.library, contender.device, predict=predict):
        last = alone.prepare(workload)(2)
        np.testing.assert_allclose(backends.of(last).to_host(last), expected, rtol=1e-4, atol=1e-5)


def test_contenders_have_labels_of_their_own():
    for every in (TRAINING, PREDICTING):
        labels = [c.label for c in every]
        assert len(set(labels)) == len(labels)
        assert {c.mode for c in every} <= {"eager", "compiled"}


def test_a_way_that_is_not_the_usual_one_has_a_row_of_its_own():
    names = [
        contenders.of_xpnn("torch", "cuda:0", way).label for way in contenders.ways("torch", "cuda:0", predict=False)
    ]
    assert names == ["xpnn (torch) on cuda:0", "xpnn (torch, compile=True) on cuda:0"]
    assert contenders.ways("cupy", "cuda:0", predict=False) == [contenders.Way("eager")]


# --- the workload


def test_flops_of_the_2_3_4_1_network_by_hand():
    """2nkm for each product, forward and for ∂J/∂W; for ∂J/∂A of the layers above the first."""
    workload = Workload((2, 3, 4, 2), batch=5)
    forward = 2 * 5 * (2 * 3 + 3 * 4 + 4 * 2)
    assert dataclasses.replace(workload, predict=True).flops == forward == 260
    assert workload.flops == 2 * forward + 2 * 5 * (3 * 4 + 4 * 2) == 720
    assert workload.products[0] == Product(5, 2, 3)
    assert len(workload.products) == 3 + 3 + 2


def test_data_and_parameters_are_the_same_at_every_call_and_every_class_occurs():
    (x, y), (x_again, y_again) = SMALL.data(), SMALL.data()
    np.testing.assert_array_equal(x, x_again)
    np.testing.assert_array_equal(y, y_again)
    assert x.dtype == np.float32
    assert set(y) == {0, 1, 2}
    assert [(W.shape, b.shape) for W, b in SMALL.parameters()] == [((5, 8), (8,)), ((8, 6), (6,)), ((6, 3), (3,))]


def test_memory_grows_with_batch_and_parameters():
    assert SMALL.memory < SMALL.with_batch(100).memory < SMALL.with_width(100).with_batch(100).memory
    assert dataclasses.replace(SMALL, dtype="float64").memory == 2 * SMALL.memory
    assert dataclasses.replace(SMALL, optimizer="sgd").memory < SMALL.memory
    assert dataclasses.replace(SMALL, predict=True).memory < SMALL.memory


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": (4,)}, r"at least two whole numbers >= 1, such as 784,512,10; got '4'"),
        ({"sizes": (4, 0, 2)}, r"at least two whole numbers >= 1, such as 784,512,10; got '4,0,2'"),
        ({"sizes": (4, 1)}, r"must end in at least 2 classes, one output each; got 1"),
        ({"batch": 0}, r"the batch must be a whole number >= 1, got 0"),
        ({"batch": True}, r"the batch must be a whole number >= 1, got True"),
        ({"dtype": "float16"}, r"unknown dtype 'float16'. Did you mean 'float\d\d'"),
        ({"optimizer": "adan"}, r"unknown optimizer 'adan'. Did you mean 'adam'"),
    ],
)
def test_a_workload_that_cannot_be_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(SMALL, **change)


# --- bad names and what is not installed


def test_unknown_names_are_a_line_each_and_the_others_stay():
    every, problems = bench.find(["numpy", "nunpy"], ["skleam"])
    assert [c.label for c in every] == ["xpnn (numpy) on cpu"]
    assert problems[0].startswith("unknown backend 'nunpy'. Did you mean 'numpy'?")
    assert problems[1].startswith("unknown peer 'skleam'. Did you mean 'sklearn'?")


def test_a_peer_that_is_not_installed_is_said(monkeypatch):
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None)
    assert peers.find(["sklearn"]) == ([], ["peer sklearn is not installed: pip install scikit-learn."])
    assert peers.find(["all"]) == ([], [])


def test_a_library_without_a_usable_device_is_said(monkeypatch):
    numpy = backends.get("numpy")
    monkeypatch.setattr(type(numpy), "probe", lambda self, name: "broken" if name else None)
    with pytest.raises(BackendError, match="numpy has no device that can be used here"):
        contenders.devices_of("numpy")


def test_the_same_name_twice_is_one_contender():
    every, _ = contenders.find(["numpy", "all", "numpy"])
    assert [c.library for c in every].count("numpy") == 1


@pytest.mark.parametrize("rule", [object(), xpnn.AdamW(), xpnn.RMSprop()], ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("peer", peers.NAMES)
def test_a_peer_without_the_optimizer_says_so(peer, rule, monkeypatch):
    pytest.importorskip(peer)
    monkeypatch.setattr(Workload, "rule", property(lambda self: rule))
    with pytest.raises(InputError, match="only adam and sgd are written here"):
        peers.find([peer])[0][0].prepare(SMALL)
    if peer == "jax" and peers.importlib.util.find_spec("optax"):
        with pytest.raises(InputError, match="only adam and sgd are written here"):
            peers.find([peer])[0][1].prepare(SMALL)


def test_scikit_learn_needs_every_class_in_the_batch():
    pytest.importorskip("sklearn")
    with pytest.raises(InputError, match="a batch of 9 or more has all of them"):
        peers.find(["sklearn"])[0][0].prepare(Workload((5, 4, 9), batch=8))


def test_scikit_learns_one_output_for_two_classes_is_the_same_network():
    pytest.importorskip("sklearn")
    workload = Workload((5, 4, 2), batch=8)
    loss = peers.find(["sklearn"])[0][0].prepare(workload)(1)
    assert loss == pytest.approx(float(reference(workload, 1)), rel=2e-5)
    workload = dataclasses.replace(workload, predict=True)
    prediction = peers.find(["sklearn"], predict=True)[0][0].prepare(workload)(1)
    np.testing.assert_allclose(prediction, reference(workload, 1), rtol=1e-4)


def test_scikit_learn_does_not_keep_ctrl_c_for_itself(monkeypatch):
    perceptron = pytest.importorskip("sklearn.neural_network").MLPClassifier
    run = peers.find(["sklearn"])[0][0].prepare(SMALL)

    def interrupted(self, *_):
        raise KeyboardInterrupt

    monkeypatch.setattr(perceptron, "_backprop", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(3)


def test_jax_without_float64_says_how(monkeypatch):
    jax = pytest.importorskip("jax")
    monkeypatch.setattr(type(jax.config), "read", lambda self, name: False)
    with pytest.raises(BackendError, match="after jax.config.update"):
        peers.find(["jax"])[0][0].prepare(dataclasses.replace(SMALL, dtype="float64"))


# --- turns


class Clock:
    """Time passes only as fake contenders take their steps."""

    def __init__(self):
        self.now = 0.0
        self.order = []

    def __call__(self):
        return self.now

    def contender(self, name, seconds, fails_after=math.inf, error=None):
        done = 0

        def run(steps):
            nonlocal done
            done += steps
            if done > fails_after:
                raise error
            self.now += steps * seconds
            if self.order[-1:] != [name]:
                self.order.append(name)

        return run


def test_turns_give_the_time_of_a_step_and_everyone_has_had_the_seconds():
    clock = Clock()
    runs = {name: clock.contender(name, s) for name, s in (("a", 0.001), ("b", 0.004), ("c", 0.5))}
    measured = measure.in_turns(runs, 2.0, clock=clock)
    assert not measured.problems
    assert not measured.interrupted
    for name, seconds in (("a", 0.001), ("b", 0.004), ("c", 0.5)):
        timing = measured.timings[name]
        assert (timing.low, timing.median, timing.high) == pytest.approx((seconds,) * 3)
        assert timing.steps * seconds >= 2.0 - 1e-9
    assert measured.timings["a"].turns >= 20
    assert measured.timings["c"].turns == 4


def test_the_slow_one_takes_its_turns_spread_over_the_whole_time():
    clock = Clock()
    runs = {name: clock.contender(name, s) for name, s in (("fast", 0.001), ("slow", 0.5))}
    measured = measure.in_turns(runs, 2.0, clock=clock)
    assert measured.timings["slow"].turns in (4, 5)
    order = "".join(name[0] for name in clock.order)
    assert re.fullmatch("(fs)+f?", order)  # it never has two turns in a row


def test_the_order_of_turns_is_rotated():
    clock = Clock()
    measure.in_turns({name: clock.contender(name, 0.01) for name in "abc"}, 1.0, clock=clock)
    assert {"ab", "bc", "ca"} <= {a + b for a, b in zip(clock.order, clock.order[1:], strict=False)}
    assert {clock.order[i] for i in range(3, 12, 3)} != {clock.order[3]}


def test_drift_hits_everyone():
    """A machine that becomes slower and slower: those of the same speed still measure the same."""
    clock = Clock()

    class Tired(Clock):
        def contender(self, name, seconds):
            def run(steps):
                self.now += steps * seconds * (1 + self.now / 10)

            return run

    clock = Tired()
    timings = measure.in_turns({n: clock.contender(n, 0.001) for n in "abcd"}, 1.0, clock=clock).timings
    medians = [timing.median for timing in timings.values()]
    assert max(medians) / min(medians) < 1.1


@pytest.mark.parametrize("fails_after", [0, 50])
def test_one_that_fails_leaves_the_others(fails_after):
    clock = Clock()
    runs = {
        "good": clock.contender("good", 0.01),
        "bad": clock.contender("bad", 0.01, fails_after, RuntimeError("CUDA error: lost\nmore")),
    }
    measured = measure.in_turns(runs, 1.0, clock=clock)
    assert list(measured.timings) == ["good"]
    assert measured.problems == {"bad": "RuntimeError: CUDA error: lost"}


def test_after_ctrl_c_there_is_what_was_measured_so_far():
    clock = Clock()
    runs = {"a": clock.contender("a", 0.01), "b": clock.contender("b", 0.01, 200, KeyboardInterrupt())}
    measured = measure.in_turns(runs, 100.0, clock=clock)
    assert measured.interrupted
    assert set(measured.timings) == {"a", "b"}


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError("Unable to allocate 3 TiB"), "out of memory (MemoryError: Unable to allocate 3 TiB)"),
        (RuntimeError("RESOURCE_EXHAUSTED: 1 GB"), "out of memory (RuntimeError: RESOURCE_EXHAUSTED: 1 GB)"),
        (RuntimeError("CUDA out of memory. Tried"), "out of memory (RuntimeError: CUDA out of memory. Tried)"),
        (ValueError("else"), "ValueError: else"),
    ],
)
def test_out_of_memory_is_said_in_the_same_words_everywhere(error, line):
    assert measure.problem(error) == line


# --- rows, tables, JSON


def fake(name, device="cpu", prepare=lambda workload: lambda steps: None):
    return Contender("xpnn", name, "numpy", device, "eager", prepare)


def row(name, ms, products=None, device="cpu", workload=SMALL):
    timing = Timing(ms / 1e3, ms / 2e3, ms / 5e2, 10, 100)
    alone = None if products is None else Timing(products / 1e3, products / 1e3, products / 1e3, 10, 100)
    return Row(workload, fake(name, device), timing, alone)


FAILED = Row(SMALL, fake("torch"), None, problem="out of memory (MemoryError)")


def test_the_figures_of_a_row_follow_from_its_times():
    r = row("numpy", 2.0, 0.5)
    assert r.samples_per_second == pytest.approx(12 / 0.002)
    assert r.gflops == pytest.approx(SMALL.flops / 0.002 / 1e9)
    assert r.share == pytest.approx(0.25)
    assert math.isnan(FAILED.seconds)
    assert math.isnan(row("numpy", 2.0).share)


def test_the_table_has_its_columns_and_a_line_per_row():
    header, first, second = report.table([row("numpy", 2.0, 0.5), FAILED, row("jax", 3.0)]).splitlines()
    assert re.split(r"\s{2,}", header) == [
        *["program", "device", "mode", "ms/step", "10-90 %", "samples/s", "GFLOP/s", "products alone", "× first"]
    ]
    assert re.split(r"\s{2,}", first)[:7] == ["xpnn (numpy)", "cpu", "eager", "2", "1-4", "6,000", "0.00334"]
    assert re.split(r"\s{2,}", first)[7:] == ["25%", "1.00"]
    assert re.split(r"\s{2,}", second)[7:] == ["-", "1.50"]
    assert report.problems([FAILED]) == ["xpnn (torch) on cpu: out of memory (MemoryError)"]


def test_the_json_has_workload_rows_machine_and_settings():
    result = Result(SMALL, [row("numpy", 2.0, 0.5), FAILED])
    document = json.loads(report.to_bytes(report.document([result], seconds=1.5)))
    assert document["seconds_per_contender"] == 1.5
    (only,) = document["results"]
    assert only["network"] == [5, 8, 6, 3]
    assert (only["batch"], only["dtype"], only["optimizer"], only["predict"]) == (12, "float32", "adam", False)
    assert only["flops_per_step"] == SMALL.flops
    assert only["rows"][0] == {
        "program": "xpnn",
        "variant": "numpy",
        "library": "numpy",
        "device": "cpu",
        "mode": "eager",
        "ms_per_step": 2.0,
        "ms_10th_percentile": 1.0,
        "ms_90th_percentile": 4.0,
        "turns": 10,
        "steps": 100,
        "samples_per_second": pytest.approx(6000),
        "gflops": pytest.approx(SMALL.flops / 2e6),
        "ms_products_alone": 0.5,
        "products_share": 0.25,
    }
    assert only["rows"][1]["problem"].startswith("out of memory")
    about = document["machine"]
    assert {"cpu", "cores", "memory_bytes", "versions", "blas", "gpus", "threads", "settings"} <= set(about)
    assert about["versions"]["numpy"] == np.__version__
    if "torch" in sys.modules:
        assert about["threads"]["torch"] >= 1
        assert "torch_cuda_allow_tf32" in about["settings"]
    if "jax" in sys.modules:
        assert about["settings"]["jax_enable_x64"] is True  # so conftest.py


def test_the_machine_is_described_without_names_or_paths():
    import getpass
    import platform
    from pathlib import Path

    text = json.dumps(machine.describe())
    assert str(Path.home()) not in text
    assert not re.search(rf"\b{re.escape(platform.node())}\b", text)
    assert not re.search(r"/(home|root|usr|tmp|opt)/", text)
    assert f'"{getpass.getuser()}"' not in text


def test_a_run_times_every_contender_with_the_products_beside_it():
    every, _ = contenders.find(["numpy"])
    lines = []
    result = rows.run(SMALL, every, seconds=0.01, tell=lines.append)
    (only,) = result.timed
    assert only.contender == every[0]
    assert only.products
    assert lines[0] == "preparing xpnn (numpy) on cpu"
    assert all(line.startswith("preparing products (numpy") for line in lines[1:-1])


def test_of_several_ways_to_do_the_products_alone_the_fastest_counts(monkeypatch):
    took = {fake("a way"): 3.0, fake("a faster one"): 2.0, fake("another"): 4.0}
    monkeypatch.setattr(rows, "products_alone", lambda library, device, predict: list(took))
    step = fake("a step")
    timings = {each: Timing(ms, ms, ms, 1, 1) for each, ms in (took | {step: 5.0}).items()}
    monkeypatch.setattr(rows, "in_turns", lambda runs, seconds: Measured({each: timings[each] for each in runs}, {}))
    (only,) = rows.run(SMALL, [step]).timed
    assert (only.seconds, only.products.median) == (5.0, 2.0)


@pytest.mark.skipif(not together.available(), reason="no products or no teams")
@pytest.mark.parametrize("lanes", [1, 2])
def test_products_alone_are_done_on_as_many_threads_as_is_said(lanes, monkeypatch):
    """Without trying out which is faster: each is timed."""
    monkeypatch.setattr(together, "Trial", None)
    monkeypatch.setattr(contenders.threads, "count", lambda: 2)
    made = []
    monkeypatch.setattr(together, "Team", lambda lanes: made.append(lanes) or Team(lanes))
    large = dataclasses.replace(SMALL, batch=256, sizes=(64, 64, 64))
    contenders.products_alone("numpy", "cpu", predict=False)[lanes - 1].prepare(large)(2)
    assert made == [lanes][lanes == 1 :]


def test_a_contender_that_cannot_be_prepared_leaves_the_others():
    def broken(workload):
        raise RuntimeError("no compiler")

    result = rows.run(SMALL, [fake("a", prepare=broken), fake("b")], seconds=0.001)
    assert [(r.contender.variant, r.problem) for r in result.rows] == [("a", "RuntimeError: no compiler"), ("b", "")]
    assert [r.contender.variant for r in result.timed] == ["b"]


def test_what_does_not_fit_is_refused_before_it_is_allocated():
    def never(workload):
        raise AssertionError("allocated")

    result = rows.run(SMALL.with_batch(10**12), [fake("a", prepare=never)], seconds=0.001)
    assert re.fullmatch(
        r"out of memory \(MemoryError: it needs about [\d,.]+ GB, and [\d,.]+ GB are free\)", result.rows[0].problem
    )


def test_free_memory_is_known_or_not():
    if sys.platform == "linux":
        assert 0 < memory.free("numpy", "cpu") <= memory.total()
    assert memory.free("torch", "mps:0") is None


def test_ctrl_c_while_preparing_leaves_no_rows():
    def interrupt(workload):
        raise KeyboardInterrupt

    result = rows.run(SMALL, [fake("a", prepare=interrupt)], seconds=0.001)
    assert result.interrupted
    assert result.rows == []


# --- sweeps

CURVES = {
    "numpy on cpu": {1: 0.01, 16: 0.02, 64: 0.04, 512: 0.4, 4096: 4.0},
    "torch on cuda:0": {1: 0.1, 16: 0.1, 64: 0.1, 512: 0.1, 4096: 0.2},
}


def test_the_sentences_say_who_overtakes_whom_from_where_on():
    assert sweeps.sentences("batch", CURVES) == [
        "numpy on cpu is fastest from batch 1 to 64.",
        "torch on cuda:0 overtakes numpy on cpu from batch 512 on.",
    ]


def test_a_lead_that_comes_back_is_said_too():
    curves = {"a": {1: 1.0, 2: 3.0, 4: 1.0}, "b": {1: 2.0, 2: 2.0, 4: 2.0}}
    assert sweeps.sentences("width", curves) == [
        "a is fastest at width 1.",
        "b overtakes a at width 2.",
        "a overtakes b from width 4 on.",
    ]
    assert sweeps.sentences("width", {"a": {1: 1.0, 2: 1.0}}) == ["a is fastest from width 1 to 2."]
    assert sweeps.sentences("width", {"a": {}}) == []


def test_a_crossing_lies_where_the_lines_meet():
    ((value, seconds),) = sweeps.crossings({"a": {10: 1.0, 1000: 100.0}, "b": {10: 10.0, 1000: 10.0}})
    assert (value, seconds) == (pytest.approx(100.0), pytest.approx(10.0))
    assert sweeps.crossings({"a": {10: 1.0}, "b": {1000: 10.0}}) == []  # a stopped, b did not overtake it


def test_the_table_of_a_sweep_has_a_column_per_contender_and_dashes():
    lines = report.sweep_table("batch", {"a": {1: 0.001, 4: 0.002}, "b": {1: 0.5}}).splitlines()
    assert [line.split() for line in lines] == [["batch", "a", "b"], ["1", "1", "500"], ["4", "2", "-"]]


def test_a_sweep_goes_through_batches_or_widths_and_goes_on_past_what_does_not_fit():
    swept = bench.sweep("batch", SMALL, [fake("a")], seconds=0.001, values=[1, 8, 10**12])
    assert list(swept.results) == [1, 8, 10**12]
    assert list(swept.curves["xpnn (a) on cpu"]) == [1, 8]
    assert not swept.interrupted
    assert swept.to_json()["leads"] == [{"fastest": "xpnn (a) on cpu", "from": 1, "to": 8}]
    widths = sweeps.workloads("width", SMALL)
    assert list(widths) == list(sweeps.VALUES["width"])
    assert widths[16].sizes == (5, 16, 16, 3)


def test_a_sweep_that_cannot_be_is_refused():
    with pytest.raises(InputError, match="unknown sweep 'batches'. Did you mean 'batch'"):
        sweeps.workloads("batches", SMALL)
    with pytest.raises(InputError, match="without a hidden layer has no width to change"):
        sweeps.workloads("width", Workload((4, 2)))


def test_ctrl_c_ends_a_sweep():
    count = 0

    def prepare(workload):
        nonlocal count
        count += 1
        if count == 2:
            raise KeyboardInterrupt
        return lambda steps: None

    swept = bench.sweep("batch", SMALL, [fake("a", prepare=prepare)], seconds=0.001)
    assert swept.interrupted
    assert list(swept.results) == [1, 4]


# --- plots


def test_plots_are_pictures():
    pytest.importorskip("matplotlib")
    results = {
        batch: Result(
            SMALL.with_batch(batch),
            [row("a", batch, 0.5), row("b", 20.0, 1.0, "cuda:0"), dataclasses.replace(FAILED)],
        )
        for batch in (1, 16, 256)
    }
    assert plot.of_sweep(Sweep("batch", results), ".png").startswith(b"\x89PNG")
    assert b"<svg" in plot.of_sweep(Sweep("width", results), ".svg")
    assert plot.of_result(results[16], ".PNG").startswith(b"\x89PNG")


def test_a_plot_that_cannot_be_drawn_is_refused_first(monkeypatch):
    with pytest.raises(InputError, match=r"a.txt: a plot is written as .png, .svg, .pdf"):
        plot.check("a.txt")
    monkeypatch.setattr(plot.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackendError, match=r"needs matplotlib: pip install 'xpnn\[plot\]'"):
        plot.check("a.png")
