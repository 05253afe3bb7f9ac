"""PyTorch, JAX and scikit-learn on the same workload, as a good user of each would write it.

All start from xpnn's initial parameters and take xpnn's hyperparameters, on one batch that is already there.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable

from xpnn.bench.contenders import Contender, devices_of
from xpnn.errors import BackendError, InputError, XpnnError
from xpnn.registry import unknown

NAMES = ("torch", "jax", "sklearn")
"""The peers, by the names of their packages."""

_INSTALL = {"torch": "torch", "jax": "jax", "sklearn": "scikit-learn"}


def find(names: Iterable[str], *, predict: bool = False) -> tuple[list[Contender], list[str]]:
    """The peers named, each in its best configurations on its devices, and a line for each that cannot be used.

    Parameters
    ----------
    names : iterable of str
        From `NAMES`; ``"all"`` for those that are installed.
    predict : bool
        Whether they are to predict.
    """
    found, problems = [], []
    for name in dict.fromkeys(each for given in names for each in (_installed() if given == "all" else [given])):
        try:
            found += _contenders(name, predict)
        except XpnnError as error:
            problems.append(str(error))
    return found, problems


def _installed() -> list[str]:
    return [name for name in NAMES if importlib.util.find_spec(name)]


def _contenders(name: str, predict: bool) -> list[Contender]:
    if name not in NAMES:
        raise InputError(unknown("peer", name, NAMES))
    if not importlib.util.find_spec(name):
        raise BackendError(f"peer {name} is not installed: pip install {_INSTALL[name]}.")
    peer = importlib.import_module(f"xpnn.bench.peers.{name}")
    devices = ["cpu"] if name == "sklearn" else devices_of(name)
    return [contender for device in devices for contender in peer.contenders(device, predict)]
