"""The commands and their options; what they do is in the modules beside this one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

import xpnn as library
from xpnn import backends, metrics, optimizers, text
from xpnn.cli import bench as benchmark
from xpnn.cli import lapsed, searching, using
from xpnn.cli.config import CONFIG
from xpnn.cli.grouped import Grouped
from xpnn.cli.options import DATA, GROUPS, Options, listed
from xpnn.cli.output import say
from xpnn.cli.train import train as run_training
from xpnn.cli.tune import tune as run_search
from xpnn.cli.types import Commas, Number, Whole

_FILE = click.Path(path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(library.__version__, prog_name="xpnn")
def xpnn() -> None:
    """Train neural networks on tables, and use them."""


@xpnn.command(cls=Grouped, groups=GROUPS, params=[DATA, CONFIG])
@click.pass_context
def train(context: click.Context, /, **options: Any) -> int:
    """Train a network on a CSV, TSV or Parquet file and write it to a model file.

    Numeric columns are standardised and text columns one-hot encoded; the model file keeps how, so that predict
    takes the raw columns in any order. Options may stand in a file for --config; the command line wins over it.
    """
    kept, notes = lapsed.drop(context, options)
    if not options["quiet"]:
        for note in notes:
            say(f"note: {note}", sys.stderr)
    return run_training(Options.of(kept))


@xpnn.command(cls=Grouped, groups=searching.GROUPS, params=[DATA])
def tune(**options: Any) -> int:
    """Try networks out on a CSV, TSV or Parquet file and write the best model to a file.

    Each trial is a training; what it tries is suggested from the trials before. A RANGE is a number, an interval
    LOW,HIGH, or three numbers or more to choose from; of NAMES one is chosen.

    The best model is that of the best trial in its best epoch, on the rows held out. Because they choose it, their
    score is a little too good: rows that took no part tell how good it is. The file is like one of train, and holds
    the options with which train comes to the same weights.
    """
    return run_search(searching.Options(**options))


def _given_model(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option(
        "--trust", "trusted", multiple=True, metavar="MODULE",
        help="Import parts of the model that are not xpnn's own from this module, found where Python finds modules "
             "or in the current folder, which runs its code; several times for several.",
    )(command)  # fmt: skip
    return click.argument("model", type=_FILE)(command)


@xpnn.command()
@_given_model
@click.argument("data", type=_FILE)
@click.option(
    "--out",
    type=_FILE,
    metavar="PREDICTIONS.csv",
    help="Where to write them, as .csv, .tsv or .parquet; by default they are printed.",
)
@click.option("--probabilities", is_flag=True, help="Add a column with the probability of each class or label.")
@click.option("--keep", multiple=True, metavar="COLUMNS",
              help="Columns of the data to write before the predictions, such as an id; several with commas "
                   "between.")  # fmt: skip
def predict(model: Path, data: Path, out: Path | None, trusted: tuple[str, ...], **options: Any) -> None:
    """Predict the target for each row of a CSV, TSV or Parquet file."""
    using.predict(model, data, out, trusted=trusted, **options)


@xpnn.command()
@_given_model
@click.argument("data", type=_FILE)
@click.option("--metrics", metavar="NAMES", type=Commas(click.STRING, "names such as f1,roc_auc"),
              help="What else to score, such as f1,roc_auc; by default what the training scored. "
                   f"{listed(metrics.NAMES)}.")  # fmt: skip
def evaluate(model: Path, data: Path, trusted: tuple[str, ...], **options: Any) -> None:
    """Score a model on rows whose target is known."""
    using.evaluate(model, data, metrics=options["metrics"], trusted=trusted)


@xpnn.command()
@_given_model
@click.option("--options", is_flag=True, help="Print the options of 'xpnn train' alone, as a TOML file for --config.")
def summary(model: Path, options: bool, trusted: tuple[str, ...]) -> None:
    """Show what is in a model file: the network, its columns, how it was trained."""
    using.summary(model, options=options, trusted=trusted)


@xpnn.command()
def devices() -> None:
    """List the array libraries and their devices, and try each."""
    rows = [("library", "version", "device", "usable", "")]
    for found in library.devices():
        usable = "yes" if found.usable else "no"
        rows.append((found.library, found.version or "-", found.device or "-", usable, found.reason))
    click.echo(text.columns(rows))


@xpnn.command()
@click.option("--network", default="784,512,512,10", show_default=True, metavar="NODES",
              type=Commas(click.INT, "node counts such as 16,8"),
              help="Nodes of the layers, input first; ReLU between them, softmax at the end.")  # fmt: skip
@click.option("--batch", type=Whole(min=1), default=256, show_default=True, metavar="ROWS", help="Rows per step.")
@click.option("--backends", default="all", show_default=True, metavar="NAMES",
              type=Commas(click.STRING, "names such as numpy,torch"),
              help=f"Array libraries, such as numpy,torch, each on all its kinds of device: "
                   f"{', '.join(backends.KNOWN)}, all.")  # fmt: skip
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True,
              help="Of data and parameters.")  # fmt: skip
@click.option("--optimizer", default="adam", show_default=True, metavar="NAME",
              help=f"One of: {', '.join(optimizers.NAMES)}.")  # fmt: skip
@click.option("--seconds", type=Number(min=0, min_open=True), default=2.0, show_default=True,
              help="How long to time each row.")  # fmt: skip
@click.option("--predict", is_flag=True, help="Time predictions instead of training steps.")
@click.option("--sweep", type=click.Choice(["batch", "width"]),
              help="Go through batches 1 to 16384, or hidden layers of 16 to 4096 nodes.")  # fmt: skip
@click.option("--compare", default="", metavar="NAMES",
              type=Commas(click.STRING, "names such as numpy,torch"),
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
