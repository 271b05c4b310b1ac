"""An S3 endpoint on loopback (the moto server), for as long as a ``with`` block lasts."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextmanager
def s3_server(*buckets: str) -> Iterator[str]:
    """Serve empty buckets over HTTP; dummy credentials are in the environment meanwhile.

    Child processes inherit both, so a flow in a subprocess can use the same endpoint.

    Yields:
        Endpoint URL, for example ``http://127.0.0.1:40001``.
    """
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        with mock.patch.dict(os.environ, CREDENTIALS):
            for bucket in buckets:
                client(endpoint).create_bucket(Bucket=bucket)
            yield endpoint
    finally:
        server.stop()
        _forget()


def client(endpoint: str):  # type: ignore[no-untyped-def]
    """Return a boto3 client of the endpoint, for a test to put and look at objects."""
    import boto3

    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")


def _forget() -> None:
    """The moto server keeps its objects in this process: a later test must find it empty."""
    from moto.s3.models import s3_backends

    for account in s3_backends.values():
        for backend in account.values():
            backend.reset()
