"""What production needs, while a ``with`` block lasts: PostgreSQL, S3, and a project folder that names them."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import sqlalchemy as sa

from flows.server import settings
from perennial.context import Workspace
from tests import pg, s3, shop

BUCKET = "perennial"
SHIPPED = shop.ROOT / "configs" / "environments" / "production.yaml"
FILES = "{type: files, path: data/sales}"
OBJECTS = f"{{type: s3, bucket: {BUCKET}, prefix: sources/NAME/}}"
PATIENCE_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Production:
    """A project folder whose environment is ``production``, and the servers around it.

    Attributes:
        database: Address of the database for a role that owns it and is no superuser.
        reader: The same for a role that may read the shop's own tables alone.
    """

    root: Path
    database: str
    reader: str
    endpoint: str

    def pipeline(self, name: str, source: str = OBJECTS, environment: str = "production") -> Workspace:
        """Add a pipeline that reads ``source`` and open the workspace."""
        text = shop.PIPELINE.replace("pipeline: shop", f"pipeline: {name}").replace(FILES, source)
        shop.write_project(self.root, text.replace("NAME", name), name=name)
        return Workspace.open(environment, root=self.root)

    def put(self, name: str, table: pd.DataFrame, key: str = "sales.parquet") -> str:
        """Upload a table where the pipeline of this name looks for its source; return its address."""
        out = BytesIO()
        table.assign(day=pd.to_datetime(table["day"]).dt.date).to_parquet(out, index=False)
        s3.client(self.endpoint).put_object(Bucket=BUCKET, Key=f"sources/{name}/{key}", Body=out.getvalue())
        return f"s3://{BUCKET}/sources/{name}/{key}"

    def keys(self, prefix: str) -> list[str]:
        """Return the keys of the bucket below a prefix."""
        pages = s3.client(self.endpoint).get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def insert(self, table: pd.DataFrame) -> None:
        """Append rows to the shop's own table, which ``reader`` may read."""
        engine = sa.create_engine(self.database, poolclass=sa.NullPool)
        rows = table.assign(day=table["day"].dt.date)
        rows.to_sql("daily_sales", engine, schema="public", if_exists="append", index=False, dtype={"day": sa.Date()})
        with engine.begin() as connection:
            connection.execute(sa.text("GRANT SELECT ON daily_sales TO reader"))

    def tables(self, schema: str) -> set[str]:
        """Return the names of the tables in a schema."""
        return set(sa.inspect(sa.create_engine(self.database, poolclass=sa.NullPool)).get_table_names(schema=schema))

    def prefect(self, *words: str) -> str:
        """Run a command of Prefect's in the project folder and return what it prints."""
        command = [sys.executable, "-m", "prefect", "--no-prompt", *words]
        environment = os.environ | settings(self.root / ".perennial")
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    @contextmanager
    def mlflow(self) -> Iterator[str]:
        """Serve the database's MLflow tables over HTTP and make that the tracking address."""
        url = f"http://127.0.0.1:{(port := pg.free_port())}"
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--workers", "1", "--backend-store-uri", self.database, "--no-serve-artifacts"]
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # three processes less
        with (self.root / "mlflow.log").open("wb") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.root, env=environment)
        try:
            wait_for(lambda: answers(f"{url}/health"))
            with mock.patch.dict(os.environ, {"PERENNIAL_TRACKING_URL": url}):
                yield url
        finally:
            server.terminate()
            server.wait(30)


@contextmanager
def serve(root: Path) -> Iterator[Production]:
    """Start both servers, set the variables that the shipped environment names, and stand in ``root``."""
    before = Path.cwd()
    with s3.s3_server(BUCKET) as endpoint, pg.postgres() as server, pg.database(server) as database:
        _roles(database)
        owner, reader = (sa.make_url(database).set(username=name) for name in ("keeper", "reader"))
        place = Production(
            root=root,
            database=owner.render_as_string(hide_password=False),
            reader=reader.render_as_string(hide_password=False),
            endpoint=endpoint,
        )
        variables = {
            "PERENNIAL_HOME": ".perennial",
            "PERENNIAL_LEDGER_URL": place.database,
            "PERENNIAL_TRACKING_URL": place.database,
            "PERENNIAL_BUCKET": BUCKET,
            "PERENNIAL_S3_ENDPOINT": endpoint,
            "PERENNIAL_ENV": "production",
        }
        with mock.patch.dict(os.environ, variables):
            os.chdir(root)
            yield place
            os.chdir(before)


def answers(url: str) -> bool:
    """Return whether a server says that it is well."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def api(path: str, body: Any = None, url: str = "") -> Any:
    """Ask a Prefect server, as patiently as Prefect's own client: it answers 503 while SQLite is busy."""
    data = None if body is None else json.dumps(body).encode()
    address = f"{url or os.environ['PREFECT_API_URL']}/{path}"
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def wait_for(true: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _roles(database: str) -> None:
    """As docs/production.md has it: one role owns the database, one may read what is granted to it."""
    engine = sa.create_engine(database, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        for name in ("keeper", "reader"):
            connection.execute(sa.text(f"CREATE ROLE {name} LOGIN NOSUPERUSER"))
        connection.execute(sa.text(f"ALTER DATABASE {sa.make_url(database).database} OWNER TO keeper"))
