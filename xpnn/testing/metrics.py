"""`check_metric`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xpnn import parts
from xpnn.metrics import Metric
from xpnn.metrics.base import TASKS
from xpnn.testing import description
from xpnn.testing.findings import Findings, Numbers, Problem, compare
from xpnn.testing.libraries import NUMPY, TOLERANCE, Library, places

N, K = 20, {"regression": 2, "binary": 1, "multilabel": 3, "multiclass": 4}


def check_metric(metric: Metric, *, libraries: Sequence[str] | None = None) -> None:
    """Find out whether a metric does what one of xpnn's own does.

    It must be a frozen dataclass derived from `xpnn.Metric`; for each of its `tasks` its value must be one number
    in the library, on the device and in the dtype of the prediction, and what it is given must stay as it is; a
    weight of 2 must equal a repeated sample; perfect predictions must be the best ones, as `larger_is_better` says;
    a second call must give the same, and so must every library.

    Parameters
    ----------
    metric : Metric
    libraries : sequence of str, optional
        As `check_activation` takes them.

    Raises
    ------
    CheckFailed
        Saying everything that is wrong, and where.

    Examples
    --------
    >>> import xpnn.testing
    >>> xpnn.testing.check_metric(xpnn.TopK(2))
    """
    with Findings(metric) as found:
        if found.run("", description.is_part_of, Metric, metric) and found.run("", _tasks, metric):
            found.run("", description.check, metric)
            for task in metric.tasks:
                for library, dtype in places(libraries):
                    place = f"{task} on {library.name} {dtype}"
                    if found.run_all(place, (_contract, _leaves_alone, _again), metric, task, library, dtype):
                        for check in (_weights, _best, _as_on_numpy):
                            found.run(place, check, metric, task, library, dtype)


def _tasks(metric: Metric) -> None:
    if not metric.tasks or not set(metric.tasks) <= set(TASKS):
        raise Problem(f"{type(metric).__name__}.tasks must be some of {', '.join(TASKS)}, got {metric.tasks!r}")


def _data(task: str) -> tuple[Numbers, Numbers, Numbers]:
    """Predictions, targets and weights."""
    rng = np.random.default_rng(0)
    k, w = K[task], rng.uniform(0.1, 3.0, N)
    if task == "multiclass":
        return rng.dirichlet(np.ones(k), N), rng.integers(0, k, N), w
    if task == "regression":
        p = rng.normal(size=(N, k))
        return p, p + rng.normal(size=(N, k)), w
    p = rng.uniform(size=(N, k))
    return p, (p + rng.normal(size=(N, k)) > 0.5).astype(float), w


def _value(metric: Metric, library: Library, dtype: str, *given: Numbers) -> Numbers:
    return library.host(metric(*(library(each, dtype) for each in given), xp=library.xp))


def _contract(metric: Metric, task: str, library: Library, dtype: str) -> None:
    p, y, w = (library(each, dtype) for each in _data(task))
    for weights in (None, w):
        parts.metric_value(metric, p, y, weights, xp=library.xp)


def _leaves_alone(metric: Metric, task: str, library: Library, dtype: str) -> None:
    given = [library(each, dtype) for each in _data(task)]
    before = [library.host(each) for each in given]
    metric(*given, xp=library.xp)
    for what, now, then in zip(("the prediction", "y", "the weights"), given, before, strict=True):
        if (library.host(now) != then).any():
            raise Problem(f"{type(metric).__name__}.value writes into {what}", fix="make a new array")


def _again(metric: Metric, task: str, library: Library, dtype: str) -> None:
    first, second = (_value(metric, library, dtype, *_data(task)) for _ in range(2))
    why = "it may remember nothing, and draw nothing at random"
    compare(f"{type(metric).__name__} gives another value when it is called again", second, first, 0.0, why)


def _weights(metric: Metric, task: str, library: Library, dtype: str) -> None:
    p, y, _ = _data(task)
    times = np.arange(N) % 3
    weighted = _value(metric, library, dtype, p, y, times.astype(float))
    repeated = _value(metric, library, dtype, np.repeat(p, times, axis=0), np.repeat(y, times, axis=0))
    what = f"{type(metric).__name__}: weights of 0, 1 and 2 give another value than repeated rows"
    compare(what, weighted, repeated, TOLERANCE[dtype], "weigh each sample by w, and divide by the sum of w")


def _best(metric: Metric, task: str, library: Library, dtype: str) -> None:
    p, y, _ = _data(task)
    perfect = np.eye(K[task])[y] if task == "multiclass" else y
    poor, best = (float(_value(metric, library, dtype, guess, y)) for guess in (p, perfect))
    if poor != best and (best > poor) is not metric.larger_is_better:
        what = (
            f"{type(metric).__name__}: larger_is_better is {metric.larger_is_better}, but perfect predictions say no"
        )
        raise Problem(what, f"they give {best:.4g}, others {poor:.4g}")


def _as_on_numpy(metric: Metric, task: str, library: Library, dtype: str) -> None:
    ours, theirs = (_value(metric, *there, *_data(task)) for there in ((library, dtype), (NUMPY, "float64")))
    what = f"{type(metric).__name__} gives another value than in float64 on NumPy"
    compare(what, ours, theirs, TOLERANCE[dtype], "use functions of xp alone, which mean the same everywhere")
