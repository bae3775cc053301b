"""Where notifications arrive: an HTTP receiver that checks signatures, and a real SMTP server."""

import email
import email.policy
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.controller import Controller
from standardwebhooks import Webhook

from tests.engine.receivers import free_port

SECRET = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"


class Hooks:
    """What was posted, verified and parsed, as it came."""

    def __init__(self) -> None:
        self.got: list[dict] = []
        hooks = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                hooks.got.append(Webhook(SECRET).verify(body, dict(self.headers.items())))
                self.send_response(202)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing is printed."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def types(self) -> list[str]:
        return [hook["type"] for hook in self.got]


class Mailbox:
    """A real SMTP server and the mails it took."""

    def __init__(self) -> None:
        self.got: list[EmailMessage] = []
        self.port = free_port()
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    async def handle_DATA(self, _server, _session, envelope) -> str:  # noqa: N802 - aiosmtpd's name
        self.got.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 taken"

    def close(self) -> None:
        self._controller.stop()


@contextmanager
def receivers() -> Iterator[tuple[Hooks, Mailbox]]:
    with closing(Hooks()) as hooks, closing(Mailbox()) as mailbox:
        yield hooks, mailbox
