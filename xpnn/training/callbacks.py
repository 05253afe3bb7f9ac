"""What runs after each epoch besides training itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from xpnn.typing import Array


@dataclass(frozen=True, eq=False)
class Epoch:
    """What a callback is told after an epoch; to be read, not written to.

    Attributes
    ----------
    number : int
        The epoch just finished, counted from 1.
    of : int
        How many there are at most.
    history : mapping of str to sequence of float
        One value per epoch so far: ``"loss"``, and ``"validation_loss"`` if there is validation data.
    params : array, shape (P,)
        The parameters after this epoch, on their device. Copy them to keep them: the next step may write over them.
    """

    number: int
    of: int
    history: Mapping[str, Sequence[float]]
    params: Array


Callback = Callable[[Epoch], bool | None]
"""Called after each epoch; a true answer ends the training."""
