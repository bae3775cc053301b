"""Real local receivers: an HTTP server that answers as told, a mail server that keeps what it gets."""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from engine.notice import Notice, NoticeStatus

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FIRING = Notice(
    title="High cost",
    status=NoticeStatus.FIRING,
    severity="high",
    at=NOON,
    reason="first",
    summary="cost is $512.3 (threshold > $500).",
    alert_id="a-1",
    rule_id="r-1",
    rule_name="High cost",
    labels={"model": "gpt-5"},
    metric="cost",
    unit="usd",
    value=512.3,
    threshold=500.0,
    opened_at=NOON,
    alert_url="http://app/alerts?alert=a-1",
    rule_url="http://app/rules?rule=r-1",
)


@dataclass
class Received:
    headers: dict[str, str]
    body: bytes
    path: str = ""


@dataclass
class Receiver:
    """Answers in order of `plan`, the last one for ever; `None` closes the connection, "hang" never answers.

    A function of the request answers itself.
    """

    plan: list[Any]
    url: str = ""
    got: list[Received] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.got.append(Received(headers, await request.read(), request.path))
        step = self.plan.pop(0) if len(self.plan) > 1 else self.plan[0]
        if step is None:
            assert request.transport
            request.transport.abort()
            return web.Response()
        if step == "hang":
            await self.released.wait()
            return web.Response()
        if callable(step):
            return await step(request)
        status, headers, text = step if isinstance(step, tuple) else (step, {}, f"said {step}")
        return web.Response(status=status, headers=headers, text=text)


@asynccontextmanager
async def receiving(*plan: Any) -> AsyncIterator[Receiver]:
    receiver = Receiver(list(plan) or [200])
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", receiver.handle)
    server = TestServer(app)
    await server.start_server()
    receiver.url = str(server.make_url("/hook"))
    try:
        yield receiver
    finally:
        receiver.released.set()
        await server.close()


async def until(condition: Callable[[], Any], limit_s: float = 60.0) -> Any:
    """Wait until the condition holds; its value."""
    async with asyncio.timeout(limit_s):
        while not (value := condition()):
            await asyncio.sleep(0.02)
    return value


def free_port() -> int:
    """A port that nothing listens to, and none that the kernel gives to whoever connects to something."""
    while True:
        with socket.socket() as probe, suppress(OSError):
            port = secrets.randbelow(20_000) + 12_000
            probe.bind(("127.0.0.1", port))
            return port


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for localhost and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    raw = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "key.pem").write_bytes(raw)
    return folder / "cert.pem", folder / "key.pem"
