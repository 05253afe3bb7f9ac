"""Update rules: what their steps do, and PyTorch's beside them; what all of them must is in tests/test_testing.py."""

import numpy as np
import pytest

import xpnn
from xpnn import optimizers, rules
from xpnn.errors import InputError

from .cases import OPTIMIZERS


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_finds_the_bottom_of_a_parabola(name):
    optimizer = OPTIMIZERS[name]
    theta = np.array([4.0, -7.0])
    moments = optimizer.init(theta, xp=np)
    for step in range(2000):
        constants = optimizer.constants(step, optimizer.rate(step))
        theta, *moments = optimizer.rule(theta, 2 * (theta - 3.0), *moments, *constants)
    np.testing.assert_allclose(theta, 3.0, atol=1e-6)


def test_sgd_is_theta_minus_alpha_g():
    (theta,) = xpnn.SGD(0.1).rule(np.array([1.0, -2.0]), np.array([0.5, 0.25]), 0.1)
    np.testing.assert_allclose(theta, [0.95, -2.025], rtol=1e-15)


def adams(o):
    return {"lr": o.learning_rate, "betas": (o.beta_1, o.beta_2), "eps": o.epsilon, "weight_decay": o.weight_decay}


def rmsprops(o):
    return {
        "lr": o.learning_rate, "alpha": o.rho, "eps": o.epsilon, "weight_decay": o.weight_decay,
        "momentum": o.momentum, "centered": o.centered,
    }  # fmt: skip


# besides the defaults: with a small ε the sign of a gradient near 0 decides, and rounding grows from step to step
PEERS = [
    (xpnn.SGD(0.1), lambda t, p, o: t.SGD(p, 0.1)),
    (xpnn.SGD(0.1, weight_decay=0.01), lambda t, p, o: t.SGD(p, 0.1, weight_decay=0.01)),
    (xpnn.SGD(0.1, 0.9), lambda t, p, o: t.SGD(p, 0.1, 0.9)),
    (xpnn.SGD(0.1, 0.9, 0.3, weight_decay=0.01), lambda t, p, o: t.SGD(p, 0.1, 0.9, 0.3, 0.01)),
    (xpnn.SGD(0.1, 0.9, nesterov=True), lambda t, p, o: t.SGD(p, 0.1, 0.9, nesterov=True)),
    (
        xpnn.SGD(0.1, 0.9, nesterov=True, weight_decay=0.1),
        lambda t, p, o: t.SGD(p, 0.1, 0.9, nesterov=True, weight_decay=0.1),
    ),
    (xpnn.Adam(), lambda t, p, o: t.Adam(p)),
    (xpnn.Adam(0.05, 0.7, 0.9, 1e-3), lambda t, p, o: t.Adam(p, **adams(o))),
    (xpnn.Adam(beta_1=0.5, beta_2=0.5, weight_decay=0.02), lambda t, p, o: t.Adam(p, **adams(o))),
    (xpnn.AdamW(), lambda t, p, o: t.AdamW(p)),
    (xpnn.AdamW(0.01, 0.8, 0.95, 1e-3, weight_decay=0.3), lambda t, p, o: t.AdamW(p, **adams(o))),
    (xpnn.NAdam(), lambda t, p, o: t.NAdam(p)),
    (
        xpnn.NAdam(0.01, 0.8, 0.95, 1e-2, weight_decay=0.02, momentum_decay=0.1),
        lambda t, p, o: t.NAdam(p, **adams(o), momentum_decay=0.1),
    ),
    (xpnn.RMSprop(), lambda t, p, o: t.RMSprop(p)),
    (xpnn.RMSprop(0.005, 0.9, 1e-2, weight_decay=0.01), lambda t, p, o: t.RMSprop(p, **rmsprops(o))),
    (xpnn.RMSprop(0.005, momentum=0.7), lambda t, p, o: t.RMSprop(p, **rmsprops(o))),
    (xpnn.RMSprop(0.005, centered=True, epsilon=1e-2), lambda t, p, o: t.RMSprop(p, **rmsprops(o))),
    (xpnn.RMSprop(0.005, momentum=0.7, centered=True, epsilon=1e-2), lambda t, p, o: t.RMSprop(p, **rmsprops(o))),
    (xpnn.Adagrad(), lambda t, p, o: t.Adagrad(p)),
    (
        xpnn.Adagrad(0.05, 1e-6, 0.1, 0.01),
        lambda t, p, o: t.Adagrad(p, 0.05, weight_decay=0.01, initial_accumulator_value=0.1, eps=1e-6),
    ),
    (xpnn.Adadelta(), lambda t, p, o: t.Adadelta(p)),
    (xpnn.Adadelta(0.5, 0.8, 1e-4, 0.01), lambda t, p, o: t.Adadelta(p, 0.5, 0.8, 1e-4, 0.01)),
]


@pytest.mark.parametrize(
    ("optimizer", "peer_of"), PEERS, ids=lambda each: repr(each) if isinstance(each, xpnn.Optimizer) else ""
)
def test_200_steps_follow_torch(optimizer, peer_of, dtype, rng):
    torch = pytest.importorskip("torch")
    network = xpnn.mlp([5, 8, 3], hidden="tanh", output="softmax")
    X, y = torch.asarray(rng.normal(size=(40, 5)), dtype=getattr(torch, dtype)), torch.asarray(rng.integers(0, 3, 40))
    f = xpnn.value_and_grad(network, "categorical_crossentropy")
    ours = network.init(0, like=X)
    theirs = ours.clone().requires_grad_()
    peer = peer_of(torch.optim, [theirs], optimizer)
    moments = optimizer.init(ours, xp=torch)
    for step in range(200):
        g = f(ours, X, y)[1]
        ours, *moments = optimizer.rule(ours, g, *moments, *optimizer.constants(step, optimizer.rate(step)))
        theirs.grad = f(theirs.detach(), X, y)[1]
        peer.step()
    difference = (ours - theirs.detach()).norm() / theirs.detach().norm()
    assert float(difference) < (1e-6 if dtype == "float64" else 2e-4)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_lion_is_its_definition(decay, rng):
    theta, optimizer = rng.normal(size=6), xpnn.Lion(0.01, 0.8, 0.95, decay)
    ours, m = theta.copy(), np.zeros(6)
    (moment,) = optimizer.init(ours, xp=np)
    for step in range(50):
        g = rng.normal(size=6)
        g[0] = 0.0
        ours, moment = optimizer.rule(ours, g.copy(), moment, *optimizer.constants(step, 0.01))
        theta = theta - 0.01 * (np.sign(0.8 * m + 0.2 * g) + decay * theta)
        m = 0.95 * m + 0.05 * g
    np.testing.assert_allclose(ours, theta, rtol=1e-12)
    np.testing.assert_allclose(moment, m, rtol=1e-12)


def test_the_momenta_of_nadam_do_not_depend_on_what_ran_before():
    optimizer = xpnn.NAdam(0.01, momentum_decay=0.007)
    late = optimizer.constants(700, 0.01)
    optimizers._products.cache_clear()
    assert optimizer.constants(3, 0.01) == xpnn.NAdam(0.01, momentum_decay=0.007).constants(3, 0.01)
    assert optimizer.constants(700, 0.01) == late
    assert optimizer.constants(10**7, 0.01)[0] > 0


def test_the_same_hyperparameters_give_the_same_rule():
    for optimizer in (xpnn.SGD(0.1, 0.9, weight_decay=0.1), xpnn.AdamW(), xpnn.Lion(weight_decay=0.1)):
        assert optimizer.rule is type(optimizer)(**vars(optimizer)).rule
    assert xpnn.SGD().rule is rules.sgd  # nothing that is not asked for
    assert xpnn.Adam().rule is rules.adam
    assert len(xpnn.Adam().constants(0, 0.1)) == 4


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (xpnn.Adam, {"learning_rate": 0}, "Adam: learning_rate must be a number > 0, got 0"),
        (xpnn.Adam, {"epsilon": -1.0}, "Adam: epsilon must be a number > 0"),
        (xpnn.Adam, {"beta_1": 1.0}, "Adam: beta_1 must be a number from 0 to below 1, got 1.0"),
        (xpnn.Adam, {"beta_2": "0.9"}, "Adam: beta_2 must be a number from 0 to below 1, got '0.9'"),
        (xpnn.AdamW, {"weight_decay": -0.1}, "AdamW: weight_decay must be a number >= 0, got -0.1"),
        (xpnn.NAdam, {"momentum_decay": -1}, "NAdam: momentum_decay must be a number >= 0"),
        (xpnn.SGD, {"momentum": 1.0}, "SGD: momentum must be a number from 0 to below 1, got 1.0"),
        (xpnn.SGD, {"nesterov": True}, "SGD: nesterov needs momentum > 0 and dampening 0, got momentum=0.0"),
        (xpnn.SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "SGD: nesterov needs .*dampening=0.1"),
        (xpnn.RMSprop, {"rho": 1}, "RMSprop: rho must be a number from 0 to below 1, got 1"),
        (xpnn.Adagrad, {"initial": -1}, "Adagrad: initial must be a number >= 0, got -1"),
        (xpnn.Adadelta, {"epsilon": 0}, "Adadelta: epsilon must be a number > 0, got 0"),
        (xpnn.Lion, {"beta_2": 2}, "Lion: beta_2 must be a number from 0 to below 1, got 2"),
    ],
)
def test_hyperparameters_are_checked(cls, options, message):
    with pytest.raises(InputError, match=message):
        cls(**options)


@pytest.mark.parametrize("rate", [0, -0.1, float("nan"), float("inf"), "fast", None])
def test_the_learning_rate_must_be_above_zero(rate):
    for cls in {type(each) for each in OPTIMIZERS.values()} - {type(OPTIMIZERS["moments and a rate that changes"])}:
        with pytest.raises(InputError, match=f"{cls.__name__}: learning_rate must be a number > 0"):
            cls(rate)


def test_names():
    assert optimizers.get("sgd") == xpnn.SGD()
    assert optimizers.get(xpnn.SGD(0.5)) == xpnn.SGD(0.5)
