"""Read Parquet with every value as the text that shows it without loss."""

import io
import tempfile
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dlcycle.data.header import check_header
from dlcycle.data.messages import listed, quoted, shown
from dlcycle.data.rawtable import TableBuilder
from dlcycle.errors import DataError

BATCH = 4096
CHUNK = 1 << 20


def parquet_table(data: bytes) -> pa.Table:
    """Read a Parquet file that is in memory, whole and in this thread alone."""
    # A thread of Arrow that holds an object of Python's when the interpreter ends aborts the process.
    return pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)


def read_parquet(stream: io.BufferedReader, *, needed: Mapping[str, str], builder: TableBuilder) -> None:
    """Read all rows of a Parquet file into the builder.

    Integers and decimals keep their digits, floats become their shortest exact text, booleans "true" and "false",
    dates and times ISO 8601 (times with a zone in UTC), null a missing value.

    Args:
        stream: The file, with its path as `name`, seekable or (when it was gzipped) not.
        needed: Columns that must exist, with the keys of the project file that name them.
        builder: Takes the rows.

    Raises:
        DataError: The file is damaged or too large, or a needed column is missing or holds no texts or numbers.
    """
    name = builder.name
    try:
        with tempfile.NamedTemporaryFile() as unpacked:
            while not stream.seekable() and (chunk := stream.read(CHUNK)):
                unpacked.write(chunk)
            unpacked.flush()
            # By its path: Arrow reads in a thread of its own, which must hold no object of Python's.
            file = pq.ParquetFile(stream.name if stream.seekable() else unpacked.name)
            schema = file.schema_arrow
            columns = _text_columns(schema, needed=needed, builder=builder)
            size = 0
            for batch in file.iter_batches(batch_size=BATCH, columns=columns, use_threads=False):
                size += batch.nbytes
                if size > builder.settings.max_megabytes * 1_000_000:
                    raise DataError(
                        f"{name}: unpacks to more than {builder.settings.max_megabytes:,} MB; raise data.max_megabytes"
                    )
                texts = [_as_text(batch.column(column)).to_pylist() for column in columns]
                for values in zip(*texts, strict=True):
                    builder.add(values, line=builder.records + 1)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{name}: the Parquet file is damaged ({str(error)[:200]}); write it again") from None


def _text_columns(schema: pa.Schema, *, needed: Mapping[str, str], builder: TableBuilder) -> list[str]:
    """Add the columns that can be shown as text; return their names."""
    check_header(schema.names, {} if builder.lenient else needed, name=builder.name)
    odd = [field for field in schema if not _is_plain(field.type)]
    refused = [field for field in odd if field.name in needed]
    if refused:
        kinds = listed(f"{shown(field.name)} ({needed[field.name]}) is {field.type}" for field in refused)
        refusal = (
            f"{builder.name}: expected texts, numbers, dates or booleans in the columns used, but {kinds}; make them so"
        )
        if not builder.lenient:
            raise DataError(refusal)
        builder.overlooked.append(refusal)
    if odd:
        builder.note("nested_columns", detail=quoted(field.name for field in odd))
    columns = [field.name for field in schema if field not in odd and field.name]
    for column in columns:
        builder.add_column(column)
    return columns


def _is_plain(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    return not (pa.types.is_nested(kind) or binary or pa.types.is_interval(kind) or pa.types.is_duration(kind))


def _as_text(values: Any) -> Any:
    """Return an Arrow array as an array of strings."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        values, kind = values.dictionary_decode(), kind.value_type
    if pa.types.is_timestamp(kind):
        # The instant in UTC, so that no database of time zones is needed.
        zone = "+00:00" if kind.tz else ""
        text = values.cast(pa.timestamp(kind.unit)).cast(pa.string())
        text = pc.replace_substring(text, " ", "T")
        text = pc.replace_substring_regex(text, r"\.0+$", "")
        return pc.binary_join_element_wise(text, zone, "")
    return values.cast(pa.string()) if not pa.types.is_large_string(kind) else values
