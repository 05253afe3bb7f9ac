"""Printing for readers who may leave early, as head does."""

from __future__ import annotations

import os
import sys
from typing import TextIO


def say(text: str, stream: TextIO | None = None) -> None:
    """Print at once; if nobody reads any more, go on without."""
    stream = stream or sys.stdout
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        discard(stream)


def trying(library: str) -> None:
    """Say what goes on while it is found out which library is fastest."""
    say(f"trying {library} …", sys.stderr)


def discard(stream: TextIO) -> None:
    """Send what a stream still holds, and all that follows, nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
