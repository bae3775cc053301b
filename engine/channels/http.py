"""The one place where channels speak HTTP: guard, time limit, and which answers are worth another try."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self

import aiohttp

from engine.channels.channel import Receipt
from engine.channels.guard import BlockedAddress, guarded_socket
from engine.errors import DeliveryError

TIMEOUT_S = 15.0
#: How long, and how far, an answer's text is read; it says how things went only to a reader of JSON.
BODY_TIMEOUT_S, MOST_READ = 3.0, 64 * 1024
_USER_AGENT = "claude-proxy-analytics"


class HttpSender:
    """Two connection pools, one of which refuses internal addresses. Use it as an async context."""

    def __init__(self, *, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def __aenter__(self) -> Self:
        # no limit for all of a pool together: receivers that hang would use up what the others need
        self._sessions = {
            True: self._session(aiohttp.TCPConnector(limit=0)),
            False: self._session(aiohttp.TCPConnector(limit=0, socket_factory=guarded_socket)),
        }
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in self._sessions.values():
            await session.close()

    def _session(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": _USER_AGENT},
        )

    async def post(self, url: str, *, body: bytes, headers: dict[str, str], allow_private: bool) -> Receipt:
        """POST `body`; returns the receipt of a 2xx answer.

        Raises DeliveryError: permanent for redirects (never followed), 4xx and blocked addresses; worth a retry for
        network faults, time-outs, 429 (with the receiver's Retry-After) and 5xx.
        """
        session = self._sessions[allow_private]
        try:
            async with session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                text = await _beginning(answer)
                if answer.status // 100 == 2:
                    return Receipt(answer.status, text)
                raise _refusal(answer, text, datetime.now(UTC))
        except BlockedAddress as error:
            raise DeliveryError(str(error), permanent=True) from error
        except (aiohttp.InvalidURL, ValueError) as error:
            raise DeliveryError(f"not a usable address: {error}", permanent=True) from error
        except TimeoutError as error:
            raise DeliveryError(f"no answer within {self._timeout.total:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise DeliveryError(f"{type(error).__name__}: {error}") from error


async def _beginning(answer: aiohttp.ClientResponse) -> str:
    """More than is kept: a secret in it is only recognised whole.

    The status has decided by now: an answer that drips, breaks off or never ends is kept as far as it came.
    """
    kept = bytearray()
    with suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(BODY_TIMEOUT_S):
            while len(kept) < MOST_READ and (piece := await answer.content.read(MOST_READ - len(kept))):
                kept += piece
    return kept.decode("utf-8", errors="replace")


def _refusal(answer: aiohttp.ClientResponse, text: str, now: datetime) -> DeliveryError:
    """What an answer other than 2xx means for trying again."""
    status = answer.status
    if status == 429 or status >= 500:
        wait = retry_after(answer.headers.get("Retry-After", ""), now)
        return DeliveryError(f"answered {status}", retry_after=wait, status=status, answer=text)
    message = f"answered {status}" + ("; redirects are not followed" if status // 100 == 3 else "")
    return DeliveryError(message, permanent=True, gone=status == 410, status=status, answer=text)


def retry_after(header: str, now: datetime) -> float | None:
    """Seconds of a Retry-After header in either form (RFC 9110, 10.2.3); None when absent or unreadable."""
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())
