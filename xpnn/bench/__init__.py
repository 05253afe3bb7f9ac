"""Device throughput: xpnn on every library and device, side by side with its peers.

>>> from xpnn import bench
>>> workload = bench.Workload((784, 512, 512, 10), batch=256)
>>> contenders, problems = bench.find(["all"], peers=["torch"])  # doctest: +SKIP
>>> print(bench.table(bench.run(workload, contenders).rows))  # doctest: +SKIP
"""

from collections.abc import Iterable

from xpnn.bench import contenders
from xpnn.bench import peers as _peers
from xpnn.bench.contenders import Contender
from xpnn.bench.report import document, table
from xpnn.bench.rows import Result, Row, run
from xpnn.bench.sweeps import Sweep, sweep
from xpnn.bench.workload import Workload

__all__ = ["Contender", "Result", "Row", "Sweep", "Workload", "document", "find", "run", "sweep", "table"]


def find(
    backends: Iterable[str] = ("all",), peers: Iterable[str] = (), *, predict: bool = False
) -> tuple[list[Contender], list[str]]:
    """Contenders by the names of libraries: xpnn on each and its devices, then the peers.

    Parameters
    ----------
    backends : iterable of str
        Array libraries for xpnn; ``"all"`` for every one that is installed.
    peers : iterable of str
        ``"torch"``, ``"jax"``, ``"sklearn"``; ``"all"`` for those that are installed.
    predict : bool
        Whether they are to predict instead of train.

    Returns
    -------
    (list of Contender, list of str)
        What can be timed here, and a line for each name that cannot.
    """
    own, problems = contenders.find(backends, predict=predict)
    others, more = _peers.find(peers, predict=predict)
    return own + others, problems + more
