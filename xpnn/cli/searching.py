"""The options of ``xpnn tune``: what they are called, in which groups, and what their words become."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from xpnn import activations, optimizers
from xpnn.cli import options as training
from xpnn.cli.types import NUMBER, Commas, Whole
from xpnn.errors import InputError
from xpnn.tuning.result import Trial
from xpnn.tuning.space import SearchSpace

FILES = ("data", "out", "storage", "table")


@dataclass(frozen=True)
class Options:
    """The options of the command, by their names there; those of the space are fields of `xpnn.SearchSpace`."""

    data: Path
    targets: tuple[str, ...]
    task: str
    positive: str | None
    ignore: tuple[str, ...]
    missing: str
    depth: Any
    width: Any
    activation: Any
    optimizer: Any
    learning_rate: Any
    dropout: Any
    weight_decay: Any
    l2: Any
    batch_size: Any
    trials: int
    loss: str | None
    epochs: int
    patience: int
    validation: float
    monitor: str
    out: Path
    table: Path | None
    storage: Path | None
    quiet: bool
    seed: int
    backend: str
    device: str | None

    @property
    def space(self) -> SearchSpace:
        """What to search."""
        return SearchSpace(**{f.name: getattr(self, f.name) for f in dataclasses.fields(SearchSpace)})

    @property
    def metrics(self) -> list[str]:
        """What has to be scored besides the loss."""
        return [] if self.monitor == "validation_loss" else [self.monitor.removeprefix("validation_")]

    def training(self, trial: Trial, backend: str, device: str) -> training.Options:
        """The options with which ``xpnn train`` trains the model of a trial."""
        chosen = trial.parameters
        used = {
            "hidden": list(chosen["width"]),
            "activation": [chosen["activation"]],
            "dropout": [chosen["dropout"]] if chosen["dropout"] and chosen["width"] else [],
            "optimizer": chosen["optimizer"],
            "learning_rate": chosen["learning_rate"],
            "weight_decay": chosen["weight_decay"],
            "l2": chosen["l2"] or None,
            "batch_size": chosen["batch_size"] or 0,
            "metrics": self.metrics,
            "early_stopping": True,
            "backend": backend,
            "device": device,
        }
        as_here = {name: getattr(self, name) for name in _AS_HERE}
        return training.Options.of({**training.defaults(), **as_here, **used})


_AS_HERE = (
    "data",
    "targets",
    "task",
    "positive",
    "ignore",
    "missing",
    "loss",
    "epochs",
    "patience",
    "validation",
    "monitor",
    "out",
    "seed",
)


class Range(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A field of `xpnn.SearchSpace`: a number, an interval ``LOW,HIGH``, or three numbers or more; or names.

    Parameters
    ----------
    field : str
    item : click.ParamType
        What each is.
    """

    name = "range"

    def __init__(self, field: str, item: click.ParamType[Any]) -> None:
        self.field, self.numbers = field, item is not click.STRING
        self.items = Commas(item, "a number, LOW,HIGH, or three numbers or more to choose from")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The field's value, once the space takes it; what is one already stays."""
        if not isinstance(value, str):
            return value
        parts: list[Any] = self.items.convert(value, param, ctx)
        if self.field == "batch_size":
            parts = [part or None for part in parts]
        several = tuple(parts) if self.numbers and len(parts) == 2 else parts
        try:
            return getattr(SearchSpace(**{self.field: parts[0] if len(parts) == 1 else several}), self.field)
        except InputError as error:
            self.fail(str(error).removeprefix("SearchSpace: "), param, ctx)


def _searched(field: str, item: click.ParamType[Any], says: str) -> click.Option:
    usual = getattr(SearchSpace(), field)
    parts: Sequence[Any] = usual if isinstance(usual, tuple) else [usual]
    return click.Option(
        [f"--{field.replace('_', '-')}"],
        type=Range(field, item),
        default=",".join(part if isinstance(part, str) else f"{part:g}" for part in parts),
        show_default=True,
        metavar="NAMES" if item is click.STRING else "RANGE",
        help=says,
    )


_FILE = click.Path(path_type=Path)
_SEARCHABLE = {name: cls for name, cls in optimizers.NAMES.items() if hasattr(cls, "weight_decay")}


def _as_in_training(*names: str) -> list[click.Option]:
    """Options that are those of ``train``."""
    return [option for group in training.GROUPS.values() for option in group if option.name in names]


GROUPS: dict[str, list[click.Option]] = {
    "Data": _as_in_training("targets", "task", "positive", "ignore", "missing"),
    "Space": [
        _searched("depth", click.INT, "Hidden layers."),
        _searched("width", click.INT, "Nodes of a hidden layer, chosen for each."),
        _searched("activation", click.STRING, f"Of the hidden layers. {training.listed(activations.NAMES)}."),
        _searched("optimizer", click.STRING, f"{training.listed(_SEARCHABLE)}."),
        _searched("learning_rate", click.FLOAT, "Step size."),
        _searched("dropout", click.FLOAT, "Share of the nodes to leave out after each hidden layer."),
        _searched("weight_decay", click.FLOAT, "How much the optimizer pulls the parameters towards 0."),
        _searched("l2", click.FLOAT, "Instead of it, what is added to the loss: so many times the sum of w²/2."),
        _searched("batch_size", click.INT, "Rows per step; 0 for all of them."),
    ],
    "Trials": [
        click.Option(["--trials"], type=Whole(min=1), default=20, show_default=True, metavar="NUMBER",
                     help="How many to have, with those already in --storage."),
        *_as_in_training("loss"),
        click.Option(["--epochs"], type=Whole(min=1), default=100, show_default=True, metavar="NUMBER",
                     help="Passes over the training rows at most, in each trial."),
        click.Option(["--patience"], type=Whole(min=0), default=10, show_default=True, metavar="EPOCHS",
                     help="A trial ends after so many in which --monitor has not become better."),
    ],
    "Validation": [
        click.Option(["--validation"], type=NUMBER, default=0.2, show_default=True, metavar="SHARE",
                     help="Share of the rows to hold out and compare the trials on."),
        click.Option(["--monitor"], default="validation_loss", show_default=True, metavar="NAME",
                     help="What to compare: validation_loss, or validation_accuracy and so on with any metric."),
    ],
    "Output": [
        click.Option(["--out"], type=_FILE, required=True, metavar="MODEL.safetensors",
                     help="Where to write the best model."),
        click.Option(["--table"], type=_FILE, metavar="TRIALS.csv", help="Write all trials there."),
        click.Option(["--storage"], type=_FILE, metavar="FILE.log",
                     help="A file that remembers the trials: the same command goes on where it was stopped."),
        *_as_in_training("quiet"),
    ],
    "Machine": _as_in_training("seed", "backend", "device"),
}  # fmt: skip
