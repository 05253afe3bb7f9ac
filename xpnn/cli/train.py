"""``xpnn train``: from a table to a model file."""

from __future__ import annotations

import dataclasses
import math
import sys

from xpnn import backends, optimizers
from xpnn.cli import scores
from xpnn.cli.data import Data, loss_of, read, save
from xpnn.cli.destinations import refuse_same_files
from xpnn.cli.options import Options
from xpnn.cli.output import discard, say, trying
from xpnn.cli.parts import Parts, build
from xpnn.cli.report import outcome, plan
from xpnn.cli.scores import targets
from xpnn.errors import BackendError, InputError, TrainingDiverged, TrainingInterrupted, XpnnError
from xpnn.files import atomic, tensors
from xpnn.model import Model
from xpnn.tables import Schema
from xpnn.training.callbacks import Callback, Training
from xpnn.training.fastest import Choice, choose
from xpnn.training.fit import fit
from xpnn.training.progress import Progress

_RATES = (0.1, 0.01, 0.001, 0.0001)  # of sgd, unless one is asked for: in this order until the loss stays finite;
_RATES_OF_REGRESSION = _RATES[1:]  # squared errors have no bound, so neither have their gradients


def train(options: Options) -> int:
    """Train and write the model; the exit code is 0, or 130 after Ctrl-C."""
    _check_destinations(options)
    data = _read(options)
    parts = build(options, data.schema, loss_of(options.loss, data.schema), len(data.x))
    scores.check(options.metrics, data.schema, parts.loss)
    rates = _rates(options, data.schema)
    choice = _choose(options, parts, parts.optimizer(rates[0]), data)
    if not options.quiet:
        say(plan(options, data, parts, choice))
    for rate in rates:
        # what is used, for the model file: in it are no choices left to make
        used = dataclasses.replace(
            options,
            batch_size=parts.batch_size,
            learning_rate=rate,
            backend=choice.backend,
            device=choice.device,
        )
        callbacks = parts.callbacks()
        try:
            model = _fit(rate, options, parts, choice, data, callbacks)
        except TrainingInterrupted as stop:
            if stop.epoch == 0:
                say("xpnn: interrupted in the first epoch; nothing was saved", sys.stderr)
                return 130
            _save(stop.model, used, data)
            say(f"xpnn: interrupted; {options.out} holds the model as of epoch {stop.epoch}", sys.stderr)
            return 130
        except TrainingDiverged as stop:
            if rate != rates[-1]:
                if not options.quiet:
                    say(f"the loss diverged with learning rate {rate:g}; trying a tenth of it")
                continue
            kept = _keep(stop.model, used, data, "the last good model, that of")
            raise InputError(
                f"the loss became NaN or infinite in epoch {stop.epoch}; {kept}. Use a smaller --learning-rate."
            ) from stop
        except Exception as error:
            if not isinstance(reached := getattr(error, "model", None), Model):
                raise
            # a callback raised: its error has the model as it was then
            what = str(error) if isinstance(error, XpnnError) else backends.first_line(error)
            raise XpnnError(f"{what.removesuffix('.')}; {_keep(reached, used, data, 'the model as of')}.") from error
        model = _save(model, used, data)
        if not options.quiet:
            say(outcome(model, options, callbacks))
        return 0
    raise AssertionError("the last rate returns or raises")


def _check_destinations(options: Options) -> None:
    """Raise `InputError` if a file could not be written, or would replace what is read or another."""
    refuse_same_files(options.data, out=options.out, history=options.history, tensorboard=options.tensorboard)
    tensors.check_writable(options.out)
    if options.history is not None:
        try:
            atomic.check_writable(options.history)
        except OSError as error:
            raise InputError(f"cannot write --history {options.history}: {error.strerror or error}.") from error


def _read(options: Options) -> Data:
    if options.tol is not None and math.isnan(options.tol):
        raise InputError("--tol must be a number, got nan.")
    return read(
        options.data,
        options.targets,
        task=options.task,
        validation=options.validation,
        ignore=options.ignore,
        seed=options.seed,
        missing=options.missing,
        positive=options.positive,
        sample_weight=options.sample_weight,
    )


def _rates(options: Options, schema: Schema) -> tuple[float | None, ...]:
    """The learning rates to try, one after the other; None is that of an optimizer without one."""
    if options.learning_rate is not None:
        return (options.learning_rate,)
    if isinstance(optimizer := optimizers.get(options.optimizer), optimizers.SGD):
        return _RATES_OF_REGRESSION if schema.task == "regression" else _RATES
    if isinstance(optimizer, optimizers.LBFGS):
        return (None,)
    usual = optimizer.rate(0)
    return usual, usual / 10, usual / 100


def _choose(options: Options, parts: Parts, optimizer: optimizers.Optimizer, data: Data) -> Choice:
    if options.backend != "auto":
        return Choice(options.backend, backends.usable_device(options.backend, options.device), "as asked")
    size, steps = parts.batch, options.epochs * parts.per_epoch
    y = targets(data.y, parts.loss, data.schema)
    if isinstance(optimizer, optimizers.LBFGS):
        optimizer = optimizers.SGD()  # what a gradient takes is what an iteration takes, but for the line search
    x, tell = data.x[:size], None if options.quiet else trying
    return choose(parts.network, parts.loss, optimizer, x, y[:size], steps=steps, device=options.device, trying=tell)


def _fit(
    rate: float | None, options: Options, parts: Parts, choice: Choice, data: Data, callbacks: list[Callback]
) -> Model:
    """Train with one learning rate, where it was chosen to."""
    x, y, weights, check = data.placed(choice, parts.loss)
    try:
        return fit(
            parts.network,
            x,
            y,
            loss=parts.loss,
            optimizer=parts.optimizer(rate),
            epochs=options.epochs,
            batch_size=None if parts.batch == parts.rows else parts.batch,
            tol=options.tol,
            seed=options.seed,
            sample_weight=weights,
            class_weight=parts.class_weight,
            validation_data=check,
            metrics=options.metrics,
            labels=data.schema.classes,
            penalty=parts.penalty,
            clip_norm=options.clip_norm,
            clip_value=options.clip_value,
            callbacks=[*callbacks, *([] if options.quiet else [_Shown()])],
        )
    except XpnnError:
        raise
    except RuntimeError as error:  # what GPU libraries raise when memory runs out or a kernel fails
        if hasattr(error, "model"):  # a callback's
            raise
        where = f"{choice.backend} on {choice.device}"
        raise BackendError(f"{where} failed: {backends.first_line(error)}") from error


class _Shown(Progress):
    """Goes on when nobody looks any more: that is no reason to lose the training."""

    def epoch_end(self, training: Training) -> None:
        try:
            super().epoch_end(training)
        except BrokenPipeError:
            discard(sys.stderr)

    def end(self, training: Training) -> None:
        try:
            super().end(training)
        except BrokenPipeError:
            discard(sys.stderr)


def _keep(model: Model, options: Options, data: Data, what: str) -> str:
    """Save what a training that failed has come to, if an epoch was finished; say what was saved."""
    epochs = len(model.history["loss"])
    if not epochs:
        return "nothing was saved"
    _save(model, options, data)
    return f"{options.out} holds {what} epoch {epochs}"


def _save(model: Model, options: Options, data: Data) -> Model:
    return save(model, options.out, data, options.to_json(), metrics=options.metrics)
