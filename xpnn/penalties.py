"""What large weights cost: terms that are added to J, and their share of the gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar

from xpnn.errors import InputError, missing
from xpnn.registry import Registry
from xpnn.typing import Array, Namespace


@dataclass(frozen=True)
class Penalty:
    """Base of the penalties: a strength, and what each weight costs. One's own is a frozen dataclass derived from it.

    It must define `value` and `derivative`, by functions of xp and operators alone; neither has λ in it. Like an
    activation it does not look at the numbers in arrays nor write into them, and keeps the dtype, library and device
    of the weights. A ``__post_init__`` of its own calls that of this class. `xpnn.testing.check_penalty` tries all of
    it.

    Its formulas may depend on its fields and the arguments alone: whatever else they look up is read once and kept
    with the compiled step.

    Parameters
    ----------
    strength : float
        λ > 0.
    biases : bool
        Whether vectors (biases, and what normalisation scales and shifts by) are penalised as well as matrices.
    per_sample : bool
        Whether λ is divided by the number of samples in the batch, or by what they weigh together, as scikit-learn's
        `alpha` is: the more there are, the less the penalty says.

    Attributes
    ----------
    elementwise : bool
        Whether each weight's derivative follows from that weight alone, and is finite for all: it is then asked for
        all parameters at once, which is faster, and counts where the penalty holds. Else array by array.

    Raises
    ------
    InputError
        If the strength is not above 0.
    """

    elementwise: ClassVar[bool] = False

    strength: float
    biases: bool = False
    per_sample: bool = False

    def __post_init__(self) -> None:
        strength = self.strength
        if isinstance(strength, bool) or not isinstance(strength, Real) or not 0 < float(strength) < math.inf:
            raise InputError(f"{type(self).__name__}: strength must be a number > 0, got {strength!r}.")
        object.__setattr__(self, "strength", float(strength))  # NumPy's numbers would decide on dtypes

    def holds(self, shape: tuple[int, ...]) -> bool:
        """Whether parameters of that shape are penalised."""
        return self.biases or len(shape) > 1

    def value(self, w: Array, *, xp: Namespace) -> Array:
        """What weights w, (m,), cost together when λ = 1, as an array of shape ()."""
        raise missing(self, "value")

    def derivative(self, w: Array, *, xp: Namespace) -> Array:
        """The derivative of that with respect to each weight, (m,)."""
        raise missing(self, "derivative")


_registry = Registry("penalty", Penalty)
NAMES = _registry.classes


def several(penalty: Penalty | Sequence[Penalty]) -> tuple[Penalty, ...]:
    """One penalty or several as a tuple.

    Raises
    ------
    InputError
        If it is something else.
    """
    each = tuple(penalty) if isinstance(penalty, list | tuple) else (penalty,)
    if not all(isinstance(one, Penalty) for one in each):
        raise InputError(f"penalty must be one such as L2(0.001), or a list of them, got {penalty!r}.")
    return each


@_registry.register("l1")
@dataclass(frozen=True)
class L1(Penalty):
    """The sum of absolute values:  J + λ Σ |w|; it makes many weights nearly vanish.

    Parameters
    ----------
    strength, biases, per_sample
        As `Penalty`'s.
    """

    elementwise = True

    def value(self, w: Array, *, xp: Namespace) -> Array:
        """Σ |w|."""
        return xp.sum(xp.abs(w))

    def derivative(self, w: Array, *, xp: Namespace) -> Array:
        """The sign of each; 0 where w is 0."""
        return xp.sign(w)


@_registry.register("l2")
@dataclass(frozen=True)
class L2(Penalty):
    """Half the sum of squares:  J + λ/2 Σ w²; it keeps weights small.

    Without momentum or moments that is what an optimizer's ``weight_decay=λ`` does to the weights; `AdamW` takes
    them back by a share of their own instead.

    Parameters
    ----------
    strength, biases, per_sample
        As `Penalty`'s.
    """

    elementwise = True

    def value(self, w: Array, *, xp: Namespace) -> Array:
        """½ Σ w²."""
        return 0.5 * xp.vecdot(w, w)

    def derivative(self, w: Array, *, xp: Namespace) -> Array:
        """The weight itself."""
        return w
