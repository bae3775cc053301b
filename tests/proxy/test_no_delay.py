import gc
import socket
from pathlib import Path

from aiohttp.client_proto import ResponseHandler

from data.http_server import PlainHandler
from tests.proxy.gateway import answer, client, gateway, provider
from tests.proxy.samples import MESSAGES


async def test_small_pieces_leave_at_once_on_both_sides(tmp_path: Path):
    async with provider(answer(b"{}")) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
            await got.read()
        ends = [each for each in gc.get_objects() if isinstance(each, PlainHandler | ResponseHandler)]
        sockets = [(type(each), each.transport.get_extra_info("socket")) for each in ends if each.transport is not None]
        assert {kind for kind, _ in sockets} == {PlainHandler, ResponseHandler}
        assert {s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0 for _, s in sockets} == {True}
