"""Writing a file whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise `OSError` now if `write` could not write here later; leaves nothing behind."""
    target = _target(path)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}."):
        pass


def write(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file: afterwards it holds `data`, or, whatever went wrong, what it held before.

    A temporary file in the same folder is filled, flushed to the disk and renamed. A symbolic link stays a
    link; an existing file keeps its permissions.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    target = _target(path)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(_mode(target))
        Path(temporary).replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
    if os.name == "posix":  # the rename itself must reach the disk too
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _target(path: str | os.PathLike[str]) -> Path:
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a file")
    if not target.parent.is_dir():
        if target.parent.exists():
            raise NotADirectoryError(f"{target.parent} is not a folder")
        raise FileNotFoundError(f"the folder {target.parent} does not exist")
    if target.exists() and not target.is_file():  # a device or pipe would be replaced by a file
        raise OSError(f"{path} is not a regular file")
    return target


def _mode(target: Path) -> int:
    if target.exists():
        return target.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
