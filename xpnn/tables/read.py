"""Reading tables from files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpnn.errors import InputError

if TYPE_CHECKING:
    import polars as pl

_MISSING = ["", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NAN", "null", "NULL", "?"]
PARQUET = (".parquet", ".pq")
_OTHERS = dict.fromkeys((".xlsx", ".xls", ".ods"), "a spreadsheet: save it as .csv, .tsv or .parquet")
_OTHERS |= dict.fromkeys((".zip", ".xz", ".bz2", ".7z", ".tar"), "packed: unpack it first")


def raw(path: str | Path) -> bytes:
    """What is in a file; of a pipe, such as ``/dev/stdin``, it can be read only once.

    Raises
    ------
    InputError
        If it cannot be read, or is no table by its ending.
    """
    suffix = _suffix(path)
    if suffix in _OTHERS:
        raise InputError(f"cannot read {path}: it is {_OTHERS[suffix]}.")
    try:
        return Path(path).read_bytes()
    except OSError as error:
        hint = " For standard input give /dev/stdin." if str(path) == "-" else ""
        raise InputError(f"cannot read {path}: {(error.strerror or _line(error)).rstrip('.')}.{hint}") from error


def read(path: str | Path, *, text: Sequence[str] = (), data: bytes | None = None) -> pl.DataFrame:
    """Read a CSV (``.tsv``: tab-separated) or Parquet file.

    Parameters
    ----------
    path : path
    text : sequence of str
        Columns of a CSV to read as text even if these rows hold only numbers, such as 01234.
    data : bytes, optional
        What is in the file, if its `raw` bytes have been read.

    Raises
    ------
    InputError
        If the file is missing, cannot be parsed, names a column twice, or has no rows.
    """
    try:
        import polars as pl
    except ImportError:
        raise InputError("reading tables needs Polars: pip install 'xpnn[cli]'.") from None

    suffix = _suffix(path)
    data = raw(path) if data is None else data
    layout: dict[str, Any] = {"separator": "\t" if suffix == ".tsv" else ","}
    try:
        if suffix in PARQUET:
            table = pl.read_parquet(io.BytesIO(data))
        else:
            if not data.strip():
                raise InputError(f"{path} is empty.")
            header = pl.read_csv(data, n_rows=0, infer_schema_length=0, **layout).columns
            table = pl.read_csv(
                data,
                null_values=_MISSING,
                infer_schema_length=None,
                schema_overrides={name: pl.String for name in header if name.strip() in text},
                **layout,
            )
    except pl.exceptions.PolarsError as error:
        why = _line(error).rstrip(".")
        if suffix not in PARQUET and (other := _other_separator(data, layout["separator"])):
            why = (
                f"its cells look separated by {other!r}: save it with commas (.csv) or tabs (.tsv), numbers as 1234.5"
            )
        elif "more fields" in str(error):
            why = "a row has more cells than the header"
        elif "utf" in why.lower() and suffix not in PARQUET:
            why += "; save the file as UTF-8"
        raise InputError(f"cannot read {path} as a table: {why}.") from error
    for name in table.columns:
        if "\ufffd" in name:
            raise InputError(f"cannot read {path} as a table: column {name!r} is not UTF-8; save the file as UTF-8.")
        original, renamed, number = name.rpartition("_duplicated_")  # as polars names the second one
        if renamed and number.isdecimal() and original in table.columns:
            raise InputError(f"{path} has two columns named {original!r}: rename one.")
    if suffix not in PARQUET:
        table = _trimmed(table, text)
    if table.height == 0:
        raise InputError(f"{path} has no rows.")
    return table


def _suffix(path: str | Path) -> str:
    """The ending that says what kind of table it is; .gz comes on top."""
    name = Path(path).name.lower()
    return Path(name.removesuffix(".gz")).suffix


def _other_separator(data: bytes, ours: str) -> str:
    """What the header of a file that cannot be read is separated by, if that is something else; else ``""``."""
    header = data.lstrip().split(b"\n", 1)[0].decode(errors="replace")
    others = [each for each in (";", "\t", "|", ",") if each != ours]
    most = max(others, key=header.count)
    return most if header.count(most) > header.count(ours) else ""


def as_written(path: str | Path, data: bytes, table: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """The table with these columns as the CSV file writes them, where reading has changed that: 01, True, 1e3.

    `data` is what is in the file.
    """
    import polars as pl

    if _suffix(path) in PARQUET:
        return table
    written = read(path, text=columns, data=data)
    changed = [name for name in columns if not (table[name].cast(pl.String) == written[name]).all()]
    return table.with_columns(written[name] for name in changed)


def _trimmed(table: pl.DataFrame, text: Sequence[str]) -> pl.DataFrame:
    """Names and cells without the blanks around them, which many files have after each comma."""
    import polars as pl

    names = [name.strip() for name in table.columns]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f"the table has two columns named {twice.pop()!r}, but for blanks around: rename one.")
    columns = []
    for name, column in zip(names, table, strict=True):
        cells = column
        if column.dtype == pl.String:
            cells = column.str.strip_chars()
            if name not in text and not (cells == column).all():
                cells = cells.set(cells.is_in(_MISSING), None)
                for number in (pl.Int64, pl.Float64):
                    converted = cells.cast(number, strict=False)
                    if converted.null_count() == cells.null_count():
                        cells = converted
                        break
        columns.append(cells.alias(name))
    return pl.DataFrame(columns)


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
