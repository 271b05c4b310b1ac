"""S3 as a source: a real HTTP endpoint, one that fails on purpose, and nothing outside the allowed buckets."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from perennial.config.models import Columns, Environment, S3Settings, S3Source, Table
from perennial.errors import ConfigError, SourceError
from perennial.sources import Item, inventory, read, s3, stage
from tests.s3 import CREDENTIALS, client, s3_server

BUCKET = "sales"
TABLE = Table(
    source=S3Source(type="s3", bucket=BUCKET, prefix="daily/"),
    columns=Columns(entity=("region", "sku"), ds="day", y="units"),
)


def parquet(units: float) -> bytes:
    """Return a file of one row."""
    out = io.BytesIO()
    pq.write_table(pa.table({"sku": ["a"], "day": [date(2024, 1, 1)], "units": [units]}), out)
    return out.getvalue()


def environment(endpoint: str, *buckets: str) -> Environment:
    """Allow some buckets of an endpoint."""
    return Environment(environment="local", s3=S3Settings(buckets=buckets or (BUCKET,), endpoint_url=endpoint))


def fetch(item: Item, env: Environment, scratch: Path) -> Any:
    """Stage one object."""
    return stage(item, TABLE, env, base=scratch, scratch=scratch, since=None, until=date(2024, 1, 1))


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Serve S3 with three data objects and some that are not data."""
    with s3_server(BUCKET) as url:
        for key in ("daily/region=s/2.parquet", "daily/region=n/1.parquet", "daily/_tmp/3.parquet", "daily/x.txt"):
            client(url).put_object(Bucket=BUCKET, Key=key, Body=parquet(1.0))
        yield url


@pytest.mark.slow
def test_objects_are_listed_downloaded_and_read(endpoint: str, tmp_path: Path) -> None:
    """Keys come in order, and folders in a key are columns."""
    env = environment(endpoint)
    items = inventory(TABLE, env, base=tmp_path)
    assert [item.uri for item in items] == [
        "s3://sales/daily/region=n/1.parquet",
        "s3://sales/daily/region=s/2.parquet",
    ]
    rows = [row for item in items for batch in read(fetch(item, env, tmp_path), TABLE) for row in batch.to_pylist()]
    assert [row["entity"] for row in rows] == ["n/a", "s/a"]


@pytest.mark.slow
def test_only_a_changed_object_has_a_new_identity(endpoint: str, tmp_path: Path) -> None:
    """The ETag tells new from old."""
    env = environment(endpoint)
    before = inventory(TABLE, env, base=tmp_path)
    client(endpoint).put_object(Bucket=BUCKET, Key="daily/region=s/2.parquet", Body=parquet(2.0))
    after = inventory(TABLE, env, base=tmp_path)
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False]
    with pytest.raises(SourceError, match="changed since it was listed"):
        fetch(before[1], env, tmp_path)


@pytest.mark.slow
def test_buckets_must_be_allowed(endpoint: str, tmp_path: Path) -> None:
    """A pipeline cannot reach for another bucket, and a doctored item neither."""
    env = environment(endpoint, "other")
    with pytest.raises(ConfigError, match=r"'sales' is not allowed.*'other'"):
        inventory(TABLE, env, base=tmp_path)
    with pytest.raises(ConfigError, match="not allowed"):
        fetch(Item(uri="s3://sales/daily/region=n/1.parquet", identity="x"), env, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bucket", "prefix", "message"), [(BUCKET, "none/", "no .parquet object"), ("gone", "", "NoSuchBucket")]
)
def test_nothing_there_is_a_source_error(endpoint: str, tmp_path: Path, bucket: str, prefix: str, message: str) -> None:
    """An empty prefix and a bucket that does not exist say so."""
    table = Table(source=S3Source(type="s3", bucket=bucket, prefix=prefix), columns=Columns(ds="day"))
    with pytest.raises(SourceError, match=message):
        inventory(table, environment(endpoint, bucket), base=tmp_path)


@contextmanager
def stub(*answers: str) -> Iterator[tuple[str, list[str]]]:
    """Serve one object; the nth request is answered as the nth word says, the last word goes on for ever."""
    seen: list[str] = []
    body = parquet(1.0)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers[min(len(seen), len(answers) - 1)]
            seen.append(answer)
            self.send_response(503 if answer == "busy" else 200)
            self.send_header("ETag", '"other"' if answer == "replaced" else '"tag"')
            self.send_header("Content-Length", str(0 if answer == "busy" else len(body)))
            self.end_headers()
            if answer != "busy":
                self.wfile.write(body[:100] if answer == "truncated" else body)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait milliseconds between attempts, with credentials that mean nothing."""
    monkeypatch.setattr(s3, "BACKOFF_S", 0.001)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("answers", [("truncated", "truncated", "whole"), ("busy", "busy", "whole")])
def test_what_can_heal_is_tried_again(tmp_path: Path, answers: tuple[str, ...]) -> None:
    """A body that breaks off is fetched anew as a whole, a busy server is asked again."""
    with stub(*answers) as (endpoint, seen):
        file = fetch(Item(uri="s3://sales/daily/region=n/k.parquet", identity='"tag"'), environment(endpoint), tmp_path)
        assert tuple(seen) == answers
        assert Path(file.path).read_bytes() == parquet(1.0)


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("answer", "message", "requests"), [("truncated", "broke off 5 times", 5), ("replaced", "changed since", 1)]
)
def test_what_cannot_heal_is_given_up(tmp_path: Path, answer: str, message: str, requests: int) -> None:
    """The number of attempts is bounded; a server that ignores If-Match does not slip another object in."""
    with stub(answer) as (endpoint, seen):
        with pytest.raises(SourceError, match=message):
            fetch(Item(uri="s3://sales/k.parquet", identity='"tag"'), environment(endpoint), tmp_path)
        assert len(seen) == requests


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_a_server_that_is_not_there_is_a_source_error(tmp_path: Path) -> None:
    """Port 9 of loopback answers nobody."""
    with pytest.raises(SourceError, match="cannot be reached"):
        inventory(TABLE, environment("http://127.0.0.1:9"), base=tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_a_key_cannot_lead_out_of_the_scratch_folder(tmp_path: Path) -> None:
    """Only folders that are columns survive, and those are one segment each."""
    with stub("whole") as (endpoint, _):
        item = Item(uri="s3://sales/../../region=../x=1/../k.parquet", identity='"tag"')
        file = fetch(item, environment(endpoint), tmp_path / "scratch")
        assert Path(file.path).resolve().is_relative_to(tmp_path / "scratch")
