"""``xpnn train``: from a table to a model file."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnn import arrays, backends, losses, optimizers, random, tables, text
from xpnn.cli.output import discard, say
from xpnn.cli.using import refuse_to_overwrite, score, targets
from xpnn.errors import BackendError, InputError, TrainingDiverged, TrainingInterrupted, XpnnError
from xpnn.files import tensors
from xpnn.losses import CategoricalCrossentropy, Hinge, KullbackLeibler, Loss, Poisson, Quantile
from xpnn.model import Model
from xpnn.network import Sequential, mlp
from xpnn.tables import Schema
from xpnn.training.callbacks import Training
from xpnn.training.fastest import Choice, choose
from xpnn.training.fit import fit
from xpnn.training.progress import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OUTPUT = {"binary": "sigmoid", "multilabel": "sigmoid", "multiclass": "softmax", "regression": "linear"}
_RATES = (0.1, 0.01, 0.001, 0.0001)  # of sgd, unless one is asked for: in this order until the loss stays finite;
_RATES_OF_REGRESSION = _RATES[1:]  # squared errors have no bound, so neither have their gradients


@dataclass(frozen=True)
class Options:
    """The options of the command, by their names there."""

    data: Path
    targets: tuple[str, ...]
    out: Path
    hidden: list[int]
    activation: list[str]
    task: str
    loss: str | None
    optimizer: str
    learning_rate: float | None
    epochs: int
    batch_size: int
    tol: float | None
    validation: float
    ignore: tuple[str, ...]
    seed: int
    backend: str
    device: str | None
    quiet: bool

    def to_json(self) -> dict[str, Any]:
        """The options that shape the model, for its file."""
        return {k: v for k, v in dataclasses.asdict(self).items() if k not in ("data", "out", "quiet")}


@dataclass(frozen=True)
class _Data:
    """The rows to train on, and those to score on, as host arrays."""

    x: NDArray[np.float32]
    y: NDArray[Any]
    x_check: NDArray[np.float32]
    y_check: NDArray[Any]
    schema: Schema
    row_numbers: list[str]


def train(options: Options) -> int:
    """Train and write the model; the exit code is 0, or 130 after Ctrl-C."""
    refuse_to_overwrite(options.out, data=options.data)
    tensors.check_writable(options.out)
    data = _read(options)
    network, loss = _network(options, data.schema), _loss(options, data.schema)
    rates = _rates(options, data.schema)
    optimizer = _optimizer(options, rates[0])
    choice = _choose(options, network, loss, optimizer, data)
    if not options.quiet:
        say(_plan(options, data, network, choice))
    try:
        model = _fit_at(rates, options, network, loss, choice, data)
    except TrainingInterrupted as stop:
        if stop.epoch == 0:
            say("xpnn: interrupted in the first epoch; nothing was saved", sys.stderr)
            return 130
        _save(stop.model, options, data)
        say(f"xpnn: interrupted; {options.out} holds the model as of epoch {stop.epoch}", sys.stderr)
        return 130
    except TrainingDiverged as stop:
        epochs = len(stop.model.history["loss"])
        kept = "nothing was saved"
        if epochs:
            _save(stop.model, options, data)
            kept = f"{options.out} holds the last good model, that of epoch {epochs}"
        raise InputError(
            f"the loss became NaN or infinite in epoch {stop.epoch}; {kept}. Use a smaller --learning-rate."
        ) from stop
    model = _save(model, options, data)
    if not options.quiet:
        say(_outcome(model, options))
    return 0


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
    whole = tables.make_schema(table, table, targets, task, options.ignore)
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
    schema = tables.make_schema(table, part, targets, task, options.ignore)
    x = schema.features(part)[0]
    x_check = schema.features(check)[0] if len(held) else x[:0]
    y_check = schema.outputs(check) if len(held) else y[:0]
    return _Data(x, schema.outputs(part), x_check, y_check, schema, tables.row_numbers(table, schema))


def _network(options: Options, schema: Schema) -> Sequential:
    sizes = [schema.n_features, *options.hidden, schema.n_outputs]
    each = options.activation * len(options.hidden) if len(options.activation) == 1 else options.activation
    if len(each) != len(options.hidden):
        raise InputError(
            f"--activation gives {len(each)} for the {text.count(len(options.hidden), 'hidden layer')} of --hidden: "
            "give one, or one each."
        )
    return mlp(sizes, hidden=each, output=_OUTPUT[schema.task])


def _loss(options: Options, schema: Schema) -> Loss:
    usual = {"multiclass": "categorical_crossentropy", "regression": "mse"}.get(schema.task, "binary_crossentropy")
    loss = losses.get(options.loss or usual)
    if isinstance(loss, Hinge | Poisson | Quantile):
        raise InputError(
            f"--loss {options.loss} does not go with tables, which are learned with one probability per class or one "
            f"standardised number per target: use {usual}, or xpnn.fit in Python."
        )
    if isinstance(loss, CategoricalCrossentropy | KullbackLeibler) and schema.task != "multiclass":
        raise InputError(f"--loss {options.loss} needs several classes, but the task is {schema.task}: use {usual}.")
    if schema.task == "regression" and loss.domain != Loss.domain:
        raise InputError(f"--loss {options.loss} is for classes, but the task is regression: use {usual}.")
    return loss


def _optimizer(options: Options, rate: float) -> optimizers.Optimizer:
    return dataclasses.replace(optimizers.get(options.optimizer), learning_rate=rate)  # type: ignore[call-arg]


def _rates(options: Options, schema: Schema) -> tuple[float, ...]:
    """The learning rates to try, one after the other."""
    if options.learning_rate is not None:
        return (options.learning_rate,)
    if isinstance(optimizer := optimizers.get(options.optimizer), optimizers.SGD):
        return _RATES_OF_REGRESSION if schema.task == "regression" else _RATES
    usual = optimizer.rate(0)
    return usual, usual / 10, usual / 100


def _choose(
    options: Options, network: Sequential, loss: Loss, optimizer: optimizers.Optimizer, data: _Data
) -> Choice:
    if options.backend != "auto":
        return Choice(options.backend, backends.usable_device(options.backend, options.device), "as asked")
    size = min(options.batch_size or len(data.x), len(data.x))
    steps = options.epochs * math.ceil(len(data.x) / size)
    y = targets(data.y, loss, data.schema)
    return choose(network, loss, optimizer, data.x[:size], y[:size], steps=steps, device=options.device)


def _fit_at(
    rates: tuple[float, ...], options: Options, network: Sequential, loss: Loss, choice: Choice, data: _Data
) -> Model:
    """Train with the first learning rate under which the loss stays finite; the last one's error is raised."""
    backend = backends.get(choice.backend, choice.device)
    xp, device = backend.namespace(), backend.device(choice.device)

    def there(host: NDArray[Any]) -> Any:
        return arrays.from_host(host, xp, device=device)

    x, y = there(data.x), there(targets(data.y, loss, data.schema))
    check = None
    if len(data.x_check):
        check = there(data.x_check), there(targets(data.y_check, loss, data.schema))
    for rate in rates:
        try:
            return fit(
                network,
                x,
                y,
                loss=loss,
                optimizer=_optimizer(options, rate),
                epochs=options.epochs,
                batch_size=options.batch_size or None,
                tol=options.tol,
                seed=options.seed,
                validation_data=check,
                labels=data.schema.classes,
                callbacks=[] if options.quiet else [_Shown()],
            )
        except XpnnError as error:
            if not isinstance(error, TrainingDiverged) or rate == rates[-1]:
                raise
            if not options.quiet:
                say(f"the loss diverged with learning rate {rate:g}; trying a tenth of it")
        except RuntimeError as error:  # what GPU libraries raise when memory runs out or a kernel fails
            where = f"{choice.backend} on {choice.device}"
            raise BackendError(f"{where} failed: {backends.first_line(error)}") from error
    raise AssertionError("the last rate returns or raises")


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
            figures = ", ".join(f"{name} {value}" for name, value in scores)
            metadata["validation"] = f"{figures} ({text.count(len(data.x_check), 'row')})"
    model = dataclasses.replace(model, metadata=metadata)
    model.save(options.out)
    return model


def _plan(options: Options, data: _Data, network: Sequential, choice: Choice) -> str:
    schema, rows = data.schema, text.count(len(data.x), "row")
    what = text.count(len(schema.classes), "class") if schema.classes else text.count(len(schema.targets), "target")
    inferred = " (--task to change)" if options.task == "auto" else ""
    features = text.count(schema.n_features, "feature")
    return text.columns(
        [
            ("data", f"{rows} to train on, {len(data.x_check):,} to validate; {features}"),
            ("task", f"{schema.task}, {what}{inferred}"),
            ("network", f"{network.name}, {text.count(network.n_parameters, 'parameter')}"),
            ("backend", f"{choice.backend} on {choice.device} ({choice.reason})"),
            *(("not used", f"column {name!r}: {why}") for name, why in schema.ignored.items()),
            *(
                (
                    "note",
                    f"column {name!r} is a different whole number in every row: --ignore it if it only names them",
                )
                for name in data.row_numbers
            ),
        ]
    )


def _outcome(model: Model, options: Options) -> str:
    losses, checks = model.history["loss"], model.history.get("validation_loss", [])
    ended = {"tol": " (the loss is at or under --tol)"}.get(model.stopped, "")
    rows = [("trained", f"{text.count(len(losses), 'epoch')}{ended}, loss {losses[-1]:.4g}")]
    if checks:
        rows.append(("validation", str(model.metadata.get("validation", "interrupted"))))
        best = min(checks)
        if best < 0.95 * checks[-1]:
            epoch = checks.index(best) + 1
            rows.append(
                (
                    "note",
                    f"the validation loss was least after epoch {epoch} ({best:.4g}, at the end {checks[-1]:.4g}): "
                    f"--epochs {epoch} may do better",
                )
            )
    rows.append(("model", str(options.out)))
    return text.columns(rows)
