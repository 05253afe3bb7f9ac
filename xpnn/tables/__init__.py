"""From the columns of a table to the matrices of a network, and back.

Numeric columns are standardised, text columns one-hot encoded, classes numbered. A `Schema` holds all of that as
numbers and names, so a model file can keep it and a later table can be treated in the same way, whatever the order
of its columns.
"""

from xpnn.tables.cells import complete, nan_as_empty, weights
from xpnn.tables.infer import infer_task, make_schema, row_numbers
from xpnn.tables.read import as_written, raw, read
from xpnn.tables.schema import TASKS, Schema, class_name, from_json, names, no_column, schema_of
from xpnn.tables.write import check_ending, content

__all__ = [
    "TASKS",
    "Schema",
    "as_written",
    "check_ending",
    "class_name",
    "complete",
    "content",
    "from_json",
    "infer_task",
    "make_schema",
    "names",
    "nan_as_empty",
    "no_column",
    "raw",
    "read",
    "row_numbers",
    "schema_of",
    "weights",
]
