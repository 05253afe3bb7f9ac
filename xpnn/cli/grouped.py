"""A command whose help lists its options in groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click


class Grouped(click.Command):
    """A command with groups of options, each with a heading in the help.

    Parameters
    ----------
    groups : mapping of str to sequence of click.Option
        The options by heading; what is in none comes last.
    """

    def __init__(
        self,
        name: str | None,
        *,
        groups: Mapping[str, Sequence[click.Option]],
        params: Sequence[click.Parameter] = (),
        **rest: Any,
    ) -> None:
        self.groups = groups
        super().__init__(name, params=[*params, *(option for group in groups.values() for option in group)], **rest)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each group, the help texts of all flush."""
        grouped = {option.name for group in self.groups.values() for option in group}
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        others = [option for option in options if option.name not in grouped]
        for heading, group in {**self.groups, "Other": others}.items():
            records = [record for option in group if (record := option.get_help_record(ctx))]
            with formatter.section(heading):
                formatter.write_dl([(f"{words:<{_WIDTH}}", says) for words, says in records], col_max=_WIDTH)


_WIDTH = 26  # of the column with the options' names
