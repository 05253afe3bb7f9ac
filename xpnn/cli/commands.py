"""The commands and their options; what they do is in the modules beside this one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

import xpnn as library
from xpnn import activations, backends, losses, optimizers, tables, text
from xpnn.cli import bench as benchmark
from xpnn.cli import using
from xpnn.cli.train import Options
from xpnn.cli.train import train as run_training
from xpnn.cli.tune import Options as TuneOptions
from xpnn.cli.tune import tune as run_search

_FILE = click.Path(path_type=Path)


_SEARCHABLE = [name for name, optimizer in optimizers.NAMES.items() if hasattr(optimizer, "weight_decay")]


def _numbers(context: click.Context, option: click.Parameter, value: str) -> list[int]:
    try:
        return [int(part) for part in value.split(",") if part.strip()]
    except ValueError:
        raise click.BadParameter(f"must be node counts such as 16,8, got {value!r}.") from None


def _names(context: click.Context, option: click.Parameter, value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(library.__version__, prog_name="xpnn")
def xpnn() -> None:
    """Train neural networks on tables, and use them."""


@xpnn.command()
@click.argument("data", type=_FILE)
@click.option("--target", "targets", multiple=True, required=True, metavar="COLUMN",
              help="The column to predict; several times for several.")  # fmt: skip
@click.option("--out", type=_FILE, required=True, metavar="MODEL.safetensors", help="Where to write the model.")
@click.option("--hidden", default="32", show_default=True, callback=_numbers, metavar="NODES",
              help="Nodes of the hidden layers, such as 16,8; an empty string for none.")  # fmt: skip
@click.option("--activation", "activation", default="relu", show_default=True, callback=_names, metavar="NAME",
              help=f"One for all hidden layers, or relu,tanh,… {', '.join(activations.NAMES)}.")  # fmt: skip
@click.option("--task", type=click.Choice(["auto", *tables.TASKS]), default="auto", show_default=True,
              help="What to predict; by default the target column decides.")  # fmt: skip
@click.option("--loss", metavar="NAME", help=f"By default the task decides. {', '.join(losses.NAMES)}.")
@click.option("--optimizer", default="sgd", show_default=True, metavar="NAME",
              help=f"One of: {', '.join(optimizers.NAMES)}.")  # fmt: skip
@click.option("--learning-rate", type=float, metavar="RATE",
              help="Step size. By default the optimizer's own, of sgd 0.1, for regression 0.01; "
                   "a tenth of it, and so on, if the loss diverges.")  # fmt: skip
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Passes over the training rows at most.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=0),
    default=32,
    show_default=True,
    help="Rows per step; 0 for all of them.",
)
@click.option("--tol", type=float, help="Stop when the loss is at or under this.")
@click.option("--validation", type=float, default=0.2, show_default=True, metavar="SHARE",
              help="Share of the rows to hold out and score on; 0 for none.")  # fmt: skip
@click.option("--ignore", multiple=True, metavar="COLUMN", help="A column to leave out, such as a row number.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Decides weights, row order and split."
)
@click.option("--backend", type=click.Choice(["auto", *backends.KNOWN]), default="auto", show_default=True,
              help="Array library; auto: NumPy for short training, else the fastest usable one.")  # fmt: skip
@click.option("--device", metavar="NAME", help="Device of that library, such as cpu or cuda:0.")
@click.option("--quiet", is_flag=True, help="Print errors only.")
def train(**options: Any) -> int:
    """Train a network on a CSV, TSV or Parquet file and write it to a model file.

    Numeric columns are standardised and text columns one-hot encoded; the model file keeps how, so that predict
    takes the raw columns in any order.
    """
    return run_training(Options(**options))


def _searched(name: str, number: type[int] | type[float] | None, help: str) -> Callable[..., Any]:
    """An option that is a field of `xpnn.SearchSpace`: names, or a number, an interval, three numbers or more."""

    def read(context: click.Context, option: click.Parameter, value: str) -> Any:
        parts: list[Any] = _names(context, option, value)
        if number is not None:
            try:
                parts = [number(part) for part in parts]
            except ValueError:
                kind = "whole numbers" if number is int else "numbers"
                raise click.BadParameter(
                    f"must be a number, LOW,HIGH, or three {kind} or more to choose from, got {value!r}."
                ) from None
        if name == "batch_size":
            parts = [part or None for part in parts]
        field = parts[0] if len(parts) == 1 else tuple(parts) if number and len(parts) == 2 else parts
        try:
            return getattr(library.SearchSpace(**{name: field}), name)
        except library.InputError as error:
            raise click.BadParameter(str(error).removeprefix("SearchSpace: ")) from None

    usual = getattr(library.SearchSpace(), name)
    parts = usual if isinstance(usual, tuple) else [usual]
    return click.option(
        f"--{name.replace('_', '-')}",
        default=",".join(part if isinstance(part, str) else f"{part:g}" for part in parts),
        show_default=True,
        callback=read,
        metavar="NAMES" if number is None else "RANGE",
        help=help,
    )


@xpnn.command()
@click.argument("data", type=_FILE)
@click.option("--target", "targets", multiple=True, required=True, metavar="COLUMN",
              help="The column to predict; several times for several.")  # fmt: skip
@click.option("--out", type=_FILE, required=True, metavar="MODEL.safetensors", help="Where to write the best model.")
@click.option("--trials", type=click.IntRange(min=1), default=20, show_default=True,
              help="How many to have, with those already in --storage.")  # fmt: skip
@click.option("--storage", type=_FILE, metavar="FILE.log",
              help="A file that remembers the trials: the same command goes on where it was stopped.")  # fmt: skip
@click.option("--table", type=_FILE, metavar="TRIALS.csv", help="Write all trials there.")
@_searched("depth", int, "Hidden layers.")
@_searched("width", int, "Nodes of a hidden layer, chosen for each.")
@_searched("activation", None, f"Of the hidden layers. {', '.join(activations.NAMES)}.")
@_searched(
    "optimizer",
    None,
    f"{', '.join(name for name, rule in optimizers.NAMES.items() if hasattr(rule, 'weight_decay'))}.",
)
@_searched("learning_rate", float, "Step size.")
@_searched("dropout", float, "Share of nodes left out after each hidden layer.")
@_searched("weight_decay", float, "Regularisation: by how much the optimizer makes weights smaller.")
@_searched("l2", float, "Regularisation: the strength of a penalty on the weights.")
@_searched("batch_size", int, "Rows per step; 0 for all of them.")
@click.option("--monitor", default="validation_loss", show_default=True, metavar="NAME",
              help="What to compare by: validation_loss, or validation_accuracy and so on.")  # fmt: skip
@click.option("--task", type=click.Choice(["auto", *tables.TASKS]), default="auto", show_default=True,
              help="What to predict; by default the target column decides.")  # fmt: skip
@click.option("--loss", metavar="NAME", help=f"By default the task decides. {', '.join(losses.NAMES)}.")
@click.option("--epochs", type=click.IntRange(min=1), default=100, show_default=True,
              help="Passes over the training rows at most, in each trial.")  # fmt: skip
@click.option("--patience", type=click.IntRange(min=0), default=10, show_default=True, metavar="EPOCHS",
              help="A trial ends after so many without an improvement.")  # fmt: skip
@click.option("--validation", type=float, default=0.2, show_default=True, metavar="SHARE",
              help="Share of the rows to hold out and compare by.")  # fmt: skip
@click.option("--ignore", multiple=True, metavar="COLUMN", help="A column to leave out, such as a row number.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
              help="Decides what is tried, weights, row order and split.")  # fmt: skip
@click.option("--backend", type=click.Choice(["auto", *backends.KNOWN]), default="auto", show_default=True,
              help="Array library; auto: NumPy for short searches, else the fastest usable one.")  # fmt: skip
@click.option("--device", metavar="NAME", help="Device of that library, such as cpu or cuda:0.")
@click.option("--quiet", is_flag=True, help="Print errors only.")
def tune(**options: Any) -> int:
    """Try networks out on a CSV, TSV or Parquet file and write the best model to a file.

    Each trial is a training; what it tries is suggested from the trials before. A RANGE is a number, an interval
    LOW,HIGH, or three numbers or more to choose from; of NAMES one is chosen.

    The best model is that of the best trial in its best epoch, on the rows held out. Because they choose it, their
    score is a little too good: rows that took no part tell how good it is. predict takes the file like one of train.
    """
    return run_search(TuneOptions(**options))


def _given_model(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.argument("model", type=_FILE)(command)


@xpnn.command()
@_given_model
@click.argument("data", type=_FILE)
@click.option(
    "--out", type=_FILE, metavar="PREDICTIONS.csv", help="Where to write them; by default they are printed."
)
@click.option("--probabilities", is_flag=True, help="Add a column with the probability of each class or label.")
def predict(model: Path, data: Path, out: Path | None, probabilities: bool) -> None:
    """Predict the target for each row of a CSV, TSV or Parquet file."""
    using.predict(model, data, out, probabilities=probabilities)


@xpnn.command()
@_given_model
@click.argument("data", type=_FILE)
def evaluate(model: Path, data: Path) -> None:
    """Score a model on rows whose target is known."""
    using.evaluate(model, data)


@xpnn.command()
@_given_model
def summary(model: Path) -> None:
    """Show what is in a model file: the network, its columns, how it was trained."""
    using.summary(model)


@xpnn.command()
def devices() -> None:
    """List the array libraries and their devices, and try each."""
    rows = [("library", "version", "device", "usable", "")]
    for found in library.devices():
        usable = "yes" if found.usable else "no"
        rows.append((found.library, found.version or "-", found.device or "-", usable, found.reason))
    click.echo(text.columns(rows))


@xpnn.command()
@click.option("--network", default="784,512,512,10", show_default=True, callback=_numbers, metavar="NODES",
              help="Nodes of the layers, input first; ReLU between them, softmax at the end.")  # fmt: skip
@click.option(
    "--batch", type=click.IntRange(min=1), default=256, show_default=True, metavar="ROWS", help="Rows per step."
)
@click.option("--backends", default="all", show_default=True, callback=_names, metavar="NAMES",
              help=f"Array libraries, such as numpy,torch, each on all its kinds of device: "
                   f"{', '.join(backends.KNOWN)}, all.")  # fmt: skip
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True,
              help="Of data and parameters.")  # fmt: skip
@click.option("--optimizer", default="adam", show_default=True, metavar="NAME",
              help=f"One of: {', '.join(optimizers.NAMES)}.")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), default=2.0, show_default=True,
              help="How long to time each row.")  # fmt: skip
@click.option("--predict", is_flag=True, help="Time predictions instead of training steps.")
@click.option("--sweep", type=click.Choice(["batch", "width"]),
              help="Go through batches 1 to 16384, or hidden layers of 16 to 4096 nodes.")  # fmt: skip
@click.option("--compare", default="", callback=_names, metavar="NAMES",
              help="Peers to time as well, as their users write them: torch, jax, sklearn, all.")  # fmt: skip
@click.option("--json", type=_FILE, metavar="FILE.json",
              help="Write all figures, the machine, versions, threads and settings there.")  # fmt: skip
@click.option("--plot", type=_FILE, metavar="FILE.png", help="Draw the result there; needs matplotlib.")
def bench(**options: Any) -> int:
    """Time the steps of a network on every array library and device here, side by side.

    The rows take turns, so that what disturbs the machine disturbs them all. Times are medians; "products alone" is
    the share that the same matrix products take there by themselves, measured too.
    """
    return benchmark.bench(benchmark.Options(**options))
