"""Training all samples at once with SciPy's L-BFGS: the vector lives on the host, J and its gradient where X does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from xpnn import arrays
from xpnn.backends import Backend
from xpnn.errors import BackendError
from xpnn.losses import Loss
from xpnn.network import Sequential
from xpnn.optimizers import LBFGS
from xpnn.penalties import Penalty
from xpnn.training.step import State, gradient_function
from xpnn.typing import Array, Namespace

Evaluation = Callable[[Array], tuple[Array, Array]]


def value_and_grad(
    network: Sequential,
    loss: Loss,
    *,
    penalty: tuple[Penalty, ...],
    backend: Backend,
    xp: Namespace,
    compile: bool | None = None,
) -> Callable[..., tuple[Array, Array]]:
    """The function ``f(X, y, w, params) → (J, gradient)``, as the library runs it best."""
    gradient = gradient_function(network, loss, penalty=penalty)

    def evaluate(xp: Namespace, vectors: tuple[Array], X: Array, y: Array, w: Array | None) -> tuple[Array, Array]:
        value, slope, _ = gradient(xp, *vectors, None, X, y, w, 0)
        return value, slope

    function: Callable[..., Any] = partial(evaluate, xp)
    if compile is not False:
        function = backend.compile(evaluate, xp, asked=compile is True, work=6 * network.n_parameters)
    return lambda X, y, w, params: function((params,), X, y, w)


def minimise(
    evaluate: Evaluation,
    state: State,
    optimizer: LBFGS,
    iterations: int,
    after: Callable[[int, float, State], bool],
    backend: Backend,
    xp: Namespace,
) -> str:
    """Go downhill from a state; why it ended: ``"converged"``, ``"epochs"``, ``"evaluations"`` or ``"stalled"``.

    Parameters
    ----------
    evaluate : callable
        ``evaluate(params) → (J, gradient)``; may write over what it is given.
    state : State
        Where to start.
    optimizer : LBFGS
    iterations : int
        How many at most.
    after : callable
        ``after(number, J, state)`` is called after each iteration, counted from 1; a true answer ends it.

    Raises
    ------
    BackendError
        If SciPy is not installed.
    """
    try:
        from scipy.optimize import minimize
    except ImportError as error:
        raise BackendError("L-BFGS needs SciPy: pip install 'xpnn[scipy]'.") from error
    number = 0

    def there(vector: Any) -> Array:
        return arrays.from_host(vector, xp, dtype=state.params.dtype, device=arrays.device(state.params))

    def function(vector: Any) -> tuple[float, Any]:
        value, gradient = evaluate(there(vector))
        return float(value), backend.to_host(gradient).astype(np.float64)

    def callback(intermediate_result: Any) -> None:
        nonlocal number
        number += 1
        reached = State(there(intermediate_result.x), None, (), number)
        try:
            stop = after(number, float(intermediate_result.fun), reached)
        except StopIteration as error:  # which SciPy would take for an answer
            raise RuntimeError("StopIteration was raised after an iteration of L-BFGS") from error
        if stop:
            raise StopIteration

    start = backend.to_host(state.params).astype(np.float64)
    result = minimize(
        function,
        start,
        method="L-BFGS-B",
        jac=True,
        callback=callback,
        options={
            "maxiter": iterations,
            "maxcor": optimizer.memory,
            "gtol": optimizer.gradient_tol,
            "ftol": optimizer.loss_tol,
            "maxfun": optimizer.max_evaluations,
        },
    )
    if not number:  # there was nothing to do
        after(1, float(result.fun), State(state.params, None, (), 1))
    if result.status == 1:
        return "epochs" if number >= iterations else "evaluations"
    return "converged" if result.success else "stalled"
