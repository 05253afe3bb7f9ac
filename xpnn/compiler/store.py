"""Machine code in files, so that the next process need not compile it again.

A file begins with the digest of what follows: one that is damaged counts as none. They are in the folder that
``XPNN_CACHE_DIR`` names, else in that of the system for such files; where nothing can be kept, and if the variable is
empty, every process compiles for itself.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from hashlib import sha256
from pathlib import Path

MOST = 1000
"""Files that are kept: of more the oldest go."""

_SIZE = sha256().digest_size


def read(name: str) -> bytes | None:
    """What was written under this name, if it is still there."""
    folder = _folder()
    if folder is None:
        return None
    try:
        content = (folder / name).read_bytes()
    except OSError:
        return None
    digest, data = content[:_SIZE], content[_SIZE:]
    return data if sha256(data).digest() == digest else None


def write(name: str, data: bytes) -> None:
    """Keep this under a name, if that can be."""
    folder = _folder()
    if folder is None:
        return
    with contextlib.suppress(OSError):
        handle, temporary = tempfile.mkstemp(dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(sha256(data).digest() + data)
            Path(temporary).replace(folder / name)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _tidy(folder)


def _folder() -> Path | None:
    """Where the files are; None if there is no place that nobody else can write to: what is in them is run."""
    try:
        given = os.environ.get("XPNN_CACHE_DIR")
        if given is None:
            from platformdirs import user_cache_path

            folder = user_cache_path("xpnn", appauthor=False)
        elif given:
            folder = Path(given)
        else:
            return None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except (OSError, ImportError, RuntimeError):  # no home, a file in its place, a disk that cannot be written
        return None
    ours = os.name != "posix" or (status.st_uid == os.geteuid() and not status.st_mode & 0o022)
    return folder if ours else None


def _tidy(folder: Path) -> None:
    files = list(folder.iterdir())
    if len(files) > MOST:
        files.sort(key=lambda file: file.stat().st_mtime)
        for file in files[: len(files) - MOST]:
            file.unlink()
