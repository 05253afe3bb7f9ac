"""The same contenders over growing batches or widths: who is fastest from where on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from xpnn.bench.contenders import Contender
from xpnn.bench.rows import Result, run
from xpnn.bench.workload import Workload
from xpnn.errors import InputError
from xpnn.registry import unknown

VALUES = {
    "batch": (1, 4, 16, 64, 256, 1024, 4096, 16384),
    "width": (16, 32, 64, 128, 256, 512, 1024, 2048, 4096),
}
"""What is swept over, and where it stops."""

Curve = Mapping[int, float]
"""Seconds per step by batch or width."""


@dataclass(frozen=True)
class Sweep:
    """One result per batch or width.

    Attributes
    ----------
    over : {"batch", "width"}
    results : dict of int to Result
        By batch or width, ascending; fewer than asked for after Ctrl-C.
    """

    over: str
    results: dict[int, Result]

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C cut it short."""
        return any(result.interrupted for result in self.results.values())

    @property
    def curves(self) -> dict[str, dict[int, float]]:
        """Median seconds per step by contender, then by batch or width; what failed is missing."""
        found: dict[str, dict[int, float]] = {}
        for value, result in self.results.items():
            for row in result.rows:
                curve = found.setdefault(row.contender.label, {})
                if row.timing:
                    curve[value] = row.seconds
        return found

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "over": self.over,
            "values": list(self.results),
            "leads": [{"fastest": name, "from": first, "to": last} for name, first, last in leads(self.curves)],
        }


def workloads(over: str, base: Workload, values: Sequence[int] | None = None) -> dict[int, Workload]:
    """The workloads of a sweep by batch or width.

    Raises
    ------
    InputError
        If `over` is neither, or the network has no hidden layer whose width could grow.
    """
    if over not in VALUES:
        raise InputError(unknown("sweep", over, VALUES))
    with_value = base.with_batch if over == "batch" else base.with_width
    return {value: with_value(value) for value in values or VALUES[over]}


def sweep(
    over: str,
    base: Workload,
    contenders: Sequence[Contender],
    *,
    seconds: float = 2.0,
    values: Sequence[int] | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Sweep:
    """Time contenders over growing batches or widths.

    Parameters
    ----------
    over : {"batch", "width"}
    base : Workload
        The rest of it stays as it is.
    contenders : sequence of Contender
    seconds : float
        For each contender at each value.
    values : sequence of int, optional
        Ascending; those of `VALUES` by default.
    tell : callable
        As for `run`.

    Returns
    -------
    Sweep

    Raises
    ------
    InputError
        As `workloads`.
    """
    results: dict[int, Result] = {}
    for value, workload in workloads(over, base, values).items():
        tell(f"{over} {value}")
        results[value] = result = run(workload, contenders, seconds=seconds, tell=tell)
        if result.interrupted:
            break
    return Sweep(over, results)


def leads(curves: Mapping[str, Curve]) -> list[tuple[str, int, int]]:
    """Who is fastest, from where to where: ``(name, first, last)`` in ascending order."""
    found: list[tuple[str, int, int]] = []
    for value in sorted({value for curve in curves.values() for value in curve}):
        fastest = min((name for name, curve in curves.items() if value in curve), key=lambda n: curves[n][value])
        if found and found[-1][0] == fastest:
            found[-1] = (fastest, found[-1][1], value)
        else:
            found.append((fastest, value, value))
    return found


def sentences(over: str, curves: Mapping[str, Curve]) -> list[str]:
    """The leads in words: ``torch on cuda:0 overtakes numpy on cpu from batch 512 on.``"""
    found = leads(curves)
    if not found:
        return []
    name, first, last = found[0]
    said = [f"{name} is fastest {_range(over, first, last)}."]
    for (before, *_), (name, first, last) in pairwise(found):
        until = f"from {over} {first} on" if last == found[-1][2] else _range(over, first, last)
        said.append(f"{name} overtakes {before} {until}.")
    return said


def crossings(curves: Mapping[str, Curve]) -> list[tuple[float, float]]:
    """Where the lead changes: ``(value, seconds)`` of the crossing, along straight lines between logarithms."""
    found = []
    for (before, _, last), (after, first, _) in pairwise(leads(curves)):
        a, b = curves[before], curves[after]
        if not all(value in curve for curve in (a, b) for value in (last, first)):
            continue  # one of them did not run there: there is no crossing to show
        ahead, behind = math.log(b[last] / a[last]), math.log(a[first] / b[first])
        part = ahead / (ahead + behind) if ahead + behind else 0.0
        found.append((last * (first / last) ** part, a[last] * (a[first] / a[last]) ** part))
    return found


def _range(over: str, first: int, last: int) -> str:
    return f"at {over} {first}" if first == last else f"from {over} {first} to {last}"
