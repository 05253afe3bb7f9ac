"""What was measured as tables for people and as JSON."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import xpnn
from xpnn import text
from xpnn.bench import machine
from xpnn.bench.rows import Result, Row
from xpnn.bench.sweeps import Curve, Sweep, sentences

_HEADER = ("program", "device", "mode", "ms/step", "10-90 %", "samples/s", "GFLOP/s", "products alone", "× first")


def table(rows: Sequence[Row]) -> str:
    """A line per contender that was timed.

    Times are medians, with the 10th and the 90th percentile beside them. ``products alone`` is the share of the
    step's time that its matrix products take alone; ``× first`` the time as a multiple of the first row's.
    """
    timed = [row for row in rows if row.timing]
    lines = [_HEADER]
    for row in timed:
        assert row.timing
        c, t = row.contender, row.timing
        lines.append(
            (
                c.name,
                c.device,
                c.mode,
                _ms(t.median),
                f"{_ms(t.low)}-{_ms(t.high)}",
                f"{row.samples_per_second:,.0f}",
                f"{row.gflops:,.3g}" if row.gflops < 1000 else f"{row.gflops:,.0f}",
                "-" if math.isnan(row.share) else f"{row.share:.0%}",
                f"{row.seconds / timed[0].seconds:.2f}",
            )
        )
    return text.columns(lines, right=range(3, len(_HEADER)))


def problems(rows: Sequence[Row]) -> list[str]:
    """A line for each contender that has no timing."""
    return [f"{row.contender.label}: {row.problem}" for row in rows if row.problem]


def sweep_table(over: str, curves: Mapping[str, Curve]) -> str:
    """Milliseconds per step: a line per batch or width, a column per contender; a dash where it did not run."""
    values = sorted({value for curve in curves.values() for value in curve})
    lines = [(over, *curves)]
    lines += [(str(v), *(_ms(c[v]) if v in c else "-" for c in curves.values())) for v in values]
    return text.columns(lines, right=range(len(curves) + 1))


def of_result(result: Result) -> str:
    """The title and the table of one workload."""
    return f"{result.workload}\n\n{table(result.rows)}"


def of_sweep(sweep: Sweep) -> str:
    """The table of a sweep in milliseconds, and who is fastest from where on."""
    curves = sweep.curves
    return "\n".join(
        ["ms per step", "", sweep_table(sweep.over, curves), "", *sentences(sweep.over, curves)],
    )


def document(results: Sequence[Result], *, seconds: float, sweep: Sweep | None = None) -> dict[str, Any]:
    """All that was measured, and on what, as a JSON object."""
    return {
        "xpnn": xpnn.__version__,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine.describe(),
        "seconds_per_contender": seconds,
        "sweep": sweep.to_json() if sweep else None,
        "results": [result.to_json() for result in results],
    }


def to_bytes(document: Any) -> bytes:
    """JSON for people to read too."""
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.3g}" if seconds < 1 else f"{1e3 * seconds:.0f}"
