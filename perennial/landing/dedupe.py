"""Telling new rows from repetitions, restatements and contradictions, with memory bounded by the batch.

Two ways. A stream that is strictly increasing in (entity, ds) or in (ds, entity) repeats nothing, and needs
only a look at neighbours (:class:`InOrder`). For any other, every row leaves a fingerprint of 36 bytes in one
of many small files, chosen by a hash of its key; each file is then judged by itself (:func:`verdicts`).
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from perennial.contracts import AVAILABLE_AT, ENTITY, TIME

U64 = npt.NDArray[np.uint64]
Marks = npt.NDArray[np.bool_]

TAKE, RESTATE, DUPLICATE, CONFLICT, SUPERSEDED = range(5)
"""What becomes of a row: new; new and in place of an earlier one; a repetition; one of several that say
different things at the same moment; older than the row that already stands."""

PARTITIONS = 128
FINGERPRINT = np.dtype([("key", "u8"), ("day", "i4"), ("stamp", "i8"), ("values", "u8"), ("row", "i8")])
"""Hash of the entity; date; available_at in microseconds; hash of the values; position, -1 for a landed row."""


class InOrder:
    """Whether all rows so far are strictly increasing in (entity, ds), or in (ds, entity)."""

    def __init__(self) -> None:
        self._last: pa.RecordBatch | None = None
        self._by_entity = True
        self._by_day = True

    def holds(self, batch: pa.RecordBatch) -> bool:
        """Look at the next rows; false as soon as neither order is left."""
        keys = batch.select([name for name in (ENTITY, TIME) if name in batch.schema.names])
        if self._last is not None:
            keys = pa.concat_batches([self._last, keys])
        self._last = keys.slice(len(keys) - 1)
        days = keys[TIME].cast(pa.int32()).to_numpy()
        later, same_day = days[1:] > days[:-1], days[1:] == days[:-1]
        if ENTITY not in keys.schema.names:
            self._by_entity = self._by_entity and bool(later.all())
            return self._by_entity
        after, same = _compared(keys[ENTITY])
        self._by_entity = self._by_entity and bool((after | (same & later)).all())
        self._by_day = self._by_day and bool((later | (same_day & after)).all())
        return self._by_entity or self._by_day


def _compared(names: pa.Array) -> tuple[Marks, Marks]:
    """Return where a name is greater than, and where it equals, the one before."""
    previous, current = names.slice(0, len(names) - 1), names.slice(1)
    after = pc.greater(current, previous).to_numpy(zero_copy_only=False)
    return after, pc.equal(current, previous).to_numpy(zero_copy_only=False)


# --- hashing -----------------------------------------------------------------------------------------------


def hash_column(column: pa.Array) -> U64:
    """Hash values so that equal ones have equal hashes on every machine; null has one of its own.

    Args:
        column: Strings, numbers, booleans, dates or timestamps.
    """
    if pt.is_string(column.type) or pt.is_large_string(column.type) or pt.is_dictionary(column.type):
        return _hash_text(column)
    if pt.is_floating(column.type):
        # adding zero makes -0.0 and 0.0, which are equal, the same bits
        bits = (column.cast(pa.float64()).fill_null(0.0).to_numpy() + 0.0).view(np.uint64)
    else:
        plain = column.cast(pa.int8()) if pt.is_boolean(column.type) else column
        bits = _integers(plain).view(np.uint64)
    hashed = mix(bits, np.uint64(1))  # mix(0, 0) is 0, which is null's
    if column.null_count:
        hashed[column.is_null().to_numpy(zero_copy_only=False)] = 0
    return hashed


def _hash_text(column: pa.Array) -> U64:
    encoded = column if pt.is_dictionary(column.type) else column.dictionary_encode()
    digests = b"".join(
        hashlib.blake2b(text.encode(), digest_size=8).digest() for text in encoded.dictionary.to_pylist()
    )
    hashes = np.append(np.frombuffer(digests, dtype="<u8"), np.uint64(0))
    codes = encoded.indices.fill_null(len(hashes) - 1) if encoded.indices.null_count else encoded.indices
    hashed: U64 = hashes[codes.to_numpy()]
    return hashed


def _integers(column: pa.Array) -> npt.NDArray[np.int64]:
    storage = column.cast(pa.int32()) if pt.is_date32(column.type) else column
    values: npt.NDArray[np.int64] = storage.cast(pa.int64()).fill_null(0).to_numpy()
    return values


def mix(left: U64, right: U64 | np.uint64) -> U64:
    """Combine two hashes; the order matters. The finalizer is that of SplitMix64 (Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        h = left * np.uint64(0x9E3779B97F4A7C15) + right
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


def hash_rows(batch: pa.RecordBatch, columns: Sequence[str]) -> U64:
    """Hash the named columns of each row; a column that the batch lacks counts as null."""
    total = np.full(len(batch), len(columns), dtype=np.uint64)
    for name in columns:
        column = hash_column(batch[name]) if name in batch.schema.names else np.uint64(0)
        total = mix(total, column)
    return total


def hash_keys(batch: pa.RecordBatch) -> U64:
    """Hash (entity, ds) of each row; ds alone where there is no entity."""
    return hash_rows(batch, (ENTITY, TIME))


# --- fingerprints ------------------------------------------------------------------------------------------


class Fingerprints:
    """Fingerprints of rows in small files by key; every row of one key is in the same file.

    Args:
        folder: Existing empty folder that the caller removes.
        values: Columns that make two rows of one key the same or different.
    """

    def __init__(self, folder: Path, values: Sequence[str]) -> None:
        self._folder = folder
        self._values = tuple(values)
        self.rows = 0
        self.days: tuple[int, int] | None = None

    def add(self, batch: pa.RecordBatch, *, landed: bool = False) -> None:
        """Write the fingerprints of a batch; landed rows have no position."""
        if not len(batch):
            return
        prints = np.empty(len(batch), dtype=FINGERPRINT)
        prints["key"] = hash_column(batch[ENTITY]) if ENTITY in batch.schema.names else 0
        prints["day"] = batch[TIME].cast(pa.int32()).to_numpy()
        prints["stamp"] = batch[AVAILABLE_AT].cast(pa.int64()).to_numpy()
        prints["values"] = hash_rows(batch, self._values)
        prints["row"] = -1 if landed else np.arange(self.rows, self.rows + len(batch))
        if not landed:
            self._extend(prints["day"])
            self.rows += len(batch)
        self._spill(prints)

    def partitions(self) -> Iterator[npt.NDArray[np.void]]:
        """Read the files back, one at a time."""
        for number in range(PARTITIONS):
            path = self._folder / f"{number}.keys"
            if path.exists():
                yield np.fromfile(path, dtype=FINGERPRINT)

    def _extend(self, days: npt.NDArray[np.int32]) -> None:
        low, high = int(days.min()), int(days.max())
        self.days = (low, high) if self.days is None else (min(low, self.days[0]), max(high, self.days[1]))

    def _spill(self, prints: npt.NDArray[np.void]) -> None:
        where = (mix(prints["key"], prints["day"].astype(np.uint64)) % np.uint64(PARTITIONS)).astype(np.uint8)
        order = np.argsort(where, kind="stable")
        ends = np.cumsum(np.bincount(where, minlength=PARTITIONS))
        for number, part in enumerate(np.split(prints[order], ends[:-1])):
            if len(part):
                with (self._folder / f"{number}.keys").open("ab") as file:
                    part.tofile(file)


def verdicts(prints: Fingerprints, *, stamped: bool) -> npt.NDArray[np.uint8]:
    """Say what becomes of every row that has not landed, by position: one byte a row.

    Args:
        prints: Fingerprints of the new rows, and of the landed rows whose keys may be among theirs.
        stamped: Whether the source says when a row became known. If it does, two rows of the same moment
            that differ contradict each other; if not, the one that lands later is the one that is known later.
    """
    out = np.full(prints.rows, TAKE, dtype=np.uint8)
    for part in prints.partitions():
        part = part[_repeated(part)]
        new = part["row"] >= 0
        if new.any():
            found = _judge(part, stamped=stamped)
            out[part["row"][new]] = found[new]
    return out


def _repeated(part: npt.NDArray[np.void]) -> Marks:
    """Return the rows whose key may occur more than once; only they need the full comparison."""
    hashed = mix(part["key"], part["day"].astype(np.uint64))
    order = np.argsort(hashed)
    same = hashed[order][1:] == hashed[order][:-1]
    repeated = np.zeros(len(part), dtype=np.bool_)
    repeated[order[1:][same]] = True
    repeated[order[:-1][same]] = True
    return repeated


def _judge(part: npt.NDArray[np.void], *, stamped: bool) -> npt.NDArray[np.uint8]:
    """Judge rows against the others of their key; what is returned for landed rows means nothing."""
    order = np.lexsort((part["row"], part["row"] >= 0, part["stamp"], part["day"], part["key"]))
    rows = part[order]
    new = rows["row"] >= 0
    key = _starts(rows["key"], rows["day"])
    moment = key | _starts(rows["stamp"], np.False_ if stamped else new)
    found = np.full(len(rows), TAKE, dtype=np.uint8)
    found[new & ~moment] = DUPLICATE
    found[new & _differs(rows["values"], moment)] = CONFLICT
    left = np.flatnonzero((found == TAKE) | ~new)
    found[left] = _judge_versions(rows["values"][left], new[left], np.cumsum(key, dtype=np.int64)[left])
    out = np.empty_like(found)
    out[order] = found
    return out


def _judge_versions(values: U64, new: Marks, key: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Judge rows in the order in which they became known, at most one a moment, against the one before."""
    follows = np.append(False, key[1:] == key[:-1])
    repeats = follows & np.append(False, values[1:] == values[:-1])
    found = np.where(follows, RESTATE, TAKE).astype(np.uint8)
    found[_landed_later(new, key)] = SUPERSEDED
    found[repeats] = DUPLICATE
    return found


def _landed_later(new: Marks, key: npt.NDArray[np.int64]) -> Marks:
    """Return the rows of whose key a landed row became known later."""
    position = np.arange(len(key))
    last = np.zeros(key.max(initial=0) + 1, dtype=np.int64)
    last[key[~new]] = position[~new]  # positions rise, and the last assignment stays
    return position < last[key]


def _starts(*columns: npt.NDArray[np.generic] | np.bool_) -> Marks:
    """Return where any of the sorted columns differs from the row before; the first row always does."""
    changed: Marks = np.zeros(0, dtype=np.bool_)
    for column in columns:
        if isinstance(column, np.ndarray):
            differs = np.append(True, column[1:] != column[:-1])
            changed = differs if not len(changed) else changed | differs
    return changed


def _differs(values: U64, starts: Marks) -> Marks:
    """Return the rows of groups whose values are not all equal."""
    at = np.flatnonzero(starts)
    mixed = np.minimum.reduceat(values, at) != np.maximum.reduceat(values, at)
    each: Marks = mixed[np.cumsum(starts) - 1]
    return each


def repeats(batches: Iterable[pa.RecordBatch]) -> tuple[U64, npt.NDArray[np.int64]]:
    """Return, for the keys of these rows, the hash of each key (sorted) and the position of its newest row.

    Args:
        batches: Rows with key and ``available_at``; positions count through all of them. Of rows known at
            the same moment the later one is newest.
    """
    keys, stamps = [np.empty(0, dtype=np.uint64)], [np.empty(0, dtype=np.int64)]
    for batch in batches:
        keys.append(hash_keys(batch))
        stamps.append(batch[AVAILABLE_AT].cast(pa.int64()).to_numpy())
    key, stamp = np.concatenate(keys), np.concatenate(stamps)
    order = np.lexsort((stamp, key))  # stable: positions stay in order within a moment
    last = np.append(key[order][1:] != key[order][:-1], True) if len(order) else np.empty(0, dtype=np.bool_)
    return key[order][last], order[last]
