"""The command line: ``xpnn train``, ``tune``, ``predict``, ``evaluate``, ``summary``, ``devices``, ``bench``."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import TextIO

import numpy as np

from xpnn.errors import XpnnError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, or 2 after an error, said on standard error in a line.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after ``xpnn``; by default those of the process.
    """
    sys.stdout, sys.stderr = _open(sys.stdout), _open(sys.stderr)
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
        # a loss that is not finite has an error of its own
        with np.errstate(over="ignore", invalid="ignore"), _ended_as_by_ctrl_c(), warnings.catch_warnings():
            warnings.showwarning = _say
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


def _open(stream: TextIO | None) -> TextIO:
    """A standard stream; one that was closed when the process began is None, and takes what nobody reads."""
    return stream if stream is not None else open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123


@contextlib.contextmanager
def _ended_as_by_ctrl_c() -> Iterator[None]:
    """So that a training is saved, too, that ends by a limit of the system or with the connection to a terminal."""
    mine = []
    if threading.current_thread() is threading.main_thread():
        names = ("SIGTERM", "SIGHUP", "SIGBREAK")  # the last is that of Windows
        known = [getattr(signal, name) for name in names if hasattr(signal, name)]
        mine = [each for each in known if signal.getsignal(each) is signal.SIG_DFL]  # nohup has SIGHUP ignored
    for each in mine:
        signal.signal(each, _interrupt)
    try:
        yield
    finally:
        for each in mine:
            signal.signal(each, signal.SIG_DFL)


def _say(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning as people read it, who have not written the program."""
    print(f"xpnn: {message}", file=sys.stderr)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
