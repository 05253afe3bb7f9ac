"""JAX: ``jax.jit`` over a list of (W, b), with an optimizer of one's own or optax's."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

from xpnn.bench.contenders import COMPILED, Contender, Run
from xpnn.bench.workload import Workload, no_such_optimizer
from xpnn.errors import BackendError
from xpnn.optimizers import SGD, Adam


def contenders(device: str, predict: bool) -> list[Contender]:
    """``jax.jit``, with an optimizer of one's own and, where it is installed, optax's."""
    if predict:
        ways: list[tuple[str, Callable[..., Run]]] = [("jax.jit", _predicting)]
    else:
        ways = [("own optimizer", functools.partial(_training, _own_optimizer))]
        if importlib.util.find_spec("optax"):
            ways.append(("optax", functools.partial(_training, _optax)))
    return [
        Contender("jax", variant, "jax", device, COMPILED, functools.partial(make, device)) for variant, make in ways
    ]


def _training(make_optimizer: Callable[[Workload], Any], device: str, workload: Workload) -> Run:
    """One jitted step from donated parameters and state; the parameters are a list of (W, b)."""
    import jax

    params, x, y = _objects(device, workload)
    first_state, update = make_optimizer(workload)
    state = jax.jit(first_state)(params)

    def loss_of(params: Any, x: Any, y: Any) -> Any:
        log_probabilities = jax.nn.log_softmax(_logits(params, x))
        return -jax.numpy.take_along_axis(log_probabilities, y[:, None], axis=1).mean()

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params: Any, state: Any, x: Any, y: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(params, x, y)
        params, state = update(gradients, state, params)
        return params, state, loss

    def run(steps: int) -> Any:
        nonlocal params, state
        for _ in range(steps):
            params, state, loss = step(params, state, x, y)
        jax.block_until_ready((params, loss))
        return loss

    return run


def _predicting(device: str, workload: Workload) -> Run:
    """The jitted forward pass, to the probabilities."""
    import jax

    params, x, _ = _objects(device, workload)
    forward = jax.jit(lambda params, x: jax.nn.softmax(_logits(params, x)))

    def run(steps: int) -> Any:
        for _ in range(steps):
            prediction = forward(params, x)
        return prediction.block_until_ready()

    return run


def _objects(device: str, workload: Workload) -> tuple[Any, Any, Any]:
    """The parameters, X and y on the device."""
    import jax

    if workload.dtype == "float64" and not jax.config.read("jax_enable_x64"):
        raise BackendError("JAX has float64 after jax.config.update('jax_enable_x64', True) only.")
    kind, _, number = device.partition(":")
    x, y = workload.data()
    objects: tuple[Any, Any, Any] = jax.device_put(
        (workload.parameters(), x, y.astype(np.int32)), jax.devices(kind)[int(number or 0)]
    )
    return objects


def _logits(params: Any, x: Any) -> Any:
    import jax

    *hidden, (W, b) = params
    for W_i, b_i in hidden:
        x = jax.nn.relu(x @ W_i + b_i)
    return x @ W + b


def _own_optimizer(workload: Workload) -> Any:
    """``(init, update)`` with the update rule written out over the tree of parameters."""
    import jax
    import jax.numpy as jnp

    rule, each = workload.rule, jax.tree.map
    if type(rule) is SGD:
        return lambda params: (), lambda g, state, params: (
            each(lambda p, g: p - rule.learning_rate * g, params, g),
            state,
        )
    if type(rule) is not Adam:
        raise no_such_optimizer("jax", workload)
    alpha, beta_1, beta_2, epsilon = rule.learning_rate, rule.beta_1, rule.beta_2, rule.epsilon

    def init(params: Any) -> Any:
        return each(jnp.zeros_like, params), each(jnp.zeros_like, params), jnp.zeros((), jnp.int32)

    def update(gradients: Any, state: Any, params: Any) -> Any:
        m, v, t = state
        t = t + 1
        m = each(lambda m, g: beta_1 * m + (1 - beta_1) * g, m, gradients)
        v = each(lambda v, g: beta_2 * v + (1 - beta_2) * g * g, v, gradients)
        first, second = 1 - jnp.float32(beta_1) ** t, 1 - jnp.float32(beta_2) ** t

        def moved(p: Any, m: Any, v: Any) -> Any:
            return p - alpha * (m / first.astype(p.dtype)) / (jnp.sqrt(v / second.astype(p.dtype)) + epsilon)

        return each(moved, params, m, v), (m, v, t)

    return init, update


def _optax(workload: Workload) -> Any:
    """``(init, update)`` of optax."""
    import optax

    rule = workload.rule
    if type(rule) is Adam:
        optimizer = optax.adam(rule.learning_rate, rule.beta_1, rule.beta_2, rule.epsilon)
    elif type(rule) is SGD:
        optimizer = optax.sgd(rule.learning_rate)
    else:
        raise no_such_optimizer("jax", workload)

    def update(gradients: Any, state: Any, params: Any) -> Any:
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    return optimizer.init, update
