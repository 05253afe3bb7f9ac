"""Write a table as a file of the kind that its name ends in."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from xpnn.errors import InputError
from xpnn.tables.read import PARQUET

if TYPE_CHECKING:
    import polars as pl

_TEXT = {"": ",", ".csv": ",", ".txt": ",", ".tsv": "\t"}


def check_ending(path: str | Path) -> None:
    """Raise `InputError` unless `content` can make a file of that name."""
    suffix = Path(path).suffix.lower()
    if suffix not in (*_TEXT, *PARQUET):
        raise InputError(
            f"cannot write {path}: a table is written as .csv, .tsv or .parquet, and {suffix!r} is none of them."
        )


def content(path: str | Path, table: pl.DataFrame) -> bytes:
    """What is to be in the file: CSV, TSV or Parquet."""
    suffix = Path(path).suffix.lower()
    if suffix in _TEXT:
        return table.write_csv(separator=_TEXT[suffix]).encode()
    file = io.BytesIO()
    table.write_parquet(file)
    return file.getvalue()
