"""The records of a run's `.wandb` file: what it has logged.

W&B has no public way to read an artifact before it is synced. So this module reads the file that
`wandb sync` sends: LevelDB's log format around protobuf messages that are private to W&B.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from disteval.errors import DistEvalError
from disteval.tables.run_folder import MAX_BYTES
from disteval.tables.wandb_private import Record

MAGIC = b":W&B"
FILE_HEADER = 7
BLOCK = 32768
RECORD_HEADER = struct.Struct("<IHB")  # checksum, length, kind
WHOLE, LAST = 1, 4  # the kinds of blocks that end a record; other kinds begin or continue it


def read_records(path: Path) -> Iterator[Any]:
    """Yields the complete records of a `.wandb` file, to which a run may still be writing.

    Raises:
        DistEvalError: The file cannot be read, or is damaged.
    """
    data = _read_log(path)
    if not data.startswith(MAGIC[: len(data)]):
        raise _damaged(path, 0)
    position, record = FILE_HEADER, b""
    while position + RECORD_HEADER.size <= len(data):
        rest_of_block = BLOCK - position % BLOCK
        if rest_of_block < RECORD_HEADER.size:  # the rest is filled with zeros
            position += rest_of_block
            continue
        checksum, length, kind = RECORD_HEADER.unpack_from(data, position)
        start, position = position + RECORD_HEADER.size, position + RECORD_HEADER.size + length
        # A machine that went down may leave a part of the last record, or zeros in place of it.
        if position > len(data) or (checksum, length, kind) == (0, 0, 0):
            return
        piece = data[start:position]
        if zlib.crc32(piece, zlib.crc32(bytes([kind]))) != checksum:
            raise _damaged(path, start)
        record += piece
        if kind in (WHOLE, LAST):
            try:
                message = Record.FromString(record)
            except DecodeError:
                raise _damaged(path, start) from None
            yield message
            record = b""


def _read_log(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            raise DistEvalError(
                f"The log of a run cannot be read: {path} is no regular file of at most "
                f"{MAX_BYTES:,} bytes."
            )
        return path.read_bytes()
    except OSError as error:
        raise DistEvalError(
            f"The log of a run cannot be read: {path} ({error.strerror})."
        ) from None


def _damaged(path: Path, position: int) -> DistEvalError:
    return DistEvalError(
        f"The log of a run is damaged: {path}, at byte {position}. Expected: as W&B wrote it."
    )
