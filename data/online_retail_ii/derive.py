"""Derive the bundled daily table from the raw transactions of UCI Online Retail II.

Usage: ``python data/online_retail_ii/derive.py TRANSACTIONS.parquet [OUT.parquet]``

The raw file holds one row per invoice line: Invoice, StockCode, Quantity, InvoiceDate, Price and
``overlap_duplicate`` (2010-12-01..09 stands twice in the two sheets of the source). Kept are sales of
products: not cancelled, positive quantity and price, a stock code that starts with five digits. One output
row per product and day: units sold, mean price paid in GBP, and the product range (the first two digits
of the stock code). Days without a sale are absent, not zero. Rows are ordered by date, then product, in
row groups of whole days, so that a reader can take new days alone.
"""

import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

ROWS_PER_GROUP = 60_000


def derive(transactions: pd.DataFrame) -> pd.DataFrame:
    """Return one row per product and day: ``date, product, range, units, price``."""
    code = transactions["StockCode"].astype(str)
    keep = (
        ~transactions["Invoice"].astype(str).str.startswith("C")
        & (transactions["Quantity"] > 0)
        & (transactions["Price"] > 0)
        & code.str.match(r"^\d{5}")
        & ~transactions["overlap_duplicate"]
    )
    rows = transactions[keep]
    paid = rows["Quantity"] * rows["Price"]
    day = rows["InvoiceDate"].dt.normalize()
    sums = (
        pd.DataFrame({"date": day, "product": code[keep], "units": rows["Quantity"], "paid": paid})
        .groupby(["date", "product"], sort=True)
        .sum()
        .reset_index()
    )
    sums["price"] = (sums["paid"] / sums["units"]).round(2).astype("float32")
    sums["range"] = sums["product"].str[:2]
    return sums[["date", "product", "range", "units", "price"]]


def write(table: pd.DataFrame, out: Path) -> None:
    """Write Parquet that a columnar reader can skip through by date."""
    schema = pa.schema(
        [
            ("date", pa.date32()),
            ("product", pa.dictionary(pa.int16(), pa.string())),
            ("range", pa.dictionary(pa.int8(), pa.string())),
            ("units", pa.int32()),
            ("price", pa.float32()),
        ]
    )
    arrow = pa.Table.from_pandas(table.assign(date=table["date"].dt.date), schema=schema, preserve_index=False)
    pq.write_table(arrow, out, compression="zstd", compression_level=19, row_group_size=ROWS_PER_GROUP)


def main() -> None:
    """Derive the table named on the command line."""
    source = Path(sys.argv[1])
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).with_name("daily_sales.parquet")
    write(derive(pd.read_parquet(source)), out)


if __name__ == "__main__":
    main()
