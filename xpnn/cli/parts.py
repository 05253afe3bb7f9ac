"""From options to the parts of a training."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

from xpnn import initializers, losses, optimizers, text
from xpnn.cli import contradictions
from xpnn.cli.data import OUTPUT, outputs_of
from xpnn.cli.destinations import Record
from xpnn.cli.options import HYPERPARAMETERS, Options, flag, named
from xpnn.cli.schedule import learning_rate
from xpnn.errors import InputError
from xpnn.layers import BatchNormalization, Dense, Dropout, Layer, LayerNormalization
from xpnn.losses import BinaryCrossentropy, CategoricalCrossentropy, Huber, Loss, Quantile
from xpnn.network import Sequential
from xpnn.optimizers import Optimizer
from xpnn.penalties import L1, L2, Penalty
from xpnn.registry import unknown
from xpnn.tables import Schema
from xpnn.training.callbacks import (
    Callback,
    EarlyStopping,
    HistoryFile,
    LearningRateLogger,
    TensorBoard,
    TimeLimit,
)

T = TypeVar("T")

_NORMALIZATIONS: dict[str, type[Layer]] = {"batch": BatchNormalization, "layer": LayerNormalization}
_BATCH_SIZE = 32
_CROSSENTROPIES = (BinaryCrossentropy, CategoricalCrossentropy)


@dataclass(frozen=True)
class Parts:
    """What a training is made of besides its data.

    Attributes
    ----------
    network : Sequential
    loss : Loss
    class_weight : "balanced", mapping or None
        By the classes as the schema has them.
    options : Options
    rows : int
        To train on.
    """

    network: Sequential
    loss: Loss
    class_weight: str | dict[Any, float] | None
    options: Options
    rows: int

    @property
    def batch_size(self) -> int:
        """What --batch-size is, or is by default."""
        usual = 0 if self.options.optimizer == "lbfgs" else _BATCH_SIZE
        return usual if self.options.batch_size is None else self.options.batch_size

    @property
    def batch(self) -> int:
        """Rows in a step."""
        return min(self.batch_size or self.rows, self.rows)

    @property
    def per_epoch(self) -> int:
        """Steps in an epoch."""
        return -(-self.rows // self.batch)

    @property
    def penalty(self) -> list[Penalty]:
        """What large weights cost."""
        l1, l2 = self.options.l1, self.options.l2
        given = [(L1, "--l1", l1), (L2, "--l2", l2)]
        return [named(option, penalty)(strength) for penalty, option, strength in given if strength is not None]

    def optimizer(self, rate: float | None) -> Optimizer:
        """The optimizer with its hyperparameters, and this learning rate or its schedule, if it has one."""
        return _optimizer(self.options, rate, self.per_epoch)

    def callbacks(self) -> list[Callback]:
        """What runs after each epoch, anew."""
        return _callbacks(self.options)


def build(options: Options, schema: Schema, loss: Loss, rows: int) -> Parts:
    """The parts that the options ask for.

    Raises
    ------
    InputError
        If an option is wrong, or two contradict each other; naming them.
    """
    loss = _loss(options, schema, loss)
    network = _network(options, schema, loss)
    parts = Parts(network, loss, _class_weight(options, schema, loss), options, rows)
    _ = parts.penalty, parts.callbacks()  # say now what is wrong with them
    contradictions.check(options, parts)
    return parts


def _network(options: Options, schema: Schema, loss: Loss) -> Sequential:
    initializer = options.weight_initializer and named("--weight-initializer", initializers.get)(
        options.weight_initializer
    )
    activations = _each(options, "--activation", options.activation)
    shares = _each(options, "--dropout", options.dropout) if options.dropout else [None] * len(options.hidden)
    if options.normalize and not options.hidden:
        raise InputError(f"--normalize {options.normalize} goes after hidden layers, and --hidden names none.")
    layers: list[Layer] = []
    for units, activation, share in zip(options.hidden, activations, shares, strict=True):
        if units < 1:
            raise InputError(f"--hidden must be node counts of 1 or more, got {units}.")
        layers.append(Dense(units, activation, weight_initializer=initializer))
        if options.normalize:
            layers.append(_NORMALIZATIONS[options.normalize]())
        if share is not None:
            layers.append(named("--dropout", Dropout)(share))
    layers.append(Dense(outputs_of(loss, schema), OUTPUT[schema.task], weight_initializer=initializer))
    return Sequential(*layers, input_shape=(schema.n_features,))


def _each(options: Options, option: str, given: list[T]) -> list[T]:
    """One for each hidden layer, from one for all or one each."""
    hidden = len(options.hidden)
    each = given * hidden if len(given) == 1 else given
    if len(each) != hidden:
        raise InputError(
            f"{option} gives {len(each)} for the {text.count(hidden, 'hidden layer')} of --hidden: "
            "give one, or one each."
        )
    if option == "--dropout" and not hidden:
        raise InputError("--dropout goes after hidden layers, and --hidden names none.")
    return each


def _loss(options: Options, schema: Schema, loss: Loss) -> Loss:
    """The loss with the hyperparameters that are options."""
    of: tuple[tuple[str, str, Any, tuple[type[Loss], ...]], ...] = (
        ("--huber-delta", "delta", options.huber_delta, (Huber,)),
        ("--quantiles", "quantiles", tuple(options.quantiles) or None, (Quantile,)),
        ("--label-smoothing", "label_smoothing", options.label_smoothing, _CROSSENTROPIES),
    )
    for option, field, value, owners in of:
        if value is None:
            continue
        if not isinstance(loss, owners):
            raise InputError(
                f"{option} goes with the loss {' or '.join(map(_name, owners))}, but here it is {_name(type(loss))} "
                f"(the task is {schema.task}): leave it out, or choose another --loss."
            )
        if isinstance(loss, Quantile) and not all(a < b for a, b in pairwise((0.0, *value, 1.0))):
            raise InputError(
                "--quantiles must be shares between 0 and 1 in increasing order, such as 0.05,0.5,0.95, "
                f"got {','.join(f'{share:g}' for share in value)}."
            )
        loss = named(option, dataclasses.replace)(loss, **{field: value})
    return loss


def _name(loss: type[Loss]) -> str:
    return next(name for name, cls in losses.NAMES.items() if cls is loss)


def _class_weight(options: Options, schema: Schema, loss: Loss) -> str | dict[Any, float] | None:
    given = options.class_weight
    if given is None:
        return None
    if not schema.classes:
        raise InputError(
            f"--class-weight is for classes (binary, multiclass), but the task is {schema.task}: leave it out."
        )
    if not isinstance(loss, _CROSSENTROPIES):
        raise InputError(
            f"--class-weight goes with the cross-entropies, but --loss is {options.loss}: leave one of them out."
        )
    if isinstance(given, str):
        return given
    return _by_class(given, schema)


def _by_class(given: Mapping[str, float], schema: Schema) -> dict[Any, float]:
    """Weights by the classes' own values, from weights by their names as the table writes them."""
    names = {str(value).lower() if isinstance(value, bool) else str(value): value for value in schema.classes or []}
    for name, weight in given.items():
        if name not in names:
            raise InputError(f"--class-weight: {unknown('class', name, names)}")
        if not 0 <= weight < math.inf:
            raise InputError(f"--class-weight of {name!r} must be a number >= 0, got {weight:g}.")
    if all(given.get(name, 1.0) == 0 for name in names):
        raise InputError("--class-weight leaves every row without weight: give one of the classes more than 0.")
    return {names[name]: weight for name, weight in given.items()}


def _optimizer(options: Options, rate: float | None, per_epoch: int) -> Optimizer:
    optimizer = optimizers.get(options.optimizer)
    has = [field.name for field in dataclasses.fields(optimizer) if field.name in HYPERPARAMETERS]
    for name in options.hyperparameters:
        if name not in has:
            others = ", ".join(flag(HYPERPARAMETERS[other]) for other in has)
            raise InputError(f"{flag(HYPERPARAMETERS[name])}: {options.optimizer} has no {name}; it has: {others}.")
    replaced: Any = dataclasses.replace
    given = {**options.hyperparameters, **({} if rate is None else {"learning_rate": rate})}
    try:
        optimizer = replaced(optimizer, **given)  # a rate that is none says so before its schedule does
    except InputError as error:
        words = "|".join(map(re.escape, [*has, "learning_rate"]))
        message = re.sub(rf"\b({words})\b", lambda found: f"--{found[0].replace('_', '-')}", str(error))
        raise InputError(message.removeprefix(f"{type(optimizer).__name__}: ")) from error
    if rate is None:
        return optimizer
    return replaced(optimizer, learning_rate=learning_rate(options, rate, per_epoch))


def _callbacks(options: Options) -> list[Callback]:
    callbacks: list[Callback] = []
    if options.early_stopping:
        given = {
            "monitor": options.monitor,
            "patience": options.patience,
            "minimum_change": options.min_change,
        }
        given = {name: value for name, value in given.items() if value is not None}
        callbacks.append(named("--min-change", EarlyStopping)(**given))
    if options.time_limit is not None:
        callbacks.append(named("--time-limit", TimeLimit)(options.time_limit))
    if options.schedule is not None or options.warmup is not None:
        callbacks.append(LearningRateLogger())  # before the files: they are to have it too
    if options.tensorboard is not None:
        callbacks.append(Record("--tensorboard", options.tensorboard, TensorBoard(options.tensorboard)))
    if options.history is not None:
        writer = named(f"--history {options.history}", HistoryFile)(options.history, overwrite=True)
        callbacks.append(Record("--history", options.history, writer))
    return callbacks
