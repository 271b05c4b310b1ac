"""A webhook on loopback that says which alerts it took."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Taken(list[str]):
    """The dedupe keys of the messages, in the order of their arrival."""

    url = ""


@contextmanager
def taking() -> Iterator[Taken]:
    """Serve a webhook for as long as the block lasts; its Apprise address is ``url``."""
    keys = Taken()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["message"]
            keys.extend(line[5:] for line in message.splitlines() if line.startswith("Key: "))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    keys.url = f"json://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield keys
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
