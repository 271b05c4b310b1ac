"""Another pipeline's publications as a source: recorded ones only, each pinned by digest, known from its date on.

A publication of the date D becomes one item. Its rows are read by the digests that the ledger recorded, and get an
``available_at``: the cut-off of D. So a run that stands on an earlier date does not see it, whenever it was
made, and where publications forecast the same day, the newest that was known wins. The landing records the item, so
that an order can be followed back to the publication, and from there to the forecaster's version and its snapshot.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from perennial.clock import cutoff
from perennial.contracts import AVAILABLE_AT, Publication, StoredFile
from perennial.errors import SourceUnusable
from perennial.lake.tables import Lake
from perennial.sources.local import Item, digest_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """What a pipeline has published.

    Attributes:
        pipeline: Its name.
        publications: Recorded ones, oldest first.
        lake: Where their rows are.
    """

    pipeline: str
    publications: Sequence[Publication]
    lake: Lake

    def items(self, until: date) -> tuple[Item, ...]:
        """List the publications as of ``until`` or before.

        Raises:
            SourceUnusable: There is none.
        """
        found = [one for one in self.publications if one.as_of <= until]
        if not found:
            raise SourceUnusable(
                f"pipeline {self.pipeline!r} has published nothing as of {until}; "
                f"run `perennial score {self.pipeline} --as-of {until}` first"
            )
        return tuple(Item(uri=self._uri(one), identity=f"sha256={one.digest}") for one in found)

    def stage(self, item: Item, scratch: Path) -> StoredFile:
        """Write one publication as a Parquet file with ``available_at``; its data files are verified on the way.

        Raises:
            IntegrityError: A data file is not the one that was recorded.
        """
        one = next(one for one in self.publications if self._uri(one) == item.uri)
        table = f"{self.pipeline}.predictions"
        known = pa.scalar(cutoff(one.as_of), pa.timestamp("us", tz="UTC"))
        target = scratch / f"{self.pipeline}-{one.as_of}.parquet"
        writer = None
        for batch in self.lake.scan(table, one.table_version, files=one.files):
            rows = pa.Table.from_batches([batch]).append_column(AVAILABLE_AT, pa.repeat(known, len(batch)))
            writer = writer or pq.ParquetWriter(target, rows.schema)
            writer.write_table(rows)
        if writer is None:
            raise SourceUnusable(f"{item.uri} holds no row; publish it again")
        writer.close()
        return digest_file(target)

    def _uri(self, one: Publication) -> str:
        return f"predictions:{self.pipeline}/{one.as_of}"
