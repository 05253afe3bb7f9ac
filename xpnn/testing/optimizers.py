"""`check_optimizer`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from xpnn import parts
from xpnn.network import mlp
from xpnn.optimizers import Optimizer
from xpnn.testing import compiled, description
from xpnn.testing.findings import Findings, Numbers, Problem, compare
from xpnn.testing.libraries import NUMPY, TOLERANCE, Library, places


def check_optimizer(optimizer: Optimizer, *, libraries: Sequence[str] | None = None) -> None:
    """Find out whether an optimizer does what one of xpnn's own does.

    It must be a frozen dataclass derived from `xpnn.Optimizer`; ``init`` and the rule must keep the library,
    device, dtype and shape of the parameters; the rule must be the same function at every call, treat each element
    by itself, and change arrays by operators alone (``m *= 0.9``), which works where arrays cannot be written to;
    the constants must be Python floats; 200 steps must lead down a parabola; every library must give the same, and
    so must steps that are compiled.

    Parameters
    ----------
    optimizer : Optimizer
    libraries : sequence of str, optional
        As `check_activation` takes them.

    Raises
    ------
    CheckFailed
        Saying everything that is wrong, and where.

    Examples
    --------
    >>> import xpnn.testing
    >>> xpnn.testing.check_optimizer(xpnn.SGD(0.1, momentum=0.9))
    """
    with Findings(optimizer) as found:
        if found.run("", description.is_part_of, Optimizer, optimizer):
            found.run("", description.check, optimizer)
            if found.run("", _one_rule, optimizer) and found.run(
                "numpy float64", _contract, optimizer, NUMPY, "float64"
            ):
                for rule in (_each_by_itself, _by_operators, _own_memory, _downhill):
                    found.run("", rule, optimizer)
            for library, dtype in places(libraries):
                # a rule may write into what it is given: the state is training's own
                if not library.read_only and found.run(
                    f"{library.name} {dtype}", _contract, optimizer, library, dtype
                ):
                    for check in (_as_on_numpy, _compiled):
                        found.run(f"{library.name} {dtype}", check, optimizer, library, dtype)


def _data(n: int = 7) -> tuple[Numbers, Numbers]:
    """Parameters, and their gradients at 10 steps."""
    rng = np.random.default_rng(0)
    return rng.normal(size=n), rng.normal(size=(10, n))


def _one_rule(optimizer: Optimizer) -> None:
    if optimizer.rule is not optimizer.rule or optimizer.rule is not dataclasses.replace(optimizer).rule:
        raise Problem(
            f"{type(optimizer).__name__}.rule is another function each time: a step would be compiled anew. Return a "
            "function of the module, and pass hyperparameters by constants()"
        )


def _contract(optimizer: Optimizer, library: Library, dtype: str) -> None:
    theta, gradients = (library(each, dtype) for each in _data())
    moments = parts.first_moments(optimizer, theta, xp=library.xp)
    for step in range(3):
        g = library.xp.asarray(gradients[step, ...], copy=True)
        theta, *rest = parts.update(optimizer, theta, g, moments, step, xp=library.xp)
        moments = tuple(rest)


def _run(optimizer: Optimizer, library: Library, dtype: str, theta: Numbers, gradients: Numbers) -> Numbers:
    """θ after steps with these gradients, on the host."""
    now = library(theta, dtype)
    moments = optimizer.init(now, xp=library.xp)
    for step, g in enumerate(gradients):
        constants = optimizer.constants(step, optimizer.rate(step))
        now, *rest = optimizer.rule(now, library(g, dtype), *moments, *constants)
        moments = tuple(rest)
    return library.host(now)


def _each_by_itself(optimizer: Optimizer) -> None:
    theta, gradients = _data()
    whole = _run(optimizer, NUMPY, "float64", theta, gradients)
    order = np.random.default_rng(1).permutation(len(theta))
    why = (
        "each element must follow from itself alone, without sums, norms or positions: steps run in blocks and parts"
    )
    name = type(optimizer).__name__
    permuted = _run(optimizer, NUMPY, "float64", theta[order], gradients[:, order])
    compare(f"{name}.rule gives a permuted vector another result", permuted, whole[order], 1e-12, why)
    part = _run(optimizer, NUMPY, "float64", theta[:3], gradients[:, :3])
    compare(f"{name}.rule gives a part of the vector another result", part, whole[:3], 1e-12, why)


class _Unwritable(np.ndarray[Any, Any]):
    """An array as JAX's are: ``a += b`` makes a new one."""

    def __iadd__(self, other: Any) -> Any:  # type: ignore[misc]
        return self + other

    def __isub__(self, other: Any) -> Any:  # type: ignore[misc]
        return self - other

    def __imul__(self, other: Any) -> Any:  # type: ignore[misc]
        return self * other

    def __itruediv__(self, other: Any) -> Any:  # type: ignore[misc]
        return self / other


def _unwritable(host: Numbers) -> Any:
    array = np.array(host).view(_Unwritable)
    array.flags.writeable = False
    return array


def _by_operators(optimizer: Optimizer) -> None:
    theta, gradients = _data()
    moments = [_unwritable(np.asarray(m)) for m in optimizer.init(NUMPY(theta), xp=NUMPY.xp)]
    constants = optimizer.constants(0, optimizer.rate(0))
    name = type(optimizer).__name__
    try:
        ours = optimizer.rule(_unwritable(theta), _unwritable(gradients[0]), *moments, *constants)
    except ValueError as error:
        raise Problem(
            f"{name}.rule writes into arrays in a way that JAX does not allow ({error}): use operators alone "
            "(m *= 0.9; theta -= rate * m), and return what they give"
        ) from error
    expected = _run(optimizer, NUMPY, "float64", theta, gradients[:1])
    why = "return the arrays that the operators give: where they cannot be written to, they are new ones"
    what = f"{name}.rule gives another result for arrays that cannot be written to"
    compare(what, np.asarray(ours[0]), expected, 1e-12, why)


def _own_memory(optimizer: Optimizer) -> None:
    theta: Any = NUMPY(_data()[0])
    for i, m in enumerate(optimizer.init(theta, xp=NUMPY.xp)):
        if np.shares_memory(theta, np.asarray(m)):
            raise Problem(f"{type(optimizer).__name__}.init: moment {i} is the parameters' own memory: copy it")


def _downhill(optimizer: Optimizer) -> None:
    theta: Any = np.asarray([4.0, -7.0, 3.5])
    moments = optimizer.init(theta, xp=NUMPY.xp)
    for step in range(200):
        constants = optimizer.constants(step, optimizer.rate(step))
        theta, *rest = optimizer.rule(theta, 2 * (theta - 3.0), *moments, *constants)
        moments = tuple(rest)
    start, end = 101.25, float(((theta - 3.0) ** 2).sum())
    if not end < start:
        raise Problem(
            f"{type(optimizer).__name__}: 200 steps on the parabola Σ (θ - 3)² lead from {start:g} to {end:.4g}, "
            "not down: is the step's sign right, and the learning rate small enough?"
        )


def _as_on_numpy(optimizer: Optimizer, library: Library, dtype: str) -> None:
    ours, theirs = _run(optimizer, library, dtype, *_data()), _run(optimizer, NUMPY, "float64", *_data())
    what = f"{type(optimizer).__name__}: 10 steps give another θ than in float64 on NumPy"
    compare(what, ours, theirs, TOLERANCE[dtype], "use operators alone, which mean the same everywhere")


def _compiled(optimizer: Optimizer, library: Library, dtype: str) -> None:
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    compiled.as_written(library, dtype, mlp([3, 5, 2], hidden="tanh"), X, y, optimizer=optimizer)
