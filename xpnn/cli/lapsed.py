"""Options of a file that lapse: the command line asks for an optimizer, a loss or an end that they are not of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import click
from click.core import ParameterSource

from xpnn import losses, optimizers
from xpnn.cli.options import GROUPS, HYPERPARAMETERS, defaults, flag

_OF_STEPS = ("batch_size", "learning_rate", "schedule", "warmup", "clip_norm", "clip_value", "dropout")


def drop(context: click.Context, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The options without those that the command line has made meaningless, and a note for each that it does so to.

    What the command line says itself stays, to be refused where it contradicts itself.

    Parameters
    ----------
    context : click.Context
        It knows which option is from where.
    given : mapping of str to anything
        All options by their names.

    Raises
    ------
    InputError
        If the optimizer or the loss is unknown.
    """
    of = {option.name: option for group in GROUPS.values() for option in group}
    kept, notes, usual = dict(given), [], defaults()
    for asked, foreign in _FOREIGN.items():
        if context.get_parameter_source(asked) is not ParameterSource.COMMANDLINE:
            continue
        gone = [
            name
            for name in foreign(given[asked])
            if context.get_parameter_source(name) is ParameterSource.DEFAULT_MAP and kept[name] != usual[name]
        ]
        if gone:
            kept |= {name: usual[name] for name in gone}
            value = given[asked]
            words = of[asked].secondary_opts[0] if value is False else f"{flag(of[asked])} {value}"
            notes.append(f"{words} takes back {', '.join(flag(of[name]) for name in gone)} of the file")
    return kept, notes


def _foreign_to_optimizer(name: str) -> list[str]:
    optimizer = optimizers.get(name)
    own = [field.name for field in dataclasses.fields(optimizer)]
    foreign = [each for each in HYPERPARAMETERS if each not in own]
    return [*foreign, *_OF_STEPS] if isinstance(optimizer, optimizers.LBFGS) else foreign


def _foreign_to_loss(name: str) -> list[str]:
    own = [field.name for field in dataclasses.fields(losses.get(name))]
    options = {"huber_delta": "delta", "quantiles": "quantiles", "label_smoothing": "label_smoothing"}
    return [option for option, field in options.items() if field not in own]


def _foreign_to_early_stopping(wanted: bool) -> list[str]:
    return [] if wanted else ["monitor", "patience", "min_change"]


_FOREIGN: dict[str, Callable[[Any], list[str]]] = {
    "optimizer": _foreign_to_optimizer,
    "loss": _foreign_to_loss,
    "early_stopping": _foreign_to_early_stopping,
}
