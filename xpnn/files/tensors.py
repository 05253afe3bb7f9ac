"""A model file: arrays by name and one JSON header, in the safetensors format.

The header lies in the format's metadata under the key ``xpnn``; it holds a SHA-256 of the arrays and of the rest
of itself, because the format itself does not notice a flipped bit.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from xpnn.errors import ModelFileError
from xpnn.files import atomic
from xpnn.typing import HostArray

VERSION = 1


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise `ModelFileError` now if `write` could not write here later.

    Raises
    ------
    ModelFileError
        Saying why.
    """
    try:
        atomic.check_writable(path)
    except OSError as error:
        raise ModelFileError(f"cannot write {path}: {_reason(error)}.") from error


def write(path: str | os.PathLike[str], tensors: Mapping[str, HostArray], header: Mapping[str, Any]) -> None:
    """Write a model file whole or not at all.

    Raises
    ------
    ModelFileError
        If it cannot be written.
    """
    from safetensors.numpy import save

    # strided arrays would be saved wrong without a word
    tensors = {name: np.require(tensor, requirements="C") for name, tensor in tensors.items()}
    header = {**header, "version": VERSION}
    # one key alone: the format keeps several in no order, and the same model shall give the same file
    try:
        text = json.dumps({**header, "sha256": _digest(header, tensors)}, ensure_ascii=False)
    except TypeError as error:
        raise ModelFileError(f"cannot write {path}: {error}.") from error
    try:
        atomic.write(path, save(dict(tensors), {"xpnn": text}))
    except OSError as error:
        raise ModelFileError(f"cannot write {path}: {_reason(error)}.") from error


def read(path: str | os.PathLike[str]) -> tuple[dict[str, HostArray], dict[str, Any]]:
    """The arrays and the header of a model file.

    Raises
    ------
    ModelFileError
        If the file is missing, broken, changed since it was written, or not one of xpnn's.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with open(path, "rb"):  # noqa: PTH123  (says which of missing, folder or forbidden it is)
            pass
        with safe_open(path, framework="np") as file:
            text = (file.metadata() or {}).get("xpnn")
            if text is None:
                raise ModelFileError(f"{path} is a safetensors file, but not one that xpnn wrote.")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(text)
        version, digest = int(header["version"]), header.pop("sha256")
    except ModelFileError:
        raise
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {_reason(error)}.") from error
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError, MemoryError, RecursionError) as error:
        why = str(error).rstrip(".")
        raise ModelFileError(f"{path} is not a model file of xpnn, or it is broken: {why}.") from error
    if version > VERSION:
        raise ModelFileError(f"{path} has format {version}; this xpnn reads up to {VERSION}: install a newer xpnn.")
    if digest != _digest(header, tensors):
        raise ModelFileError(f"{path} is damaged: its content is not what was saved.")
    return tensors, header


def _digest(header: Mapping[str, Any], tensors: Mapping[str, HostArray]) -> str:
    digest = hashlib.sha256(json.dumps(header).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tensor.shape}".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).rstrip(".")
