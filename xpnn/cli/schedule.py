"""``--schedule`` and ``--warmup``: how the learning rate changes, with lengths in epochs."""

from __future__ import annotations

import inspect
import math
from typing import Any

from xpnn import schedules, text
from xpnn.cli.options import Options
from xpnn.errors import InputError
from xpnn.registry import unknown
from xpnn.schedules import OneCycle, Schedule, Warmup

_LENGTHS = ("over", "first")  # of those that change at every step


def learning_rate(options: Options, rate: float, per_epoch: int) -> float | Schedule:
    """The rate itself, or the schedule that begins with it or leads to it.

    Parameters
    ----------
    options : Options
    rate : float
    per_epoch : int
        The steps in an epoch.

    Raises
    ------
    InputError
        If the schedule is unknown, does not take what is given, or is longer than the training.
    """
    if options.schedule is None and options.warmup is None:
        return rate
    if options.warmup is not None and not math.isfinite(options.warmup):
        raise InputError(f"--warmup must be a number > 0, got {options.warmup:g}.")
    rise = max(1, round(options.warmup * per_epoch)) if options.warmup else 0
    then = rate if options.schedule is None else _schedule(options, rate, per_epoch, rise)
    whole = Warmup(then, over=rise) if rise else then
    assert isinstance(whole, Schedule)
    _check(options, whole, then, rise, per_epoch)
    return whole


def _schedule(options: Options, rate: float, per_epoch: int, rise: int) -> Schedule:
    assert options.schedule is not None
    name, _, rest = options.schedule.partition(":")
    cls = _class(name)
    known = [name for name in inspect.signature(cls).parameters if name != "learning_rate"]
    given = _given(options.schedule, rest)
    for key in given:
        if key == "learning_rate":
            raise InputError(f"--schedule {options.schedule}: give the rate as --learning-rate.")
        if key not in known:
            raise InputError(f"--schedule {options.schedule}: {unknown('number', key, known)}")
    unit = given.get("unit", cls(rate).unit)
    left = options.epochs * per_epoch - rise if unit == "step" else options.epochs - math.ceil(rise / per_epoch)
    for length in _LENGTHS:
        if length in known and length not in given:
            if left < (2 if cls is OneCycle else 1):
                raise InputError(
                    f"--schedule {options.schedule} is left {text.count(max(left, 0), unit)} of --epochs "
                    f"{options.epochs}{f' by --warmup {options.warmup:g}' if rise else ''}: "
                    f"{'shorten the warm-up, or ' if rise else ''}train for longer."
                )
            given[length] = left
        elif length in given and "unit" not in given and unit == "step" and isinstance(given[length], int | float):
            given[length] = round(given[length] * per_epoch)  # said in epochs
    try:
        return cls(rate, **given)
    except InputError as error:
        message = str(error).removeprefix(f"{cls.__name__}: ").replace("such as (30, 60)", "such as milestones=30,60")
        raise InputError(f"--schedule {options.schedule}: {message}") from error


def _class(name: str) -> type[Schedule]:
    """The schedule of a name, or of how a name begins."""
    asked = name.strip().replace("-", "_")
    names = [each for each in schedules.NAMES if each != "warmup"]
    if asked in names:
        return schedules.NAMES[asked]
    begins = [each for each in names if asked and each.startswith(asked)]
    if len(begins) == 1:
        return schedules.NAMES[begins[0]]
    hint = " Warm-up is --warmup, before any other." if asked == "warmup" else ""
    raise InputError(f"--schedule: {unknown('schedule', name, names)}{hint}")


def _given(written: str, rest: str) -> dict[str, Any]:
    """``every=30,factor=0.5`` as a mapping; in ``milestones=30,60`` what has no name joins the one before."""
    lists: dict[str, list[Any]] = {}
    key = ""
    for part in filter(None, map(str.strip, rest.split(","))):
        name, equals, value = part.rpartition("=")
        if equals:
            key = name.strip().replace("-", "_")
            if key in lists:
                raise InputError(f"--schedule {written}: {key} is given twice.")
        if not key:
            raise InputError(f"--schedule {written}: write its numbers as step_decay:every=30,factor=0.5.")
        lists.setdefault(key, []).append(_value(value.strip()))
    return {
        key: tuple(values) if len(values) > 1 or key == "milestones" else values[0] for key, values in lists.items()
    }


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _check(options: Options, whole: Schedule, then: float | Schedule, rise: int, per_epoch: int) -> None:
    """Raise `InputError` if the schedule is longer than the training, or watches what is not recorded."""
    length = then.length if isinstance(then, Schedule) else 0
    epochs = length / per_epoch if isinstance(then, Schedule) and then.unit == "step" else length
    needed = epochs + rise / per_epoch
    if needed > options.epochs:
        asked = [f"--schedule {options.schedule}"] if length else []
        asked += [f"--warmup {options.warmup:g}"] if options.warmup else []
        raise InputError(
            f"{' and '.join(asked)} take{'s' * (len(asked) == 1)} {needed:.4g} epochs, but --epochs gives "
            f"{options.epochs}: shorten {'it' if len(asked) == 1 else 'them'}, or train for longer."
        )
    for name in whole.monitors:
        if name == "validation_loss" and not options.validation:
            raise InputError(
                f"--schedule {options.schedule} watches validation_loss, but --validation 0 holds no rows out: give "
                "it a share, or monitor=loss."
            )
        recorded = ["loss", *(["validation_loss"] * bool(options.validation))]
        recorded += [f"validation_{metric}" for metric in options.metrics]
        if name not in recorded:
            raise InputError(f"--schedule {options.schedule}: {unknown('monitor', name, recorded)}")
