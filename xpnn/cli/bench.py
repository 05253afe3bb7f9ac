"""``xpnn bench``: throughput of a network on every library and device, and on its peers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xpnn.cli.output import say
from xpnn.errors import BackendError, InputError
from xpnn.files import atomic

if TYPE_CHECKING:
    from xpnn.bench import Result, Sweep


@dataclass(frozen=True)
class Options:
    """The options of the command, by their names there."""

    network: list[int]
    batch: int
    backends: list[str]
    dtype: str
    optimizer: str
    seconds: float
    predict: bool
    sweep: str | None
    compare: list[str]
    json: Path | None
    plot: Path | None


def bench(options: Options) -> int:
    """Measure and print; the exit code is 0, 2 if nothing could be timed, or 130 after Ctrl-C."""
    _prepare_jax(options.dtype)
    from xpnn import bench
    from xpnn.bench import report
    from xpnn.bench.sweeps import workloads

    workload = bench.Workload(
        tuple(options.network), options.batch, options.dtype, options.optimizer, predict=options.predict
    )
    if options.sweep:
        workloads(options.sweep, workload)  # says now what is wrong with it
    _check_destinations(options)
    contenders, problems = bench.find(options.backends, options.compare, predict=options.predict)
    for line in problems:
        _note(line)
    if not contenders:
        raise BackendError("nothing to time: no library of --backends or --compare can be used here.")
    if options.sweep:
        sweep = bench.sweep(options.sweep, workload, contenders, seconds=options.seconds, tell=_progress())
        results = list(sweep.results.values())
        printed = report.of_sweep(sweep)
    else:
        sweep, results = None, [bench.run(workload, contenders, seconds=options.seconds, tell=_progress())]
        printed = report.of_result(results[0])
    for result in results:
        where = f"{options.sweep} {_value(options, result)}: " if options.sweep else ""
        for line in report.problems(result.rows):
            _note(where + line)
    interrupted = results[-1].interrupted
    timed = any(result.timed for result in results)
    if timed:
        say(printed)
        _write(options, results, sweep)
    elif not interrupted:
        raise BackendError("nothing could be timed.")
    if interrupted:
        _note(f"interrupted; {'what is above is all that' if timed else 'nothing'} was timed")
    return 130 if interrupted else 0


def _value(options: Options, result: Result) -> int:
    return result.workload.batch if options.sweep == "batch" else result.workload.sizes[1]


def _write(options: Options, results: list[Result], sweep: Sweep | None) -> None:
    from xpnn.bench import plot, report

    if options.json:
        document = report.document(results, seconds=options.seconds, sweep=sweep)
        _to_file(options.json, report.to_bytes(document))
    if options.plot:
        suffix = options.plot.suffix
        _to_file(options.plot, plot.of_sweep(sweep, suffix) if sweep else plot.of_result(results[0], suffix))


def _check_destinations(options: Options) -> None:
    from xpnn.bench import plot

    if options.plot:
        plot.check(options.plot)
    for path in filter(None, (options.json, options.plot)):
        try:
            atomic.check_writable(path)
        except OSError as error:
            raise _cannot_write(path, error) from error


def _to_file(path: Path, data: bytes) -> None:
    try:
        atomic.write(path, data)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> InputError:
    return InputError(f"cannot write {path}: {error.strerror or error}.")


def _prepare_jax(dtype: str) -> None:
    """What JAX reads once, when it starts: without it the other libraries find no memory left on the GPU."""
    if "jax" not in sys.modules:
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        if dtype == "float64":
            os.environ.setdefault("JAX_ENABLE_X64", "1")


def _progress() -> Callable[[str], None]:
    """What is going on, on a terminal alone."""
    return (lambda line: say(f"  {line} …", sys.stderr)) if sys.stderr.isatty() else lambda line: None


def _note(line: str) -> None:
    say(f"xpnn: {line}", sys.stderr)
