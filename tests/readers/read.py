"""Reads splits with pyarrow and with DuckDB and prints what each found, sorted by `n`, as JSON."""

import json
import sys

import duckdb
import pyarrow
import pyarrow.parquet

files = sys.argv[1:]
columns = ["n", "path", "status", "trace_id", "level"]

table = pyarrow.concat_tables([pyarrow.parquet.read_table(file, columns=columns) for file in files])
by_pyarrow = [list(row.values()) for row in table.sort_by("n").to_pylist()]

message = "coalesce(message, 'request ' || path || ' finished with ' || status || ' in ' || n || ' ms')"
by_duckdb = duckdb.execute(
    f"SELECT {', '.join(columns)}, {message}, strftime(timezone('UTC', time), '%Y-%m-%dT%H:%M:%S') "
    "FROM read_parquet($files, union_by_name = true) ORDER BY n",
    {"files": files},
).fetchall()
counted = duckdb.execute(
    "SELECT status, count(*) FROM read_parquet($files) GROUP BY status ORDER BY status", {"files": files}
).fetchall()

print(json.dumps({"pyarrow": by_pyarrow, "duckdb": [list(row) for row in by_duckdb], "by_status": [list(row) for row in counted]}))
