"""PyTorch, JAX and scikit-learn on the same workload, as a good user of each would write it.

All start from xpnn's initial parameters and take xpnn's hyperparameters, on one batch that is already there.
"""

from __future__ import annotations

import functools
import importlib.util
import math
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from xpnn.bench.contenders import COMPILED, EAGER, Contender, Run, devices_of
from xpnn.bench.workload import Workload
from xpnn.errors import BackendError, InputError, XpnnError
from xpnn.optimizers import SGD, Adam
from xpnn.registry import unknown

NAMES = ("torch", "jax", "sklearn")
"""The peers, by the names of their packages."""

_NEVER = 2**31 - 1  # epochs
_INSTALL = {"torch": "torch", "jax": "jax", "sklearn": "scikit-learn"}


def find(names: Iterable[str], *, predict: bool = False) -> tuple[list[Contender], list[str]]:
    """The peers named, each in its best configurations on its devices, and a line for each that cannot be used.

    Parameters
    ----------
    names : iterable of str
        From `NAMES`; ``"all"`` for those that are installed.
    predict : bool
        Whether they are to predict.
    """
    found, problems = [], []
    for name in dict.fromkeys(each for given in names for each in (_installed() if given == "all" else [given])):
        try:
            found += _contenders(name, predict)
        except XpnnError as error:
            problems.append(str(error))
    return found, problems


def _installed() -> list[str]:
    return [name for name in NAMES if importlib.util.find_spec(name)]


def _contenders(name: str, predict: bool) -> list[Contender]:
    if name not in NAMES:
        raise InputError(unknown("peer", name, NAMES))
    if not importlib.util.find_spec(name):
        raise BackendError(f"peer {name} is not installed: pip install {_INSTALL[name]}.")
    if name == "sklearn":
        prepare = _sklearn_predicting if predict else _sklearn_training
        return [Contender(name, "", "numpy", "cpu", EAGER, prepare)]
    make = _torch if name == "torch" else _jax
    return [contender for device in devices_of(name) for contender in make(device, predict)]


# --- PyTorch


def _torch(device: str, predict: bool) -> list[Contender]:
    """Eager, and what can be compiled; on a GPU also captured as a graph."""
    graphs = ("reduce-overhead",) if device.startswith("cuda") else ()
    if predict:
        ways: list[tuple[str, str, Callable[..., Run], str | None]] = [
            ("inference_mode", EAGER, _torch_predicting, None),
            *((f"torch.compile {mode}", COMPILED, _torch_predicting, mode) for mode in ("default", *graphs)),
        ]
    else:
        ways = [
            ("fused optimizer", EAGER, _torch_training, None),
            *((f"model compiled {mode}", COMPILED, _torch_training, mode) for mode in ("default", *graphs)),
            *((f"step compiled {mode}", COMPILED, _torch_step_compiled, mode) for mode in ("default", *graphs)),
        ]
    return [
        Contender(
            "torch", variant.removesuffix(" default"), "torch", device, how, functools.partial(make, device, mode)
        )
        for variant, how, make, mode in ways
    ]


def _torch_training(device: str, mode: str | None, workload: Workload) -> Run:
    """The loop of PyTorch's tutorials, with the fused optimizer; with a mode, the model compiled."""
    model, x, y = _torch_objects(device, workload)
    optimizer = _torch_optimizer(model, workload, fused=True)
    step = _torch_step(_torch_compiled(model, mode), optimizer, x, y)
    return _torch_run(step, device, mode)


def _torch_step_compiled(device: str, mode: str, workload: Workload) -> Run:
    """Forward pass, loss, backward pass and optimizer under one ``torch.compile``."""
    model, x, y = _torch_objects(device, workload)
    optimizer = _torch_optimizer(model, workload, fused=False)  # the compiler fuses it
    return _torch_run(_torch_compiled(_torch_step(model, optimizer, x, y), mode), device, mode)


def _torch_predicting(device: str, mode: str | None, workload: Workload) -> Run:
    """Probabilities under ``inference_mode``."""
    import torch

    model, x, _ = _torch_objects(device, workload)
    model = _torch_compiled(torch.nn.Sequential(model, torch.nn.Softmax(dim=1)).eval(), mode)

    def predict() -> Any:
        with torch.inference_mode():
            return model(x)

    return _torch_run(predict, device, mode)


def _torch_objects(device: str, workload: Workload) -> tuple[Any, Any, Any]:
    """The model up to its logits, X and y."""
    import torch

    layers: list[Any] = []
    for W, b in workload.parameters():
        linear = torch.nn.Linear(*W.shape, device=device, dtype=getattr(torch, workload.dtype))
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(W.T))
            linear.bias.copy_(torch.from_numpy(b))
        layers += [linear, torch.nn.ReLU()]
    x, y = (torch.from_numpy(host).to(device) for host in workload.data())
    return torch.nn.Sequential(*layers[:-1]), x, y


def _torch_optimizer(model: Any, workload: Workload, *, fused: bool) -> Any:
    import torch

    rule, options = workload.rule, {"fused": True} if fused else {}
    if isinstance(rule, Adam):
        betas = (rule.beta_1, rule.beta_2)
        return torch.optim.Adam(model.parameters(), rule.learning_rate, betas, rule.epsilon, **options)
    if isinstance(rule, SGD):
        return torch.optim.SGD(model.parameters(), rule.learning_rate, **options)
    raise _no_such_optimizer("torch", workload)


def _torch_step(model: Any, optimizer: Any, x: Any, y: Any) -> Callable[[], Any]:
    import torch

    loss_of = torch.nn.CrossEntropyLoss()

    def step() -> Any:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def _torch_compiled(function: Any, mode: str | None) -> Any:
    import torch

    return torch.compile(function, mode=mode, dynamic=False) if mode else function


def _torch_run(step: Callable[[], Any], device: str, mode: str | None) -> Run:
    import torch

    # what captured graphs want to be told before each step
    begin = torch.compiler.cudagraph_mark_step_begin if mode == "reduce-overhead" else lambda: None

    def run(steps: int) -> Any:
        for _ in range(steps):
            begin()
            result = step()
        if device != "cpu":
            torch.accelerator.synchronize(device)
        return result.detach()

    return run


# --- JAX


def _jax(device: str, predict: bool) -> list[Contender]:
    """``jax.jit``, with an optimizer of one's own and, where it is installed, optax's."""
    if predict:
        ways: list[tuple[str, Callable[..., Run]]] = [("jax.jit", _jax_predicting)]
    else:
        ways = [("own optimizer", functools.partial(_jax_training, _jax_own_optimizer))]
        if importlib.util.find_spec("optax"):
            ways.append(("optax", functools.partial(_jax_training, _jax_optax)))
    return [
        Contender("jax", variant, "jax", device, COMPILED, functools.partial(make, device)) for variant, make in ways
    ]


def _jax_training(make_optimizer: Callable[[Workload], Any], device: str, workload: Workload) -> Run:
    """One jitted step from donated parameters and state; the parameters are a list of (W, b)."""
    import jax

    params, x, y = _jax_objects(device, workload)
    first_state, update = make_optimizer(workload)
    state = jax.jit(first_state)(params)

    def loss_of(params: Any, x: Any, y: Any) -> Any:
        log_probabilities = jax.nn.log_softmax(_jax_logits(params, x))
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


def _jax_predicting(device: str, workload: Workload) -> Run:
    """The jitted forward pass, to the probabilities."""
    import jax

    params, x, _ = _jax_objects(device, workload)
    forward = jax.jit(lambda params, x: jax.nn.softmax(_jax_logits(params, x)))

    def run(steps: int) -> Any:
        for _ in range(steps):
            prediction = forward(params, x)
        return prediction.block_until_ready()

    return run


def _jax_objects(device: str, workload: Workload) -> tuple[Any, Any, Any]:
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


def _jax_logits(params: Any, x: Any) -> Any:
    import jax

    *hidden, (W, b) = params
    for W_i, b_i in hidden:
        x = jax.nn.relu(x @ W_i + b_i)
    return x @ W + b


def _jax_own_optimizer(workload: Workload) -> Any:
    """``(init, update)`` with the update rule written out over the tree of parameters."""
    import jax
    import jax.numpy as jnp

    rule, each = workload.rule, jax.tree.map
    if isinstance(rule, SGD):
        return lambda params: (), lambda g, state, params: (
            each(lambda p, g: p - rule.learning_rate * g, params, g),
            state,
        )
    if not isinstance(rule, Adam):
        raise _no_such_optimizer("jax", workload)
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


def _jax_optax(workload: Workload) -> Any:
    """``(init, update)`` of optax."""
    import optax

    rule = workload.rule
    if isinstance(rule, Adam):
        optimizer = optax.adam(rule.learning_rate, rule.beta_1, rule.beta_2, rule.epsilon)
    elif isinstance(rule, SGD):
        optimizer = optax.sgd(rule.learning_rate)
    else:
        raise _no_such_optimizer("jax", workload)

    def update(gradients: Any, state: Any, params: Any) -> Any:
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    return optimizer.init, update


# --- scikit-learn


def _sklearn_training(workload: Workload) -> Run:
    """``MLPClassifier.fit`` with one step per epoch, as many epochs as steps: faster than as many ``partial_fit``.

    ``warm_start`` lets it start from given parameters and go on from those it has reached; its optimizer starts
    anew at each call, which costs the same time. Its ε is added before the bias correction, PyTorch's after.
    """
    x, y = workload.data()
    model = _sklearn_model(workload)

    def run(steps: int) -> float:
        model.set_params(max_iter=steps)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            model.fit(x, y)
        if any("interrupted by user" in str(each.message) for each in told):  # it takes Ctrl-C for itself
            raise KeyboardInterrupt
        return float(model.loss_)

    return run


def _sklearn_predicting(workload: Workload) -> Run:
    """``MLPClassifier.predict_proba``."""
    model, (x, _) = _sklearn_model(workload), workload.data()

    def run(steps: int) -> Any:
        for _ in range(steps):
            prediction = model.predict_proba(x)
        return prediction

    return run


def _sklearn_model(workload: Workload) -> Any:
    """A classifier with the workload's parameters, everything optional off.

    Of two classes it makes one sigmoid output: the same predictions and the same loss from the same parameters, with
    a little less to do, though a step changes them otherwise.
    """
    from sklearn.neural_network import MLPClassifier

    rule, classes = workload.rule, workload.sizes[-1]
    options: dict[str, Any] = {"learning_rate_init": getattr(rule, "learning_rate", math.nan)}
    if isinstance(rule, Adam):
        options |= {"beta_1": rule.beta_1, "beta_2": rule.beta_2, "epsilon": rule.epsilon}
    elif isinstance(rule, SGD):
        options |= {"momentum": 0.0, "nesterovs_momentum": False}
    else:
        raise _no_such_optimizer("scikit-learn", workload)
    if not workload.predict and workload.batch < classes:
        raise InputError(
            f"scikit-learn finds its classes in the labels: a batch of {classes} or more has all of them."
        )
    model = MLPClassifier(
        workload.sizes[1:-1],
        solver=workload.optimizer,
        alpha=0.0,
        batch_size=workload.batch,
        shuffle=False,
        tol=0.0,
        n_iter_no_change=_NEVER,
        warm_start=True,
        random_state=0,
        **options,
    )
    # a first call makes its arrays, of the dtype of X, and finds the classes; one row of each will do
    model.set_params(batch_size=classes)
    each = np.arange(classes)
    model.partial_fit(np.zeros((classes, workload.sizes[0]), workload.dtype), each, classes=each)
    model.set_params(batch_size=workload.batch)
    *hidden, (W, b) = workload.parameters()
    if classes == 2:  # its one sigmoid output is the softmax of two whose logits differ by as much
        W, b = W[:, 1:] - W[:, :1], b[1:] - b[:1]
    for own, first in zip([*model.coefs_, *model.intercepts_], _weights_then_biases([*hidden, (W, b)]), strict=True):
        own[...] = first
    return model


def _weights_then_biases(layers: list[tuple[Any, Any]]) -> list[Any]:
    return [W for W, _ in layers] + [b for _, b in layers]


def _no_such_optimizer(peer: str, workload: Workload) -> InputError:
    return InputError(f"{peer}: only adam and sgd are written here, not {workload.optimizer}.")
