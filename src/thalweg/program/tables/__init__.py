"""Tables: the rows a program reads and the rows it writes.

`open_table` streams CSV, TSV, JSONL, Parquet or a directory of text files as `Row`s. A row that cannot be read is a
`Row` with an `error` and reading goes on; only what concerns the whole table (missing file, no header, unknown column)
is raised, as `DataError`, before the first row. `cast` turns a cell into the type a signature asks for.
`TableWriter` writes the same formats: atomically (a whole file or none) and with bytes that depend on the rows alone,
never on how they were batched. `check_writable` is called before any work begins. Everything here runs in memory that
does not grow with the table. Add a format by adding one reader, one encoder and its suffix.
"""

from thalweg.program.tables.casting import cast
from thalweg.program.tables.column import Column
from thalweg.program.tables.reading import Table, open_table
from thalweg.program.tables.row import Row
from thalweg.program.tables.writing import TableWriter, check_writable

__all__ = ["Column", "Row", "Table", "TableWriter", "cast", "check_writable", "open_table"]
