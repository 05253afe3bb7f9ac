"""Options that contradict each other, found before the first step; each message names both sides."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from xpnn import metrics as scoring
from xpnn import optimizers, text
from xpnn.cli.options import Options, named
from xpnn.errors import InputError
from xpnn.registry import unknown

if TYPE_CHECKING:
    from xpnn.cli.parts import Parts


def check(options: Options, parts: Parts) -> None:
    """Raise `InputError` if two options do not go together."""
    _batches(options, parts)
    _gradients(options)
    _lbfgs(options, parts)
    _early_stopping(options)
    _validation(options, parts)


def _batches(options: Options, parts: Parts) -> None:
    least = max(layer.least_batch for layer in parts.network.layers)
    if parts.batch < least:
        raise InputError(
            f"--normalize batch needs {least} rows or more in a step, but --batch-size {parts.batch_size} of "
            f"{text.count(parts.rows, 'row')} makes it {parts.batch}: use more, or --normalize layer."
        )


def _gradients(options: Options) -> None:
    """Raise `InputError` if gradients are to be changed in two ways at once."""
    clipping = {"--clip-norm": options.clip_norm, "--clip-value": options.clip_value}
    given = {option: value for option, value in clipping.items() if value is not None}
    for option, value in given.items():
        if not 0 < value < math.inf:
            raise InputError(f"{option} must be a number > 0, got {value:g}.")
    if len(given) == 2:
        raise InputError("--clip-norm and --clip-value are both given: leave out one.")
    usual = getattr(optimizers.get(options.optimizer), "weight_decay", 0.0)
    decay = options.hyperparameters.get("weight_decay", usual)
    if options.l2 is not None and decay:
        asked = "" if "weight_decay" in options.hyperparameters else f" (the default of {options.optimizer})"
        raise InputError(
            f"--l2 {options.l2:g} and --weight-decay {decay:g}{asked} both pull the weights towards 0: leave --l2 "
            "out, or give --weight-decay 0."
        )


def _lbfgs(options: Options, parts: Parts) -> None:
    """Raise `InputError` if L-BFGS is to do what other optimizers do."""
    if options.optimizer != "lbfgs":
        return
    rate = {"--learning-rate": options.learning_rate, "--schedule": options.schedule, "--warmup": options.warmup}
    for option, value in rate.items():
        if value is not None:
            raise InputError(f"{option} {value}: lbfgs has no learning rate: leave it out.")
    if options.batch_size and parts.per_epoch > 1:
        raise InputError(
            f"--optimizer lbfgs takes all rows at once, but --batch-size is {options.batch_size}: leave it out."
        )
    for option, value in (("--clip-norm", options.clip_norm), ("--clip-value", options.clip_value)):
        if value is not None:
            raise InputError(f"--optimizer lbfgs needs gradients as they are: leave out {option}.")
    if any(options.dropout):
        raise InputError("--optimizer lbfgs needs one loss for the same parameters: leave out --dropout.")
    if options.normalize == "batch":
        raise InputError(
            "--optimizer lbfgs does not go with --normalize batch: use --normalize layer, or another optimizer."
        )


def _early_stopping(options: Options) -> None:
    """Raise `InputError` if something is said of early stopping and it is not asked for."""
    given = {"--monitor": options.monitor, "--patience": options.patience, "--min-change": options.min_change}
    for option, value in given.items():
        if value is not None and not options.early_stopping:
            raise InputError(f"{option} {value} is of --early-stopping, which is not given: add it, or leave it out.")


def _validation(options: Options, parts: Parts) -> None:
    """Raise `InputError` if something is to be watched that is not recorded."""
    if options.metrics:
        output = scoring.output_of(parts.network.output_activation, parts.loss)
        named("--metrics", scoring.asked)(options.metrics, output, parts.loss.columns(parts.network.shapes[-1][0]))
        if not options.validation:
            raise InputError(
                f"--metrics {','.join(options.metrics)} are of the rows held out, but --validation 0 holds out none: "
                "give it a share, or leave --metrics out."
            )
    monitor = options.monitor or "validation_loss"
    if options.early_stopping and monitor != "loss":
        if not options.validation:
            raise InputError(
                f"--early-stopping watches {monitor}, but --validation 0 holds no rows out: give it a share, or "
                "--monitor loss."
            )
        recorded = ["loss", "validation_loss", *(f"validation_{name}" for name in options.metrics)]
        if monitor not in recorded:
            metric = monitor.removeprefix("validation_")
            hint = f" Add --metrics {metric}." if metric in scoring.NAMES and metric not in options.metrics else ""
            raise InputError(f"--monitor: {unknown('name', monitor, recorded)}{hint}")
