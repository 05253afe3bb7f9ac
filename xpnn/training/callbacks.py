"""What runs after each epoch besides training itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

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
        A copy of the parameters after this epoch, on their device.
    buffers : array, shape (B,), or None
        Likewise what the layers remember without learning it.
    """

    number: int
    of: int
    history: Mapping[str, Sequence[float]] = field(repr=False)
    params: Array = field(repr=False)
    buffers: Array | None = field(default=None, repr=False)


Callback = Callable[[Epoch], bool | None]
"""Called after each epoch; a true answer ends the training."""
