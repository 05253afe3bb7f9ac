"""`check_penalty`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from xpnn import parts
from xpnn.network import mlp
from xpnn.penalties import Penalty
from xpnn.testing import compiled, description
from xpnn.testing.differences import away_from_kinks, disagreement, far_points
from xpnn.testing.findings import ROUNDING, Findings, Numbers, Problem, compare
from xpnn.testing.libraries import NUMPY, TOLERANCE, Library, places

EXTREMES = {"all 0": (0.0, 0.0, 0.0), "in part 0": (0.0, -1.5, 2.0), "far from 0": (1e4, -1e4, 1.0)}


def check_penalty(penalty: Penalty, *, libraries: Sequence[str] | None = None) -> None:
    """Find out whether a penalty does what one of xpnn's own does.

    It must be a frozen dataclass derived from `xpnn.Penalty`; ``value`` must be one number and ``derivative`` one
    for each weight, in the library, on the device and in the dtype of the weights, which stay as they are; the
    derivative must be that of the value, by central differences; neither may have λ in it, for λ multiplies both,
    nor be infinite or NaN where weights are 0 or large; a second call must give the same, and so must every library,
    and steps that are compiled.

    Parameters
    ----------
    penalty : Penalty
    libraries : sequence of str, optional
        As `check_activation` takes them.

    Raises
    ------
    CheckFailed
        Saying everything that is wrong, and where.

    Examples
    --------
    >>> import xpnn.testing
    >>> xpnn.testing.check_penalty(xpnn.L1(0.01))
    """
    with Findings(penalty) as found:
        if found.run("", description.is_part_of, Penalty, penalty):
            found.run("", description.check, penalty)
            for library, dtype in places(libraries):
                place = f"{library.name} {dtype}"
                if found.run_all(place, (_contract, _leaves_alone, _again), penalty, library, dtype):
                    for check in (_strength, _extremes, _derivative, _as_on_numpy, _compiled):
                        found.run(place, check, penalty, library, dtype)


def _weights() -> list[Numbers]:
    """Those of a few matrices, (m,) each."""
    rng = np.random.default_rng(0)
    near = away_from_kinks(rng, (4, 3)) * np.asarray([[0.3], [1.0], [1.0], [3.0]])
    return [each.reshape(-1) for each in (near, near[:1, :1], *far_points(rng))]


def _contract(penalty: Penalty, library: Library, dtype: str) -> None:
    for w in _weights():
        there = library(w, dtype)
        parts.penalty_value(penalty, there, xp=library.xp)
        parts.penalty_derivative(penalty, there, xp=library.xp)


def _leaves_alone(penalty: Penalty, library: Library, dtype: str) -> None:
    w = library(_weights()[0], dtype)
    before = library.host(w)
    for method in ("value", "derivative"):
        getattr(penalty, method)(w, xp=library.xp)
        if (library.host(w) != before).any():
            raise Problem(f"{type(penalty).__name__}.{method} writes into the weights", fix="make a new array")


def _again(penalty: Penalty, library: Library, dtype: str) -> None:
    w = _weights()[0]
    first, second = (_both(penalty, w, library, dtype) for _ in range(2))
    for method, host in first.items():
        what = f"{type(penalty).__name__}.{method} gives another result when it is called again"
        compare(what, second[method], host, 0.0, "it may remember nothing, and draw nothing at random")


def _strength(penalty: Penalty, library: Library, dtype: str) -> None:
    w, stronger = _weights()[0], dataclasses.replace(penalty, strength=2.0 * penalty.strength)
    expected = _both(penalty, w, library, dtype)
    for method, host in _both(stronger, w, library, dtype).items():
        what = f"{type(penalty).__name__}.{method} is another with another strength, which multiplies it later"
        compare(what, host, expected[method], ROUNDING[dtype], "leave the strength out of it")


def _extremes(penalty: Penalty, library: Library, dtype: str) -> None:
    for where, w in EXTREMES.items():
        for method, host in _both(penalty, np.asarray(w), library, dtype).items():
            if not np.isfinite(host).all():
                raise Problem(
                    f"{type(penalty).__name__}.{method} is infinite or NaN for weights that are {where}",
                    f"{host.tolist()} for {list(w)} in {dtype}",
                    "divide by what may be 0 only where it is not: x / xp.maximum(norm, 1e-12)",
                )


def _derivative(penalty: Penalty, library: Library, dtype: str) -> None:
    if dtype != "float64":
        return
    for w in _weights():
        slope = _both(penalty, w, library, dtype)["derivative"]

        def value(w: Numbers) -> float:
            return float(library.host(penalty.value(library(w), xp=library.xp)))

        if found := disagreement(value, slope, w, np.random.default_rng(1), directions=2, least=1.0):
            where = f"at w = {w[found.place]:.4g}" if found.place else "along a direction through all w"
            what = f"{type(penalty).__name__}.derivative disagrees with central differences of value"
            raise Problem(what, f"{found.got:.6g} against {found.expected:.6g} {where}")


def _as_on_numpy(penalty: Penalty, library: Library, dtype: str) -> None:
    for w in _weights():
        expected = _both(penalty, w, NUMPY, "float64")
        for method, host in _both(penalty, w, library, dtype).items():
            what = f"{type(penalty).__name__}.{method} gives other numbers than in float64 on NumPy"
            why = "use functions of xp alone, which mean the same everywhere"
            compare(what, host, expected[method], TOLERANCE[dtype], why, least=1.0)


def _compiled(penalty: Penalty, library: Library, dtype: str) -> None:
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    compiled.as_written(library, dtype, mlp([3, 5, 2], hidden="tanh"), X, y, penalty=penalty)


def _both(penalty: Penalty, w: Numbers, library: Library, dtype: str) -> dict[str, Numbers]:
    """The value and the derivative, on the host."""
    there = library(w, dtype)
    return {
        method: library.host(getattr(penalty, method)(there, xp=library.xp)) for method in ("value", "derivative")
    }
