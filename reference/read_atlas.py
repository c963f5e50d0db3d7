"""Reads every Parquet table of an atlas with DuckDB, Polars and pyarrow: `python read_atlas.py ATLAS`.

The three must see the same columns, rows and values. Needs `pip install duckdb polars pyarrow`; prints one line a
table and fails at the first that one of them cannot read.
"""

import pathlib
import sys

import duckdb
import polars
import pyarrow.parquet


def plain(value):
    """A value as it compares: floats by their text, so that an undefined one equals itself."""
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return repr(value) if isinstance(value, float) else value


def rows(columns):
    return [[plain(value) for value in column] for column in columns]


def compare(path):
    arrow = pyarrow.parquet.read_table(path)
    names = arrow.column_names
    expected = rows(column.to_pylist() for column in arrow.columns)

    frame = polars.read_parquet(path)
    assert frame.columns == names, f"Polars reads the columns {frame.columns}, not {names}"
    lazy = polars.scan_parquet(path).select(polars.len()).collect().item()
    assert lazy == arrow.num_rows, f"Polars counts {lazy} rows, not {arrow.num_rows}"
    read = rows(frame[name].to_list() for name in names)
    assert read == expected, "Polars reads other values"

    relation = duckdb.read_parquet(str(path))
    assert relation.columns == names, f"DuckDB reads the columns {relation.columns}, not {names}"
    found = relation.fetchall()
    read = rows(zip(*found)) if found else [[] for _ in names]
    assert read == expected, "DuckDB reads other values"
    return arrow.num_rows, len(names)


def main():
    atlas = pathlib.Path(sys.argv[1])
    tables = sorted(atlas.rglob("*.parquet"))
    assert tables, f"{atlas} has no Parquet tables"
    for path in tables:
        count, columns = compare(path)
        print(f"{path.relative_to(atlas)}: {count} rows, {columns} columns, the same in all three")


if __name__ == "__main__":
    main()
