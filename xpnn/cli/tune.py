"""``xpnn tune``: from a table to the model file of the best network found."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Sequence
from typing import Any

from xpnn import activations, backends, text
from xpnn.cli import scores
from xpnn.cli.data import OUTPUT, Data, loss_of, outputs_of, read, save
from xpnn.cli.destinations import refuse_same_files
from xpnn.cli.output import say, trying
from xpnn.cli.scores import targets
from xpnn.cli.searching import FILES, Options
from xpnn.errors import BackendError, InputError, TuningInterrupted, XpnnError
from xpnn.files import atomic, tensors
from xpnn.losses import Loss
from xpnn.training.fastest import Choice, choose
from xpnn.tuning import search, space
from xpnn.tuning.result import Trial, Tuning, line

_SHOWN = 20  # trials of the table at the end


def tune(options: Options) -> int:
    """Search and write the best model; the exit code is 0, or 130 after Ctrl-C."""
    _check_destinations(options)
    data = read(
        options.data,
        options.targets,
        task=options.task,
        validation=options.validation,
        ignore=options.ignore,
        seed=options.seed,
        missing=options.missing,
        positive=options.positive,
    )
    if not len(data.x_check):
        raise InputError("--validation 0 holds out no rows to compare the trials by: give a share, such as 0.2.")
    loss = loss_of(options.loss, data.schema)
    scores.check(options.metrics, data.schema, loss, "--monitor")
    if options.l2 != 0 and options.weight_decay != 0:
        raise InputError("--l2 and --weight-decay both pull the weights towards 0: give --weight-decay 0 with --l2.")
    choice = _choose(options, loss, data)
    if not options.quiet:
        say(_plan(options, data, choice))
    try:
        tuning = _search(options, loss, choice, data)
    except TuningInterrupted as stop:
        there = options.storage is not None and options.storage.exists()
        on = "; the same command goes on with the search" if there else ""
        if stop.tuning is None:
            say(f"xpnn: interrupted before there was a model; nothing was saved{on}", sys.stderr)
            return 130
        _finish(stop.tuning, options, data, choice)
        over = text.count(len(stop.tuning.trials), "trial")
        say(f"xpnn: interrupted; {options.out} holds the best model of {over}{on}", sys.stderr)
        return 130
    _finish(tuning, options, data, choice)
    return 0


def _check_destinations(options: Options) -> None:
    """Raise `InputError` if a file could not be written, or is named twice."""
    refuse_same_files(**{name: getattr(options, name) for name in FILES})
    tensors.check_writable(options.out)
    if options.table is not None:
        try:
            atomic.check_writable(options.table)
        except OSError as error:
            raise InputError(f"cannot write {options.table}: {error.strerror or error}.") from error


def _search(options: Options, loss: Loss, choice: Choice, data: Data) -> Tuning:
    def show(trial: Trial) -> None:
        if not options.quiet:
            say(line(trial, options.trials, options.space, options.monitor), sys.stderr)

    x, y, _, check = data.placed(choice, loss)
    try:
        return search.tune(
            x,
            y,
            space=options.space,
            trials=options.trials,
            output=OUTPUT[data.schema.task],
            outputs=outputs_of(loss, data.schema),
            loss=loss,
            monitor=options.monitor,
            epochs=options.epochs,
            patience=options.patience,
            validation_data=check,
            seed=options.seed,
            labels=data.schema.classes,
            storage=options.storage,
            after_trial=show,
        )
    except XpnnError:
        raise
    except RuntimeError as error:  # what GPU libraries raise when memory runs out or a kernel fails
        raise BackendError(f"{choice.backend} on {choice.device} failed: {backends.first_line(error)}") from error


class _Largest:
    """Suggests the largest of everything."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        return high

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return high

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        numbers = [each for each in choices if isinstance(each, int | float)]
        return max(numbers) if numbers else choices[0]


def _choose(options: Options, loss: Loss, data: Data) -> Choice:
    """The library asked for, or the one that is fastest with the largest network."""
    if options.backend != "auto":
        return Choice(options.backend, backends.usable_device(options.backend, options.device), "as asked")
    largest, schema, n = options.space.suggest(_Largest()), data.schema, len(data.x)
    output = activations.get(OUTPUT[schema.task])
    network = space.network(largest, (schema.n_features,), output, outputs_of(loss, schema))
    size = min(largest["batch_size"] or n, n)
    steps = options.trials * options.epochs * math.ceil(n / size)
    y = targets(data.y[:size], loss, schema)
    optimizer, x, tell = space.optimizer(largest), data.x[:size], None if options.quiet else trying
    return choose(network, loss, optimizer, x, y, steps=steps, device=options.device, trying=tell)


def _plan(options: Options, data: Data, choice: Choice) -> str:
    searched = ", ".join(options.space.searched) or "nothing"
    return text.columns(
        [
            *data.rows(inferred=options.task == "auto"),
            ("search", f"{text.count(options.trials, 'trial')} over {searched}"),
            ("backend", f"{choice.backend} on {choice.device} ({choice.reason})"),
            *data.notes(),
        ]
    )


def _finish(tuning: Tuning, options: Options, data: Data, choice: Choice) -> None:
    """Save the best model, then the table of trials, and say what they are."""
    best = tuning.best_trial
    found = {"trial": best.number, "trials": len(tuning.trials), options.monitor: best.score}
    model = dataclasses.replace(tuning.best, metadata={"tuning": found})
    used = options.training(best, choice.backend, choice.device)
    model = save(model, options.out, data, used.to_json(), metrics=options.metrics)
    if options.table is not None:
        tuning.to_csv(options.table)
    if options.quiet:
        return
    rows = [
        ("best", f"trial {best.number}, {text.count(model.network.n_parameters, 'parameter')}"),
        ("validation", str(model.metadata.get("validation", "interrupted"))),
        ("model", str(options.out)),
    ]
    say(f"\n{tuning.table(_SHOWN)}\n\n{text.columns(rows)}")
