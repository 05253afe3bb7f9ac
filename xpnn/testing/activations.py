"""`check_activation`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xpnn import parts
from xpnn.activations import Activation
from xpnn.layers import Dense
from xpnn.network import Sequential
from xpnn.testing import compiled, description
from xpnn.testing.differences import away_from_kinks, disagreement, far_points
from xpnn.testing.findings import Findings, Numbers, Problem, by_themselves, compare
from xpnn.testing.libraries import NUMPY, TOLERANCE, Library, places

EXTREMES = (1e4, -1e4, 88.8, -88.8, 0.0, -0.0, 710.0, -750.0)
"""Where e^z or its like overflows in float32 or float64, and 0, which divides nothing."""
SLOPE = 1.0
"""What a derivative is of the size of: where f is flat, only the rounding of such numbers is left."""


def check_activation(activation: Activation, *, libraries: Sequence[str] | None = None) -> None:
    """Find out whether an activation does what one of xpnn's own does.

    It must be a frozen dataclass derived from `xpnn.Activation`; ``forward`` and ``backward`` must keep the
    library, device, dtype and shape of what they are given and leave it as it is; ``backward`` must be the
    derivative, by central differences for z up to ±30; each row of z must be treated by itself; nothing may be
    infinite or NaN, or outside `bounds`, for z up to ±10⁴; a second call must give the same, and so must every
    library, and steps that are compiled.

    Parameters
    ----------
    activation : Activation
    libraries : sequence of str, optional
        The libraries to run it on, out of ``"numpy"``, ``"cupy"``, ``"torch"``, ``"jax"`` and ``"array_api_strict"``;
        by default all that can be used here.

    Raises
    ------
    CheckFailed
        Saying everything that is wrong, and where.

    Examples
    --------
    >>> import xpnn.testing
    >>> xpnn.testing.check_activation(xpnn.ELU(0.5))
    """
    with Findings(activation) as found:
        if found.run("", description.is_part_of, Activation, activation):
            found.run("", description.check, activation)
            for library, dtype in places(libraries):
                place = f"{library.name} {dtype}"
                if found.run_all(place, (_contract, _leaves_alone, _again), activation, library, dtype):
                    for check in (_rows, _extremes, _derivative, _as_on_numpy, _compiled):
                        found.run(place, check, activation, library, dtype)


def _points() -> tuple[Numbers, Numbers]:
    rng = np.random.default_rng(0)
    return away_from_kinks(rng, (4, 3)) * np.asarray([[0.3], [1.0], [1.0], [3.0]]), rng.normal(size=(4, 3))


def _far() -> list[tuple[Numbers, Numbers]]:
    rng = np.random.default_rng(3)
    return [(z, rng.normal(size=z.shape)) for z in far_points(rng)]


def _contract(f: Activation, library: Library, dtype: str) -> None:
    z, da = _points()
    for rows, columns in ((4, 3), (1, 3), (4, 1)):
        x = library(z[:rows, :columns], dtype)
        a, cache = parts.activation_forward(f, x, xp=library.xp)
        parts.activation_backward(f, cache, library(da[:rows, :columns], dtype), xp=library.xp)
        _within(f, library.host(a), z[:rows, :columns])


def _within(f: Activation, a: Numbers, z: Numbers) -> None:
    (low, high), name = f.bounds, type(f).__name__
    wrong = (a < low) | (a > high)
    if wrong.any():
        i = np.unravel_index(np.argmax(wrong), wrong.shape)
        example = f"{float(a[i]):.6g} at z = {float(z[i]):.4g}"
        raise Problem(f"{name}.forward leaves its bounds {f.bounds}", example, "widen them, for losses rely on them")


def _leaves_alone(f: Activation, library: Library, dtype: str) -> None:
    z, da = (library(each, dtype) for each in _points())
    name, host = type(f).__name__, library.host
    before = host(z)
    a, cache = f.forward(z, xp=library.xp)
    if (host(z) != before).any():
        raise Problem(f"{name}.forward writes into its argument z", fix="make a new array: a = z * 2, not z *= 2")
    given, copies = (a, da), (host(a), host(da))
    f.backward(cache, da, xp=library.xp)
    for what, now, then in zip(("into a, which the next layer has as well", "into da"), given, copies, strict=True):
        if (host(now) != then).any():
            raise Problem(f"{name}.backward writes {what}", fix="make a new array")


def _again(f: Activation, library: Library, dtype: str) -> None:
    z, da = (library(each, dtype) for each in _points())
    first, second = (_both(f, library, z, da) for _ in range(2))
    for method, one, other in zip(("forward", "backward"), first, second, strict=True):
        why = (
            "it may remember nothing, and draw nothing at random (a layer can, from ctx.seed, ctx.step and ctx.layer)"
        )
        compare(f"{type(f).__name__}.{method} gives another result when it is called again", other, one, 0.0, why)


def _rows(f: Activation, library: Library, dtype: str) -> None:
    z, _ = _points()

    def forward(z: Numbers) -> Numbers:
        return library.host(f.forward(library(z, dtype), xp=library.xp)[0])

    by_themselves(f"{type(f).__name__}.forward", forward, z, dtype)


def _extremes(f: Activation, library: Library, dtype: str) -> None:
    z = np.asarray([EXTREMES])
    a, dz = _both(f, library, library(z, dtype), library(np.ones_like(z), dtype))
    for what, host in (("forward gives an a", a), ("backward gives a dz", dz)):
        if not np.isfinite(host).all():
            i = int(np.argmin(np.isfinite(host[0])))
            raise Problem(
                f"{type(f).__name__}.{what} that is infinite or NaN",
                f"{host[0, i]} at z = {EXTREMES[i]:g} in {dtype}",
                "keep what overflows away from there: xp.exp(-xp.abs(z)), xp.minimum(z, 0.0)",
            )
    _within(f, a, z)


def _derivative(f: Activation, library: Library, dtype: str) -> None:
    if dtype != "float64":
        return
    for z, da in (_points(), *_far()):

        def total(z: Numbers, da: Numbers = da) -> float:
            return float((library.host(f.forward(library(z), xp=library.xp)[0]) * da).sum())

        _, dz = _both(f, library, library(z), library(da))
        if found := disagreement(total, dz, z, np.random.default_rng(1), directions=2, least=SLOPE):
            i = found.place
            where = f"at z = {z[i]:.4g} for da = {da[i]:.4g}" if i else "along a direction through all z"
            what = f"{type(f).__name__}.backward disagrees with central differences of forward"
            raise Problem(what, f"{found.got:.6g} against {found.expected:.6g} {where}")


def _as_on_numpy(f: Activation, library: Library, dtype: str) -> None:
    for z, da in (_points(), *_far()):
        ours = _both(f, library, library(z, dtype), library(da, dtype))
        theirs = _both(f, NUMPY, z, da)
        for method, got, expected in zip(("forward", "backward"), ours, theirs, strict=True):
            what = f"{type(f).__name__}.{method} gives other numbers than in float64 on NumPy"
            why = "use functions of xp alone, which mean the same everywhere"
            least = SLOPE * max(1.0, abs(z).max())  # z itself is rounded, and the more the larger it is
            compare(what, got, expected, TOLERANCE[dtype], why, least=least)


def _compiled(f: Activation, library: Library, dtype: str) -> None:
    rng = np.random.default_rng(2)
    network = Sequential(Dense(5, f), Dense(2, f), input_shape=(3,))
    compiled.as_written(library, dtype, network, rng.normal(size=(8, 3)), rng.normal(size=(8, 2)))


def _both(f: Activation, library: Library, z: object, da: object) -> tuple[Numbers, Numbers]:
    """A and dZ, on the host."""
    a, cache = f.forward(z, xp=library.xp)  # type: ignore[arg-type]
    result = library.host(a)
    return result, library.host(f.backward(cache, da, xp=library.xp))  # type: ignore[arg-type]
