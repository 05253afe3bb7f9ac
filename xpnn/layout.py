"""Named arrays of several layers in one flat vector, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import cast

from xpnn import arrays
from xpnn.errors import InputError
from xpnn.typing import Array, Namespace

Shape = tuple[int, ...]
Named = dict[str, Array]


class Layout:
    """Where each array of each layer lies in a flat vector: one after the other, each row by row.

    Parameters
    ----------
    what : str
        What the vector is called in messages: ``"params"`` or ``"buffers"``.
    shapes : sequence of mapping
        Per layer, the shape of each array by name.
    """

    def __init__(self, what: str, shapes: Sequence[Mapping[str, Shape]]) -> None:
        self.what = what
        self.shapes = shapes

    @cached_property
    def size(self) -> int:
        """The length of the vector."""
        return sum(math.prod(shape) for named in self.shapes for shape in named.values())

    @cached_property
    def _places(self) -> list[list[tuple[str, int, int, Shape]]]:
        """Per layer: (name, start, stop, shape) of each array."""
        places, stop = [], 0
        for named in self.shapes:
            row = []
            for name, shape in named.items():
                start, stop = stop, stop + math.prod(shape)
                row.append((name, start, stop, shape))
            places.append(row)
        return places

    def unflatten(self, vector: Array, *, xp: Namespace) -> list[Named]:
        """Per layer, its arrays by name: views where the library has views.

        Raises
        ------
        InputError
            If the vector has another length.
        """
        if vector.shape != (self.size,):
            raise InputError(
                f"{self.what} must have shape ({self.size},) for this network, got {tuple(vector.shape)}: "
                "make them with network.init(seed, like=X) or network.flatten([...])."
            )
        return [
            {name: xp.reshape(vector[start:stop], shape) for name, start, stop, shape in row} for row in self._places
        ]

    def flatten(self, layers: Sequence[Mapping[str, Array]], *, xp: Namespace | None = None) -> Array:
        """Put the arrays into one vector: the inverse of `unflatten`.

        Raises
        ------
        InputError
            If a layer or an array is missing or has another shape than it should.
        """
        if len(layers) != len(self._places):
            raise InputError(f"flatten: expected {len(self._places)} layers, got {len(layers)}.")
        pieces = []
        for position, (row, named) in enumerate(zip(self._places, layers, strict=True), 1):
            if len(named) != len(row) or any(name not in named for name, *_ in row):
                names = ", ".join(name for name, *_ in row)
                raise InputError(f"flatten: layer {position} must have {names}; got {', '.join(named)}.")
            for name, _start, _stop, shape in row:
                got = tuple(named[name].shape)
                if got != shape:
                    raise InputError(f"flatten: {name} of layer {position} must have shape {shape}, got {got}.")
                pieces.append(named[name])
        if xp is None:
            xp = arrays.namespace(**{f"array {i}": piece for i, piece in enumerate(pieces)})
        return cast(Array, xp.concat([xp.reshape(piece, (-1,)) for piece in pieces]))
