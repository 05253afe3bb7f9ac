"""Which library trains fastest: the choice, its reason, and a real trial."""

import numpy as np
import pytest

from xpnn import SGD, backends, losses, mlp
from xpnn.errors import BackendError
from xpnn.training import fastest

from .conftest import LIBRARIES

NETWORK = mlp([3, 4, 1], output="sigmoid")
X = np.linspace(-1, 1, 24, dtype=np.float32).reshape(8, 3)
Y = np.asarray([[0.0], [1.0]] * 4, dtype=np.float32)


def choose(steps, x=X, y=Y, **options):
    return fastest.choose(NETWORK, losses.get("binary_crossentropy"), SGD(0.1), x, y, steps=steps, **options)


class Fake:
    """A library that is usable and has devices."""

    def __init__(self, name):
        self.name = name

    def device_names(self):
        return ["cpu"] if self.name == "numpy" else [f"{self.name}:0", f"{self.name}:1"]


def usable(name, device, seconds):
    devices = Fake(name).device_names()
    if name not in seconds or (device and device not in devices):
        raise BackendError("it cannot be used")
    return device or devices[0]


@pytest.fixture
def timed(monkeypatch):
    """Say how many seconds a step takes on each library; those not named cannot be used."""

    def say(**seconds):
        def measure(backend, device, *_):
            took = seconds[backend.name]
            if isinstance(took, Exception):
                raise took
            return took

        monkeypatch.setattr(fastest, "_seconds_per_step", measure)
        monkeypatch.setattr(backends, "get", lambda name, device: Fake(name))
        monkeypatch.setattr(backends, "usable_device", lambda name, device=None: usable(name, device, seconds))
        monkeypatch.setattr(backends, "installed", lambda: list(backends.KNOWN))

    return say


def test_short_training_stays_with_numpy_and_tries_no_other_library(timed):
    timed(numpy=0.001, torch=AssertionError("tried"))
    choice = choose(steps=5000)
    assert (choice.backend, choice.device) == ("numpy", "cpu")
    assert choice.reason == "about 5.0 s of training, too short to try other libraries"


def test_with_one_library_there_is_nothing_to_choose(timed, monkeypatch):
    timed(numpy=0.001)
    monkeypatch.setattr(backends, "installed", lambda: ["numpy"])
    assert choose(steps=5000).reason == choose(steps=10**9).reason == "the only library installed"


def test_the_only_one_that_works_is_said_to_be_that(timed):
    timed(numpy=1.0)
    assert choose(steps=1000).reason == "the only one that can be used here"


def test_if_no_library_can_take_a_step_it_says_why(timed):
    timed(numpy=MemoryError("too wide"))
    with pytest.raises(
        BackendError, match="no library can take a step of this training. numpy: MemoryError: too wide; cupy"
    ):
        choose(steps=10)


def test_a_device_is_looked_for_on_the_libraries_that_have_it(timed):
    timed(numpy=0.001, cupy=0.002, torch=0.003)
    choice = choose(steps=10**9, device="torch:1")
    assert (choice.backend, choice.device) == ("torch", "torch:1")
    with pytest.raises(
        BackendError, match="no library here can train on device 'abacus': 'xpnn devices' lists what there is"
    ):
        choose(steps=10, device="abacus")


@pytest.mark.parametrize(
    ("seconds", "backend", "device"),
    [
        ({"numpy": 0.003, "torch": 0.001, "jax": 0.002}, "torch", "torch:0"),
        ({"numpy": 0.003, "cupy": 0.0001, "torch": 0.001}, "cupy", "cupy:0"),
        ({"numpy": 0.001, "torch": 0.002}, "numpy", "cpu"),
        ({"numpy": 0.001}, "numpy", "cpu"),
    ],
)
def test_long_training_takes_the_fastest_library_on_its_best_device(timed, seconds, backend, device):
    timed(**seconds)
    choice = choose(steps=100_000)
    assert (choice.backend, choice.device) == (backend, device)


def test_the_reason_lists_what_was_measured_fastest_first(timed):
    timed(numpy=0.003, jax=0.002, torch=0.0012)
    assert choose(steps=100_000).reason == "ms per step: torch 1.2, jax 2, numpy 3"


def test_those_that_take_a_while_to_load_are_told_before(timed):
    told = []
    timed(numpy=0.001, torch=0.002)
    choose(steps=5000, trying=told.append)
    assert not told
    choose(steps=100_000, trying=told.append)
    assert told == ["cupy", "torch", "jax"]
    told.clear()
    timed(numpy=MemoryError("too wide"), torch=0.002)  # it may all end in an error
    choose(steps=100_000, trying=told.append)
    assert told == ["jax"]


def test_a_library_that_fails_in_the_trial_is_passed_over(timed):
    timed(numpy=0.003, torch=RuntimeError("out of memory"), jax=0.002)
    assert choose(steps=100_000).backend == "jax"


def test_a_real_trial_measures_every_usable_library(monkeypatch):
    monkeypatch.setattr(fastest, "_TRIAL", 0.0)  # three steps each will do
    choice = choose(steps=10**9)
    usable = [name for name in backends.KNOWN if name in LIBRARIES]
    assert choice.backend in usable
    measured = [words.split() for words in choice.reason.removeprefix("ms per step: ").split(", ")]
    if backends.installed() == ["numpy"]:
        assert choice.reason == "the only library installed"
    elif len(usable) > 1:
        assert sorted(name for name, _ in measured) == sorted(usable)
        assert [float(ms) for _, ms in measured] == sorted(float(ms) for _, ms in measured)


def test_the_trial_leaves_the_data_as_they_are():
    x, y = X.copy(), Y.copy()
    choose(steps=1, x=x, y=y)
    assert np.array_equal(x, X)
    assert np.array_equal(y, Y)
