"""What was measured as a picture."""

from __future__ import annotations

import importlib.util
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xpnn.bench.rows import Result
from xpnn.bench.sweeps import Curve, Sweep, crossings
from xpnn.bench.workload import Workload
from xpnn.errors import BackendError, InputError

_FORMATS = (".png", ".svg", ".pdf")
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#999999")  # Okabe and Ito's
_MARKERS = "osD^vPX*"


def check(path: str | os.PathLike[str]) -> None:
    """Raise if a picture could not be drawn there: another format, or no matplotlib.

    Raises
    ------
    InputError, BackendError
    """
    if Path(path).suffix.lower() not in _FORMATS:
        raise InputError(f"{path}: a plot is written as {', '.join(_FORMATS)}.")
    if not importlib.util.find_spec("matplotlib"):
        raise BackendError("a plot needs matplotlib: pip install 'xpnn[plot]'.")


def of_sweep(sweep: Sweep, suffix: str) -> bytes:
    """Time per step against batch or width, both logarithmic, with the crossings of the lead."""
    figure, axes = _figure(height=5.0)
    curves = sweep.curves
    base = next(iter(sweep.results.values())).workload
    for i, (name, curve) in enumerate(curves.items()):
        values = sorted(curve)
        spread = [_spread(sweep.results[value], name) for value in values]
        colour = _COLOURS[i % len(_COLOURS)]
        style = "-" if i < len(_COLOURS) else "--"
        axes.plot(
            values,
            [1e3 * curve[value] for value in values],
            style,
            color=colour,
            marker=_MARKERS[i % len(_MARKERS)],
            markersize=5,
            linewidth=1.6,
            label=name,
        )
        axes.fill_between(values, [low for low, _ in spread], [high for _, high in spread], color=colour, alpha=0.15)
    _mark_crossings(axes, curves, sweep.over)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    ticks = sorted(sweep.results)
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda number, _: f"{number:g}")
    axes.set_xlabel("rows per batch" if sweep.over == "batch" else "nodes per hidden layer")
    axes.set_ylabel("ms per prediction" if base.predict else "ms per training step")
    axes.set_title(_title(base, sweep.over), fontsize=10, loc="left")
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.legend(fontsize=8, frameon=False)
    return _written(figure, suffix)


def of_result(result: Result, suffix: str) -> bytes:
    """A bar per contender: its time per step, the part that the matrix products alone take in a darker tone."""
    rows = result.timed
    figure, axes = _figure(height=1.6 + 0.42 * len(rows))
    names = [row.contender.label for row in rows]
    times = [1e3 * row.seconds for row in rows]
    axes.barh(names, times, color="#9ecae1", label="a step, with its 10th and 90th percentile")
    products = [1e3 * min(row.products.median, row.seconds) if row.products else 0.0 for row in rows]
    axes.barh(names, products, color="#0072B2", height=0.4, label="its matrix products alone")
    below, above = [], []
    for row, time in zip(rows, times, strict=True):
        assert row.timing
        below.append(time - 1e3 * row.timing.low)
        above.append(1e3 * row.timing.high - time)
    axes.errorbar(times, names, xerr=[below, above], fmt="none", ecolor="#444444", capsize=3, linewidth=1)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("ms per prediction" if result.workload.predict else "ms per training step")
    axes.set_title(_title(result.workload), fontsize=10, loc="left")
    axes.legend(
        fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.9 / figure.get_figheight()), ncols=2
    )
    axes.spines[["top", "right"]].set_visible(False)
    return _written(figure, suffix)


def _figure(height: float) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, height), layout="constrained")
    FigureCanvasAgg(figure)  # draws without a display
    return figure, figure.add_subplot()


def _written(figure: Any, suffix: str) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=suffix.lower().removeprefix("."), dpi=150)
    return file.getvalue()


def _title(workload: Workload, over: str = "") -> str:
    nodes = list(map(str, workload.sizes))
    if over == "width":
        nodes[1:-1] = ["width"] * (len(nodes) - 2)
    batch = "" if over == "batch" else f", batch {workload.batch:,}"
    what = "prediction" if workload.predict else workload.optimizer
    return f"{'-'.join(nodes)}{batch}, {workload.dtype}, {what}"


def _spread(result: Result, label: str) -> tuple[float, float]:
    """The 10th and 90th percentile in ms of a contender that was timed."""
    timing = next(row.timing for row in result.rows if row.contender.label == label)
    assert timing
    return 1e3 * timing.low, 1e3 * timing.high


def _mark_crossings(axes: Any, curves: Mapping[str, Curve], over: str) -> None:
    for value, seconds in crossings(curves):
        axes.plot([value], [1e3 * seconds], "o", color="none", markeredgecolor="#333333", markersize=13, zorder=5)
        axes.annotate(
            f"{over} ≈ {value:,.0f}",
            (value, 1e3 * seconds),
            xytext=(12, -14),
            textcoords="offset points",
            fontsize=8,
            color="#333333",
        )
