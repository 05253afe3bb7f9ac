"""The command line: ``xpnn train``, ``predict``, ``evaluate``, ``summary``, ``devices``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from xpnn.errors import XpnnError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, or 2 after an error, said on standard error in a line.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after ``xpnn``; by default those of the process.
    """
    try:
        import click
        import polars  # noqa: F401

        from xpnn.cli.commands import xpnn
    except ImportError as error:
        print(f"xpnn: the command line needs {error.name}: pip install 'xpnn[cli]'", file=sys.stderr)
        return 2
    try:
        code = xpnn.main(arguments, prog_name="xpnn", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return 2
    except click.ClickException as error:
        print(f"xpnn: {error.format_message()}", file=sys.stderr)
        return 2
    except (XpnnError, MemoryError) as error:
        print(f"xpnn: {error or 'out of memory'}", file=sys.stderr)
        return 2
    except (click.Abort, KeyboardInterrupt):
        print("xpnn: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has closed, as head does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return int(code or 0)
