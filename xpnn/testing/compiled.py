"""A few steps of training, compiled and as they are written."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from xpnn import arrays, backends
from xpnn.losses import Loss
from xpnn.network import Sequential
from xpnn.optimizers import SGD, Optimizer
from xpnn.penalties import Penalty
from xpnn.testing.findings import Numbers, Problem, compare
from xpnn.testing.libraries import Library
from xpnn.training.step import first_state, make_step
from xpnn.typing import Array, Namespace

STEPS = 5
RELATIVE = {"float32": 1e-3, "float64": 1e-9}


@dataclass(frozen=True)
class Squares(Loss):
    """For outputs of any shape:  J = Σ ŷ² / 2 n."""

    def value_and_grad(
        self, prediction: Array, y: Array, sample_weight: Array | None = None, *, xp: Namespace | None = None
    ) -> tuple[Array, Array]:
        """J and ŷ / n."""
        xp = xp or arrays.namespace(prediction=prediction)
        share = 1.0 / prediction.shape[0]
        return xp.sum(prediction * prediction) * (0.5 * share), prediction * share


def as_written(
    library: Library,
    dtype: str,
    network: Sequential,
    X: Numbers,
    y: Numbers,
    *,
    loss: Loss | None = None,
    optimizer: Optimizer | None = None,
    penalty: Penalty | None = None,
) -> None:
    """Raise `Problem` unless steps that are compiled, as `fit` has them, end where they do call by call."""
    if library.read_only or dtype != library.dtypes[-1]:  # the same steps as those of writable arrays, of one dtype
        return
    plain, fast = (
        _trained(library, dtype, network, X, y, loss or Squares(), optimizer or SGD(0.05), penalty, compile=way)
        for way in (False, None)
    )
    why = "it must follow from the arrays alone, by functions of xp, not from what kind of objects they are"
    for what, ours, expected in zip(("parameters", "buffers", "loss"), fast, plain, strict=True):
        if expected is not None:
            compare(f"after {STEPS} compiled steps the {what} are others", ours, expected, RELATIVE[dtype], why)


def _trained(
    library: Library,
    dtype: str,
    network: Sequential,
    X: Numbers,
    y: Numbers,
    loss: Loss,
    optimizer: Optimizer,
    penalty: Penalty | None,
    *,
    compile: bool | None,
) -> tuple[Numbers, Any, Numbers]:
    xp, x, targets = library.xp, library(X, dtype), library(y, dtype)
    backend = backends.of(x)
    penalties = () if penalty is None else (penalty,)
    step = make_step(network, loss, optimizer, xp=xp, backend=backend, seed=3, compile=compile, penalty=penalties)
    with backend.on(x), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        state = first_state(network, optimizer, network.init(1, like=x), xp=xp)
        value = x
        for _ in range(STEPS):
            state, value = step(state, x, targets, None)
        state = step.whole(state)
    slow = [str(each.message) for each in caught if "cannot be recorded" in str(each.message)]
    if slow:
        raise Problem(slow[0], fix="decide by xp.where, and leave the numbers in arrays where they are")
    buffers = None if state.buffers is None else library.host(state.buffers)
    return library.host(state.params), buffers, library.host(value)
