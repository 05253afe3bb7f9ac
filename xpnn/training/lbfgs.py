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
from xpnn.training import resting
from xpnn.training.step import State, gradient_function
from xpnn.typing import Array, Namespace

Evaluation = Callable[[Array], tuple[Array, Array]]


class Objective:
    """The function ``f(X, y, w, params) → (J, gradient)``, as the library runs it best."""

    def __init__(
        self,
        network: Sequential,
        loss: Loss,
        *,
        penalty: tuple[Penalty, ...],
        backend: Backend,
        xp: Namespace,
        compile: bool | None = None,
    ) -> None:
        gradient = gradient_function(network, loss, penalty=penalty)

        def evaluate(
            xp: Namespace, vectors: tuple[Array], X: Array, y: Array, w: Array | None
        ) -> tuple[Array, Array]:
            value, slope, _ = gradient(xp, *vectors, None, X, y, w, 0)
            return value, slope

        def make() -> Callable[..., Any]:
            if compile is False:
                return partial(evaluate, xp)
            return backend.compile(evaluate, xp, asked=compile is True, work=6 * network.n_parameters)

        self._key, self._backend = (Objective, gradient, backend, compile), backend
        self._function = resting.take(self._key, make)

    def __call__(self, X: Array, y: Array, w: Array | None, params: Array) -> tuple[Array, Array]:
        """J and its gradient."""
        value, gradient = self._function((params,), X, y, w)
        return value, gradient

    def rest(self) -> None:
        """After the last call: let go of the arrays."""
        resting.give(self._key, self._function, self._backend)


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
    number, device = 0, arrays.device(state.params)
    own = arrays.copy(state.params, xp)

    def function(vector: Any) -> tuple[float, Any]:
        value, gradient = evaluate(backend.refilled(own, vector, xp))
        return float(value), backend.to_host(gradient).astype(np.float64)

    def callback(intermediate_result: Any) -> None:
        nonlocal number
        number += 1
        params = arrays.from_host(intermediate_result.x, xp, dtype=state.params.dtype, device=device)
        reached = State(params, None, (), number)
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
