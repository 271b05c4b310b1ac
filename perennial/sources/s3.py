"""S3 as a source: objects below a prefix, told apart by key and ETag, downloaded whole or not at all."""

import random
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from perennial.config.models import Environment, S3Settings, S3Source
from perennial.contracts import StoredFile
from perennial.errors import ConfigError, SourceError, SourceUnusable, sample
from perennial.sources.local import Item, digest_file

CONNECT_S, READ_S, ATTEMPTS = 5, 30, 5
"""The SDK's own limits are 60 s and three attempts."""
BACKOFF_S = 0.1
_CHANGED = {"PreconditionFailed", "412", "NoSuchKey", "404"}


def list_objects(source: S3Source, env: Environment) -> tuple[Item, ...]:
    """List the data objects below the prefix, sorted by key; an object that is listed twice counts once.

    Raises:
        ConfigError: The bucket is not one that the environment allows.
        SourceError: S3 does not answer.
        SourceUnusable: Nothing is there.
    """
    where = f"s3://{allowed(source.bucket, env)}/{source.prefix}"
    with _s3_errors(where):
        pages = _client(env.s3).get_paginator("list_objects_v2").paginate(Bucket=source.bucket, Prefix=source.prefix)
        tags = {entry["Key"]: entry["ETag"] for page in pages for entry in page.get("Contents", ())}
    keys = sorted(key for key in tags if _is_data(key, source))
    if not keys:
        raise SourceUnusable(f"no .{source.kept_as} object at {where}; it holds {sample(sorted(tags)) or 'nothing'}")
    return tuple(Item(uri=f"s3://{source.bucket}/{key}", identity=tags[key]) for key in keys)


def download(item: Item, env: Environment, target: Path) -> StoredFile:
    """Fetch the bytes that were listed and no others; begin anew when the body breaks off, as no SDK does.

    Raises:
        SourceError: The object changed or is gone, S3 does not answer, or every attempt broke off.
    """
    from botocore.exceptions import BotoCoreError

    reason = ""
    for attempt in range(ATTEMPTS):
        body = _open_body(item, env)
        try:
            return _save(body, target)
        except BotoCoreError as error:
            reason = str(error)[:200]
            time.sleep(BACKOFF_S * 2**attempt * random.uniform(0.5, 1.0))
    raise SourceError(f"{item.uri} broke off {ATTEMPTS} times ({reason}); run again when the network is well")


def _open_body(item: Item, env: Environment) -> Any:
    bucket, key = item.uri.removeprefix("s3://").split("/", 1)
    with _s3_errors(item.uri):
        answer = _client(env.s3).get_object(Bucket=allowed(bucket, env), Key=key, IfMatch=item.identity)
    if answer["ETag"] != item.identity:  # a server that ignores If-Match
        answer["Body"].close()
        raise SourceError(f"{item.uri} changed since it was listed; run again")
    return answer["Body"]


def _save(body: Any, target: Path) -> StoredFile:
    with closing(body), target.open("wb") as out:
        for chunk in body.iter_chunks(1 << 20):
            out.write(chunk)
    return digest_file(target)


def allowed(bucket: str, env: Environment) -> str:
    """Return the bucket if the environment allows it.

    Raises:
        ConfigError: It does not.
    """
    if bucket not in env.s3.buckets:
        known = sample(env.s3.buckets) or "none"
        raise ConfigError(f"bucket {bucket!r} is not allowed; s3.buckets of the environment lists {known}")
    return bucket


def _is_data(key: str, source: S3Source) -> bool:
    below = key.removeprefix(source.prefix).split("/")
    hidden = any(part.startswith(("_", ".")) for part in below)
    return key == source.prefix or (key.endswith(f".{source.kept_as}") and not hidden)


@lru_cache(maxsize=8)
def _client(settings: S3Settings) -> Any:
    """A client takes 50 ms to make and is safe to share between threads: keep one per endpoint."""
    import boto3
    from botocore.config import Config

    limits = Config(
        connect_timeout=CONNECT_S, read_timeout=READ_S, retries={"max_attempts": ATTEMPTS, "mode": "standard"}
    )
    session = boto3.session.Session(region_name=settings.region)
    return session.client("s3", endpoint_url=settings.endpoint_url, config=limits)


@contextmanager
def _s3_errors(where: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "an unknown error")
        if code in _CHANGED:
            raise SourceError(f"{where} changed since it was listed; run again") from error
        raise SourceError(f"{where} answered {code}; check bucket, credentials and region") from error
    except BotoCoreError as error:
        raise SourceError(f"{where} cannot be reached: {str(error)[:200]}") from error
