"""``xpnn train``: from a table to a model file."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnn import arrays, backends, losses, optimizers, random, tables, text
from xpnn.cli.options import Options
from xpnn.cli.output import discard, say
from xpnn.cli.parts import Parts, build
from xpnn.cli.report import outcome, plan
from xpnn.cli.using import refuse_to_overwrite, score, targets
from xpnn.errors import BackendError, InputError, TrainingDiverged, TrainingInterrupted, XpnnError
from xpnn.files import atomic, tensors
from xpnn.losses import CategoricalCrossentropy, Hinge, KullbackLeibler, Loss, Poisson, Quantile
from xpnn.model import Model
from xpnn.tables import Schema
from xpnn.training.callbacks import Callback, Training
from xpnn.training.fastest import Choice, choose
from xpnn.training.fit import fit
from xpnn.training.progress import Progress

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

_RATES = (0.1, 0.01, 0.001, 0.0001)  # of sgd, unless one is asked for: in this order until the loss stays finite;
_RATES_OF_REGRESSION = _RATES[1:]  # squared errors have no bound, so neither have their gradients


@dataclass(frozen=True)
class _Data:
    """The rows to train on, and those to score on, as host arrays."""

    x: NDArray[np.float32]
    y: NDArray[Any]
    x_check: NDArray[np.float32]
    y_check: NDArray[Any]
    schema: Schema
    row_numbers: list[str]
    weights: NDArray[np.float32] | None = None


def train(options: Options) -> int:
    """Train and write the model; the exit code is 0, or 130 after Ctrl-C."""
    _check_destinations(options)
    data = _read(options)
    parts = build(options, data.schema, _loss(options, data.schema), len(data.x))
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
            epochs = len(stop.model.history["loss"])
            kept = "nothing was saved"
            if epochs:
                _save(stop.model, used, data)
                kept = f"{options.out} holds the last good model, that of epoch {epochs}"
            raise InputError(
                f"the loss became NaN or infinite in epoch {stop.epoch}; {kept}. Use a smaller --learning-rate."
            ) from stop
        model = _save(model, used, data)
        if not options.quiet:
            say(outcome(model, options, callbacks))
        return 0
    raise AssertionError("the last rate returns or raises")


def _check_destinations(options: Options) -> None:
    """Raise `InputError` if a file could not be written, or would replace what is read or another."""
    refuse_to_overwrite(options.out, data=options.data)
    tensors.check_writable(options.out)
    if options.history is not None:
        refuse_to_overwrite(options.history, option="--history", data=options.data)
        if options.history.resolve() == options.out.resolve():
            raise InputError(f"--history and --out are the same file {options.out}: choose another name for one.")
        try:
            atomic.check_writable(options.history)
        except OSError as error:
            raise InputError(f"cannot write --history {options.history}: {error.strerror or error}.") from error


def _read(options: Options) -> _Data:
    if options.tol is not None and math.isnan(options.tol):
        raise InputError("--tol must be a number, got nan.")
    if not 0 <= options.validation < 1:
        raise InputError(f"--validation must be at least 0 and under 1, got {options.validation}.")
    table = tables.read(options.data)
    for name in options.targets:
        if name not in table.columns:
            parts = [part.strip() for part in name.split(",")]
            several = len(parts) > 1 and all(part in table.columns for part in parts)
            hint = f" For several give --target {' --target '.join(parts)}." if several else ""
            raise InputError(f"{options.data}: {tables.no_column(name, table.columns)}{hint}")
    if len(set(options.targets)) < len(options.targets):
        raise InputError(f"--target names a column twice: {', '.join(options.targets)}.")
    if table.height < 2:
        raise InputError(f"{options.data} has 1 row: at least 2 are needed to learn from a table.")
    targets = list(options.targets)
    task = tables.infer_task(table, targets) if options.task == "auto" else options.task
    if task in ("binary", "multiclass"):
        table = tables.as_written(options.data, table, targets)
    weights, ignore = _weights(options, table), options.ignore
    if options.sample_weight:
        ignore = (*ignore, options.sample_weight)
    whole = tables.make_schema(table, table, targets, task, ignore)
    y = whole.outputs(table)
    rows, held = random.split(
        y.reshape(len(y), -1)[:, 0],
        options.validation,
        random.generator(options.seed, "split"),
        classes=task in ("binary", "multiclass"),
    )
    if options.validation and not len(held):
        raise InputError(f"--validation {options.validation} of {table.height} rows is no row: use more, or 0.")
    if not len(rows):
        raise InputError(
            f"--validation {options.validation} of {table.height} rows leaves none to train on: use less."
        )
    part, check = table[rows], table[held]
    schema = tables.make_schema(table, part, targets, task, ignore)
    x = schema.features(part)[0]
    x_check = schema.features(check)[0] if len(held) else x[:0]
    y_check = schema.outputs(check) if len(held) else y[:0]
    row_numbers = tables.row_numbers(table, schema)
    if options.sample_weight:
        why = {options.sample_weight: "the weights of the rows"}
        schema = dataclasses.replace(schema, ignored={**schema.ignored, **why})
    weights = None if weights is None else weights[rows]
    return _Data(x, schema.outputs(part), x_check, y_check, schema, row_numbers, weights)


def _weights(options: Options, table: pl.DataFrame) -> NDArray[np.float32] | None:
    """The weight of each row, from the column of --sample-weight."""
    name = options.sample_weight
    if name is None:
        return None
    if name not in table.columns:
        raise InputError(f"--sample-weight: {tables.no_column(name, table.columns)}")
    if name in (*options.targets, *options.ignore):
        other = "--target" if name in options.targets else "--ignore"
        raise InputError(f"--sample-weight and {other} name the same column {name!r}: leave one of them out.")
    return tables.weights(table[name])


def _loss(options: Options, schema: Schema) -> Loss:
    usual = {"multiclass": "categorical_crossentropy", "regression": "mse"}.get(schema.task, "binary_crossentropy")
    loss = losses.get(options.loss or usual)
    if isinstance(loss, Hinge | Poisson):
        raise InputError(
            f"--loss {options.loss} does not go with tables, which are learned with one probability per class or one "
            f"standardised number per target: use {usual}, or xpnn.fit in Python."
        )
    if isinstance(loss, CategoricalCrossentropy | KullbackLeibler) and schema.task != "multiclass":
        raise InputError(f"--loss {options.loss} needs several classes, but the task is {schema.task}: use {usual}.")
    if isinstance(loss, Quantile) and schema.task != "regression":
        raise InputError(f"--loss {options.loss} is for numbers, but the task is {schema.task}: use {usual}.")
    if schema.task == "regression" and loss.domain != Loss.domain:
        raise InputError(f"--loss {options.loss} is for classes, but the task is regression: use {usual}.")
    return loss


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


def _choose(options: Options, parts: Parts, optimizer: optimizers.Optimizer, data: _Data) -> Choice:
    if options.backend != "auto":
        return Choice(options.backend, backends.usable_device(options.backend, options.device), "as asked")
    size, steps = parts.batch, options.epochs * parts.per_epoch
    y = targets(data.y, parts.loss, data.schema)
    if isinstance(optimizer, optimizers.LBFGS):
        optimizer = optimizers.SGD()  # what a gradient takes is what an iteration takes, but for the line search
    return choose(parts.network, parts.loss, optimizer, data.x[:size], y[:size], steps=steps, device=options.device)


def _fit(
    rate: float | None, options: Options, parts: Parts, choice: Choice, data: _Data, callbacks: list[Callback]
) -> Model:
    """Train with one learning rate, where it was chosen to."""
    backend = backends.get(choice.backend, choice.device)
    xp, device = backend.namespace(), backend.device(choice.device)

    def there(host: NDArray[Any]) -> Any:
        return arrays.from_host(host, xp, device=device)

    x, y = there(data.x), there(targets(data.y, parts.loss, data.schema))
    check = None
    if len(data.x_check):
        check = there(data.x_check), there(targets(data.y_check, parts.loss, data.schema))
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
            sample_weight=None if data.weights is None else there(data.weights),
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
        where = f"{choice.backend} on {choice.device}"
        raise BackendError(f"{where} failed: {backends.first_line(error)}") from error


class _Shown(Progress):
    """Goes on when nobody looks any more: that is no reason to lose the training."""

    def epoch_end(self, training: Training) -> None:
        try:
            super().epoch_end(training)
        except BrokenPipeError:
            discard(sys.stderr)


def _save(model: Model, options: Options, data: _Data) -> Model:
    """Write the model, on the host, with its schema, its options and its validation score."""
    model = model.to("numpy")
    metadata: dict[str, Any] = {"table": data.schema.to_json(), "options": options.to_json()}
    with contextlib.suppress(KeyboardInterrupt):  # the score may be lost, the model not
        if len(data.x_check):
            scores = score(model, data.schema, data.x_check, data.y_check)
            scores += _metrics(model, options, data)
            figures = ", ".join(f"{name} {value}" for name, value in scores)
            metadata["validation"] = f"{figures} ({text.count(len(data.x_check), 'row')})"
    model = dataclasses.replace(model, metadata=metadata)
    model.save(options.out)
    return model


def _metrics(model: Model, options: Options, data: _Data) -> list[tuple[str, str]]:
    """What --metrics asks for, over the rows held out, as rows of name and value."""
    scores = model.evaluate(data.x_check, targets(data.y_check, model.loss, data.schema), metrics=options.metrics)
    of = " (of standardised targets)" if data.schema.task == "regression" else ""
    return [
        (name + ("" if name == "r2" else of), f"{scores[name]:.4g}") for name in options.metrics if name != "accuracy"
    ]
