"""Learning rates that change: beside PyTorch's, from the number of the step alone, in a training."""

import re
import warnings

import numpy as np
import pytest

import xpnn
from xpnn import optimizers, schedules
from xpnn.errors import InputError

from .cases import SCHEDULES


@pytest.mark.parametrize("name", [name for name, (_, peer) in SCHEDULES.items() if peer])
def test_it_is_torch_s(name):
    torch = pytest.importorskip("torch")
    schedule, peer = SCHEDULES[name]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that epochs are not to be given, that the optimizer has not stepped
        theirs = peer(torch.optim.lr_scheduler, optimizer)
        rates = []
        for _ in range(60):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            theirs.step() if len(rates) < 60 else None
    ours = [schedule.rate(t, 1, {}) for t in range(60)]
    np.testing.assert_allclose(ours, rates, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("name", SCHEDULES)
def test_it_counts_steps_or_epochs(name):
    schedule, _ = SCHEDULES[name]
    each = [schedule.rate(t, 1, {}) for t in range(80)]
    if schedule.unit == "epoch":
        assert [schedule.rate(t, 5, {}) for t in range(400)] == [rate for rate in each for _ in range(5)]
    else:
        assert [schedule.rate(t, 5, {}) for t in range(80)] == each
    assert all(0 <= rate <= 0.1 for rate in each)


def test_a_constant_stays():
    assert {xpnn.Constant(0.3).rate(t, 7, {}) for t in range(100)} == {0.3}


def test_a_plateau_is_torch_s(rng):
    torch = pytest.importorskip("torch")
    values = np.concatenate([np.linspace(1, 0.5, 10), 0.5 + 0.01 * rng.random(30), [0.4] * 20]).tolist()
    for options in ({}, {"patience": 0}, {"patience": 2, "cooldown": 3, "factor": 0.5, "minimum": 0.02}):
        schedule = xpnn.ReduceOnPlateau(0.1, monitor="validation_loss", **options)
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
        peer = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=schedule.factor, patience=schedule.patience, cooldown=schedule.cooldown,
            min_lr=schedule.minimum, eps=0.0,
        )  # fmt: skip
        for epoch in range(len(values)):
            ours = schedule.rate(epoch * 3, 3, {"validation_loss": values[:epoch]})
            assert ours == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
            peer.step(values[epoch])


def test_a_rise_by_steps_may_be_followed_by_a_fall_by_epochs():
    schedule = xpnn.Warmup(xpnn.Exponential(0.1, 0.5), over=6)
    rates = [schedule.rate(t, 4, {}) for t in range(16)]
    np.testing.assert_allclose(rates[:6], 0.1 * np.arange(6) / 6, atol=1e-15)
    np.testing.assert_allclose(rates[6:], [0.1] * 4 + [0.05] * 4 + [0.025] * 2)
    by_epoch = xpnn.Warmup(xpnn.Cosine(0.1, over=8), over=2, unit="epoch")
    assert by_epoch.by_step
    assert [by_epoch.rate(t, 4, {}) for t in range(8)] == [0.0] * 4 + [0.05] * 4
    assert by_epoch.rate(8, 4, {}) == 0.1
    assert by_epoch.rate(16, 4, {}) == pytest.approx(0.0)


def trained(lib, schedule, **options):
    X, y = lib(np.arange(12.0).reshape(6, 2) / 12), lib(np.arange(6.0)[:, None] / 6)
    return xpnn.fit(xpnn.mlp([2, 1]), X, y, optimizer=xpnn.SGD(schedule), batch_size=2, **options)


def test_training_takes_the_rate_of_each_step(lib):
    """By hand: the same steps with the rate of each."""
    schedule = xpnn.Cosine(0.3, over=12)
    model = trained(lib, schedule, epochs=4, shuffle=False)
    X, y = np.arange(12.0).reshape(6, 2) / 12, np.arange(6.0)[:, None] / 6
    network, f = xpnn.mlp([2, 1]), xpnn.value_and_grad(xpnn.mlp([2, 1]), "mse")
    theta = network.init(0)
    for step in range(12):
        rows = slice(2 * (step % 3), 2 * (step % 3) + 2)
        theta = theta - schedule.at(step) * f(theta, X[rows], y[rows])[1]
    np.testing.assert_allclose(lib.host(model.params), theta, rtol=1e-5)


def test_training_watches_the_history(lib):
    """The rate falls to nothing at the second epoch that is not better: no step changes anything after it."""
    schedule = xpnn.ReduceOnPlateau(1e-12, factor=0.5, patience=0, threshold=0.5)
    rates = []
    real = type(schedule).rate

    class Watched(xpnn.ReduceOnPlateau):
        def rate(self, *arguments):
            rates.append((arguments[0], real(self, *arguments)))
            return rates[-1][1]

    trained(lib, Watched(1e-12, factor=0.5, patience=0, threshold=0.5), epochs=4)
    assert [rate for _, rate in rates[-4:]] == [1e-12, 1e-12, 0.5e-12, 0.25e-12]  # once an epoch
    assert {step for step, _ in rates[:-4]} <= {0}  # looked at before


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (
            xpnn.Cosine(0.1, over=13),
            r"longer than the training: Cosine\(.*over=13.*13 steps, but there are 12 .epochs: 4, steps",
        ),
        (xpnn.MultiStep(0.1, (2, 5)), "made for 5 epochs, but there are 4 "),
        (xpnn.Warmup(xpnn.Cosine(0.1, over=8), over=5), "made for 13 steps"),
        (xpnn.ReduceOnPlateau(0.1, "validation_loss"), "watches 'validation_loss', but this training records 'loss'"),
        (xpnn.Warmup(xpnn.ReduceOnPlateau(0.1, "auc")), "watches 'auc'"),
    ],
)
def test_a_schedule_that_does_not_fit_the_training_is_an_error_before_it(schedule, message):
    from .conftest import LIBRARIES

    if isinstance(schedule, xpnn.Warmup) and isinstance(schedule.learning_rate, xpnn.ReduceOnPlateau):
        schedule = xpnn.Warmup(schedule.learning_rate, over=3)
    with pytest.raises(InputError, match=message):
        trained(LIBRARIES["numpy"], schedule, epochs=4)
    trained(LIBRARIES["numpy"], xpnn.Cosine(0.1, over=12), epochs=4)


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        (
            xpnn.Cosine(0.1, over=8),
            "nothing is learned after step 8 of 12: .* is 0 then; make it as long as .*, 12 steps",
        ),
        (xpnn.Warmup(xpnn.Cosine(0.1, over=4), over=3), "nothing is learned after step 7 of 12"),
        (xpnn.Cosine(0.1, over=2, unit="epoch"), "nothing is learned after epoch 2 of 4"),
        (xpnn.Cosine(0.1, over=8, minimum=1e-3), ""),
        (xpnn.Cosine(0.1, over=11), ""),
        (xpnn.MultiStep(0.1, (2, 3)), ""),
    ],
)
def test_a_schedule_that_is_over_before_the_training_is_told(schedule, told):
    from .conftest import LIBRARIES

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        trained(LIBRARIES["numpy"], schedule, epochs=4)
    assert len(seen) == bool(told)
    for each in seen:
        assert re.search(told, str(each.message))


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (xpnn.Constant, {"learning_rate": 0}, "Constant: learning_rate must be a number > 0, got 0"),
        (xpnn.Constant, {"unit": "batch"}, "Constant: unit must be 'step' or 'epoch', got 'batch'"),
        (xpnn.StepDecay, {"every": 0}, "StepDecay: every must be a whole number >= 1, got 0"),
        (xpnn.StepDecay, {"factor": 1.5}, "StepDecay: factor must be a number above 0 and at most 1"),
        (xpnn.MultiStep, {"milestones": (5, 3)}, "MultiStep: milestones must be rising whole numbers"),
        (xpnn.MultiStep, {"milestones": ()}, "MultiStep: milestones must be"),
        (xpnn.MultiStep, {"milestones": 5}, "MultiStep: milestones must be"),
        (xpnn.MultiStep, {"milestones": (0.5,)}, "MultiStep: milestones must be"),
        (xpnn.MultiStep, {"factor": 0}, "MultiStep: factor must be"),
        (xpnn.Exponential, {"factor": -1}, "Exponential: factor must be"),
        (xpnn.InverseScaling, {"power": -1}, "InverseScaling: power must be a number >= 0"),
        (xpnn.Cosine, {"over": 1.5}, "Cosine: over must be a whole number >= 1"),
        (xpnn.Cosine, {"minimum": 1.0}, "Cosine: minimum must be a number from 0 to learning_rate, got 1.0"),
        (xpnn.CosineRestarts, {"first": 0}, "CosineRestarts: first must be"),
        (xpnn.CosineRestarts, {"longer": 0}, "CosineRestarts: longer must be"),
        (xpnn.CosineRestarts, {"minimum": -1}, "CosineRestarts: minimum must be"),
        (xpnn.OneCycle, {"over": 1}, "OneCycle: over must be a whole number >= 2"),
        (xpnn.OneCycle, {"rising": 1}, "OneCycle: rising must be a number above 0 and below 1"),
        (xpnn.OneCycle, {"end": 0.5}, "OneCycle: end must be a number >= 1"),
        (xpnn.Warmup, {"over": 0}, "Warmup: over must be a whole number >= 1"),
        (xpnn.Warmup, {"start": 2}, "Warmup: start must be a number from 0 to 1"),
        (xpnn.Warmup, {"learning_rate": "cosine"}, "Warmup: learning_rate must be a number > 0"),
        (xpnn.Warmup, {"learning_rate": xpnn.Cosine(), "unit": "day"}, "Warmup: unit must be"),
        (xpnn.ReduceOnPlateau, {"factor": 1}, "ReduceOnPlateau: factor must be a number above 0 and below 1"),
        (xpnn.ReduceOnPlateau, {"patience": -1}, "ReduceOnPlateau: patience must be a whole number >= 0"),
        (xpnn.ReduceOnPlateau, {"cooldown": 0.5}, "ReduceOnPlateau: cooldown must be"),
        (xpnn.ReduceOnPlateau, {"threshold": -1}, "ReduceOnPlateau: threshold must be"),
        (xpnn.ReduceOnPlateau, {"minimum": 1}, "ReduceOnPlateau: minimum must be"),
        (xpnn.ReduceOnPlateau, {"unit": "step"}, "ReduceOnPlateau: unit must be 'epoch'"),
    ],
)
def test_hyperparameters_are_checked(cls, options, message):
    with pytest.raises(InputError, match=message):
        cls(**options)


def test_names():
    assert schedules.get("cosine") == xpnn.Cosine()
    with pytest.raises(InputError, match="unknown schedule 'cosin'"):
        schedules.get("cosin")
    with pytest.raises(NotImplementedError):
        xpnn.Schedule().rate(0, 1, {})


RATES = {
    xpnn.SGD: 0.5, xpnn.Adam: 0.03, xpnn.AdamW: 0.03, xpnn.NAdam: 0.03, xpnn.RMSprop: 0.01, xpnn.Adagrad: 0.2,
    xpnn.Adadelta: 3.0, xpnn.Lion: 0.005,
}  # fmt: skip
RUNS = {
    "constant": lambda rate: xpnn.Constant(rate),
    "step_decay": lambda rate: xpnn.StepDecay(rate, every=10, factor=0.5),
    "multi_step": lambda rate: xpnn.MultiStep(rate, (8, 16), 0.5),
    "exponential": lambda rate: xpnn.Exponential(rate, 0.95),
    "inverse_scaling": lambda rate: xpnn.InverseScaling(rate, 0.2),
    "cosine": lambda rate: xpnn.Cosine(rate, over=160),
    "cosine_restarts": lambda rate: xpnn.CosineRestarts(rate, first=40, longer=2),
    "one_cycle": lambda rate: xpnn.OneCycle(rate, over=160),
    "warmup": lambda rate: xpnn.Warmup(xpnn.Cosine(rate, over=140), over=20),
    "reduce_on_plateau": lambda rate: xpnn.ReduceOnPlateau(rate, "validation_loss", patience=1),
}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("cls", RATES, ids=lambda cls: cls.__name__)
def test_every_optimizer_learns_real_data_with_every_schedule(cls, name):
    from sklearn.datasets import load_breast_cancer

    assert set(RUNS) == set(schedules.NAMES)
    assert set(RATES) == set(optimizers.NAMES.values()) - {xpnn.LBFGS}  # which has no learning rate
    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    model = xpnn.fit(
        xpnn.mlp([30, 8, 1], hidden="tanh", output="sigmoid"), X, y, optimizer=cls(RUNS[name](RATES[cls])), epochs=20,
        batch_size=64, validation_split=0.2, metrics=["accuracy"],
    )  # fmt: skip
    assert model.history["validation_accuracy"][-1] > 0.93
