"""What the words of an option become: lists with commas between, weights of classes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import click


class Whole(click.IntRange):
    """A whole number within bounds; its message speaks of a number, not of a range."""

    name = "integer"


class Number(click.FloatRange):
    """Likewise a number."""

    name = "number"


class _AnyNumber(click.types.FloatParamType):
    name = "number"


NUMBER = _AnyNumber()


class Commas(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A list, its items separated by commas; nothing is an empty list.

    Parameters
    ----------
    item : click.ParamType
        What each is.
    example : str
        For the message: what the option takes, such as ``"node counts such as 16,8"``.
    """

    name = "list"

    def __init__(self, item: Any, example: str) -> None:
        self.item = item
        self.example = example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[Any]:
        """The items of a text; a list stays."""
        if not isinstance(value, str):
            return list(value)
        try:
            return [self.item.convert(part.strip(), param, ctx) for part in value.split(",") if part.strip()]
        except click.BadParameter:
            self.fail(f"must be {self.example}, got {value!r}.", param, ctx)


class ClassWeights(click.ParamType):  # type: ignore[type-arg]
    """``balanced``, or weights of classes by their names: ``benign=1,malignant=3``."""

    name = "weights"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | dict[str, float]:
        """The text "balanced", or the weights by name."""
        if value == "balanced":
            return "balanced"
        # a name goes up to the equals sign: it may hold a comma
        pairs = value.items() if isinstance(value, Mapping) else re.findall(r"\s*(.+?)\s*=([^=,]*)(?:,|$)", value)
        try:
            weights = {str(name): float(weight) for name, weight in pairs}
        except (TypeError, ValueError):
            weights = {}
        written = "" if isinstance(value, Mapping) else re.sub(r"(.+?)=([^=,]*)(?:,|$)", "", value)
        if not weights or written:
            self.fail(f"must be balanced, or weights such as benign=1,malignant=3, got {value!r}.", param, ctx)
        return weights
