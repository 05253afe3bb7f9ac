"""``xpnn train``: from a table to a model file."""

from __future__ import annotations

import dataclasses
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpnn import backends, optimizers, text
from xpnn.cli.data import OUTPUT, Data, loss_of, read, save
from xpnn.cli.output import discard, say
from xpnn.cli.using import refuse_to_overwrite, targets
from xpnn.errors import BackendError, InputError, TrainingDiverged, TrainingInterrupted, XpnnError
from xpnn.files import tensors
from xpnn.losses import Loss
from xpnn.model import Model
from xpnn.network import Sequential, mlp
from xpnn.tables import Schema
from xpnn.training.callbacks import Training
from xpnn.training.fastest import Choice, choose
from xpnn.training.fit import fit
from xpnn.training.progress import Progress

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


def train(options: Options) -> int:
    """Train and write the model; the exit code is 0, or 130 after Ctrl-C."""
    refuse_to_overwrite(options.out, data=options.data)
    tensors.check_writable(options.out)
    data = _read(options)
    network, loss = _network(options, data.schema), loss_of(options.loss, data.schema)
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
    )


def _network(options: Options, schema: Schema) -> Sequential:
    sizes = [schema.n_features, *options.hidden, schema.n_outputs]
    each = options.activation * len(options.hidden) if len(options.activation) == 1 else options.activation
    if len(each) != len(options.hidden):
        raise InputError(
            f"--activation gives {len(each)} for the {text.count(len(options.hidden), 'hidden layer')} of --hidden: "
            "give one, or one each."
        )
    return mlp(sizes, hidden=each, output=OUTPUT[schema.task])


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


def _choose(options: Options, network: Sequential, loss: Loss, optimizer: optimizers.Optimizer, data: Data) -> Choice:
    if options.backend != "auto":
        return Choice(options.backend, backends.usable_device(options.backend, options.device), "as asked")
    size = min(options.batch_size or len(data.x), len(data.x))
    steps = options.epochs * math.ceil(len(data.x) / size)
    y = targets(data.y, loss, data.schema)
    return choose(network, loss, optimizer, data.x[:size], y[:size], steps=steps, device=options.device)


def _fit_at(
    rates: tuple[float, ...], options: Options, network: Sequential, loss: Loss, choice: Choice, data: Data
) -> Model:
    """Train with the first learning rate under which the loss stays finite; the last one's error is raised."""
    x, y, check = data.placed(choice, loss)
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


def _save(model: Model, options: Options, data: Data) -> Model:
    return save(model, options.out, data, options.to_json())


def _plan(options: Options, data: Data, network: Sequential, choice: Choice) -> str:
    return text.columns(
        [
            *data.rows(inferred=options.task == "auto"),
            ("network", f"{network.name}, {text.count(network.n_parameters, 'parameter')}"),
            ("backend", f"{choice.backend} on {choice.device} ({choice.reason})"),
            *data.notes(),
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
