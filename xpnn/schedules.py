"""Learning rates that change: α as a function of how far the training is, and of nothing that ran before.

A schedule takes the place of a number: ``Adam(learning_rate=Cosine(0.01, over=1000))``. `t` counts steps or epochs
from 0, as `unit` says. Since α follows from the number of the step (`ReduceOnPlateau`: and from the history), a
training that is taken up again needs no state of the schedule's.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real

from xpnn.errors import InputError, missing
from xpnn.registry import Registry

History = Mapping[str, Sequence[float]]
UNITS = ("step", "epoch")


@dataclass(frozen=True)
class Schedule:
    """Base of the schedules. One's own is a frozen dataclass derived from it; it must define `at`.

    It may define `length`, if it is made for so many steps or epochs, and, to follow the history, `rate`, `by_step`
    and `monitors`. A ``__post_init__`` of its own calls that of this class.

    Parameters
    ----------
    learning_rate : float
        The rate α that it starts from, > 0.
    unit : {"step", "epoch"}
        What t counts.
    """

    learning_rate: float = 0.01
    unit: str = field(default="step", kw_only=True)

    def __post_init__(self) -> None:
        self._check("learning_rate", "a number > 0", 0 < number(self.learning_rate) < math.inf)
        self._check("unit", "'step' or 'epoch'", self.unit in UNITS)

    def _check(self, name: str, expected: str, right: bool) -> None:
        if not right:
            raise InputError(f"{type(self).__name__}: {name} must be {expected}, got {getattr(self, name)!r}.")

    def at(self, t: int) -> float:
        """α after t steps or epochs, a Python float."""
        raise missing(self, "at")

    @property
    def length(self) -> int:
        """The steps or epochs that it is made for; 0 if it goes on for ever."""
        return 0

    @property
    def by_step(self) -> bool:
        """Whether the rate may change from step to step, not from epoch to epoch alone."""
        return self.unit == "step"

    @property
    def monitors(self) -> tuple[str, ...]:
        """The names in the history that it watches."""
        return ()

    def rate(self, step: int, per_epoch: int, history: History) -> float:
        """α at a step of the training, counted from 0.

        Parameters
        ----------
        step : int
        per_epoch : int
            The number of steps in an epoch.
        history : mapping of str to sequence of float
            One value per finished epoch of ``"loss"`` and of what else is watched.
        """
        return self.at(step if self.unit == "step" else step // per_epoch)


_registry = Registry("schedule", Schedule)
get = _registry.get
NAMES = _registry.classes


@_registry.register("constant")
@dataclass(frozen=True)
class Constant(Schedule):
    """Always the same:  α(t) = α."""

    def at(self, t: int) -> float:
        """α."""
        return float(self.learning_rate)


@_registry.register("step_decay")
@dataclass(frozen=True)
class StepDecay(Schedule):
    """Less by a factor at regular distances:  α(t) = α γ^⌊t / every⌋.

    Parameters
    ----------
    learning_rate : float
    every : int
        Steps or epochs from one fall to the next, ≥ 1.
    factor : float
        γ, 0 < γ ≤ 1.

    Notes
    -----
    As ``torch.optim.lr_scheduler.StepLR``.
    """

    every: int = 10
    factor: float = 0.1
    unit: str = field(default="epoch", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("every", "a whole number >= 1", whole(self.every) >= 1)
        self._check("factor", "a number above 0 and at most 1", 0 < number(self.factor) <= 1)

    def at(self, t: int) -> float:
        """α γ^⌊t / every⌋."""
        return float(self.learning_rate * self.factor ** (t // self.every))


@_registry.register("multi_step")
@dataclass(frozen=True)
class MultiStep(Schedule):
    """Less by a factor at each milestone:  α(t) = α γ^(number of milestones ≤ t).

    Parameters
    ----------
    learning_rate : float
    milestones : tuple of int
        Rising numbers of steps or epochs, each ≥ 1.
    factor : float
        γ, 0 < γ ≤ 1.

    Notes
    -----
    As ``torch.optim.lr_scheduler.MultiStepLR``.
    """

    milestones: tuple[int, ...] = (30, 60, 90)
    factor: float = 0.1
    unit: str = field(default="epoch", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        given = tuple(self.milestones) if isinstance(self.milestones, tuple | list) else ()
        rising = all(a < b for a, b in zip((0, *map(whole, given)), map(whole, given), strict=False))
        self._check("milestones", "rising whole numbers >= 1, such as (30, 60)", bool(given) and rising)
        self._check("factor", "a number above 0 and at most 1", 0 < number(self.factor) <= 1)
        object.__setattr__(self, "milestones", given)

    def at(self, t: int) -> float:
        """α γ^(number of milestones ≤ t)."""
        return float(self.learning_rate * self.factor ** bisect_right(self.milestones, t))

    @property
    def length(self) -> int:
        """Up to the last milestone."""
        return self.milestones[-1]


@_registry.register("exponential")
@dataclass(frozen=True)
class Exponential(Schedule):
    """Less by a factor each time:  α(t) = α γᵗ.

    Parameters
    ----------
    learning_rate : float
    factor : float
        γ, 0 < γ ≤ 1.

    Notes
    -----
    As ``torch.optim.lr_scheduler.ExponentialLR``.
    """

    factor: float = 0.95
    unit: str = field(default="epoch", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("factor", "a number above 0 and at most 1", 0 < number(self.factor) <= 1)

    def at(self, t: int) -> float:
        """α γᵗ."""
        return float(self.learning_rate * self.factor**t)


@_registry.register("inverse_scaling")
@dataclass(frozen=True)
class InverseScaling(Schedule):
    """α(t) = α / (t + 1)ᵖ.

    Parameters
    ----------
    learning_rate : float
    power : float
        p ≥ 0.

    Notes
    -----
    scikit-learn's ``learning_rate="invscaling"``, whose t counts samples.
    """

    power: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("power", "a number >= 0", 0 <= number(self.power) < math.inf)

    def at(self, t: int) -> float:
        """α / (t + 1)ᵖ."""
        return float(self.learning_rate / (t + 1) ** self.power)


@_registry.register("cosine")
@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a wave down:  α(t) = α_min + (α - α_min) (1 + cos(π t / over)) / 2, and α_min from there on.

    Parameters
    ----------
    learning_rate : float
    over : int
        The steps or epochs until the least rate, ≥ 1.
    minimum : float
        α_min, 0 ≤ α_min ≤ α.

    Notes
    -----
    Source: arXiv:1608.03983, without restarts; ``torch.optim.lr_scheduler.CosineAnnealingLR`` up to `over`.
    """

    over: int = 1000
    minimum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("over", "a whole number >= 1", whole(self.over) >= 1)
        self._check("minimum", "a number from 0 to learning_rate", 0 <= number(self.minimum) <= self.learning_rate)

    def at(self, t: int) -> float:
        """Half a wave, then α_min."""
        return wave(self.learning_rate, self.minimum, min(t, self.over) / self.over)

    @property
    def length(self) -> int:
        """`over`."""
        return int(self.over)


@_registry.register("cosine_restarts")
@dataclass(frozen=True)
class CosineRestarts(Schedule):
    """Half waves down, one after the other, each longer than the one before by a factor.

    Parameters
    ----------
    learning_rate : float
    first : int
        The steps or epochs of the first, ≥ 1.
    longer : int
        By how much each next is longer, ≥ 1.
    minimum : float
        The rate that each ends at.

    Notes
    -----
    Source: arXiv:1608.03983; as ``torch.optim.lr_scheduler.CosineAnnealingWarmRestarts``.
    """

    first: int = 1000
    longer: int = 1
    minimum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("first", "a whole number >= 1", whole(self.first) >= 1)
        self._check("longer", "a whole number >= 1", whole(self.longer) >= 1)
        self._check("minimum", "a number from 0 to learning_rate", 0 <= number(self.minimum) <= self.learning_rate)

    def at(self, t: int) -> float:
        """The wave that t is in."""
        length = self.first
        if self.longer == 1:
            t %= length
        while t >= length:
            t, length = t - length, length * self.longer
        return wave(self.learning_rate, self.minimum, t / length)

    @property
    def length(self) -> int:
        """The first wave."""
        return int(self.first)


@_registry.register("one_cycle")
@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up from α / `start` to α in half a wave, then down to α / `start` / `end`.

    Parameters
    ----------
    learning_rate : float
        The largest rate α.
    over : int
        The steps or epochs of the cycle, ≥ 2; then the rate stays.
    rising : float
        The share of them that goes up, 0 < rising < 1.
    start, end : float
        By how much the first rate is below α, and the last one below the first; ≥ 1.

    Notes
    -----
    Source: arXiv:1708.07120; as ``torch.optim.lr_scheduler.OneCycleLR``, without its change of the momentum.
    """

    over: int = 1000
    rising: float = 0.3
    start: float = 25.0
    end: float = 1e4

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("over", "a whole number >= 2", whole(self.over) >= 2)
        self._check("rising", "a number above 0 and below 1", 0 < number(self.rising) < 1)
        for name in ("start", "end"):
            self._check(name, "a number >= 1", 1 <= number(getattr(self, name)) < math.inf)

    def at(self, t: int) -> float:
        """Up, then down."""
        first = self.learning_rate / self.start
        top, last = self.rising * self.over - 1, self.over - 1
        t = min(t, last)
        if t <= top:
            return wave(first, self.learning_rate, t / top)
        return wave(self.learning_rate, first / self.end, (t - top) / (last - top))

    @property
    def length(self) -> int:
        """`over`."""
        return int(self.over)


@_registry.register("warmup")
@dataclass(frozen=True)
class Warmup(Schedule):
    """A straight rise to where another schedule begins:  α(t) = α₀ + (α - α₀) t / over for t < over, then the other.

    Parameters
    ----------
    learning_rate : float or Schedule
        What follows; its t counts from there.
    over : int
        The steps or epochs of the rise, ≥ 1.
    start : float
        The share of the rate α that the rise begins at: α₀ = start · α, 0 ≤ start ≤ 1.

    Notes
    -----
    The rise is that of ``torch.optim.lr_scheduler.LinearLR``.
    """

    learning_rate: float | Schedule = 0.01  # type: ignore[assignment]
    over: int = 100
    start: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.learning_rate, Schedule):
            super().__post_init__()
        self._check("unit", "'step' or 'epoch'", self.unit in UNITS)
        self._check("over", "a whole number >= 1", whole(self.over) >= 1)
        self._check("start", "a number from 0 to 1", 0 <= number(self.start) <= 1)

    @property
    def then(self) -> Schedule:
        """What follows."""
        return self.learning_rate if isinstance(self.learning_rate, Schedule) else Constant(self.learning_rate)

    def rate(self, step: int, per_epoch: int, history: History) -> float:
        """α on the rise, or of what follows."""
        t = step if self.unit == "step" else step // per_epoch
        if t >= self.over:
            rise = self.over if self.unit == "step" else self.over * per_epoch
            return self.then.rate(step - rise, per_epoch, history)
        target = self.then.rate(0, per_epoch, {})
        return target * (self.start + (1 - self.start) * t / self.over)

    @property
    def by_step(self) -> bool:
        """Of the rise, or of what follows."""
        return self.unit == "step" or self.then.by_step

    @property
    def monitors(self) -> tuple[str, ...]:
        """Those of what follows."""
        return self.then.monitors

    @property
    def length(self) -> int:
        """The rise, and what follows if it counts in the same unit."""
        return int(self.over) + (self.then.length if self.then.unit == self.unit else 0)


@_registry.register("reduce_on_plateau")
@dataclass(frozen=True)
class ReduceOnPlateau(Schedule):
    """Less by a factor when what is watched has not become better for a while.

    Parameters
    ----------
    learning_rate : float
    monitor : str
        What is watched: a name in the history, where smaller is better: ``"loss"``, ``"validation_loss"``.
    factor : float
        0 < factor < 1.
    patience : int
        The epochs without an improvement that are let pass, ≥ 0.
    threshold : float
        By which share of the best value so far a smaller one must lie below it to count, ≥ 0.
    cooldown : int
        The epochs after a fall in which nothing is counted, ≥ 0.
    minimum : float
        The rate does not fall below it.

    Notes
    -----
    As ``torch.optim.lr_scheduler.ReduceLROnPlateau``.
    """

    monitor: str = "loss"
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    cooldown: int = 0
    minimum: float = 0.0
    unit: str = field(default="epoch", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("unit", "'epoch'", self.unit == "epoch")
        self._check("factor", "a number above 0 and below 1", 0 < number(self.factor) < 1)
        for name in ("patience", "cooldown"):
            self._check(name, "a whole number >= 0", whole(getattr(self, name)) >= 0)
        self._check("threshold", "a number >= 0", 0 <= number(self.threshold) < math.inf)
        self._check("minimum", "a number from 0 to learning_rate", 0 <= number(self.minimum) <= self.learning_rate)

    @property
    def monitors(self) -> tuple[str, ...]:
        """`monitor`."""
        return (self.monitor,)

    def rate(self, step: int, per_epoch: int, history: History) -> float:
        """α after the falls that the values so far have brought."""
        rate, best, bad, cooling = float(self.learning_rate), math.inf, 0, 0
        for value in history.get(self.monitor, ()):
            if value < best - self.threshold * abs(best) if best < math.inf else value < best:
                best, bad = value, 0
            else:
                bad += 1
            if cooling:
                cooling, bad = cooling - 1, 0
            if bad > self.patience:
                rate, bad, cooling = max(rate * self.factor, float(self.minimum)), 0, self.cooldown
        return rate


def wave(one: float, other: float, share: float) -> float:
    """Half a cosine wave from one number to the other."""
    return other + (one - other) * (1 + math.cos(math.pi * share)) / 2


def number(value: object) -> float:
    """The value as a number, NaN if it is none: NaN fails every comparison."""
    return float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan


def whole(value: object) -> int:
    """The value as a whole number, -1 if it is none."""
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else -1
