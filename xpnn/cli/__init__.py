"""The command line: ``xpnn train``, ``tune``, ``predict``, ``evaluate``, ``summary``, ``devices``, ``bench``."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

import numpy as np

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
        from xpnn.cli.output import discard
    except KeyboardInterrupt:
        print("xpnn: interrupted", file=sys.stderr)
        return 130
    except ImportError as error:
        print(f"xpnn: the command line needs {error.name}: pip install 'xpnn[cli]'", file=sys.stderr)
        return 2
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without a letter is no reason to stop
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # a loss that is not finite has an error of its own
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
    except (BrokenPipeError, SystemExit):  # the reader of our output has closed, as head does; click then exits
        discard(sys.stdout)
        return 0
    except OSError as error:  # such as a full disk behind the standard output
        discard(sys.stdout)
        print(f"xpnn: {error.strerror or error}", file=sys.stderr)
        return 2
    return int(code or 0)
