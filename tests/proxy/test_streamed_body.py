"""What is taken of a streamed body, when, and who may read on."""

import asyncio
from unittest.mock import Mock

import pytest
from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request

from proxy.errors import BodyTooLarge, ClientGone
from proxy.faults import Phase
from proxy.streamed_body import PIECE_BYTES, StreamedBody


def body(limit: int = 100 * PIECE_BYTES, **headers: str) -> tuple[StreamedBody, StreamReader]:
    protocol = BaseProtocol(asyncio.get_running_loop(), Mock())
    protocol.transport = Mock()
    content = StreamReader(protocol, 2**18, loop=asyncio.get_running_loop())
    request = make_mocked_request("POST", "/v1/files", headers=headers, payload=content)
    return StreamedBody(request, limit), content


async def passed_on(streamed: StreamedBody) -> tuple[list[int], list[Phase]]:
    """The sizes of the pieces, and what was waited for."""
    sizes: list[int] = []
    phases: list[Phase] = []

    async def write(piece: bytes) -> None:
        sizes.append(len(piece))

    await streamed.pass_on(write, phases.append)
    return sizes, phases


async def test_it_leaves_in_pieces_and_says_what_it_waits_for():
    streamed, content = body()
    assert (streamed.length, streamed.spent, streamed.ended) == (None, False, False)
    content.feed_data(b"x" * (PIECE_BYTES + 1))
    content.feed_eof()
    sizes, phases = await passed_on(streamed)
    assert sizes == [PIECE_BYTES, 1]
    assert phases == [*(Phase.CLIENT_SENDS, Phase.UPLOAD) * 2, Phase.CLIENT_SENDS, Phase.FIRST_BYTE]
    assert (streamed.taken, streamed.spent, streamed.ended) == (PIECE_BYTES + 1, True, True)


@pytest.mark.parametrize("length", ["11", "12"])
async def test_a_length_over_the_limit_is_refused_unread(length: str):
    with pytest.raises(BodyTooLarge, match="limit of 10 bytes"):
        body(10, **{"Content-Length": length})
    assert body(11, **{"Content-Length": "11"})[0].most_bytes == 11


async def test_what_runs_over_the_limit_is_passed_on_no_further():
    streamed, content = body(10)
    content.feed_data(b"x" * 11)
    with pytest.raises(BodyTooLarge):
        await passed_on(streamed)
    assert isinstance(streamed.failure, BodyTooLarge)
    assert streamed.spent


@pytest.mark.parametrize("error", [ConnectionResetError("gone"), web.RequestPayloadError("bad chunk")])
async def test_a_body_that_breaks_off_is_spent_even_before_its_first_byte(error: Exception):
    streamed, content = body()
    content.set_exception(error)
    with pytest.raises(ClientGone, match=type(error).__name__):
        await passed_on(streamed)
    assert (streamed.taken, streamed.spent, streamed.ended) == (0, True, False)


async def test_it_is_settled_when_nobody_waits_for_it_any_more():
    streamed, content = body()
    await streamed.settled()  # nobody has begun
    reading = asyncio.get_running_loop().create_task(passed_on(streamed))
    await asyncio.sleep(0)
    settled = asyncio.get_running_loop().create_task(streamed.settled())
    await asyncio.sleep(0)
    assert not settled.done()
    reading.cancel()
    await settled
    content.feed_data(b"rest")
    assert await content.readany() == b"rest"
    assert not streamed.spent
