"""The options of ``xpnn train``: what they are called, in which groups, and what their words become."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from xpnn import activations, backends, initializers, losses, metrics, optimizers, schedules, tables
from xpnn.cli.types import NUMBER, ClassWeights, Commas, Number, Whole
from xpnn.errors import InputError
from xpnn.registry import Registry

T = TypeVar("T")

_FILE = click.Path(path_type=Path)
_RATE = Number(min=0, min_open=True)


@dataclass(frozen=True)
class Options:
    """The options of the command, by their names there; those of the optimizer are in `hyperparameters`."""

    data: Path
    targets: tuple[str, ...]
    task: str
    positive: str | None
    ignore: tuple[str, ...]
    missing: str
    sample_weight: str | None
    class_weight: str | Mapping[str, float] | None
    hidden: list[int]
    activation: list[str]
    weight_initializer: str | None
    normalize: str | None
    dropout: list[float]
    loss: str | None
    huber_delta: float | None
    quantiles: list[float]
    label_smoothing: float | None
    l1: float | None
    l2: float | None
    optimizer: str
    hyperparameters: Mapping[str, float | bool]
    epochs: int
    batch_size: int | None
    learning_rate: float | None
    schedule: str | None
    warmup: float | None
    clip_norm: float | None
    clip_value: float | None
    validation: float
    metrics: list[str]
    early_stopping: bool
    monitor: str | None
    patience: int | None
    min_change: float | None
    tol: float | None
    time_limit: float | None
    out: Path
    history: Path | None
    tensorboard: Path | None
    quiet: bool
    seed: int
    backend: str
    device: str | None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Options:
        """The options from the words of the command line and the file, by their names there."""
        # in the order of the help: the model file is the same in whatever order they were given
        own = {k: v for k in HYPERPARAMETERS if (v := given.get(k)) is not None and v is not False}
        rest = {name: value for name, value in given.items() if name not in HYPERPARAMETERS}
        return cls(**rest, hyperparameters=own)

    def to_json(self) -> dict[str, Any]:
        """The options that shape the model, for its file."""
        described = {k: v for k, v in dataclasses.asdict(self).items() if k not in ("hyperparameters", *_OF_THE_RUN)}
        return described | dict(self.hyperparameters)


_OF_THE_RUN = ("data", "out", "history", "tensorboard", "quiet")  # where things are: of no account to what is learned


def listed(registry: Registry[Any] | Mapping[str, type], leave_out: tuple[type, ...] = ()) -> str:
    """The usual name of each class, for a help text."""
    names: dict[type, str] = {}
    for name, cls in registry.items() if isinstance(registry, Mapping) else registry.classes.items():
        names.setdefault(cls, name)
    return ", ".join(name for cls, name in names.items() if cls not in leave_out)


def _hyperparameters() -> dict[str, click.Option]:
    """An option for each hyperparameter of each optimizer but the learning rate, with its defaults in the help."""
    owners: dict[str, dict[Any, list[str]]] = {}
    for optimizer, cls in optimizers.NAMES.items():
        for field in dataclasses.fields(cls):
            if field.name != "learning_rate":
                owners.setdefault(field.name, {}).setdefault(field.default, []).append(optimizer)
    options = {}
    for name, defaults in owners.items():
        flag = any(default is False for default in defaults)
        of = [
            ", ".join(names) if flag else f"{default:g} ({', '.join(names)})" for default, names in defaults.items()
        ]
        words = f"--{name.replace('_', '-')}"
        options[name] = click.Option(
            [f"{words}/--no-{words.removeprefix('--')}" if flag else words, name],
            default=None,
            help=f"{_MEANING.get(name, 'Of')}{' Of ' if flag else ' '}{', '.join(of)}.",
            type=None if flag else click.INT if all(isinstance(each, int) for each in defaults) else NUMBER,
            metavar=None if flag else "NUMBER",
        )
    return options


_MEANING = {
    "momentum": "Share of the last step that goes on:",
    "dampening": "How much less of a gradient joins the momentum:",
    "nesterov": "Nesterov's momentum.",
    "weight_decay": "Pulls the parameters towards 0:",
    "beta_1": "Kept of the mean gradient at each step:",
    "beta_2": "Kept of the mean square at each step:",
    "epsilon": "Keeps quotients finite:",
    "momentum_decay": "How fast the momentum warms up:",
    "rho": "Kept of the mean square at each step:",
    "centered": "Divides by the standard deviation.",
    "initial": "What the sum of squares begins with:",
    "memory": "How many gradients the curvature comes from:",
    "gradient_tol": "Ends when no gradient is larger:",
    "loss_tol": "Ends when the loss falls by no larger share:",
    "max_evaluations": "How often the loss may be evaluated:",
}

HYPERPARAMETERS = _hyperparameters()

DATA = click.Argument(["data"], type=_FILE)

GROUPS: dict[str, list[click.Option]] = {
    "Data": [
        click.Option(["--target", "targets"], multiple=True, required=True, metavar="COLUMN",
                     help="The column to predict; several times for several."),
        click.Option(["--task"], type=click.Choice(["auto", *tables.TASKS]), default="auto", show_default=True,
                     metavar="NAME", help=f"{', '.join(tables.TASKS)}; by default the target column decides."),
        click.Option(["--positive"], metavar="CLASS",
                     help="Of two classes the one that precision, recall and f1 are about.  "
                          "[default: the second in order]"),
        click.Option(["--ignore"], multiple=True, metavar="COLUMNS",
                     help="Columns to leave out, such as a row number; several with commas between."),
        click.Option(["--missing"], type=click.Choice(["error", "fill", "drop"]), default="error", show_default=True,
                     metavar="NAME",
                     help="What to do about empty cells: error; fill: take the mean for a number, no known value for "
                          "text, later in predict too; drop: leave the rows out. Rows without a target are left out "
                          "by both."),
        click.Option(["--sample-weight"], metavar="COLUMN",
                     help="A column of weights, no feature: 2 counts a row to train on twice."),
        click.Option(["--class-weight"], type=ClassWeights(), metavar="WEIGHTS",
                     help="balanced: each class counts the same; or by name, such as benign=1,malignant=3."),
    ],
    "Network": [
        click.Option(["--hidden"], default="32", show_default=True, metavar="NODES",
                     type=Commas(click.INT, "node counts such as 16,8"),
                     help="Nodes of the hidden layers, such as 16,8; an empty string for none."),
        click.Option(["--activation"], default="relu", show_default=True, metavar="NAME",
                     type=Commas(click.STRING, "names such as relu,tanh"),
                     help=f"One for all hidden layers, or relu,tanh,… {listed(activations.NAMES)}."),
        click.Option(["--weight-initializer"], metavar="NAME",
                     help=f"By default the activation decides. {listed(initializers.NAMES)}."),
        click.Option(["--normalize"], type=click.Choice(["batch", "layer"]), metavar="NAME",
                     help="batch or layer: normalise what comes out of each hidden layer."),
        click.Option(["--dropout"], default="", metavar="SHARE", type=Commas(click.FLOAT, "shares such as 0.2,0.1"),
                     help="Share of the nodes to leave out of each step; one for all hidden layers, or one each."),
    ],
    "Loss": [
        click.Option(["--loss"], metavar="NAME",
                     help="By default the task decides. "
                          f"{listed(losses.NAMES, (losses.Hinge, losses.Poisson))}."),
        click.Option(["--huber-delta"], type=NUMBER, metavar="NUMBER",
                     help="From which error on huber is straight, in standard deviations of the target.  "
                          "[default: 1]"),
        click.Option(["--quantiles"], default="", metavar="SHARES",
                     type=Commas(click.FLOAT, "shares such as 0.05,0.5,0.95"),
                     help="What the loss quantile predicts, such as 0.05,0.5,0.95 for an interval that holds 90 %.  "
                          "[default: 0.1,0.5,0.9]"),
        click.Option(["--label-smoothing"], type=NUMBER, metavar="SHARE",
                     help="Of each label, spread over all classes; for the cross-entropies."),
        click.Option(["--l1"], type=NUMBER, metavar="STRENGTH",
                     help="Adds so many times the sum of |w| to the loss."),
        click.Option(["--l2"], type=NUMBER, metavar="STRENGTH",
                     help="Adds so many times the sum of w²/2 to the loss."),
    ],
    "Optimizer": [
        click.Option(["--optimizer"], default="sgd", show_default=True, metavar="NAME",
                     help=f"One of: {listed(optimizers.NAMES)}."),
        *HYPERPARAMETERS.values(),
    ],
    "Steps": [
        click.Option(["--epochs"], type=Whole(min=1), default=100, show_default=True, metavar="NUMBER",
                     help="Passes over the training rows at most."),
        click.Option(["--batch-size"], type=Whole(min=0), metavar="ROWS",
                     help="Rows per step; 0 for all of them.  [default: 32; of lbfgs all]"),
        click.Option(["--learning-rate"], type=NUMBER, metavar="RATE",
                     help="Step size. By default the optimizer's own, of sgd 0.1, for regression 0.01; "
                          "a tenth of it, and so on, if the loss diverges."),
        click.Option(["--schedule"], metavar="NAME[:…]",
                     help="How the rate changes, such as cosine or step_decay:every=30,factor=0.5; lengths are in "
                          f"epochs, by default all. {listed(schedules.NAMES, (schedules.Warmup,))}."),
        click.Option(["--warmup"], type=_RATE, metavar="EPOCHS", help="Let the rate rise from 0 first."),
        click.Option(["--clip-norm"], type=NUMBER, metavar="NUMBER",
                     help="Shorten gradients whose norm is larger."),
        click.Option(["--clip-value"], type=NUMBER, metavar="NUMBER",
                     help="Instead, cut off each element of a gradient that is larger."),
    ],
    "Validation": [
        click.Option(["--validation"], type=NUMBER, default=0.2, show_default=True, metavar="SHARE",
                     help="Share of the rows to hold out and score on; 0 for none."),
        click.Option(["--metrics"], default="", metavar="NAMES",
                     type=Commas(click.STRING, "names such as f1,roc_auc"),
                     help=f"What else to score, such as f1,roc_auc. {listed(metrics.NAMES)}; "
                          f"top_k is of the {metrics.TopK.k} likeliest classes."),
        click.Option(["--early-stopping/--no-early-stopping"],
                     help="End when --monitor has not become better for a while, and keep the best epoch's "
                          "parameters."),
        click.Option(["--monitor"], metavar="NAME",
                     help="loss, validation_loss, or validation_ with one of --metrics.  [default: "
                          "validation_loss]"),
        click.Option(["--patience"], type=Whole(min=0), metavar="EPOCHS",
                     help="How many epochs without improvement are let pass.  [default: 10]"),
        click.Option(["--min-change"], type=NUMBER, metavar="NUMBER",
                     help="By how much better counts.  [default: 0]"),
        click.Option(["--tol"], type=NUMBER, metavar="LOSS", help="Stop when the loss is at or under this."),
        click.Option(["--time-limit"], type=_RATE, metavar="SECONDS",
                     help="Stop after the epoch in which it is over."),
    ],
    "Output": [
        click.Option(["--out"], type=_FILE, required=True, metavar="MODEL.safetensors",
                     help="Where to write the model."),
        click.Option(["--history"], type=_FILE, metavar="FILE.csv",
                     help="Write the losses and metrics of each epoch there, as it ends; .csv or .jsonl. Those of "
                          "numbers are of the standardised target: 1 is its standard deviation."),
        click.Option(["--tensorboard"], type=_FILE, metavar="FOLDER",
                     help="Write them for TensorBoard; a folder for each training."),
        click.Option(["--quiet/--no-quiet"], help="Print errors only."),
    ],
    "Machine": [
        click.Option(["--seed"], type=Whole(min=0), default=0, show_default=True, metavar="NUMBER",
                     help="Decides weights, row order and split."),
        click.Option(["--backend"], type=click.Choice(["auto", *backends.KNOWN]), default="auto", show_default=True,
                     metavar="NAME", help=f"Array library: {', '.join(backends.KNOWN)}; auto: NumPy for short "
                                          "training, else the fastest usable one."),
        click.Option(["--device"], metavar="NAME", help="Device of that library, such as cpu or cuda:0."),
    ],
}  # fmt: skip


def defaults() -> dict[str, Any]:
    """What each option is if it is not given, as model files have it."""
    command = click.Command("train", params=[option for group in GROUPS.values() for option in group])
    given = command.make_context("train", [], resilient_parsing=True).params
    return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}


def flag(option: click.Parameter) -> str:
    """The option's words on the command line, such as ``--batch-size``."""
    return option.opts[0]


def named(option: str, make: Callable[..., T]) -> Callable[..., T]:
    """The function, its errors beginning with the option instead of the class."""

    def call(*args: Any, **kwargs: Any) -> T:
        try:
            return make(*args, **kwargs)
        except InputError as error:
            message = re.sub(r"^[A-Z]\w+: ", "", str(error))
            raise InputError(f"{option}: {message}") from error

    return call
