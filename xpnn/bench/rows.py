"""Contenders timed on a workload: a row each."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any

from xpnn.bench import memory
from xpnn.bench.contenders import Contender, Run, products_alone
from xpnn.bench.measure import Timing, in_turns, problem
from xpnn.bench.workload import Workload


@dataclass(frozen=True)
class Row:
    """What one contender did on one workload.

    Attributes
    ----------
    workload : Workload
    contender : Contender
    timing : Timing or None
        None if it failed.
    products : Timing or None
        The same for the matrix products alone, in its library on its device, in the way that takes the least time.
    problem : str
        Why there is no timing, in a line; empty if there is one.
    """

    workload: Workload
    contender: Contender
    timing: Timing | None
    products: Timing | None = None
    problem: str = ""

    @property
    def seconds(self) -> float:
        """Median seconds per step; NaN if it failed."""
        return self.timing.median if self.timing else float("nan")

    @property
    def samples_per_second(self) -> float:
        """Rows of X per second."""
        return self.workload.batch / self.seconds

    @property
    def gflops(self) -> float:
        """10⁹ floating-point operations per second, those of the matrix products alone counted."""
        return self.workload.flops / self.seconds / 1e9

    @property
    def share(self) -> float:
        """The share of a step's time that its matrix products alone take there."""
        return self.products.median / self.seconds if self.products else float("nan")

    def to_json(self) -> dict[str, Any]:
        """The row as a JSON object; times in milliseconds."""
        c = self.contender
        named = {"program": c.program, "variant": c.variant, "library": c.library, "device": c.device, "mode": c.mode}
        if self.timing is None:
            return named | {"problem": self.problem}
        return named | {
            "ms_per_step": 1e3 * self.timing.median,
            "ms_10th_percentile": 1e3 * self.timing.low,
            "ms_90th_percentile": 1e3 * self.timing.high,
            "turns": self.timing.turns,
            "steps": self.timing.steps,
            "samples_per_second": self.samples_per_second,
            "gflops": self.gflops,
            "ms_products_alone": 1e3 * self.products.median if self.products else None,
            "products_share": self.share if self.products else None,
        }


@dataclass(frozen=True)
class Result:
    """The rows of one workload, in the order of the contenders; those cut off by Ctrl-C are missing."""

    workload: Workload
    rows: list[Row]
    interrupted: bool = False

    @property
    def timed(self) -> list[Row]:
        """The rows that have a timing."""
        return [row for row in self.rows if row.timing]

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        w = self.workload
        return {
            "network": list(w.sizes),
            "batch": w.batch,
            "dtype": w.dtype,
            "optimizer": None if w.predict else w.optimizer,
            "predict": w.predict,
            "flops_per_step": w.flops,
            "interrupted": self.interrupted,
            "rows": [row.to_json() for row in self.rows],
        }


def run(
    workload: Workload,
    contenders: Sequence[Contender],
    *,
    seconds: float = 2.0,
    tell: Callable[[str], None] = lambda line: None,
) -> Result:
    """Time contenders on a workload, in turns, with the matrix products alone beside them.

    Parameters
    ----------
    workload : Workload
    contenders : sequence of Contender
    seconds : float
        For each contender.
    tell : callable
        Is given a line before each contender is prepared: compiling may take a while.

    Returns
    -------
    Result
        A contender that cannot run has its reason in its row; the others go on. After Ctrl-C: what there is so far.
    """
    products = {
        (c.library, c.device): products_alone(c.library, c.device, predict=workload.predict) for c in contenders
    }
    runs: dict[Contender, Run] = {}
    problems: dict[Contender, str] = {}
    try:
        with _quiet():
            for contender in (*contenders, *chain.from_iterable(products.values())):
                tell(f"preparing {contender.label}")
                try:
                    runs[contender] = _ready(contender, workload)
                except Exception as error:  # whatever a library raises is that row's result
                    problems[contender] = problem(error)
            tell(f"timing {len(runs)} of them, about {len(runs) * seconds:.0f} s")
            measured = in_turns(runs, seconds)
    except KeyboardInterrupt:
        return Result(workload, [], interrupted=True)
    finally:
        runs.clear()
        memory.release()
    problems |= measured.problems

    def row(c: Contender) -> Row:
        timings = (measured.timings.get(each) for each in products[c.library, c.device])
        alone = min(filter(None, timings), key=attrgetter("median"), default=None)
        return Row(workload, c, measured.timings.get(c), alone, problems.get(c, ""))

    rows = [row(c) for c in contenders if c in problems or c in measured.timings]
    return Result(workload, rows, measured.interrupted)


def _ready(contender: Contender, workload: Workload) -> Run:
    """The contender, prepared and warm."""
    free = memory.free(contender.library, contender.device)
    if free is not None and workload.memory > free:
        raise MemoryError(f"it needs about {_gigabytes(workload.memory)}, and {_gigabytes(free)} are free")
    run = contender.prepare(workload)
    run(2)  # compiles, allocates
    return run


@contextmanager
def _quiet() -> Iterator[None]:
    """The libraries' advice withheld: it belongs in no row."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _gigabytes(n: int) -> str:
    return f"{n / 1e9:,.1f} GB"
