"""The worker program: evaluates rules, sends what they have to say, and answers the API.

It serves its API from the first moment, waits for the store as long as it takes, then starts the sender and the
evaluator; at the end it stops evaluating, lets sends finish, and closes the API last. Another configuration is followed
while it works (`engine.reloading`).
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from aiohttp import web

from data.config import Config
from data.errors import StoreError
from data.http_server import PlainRunner
from data.store import Store, connect
from data.tasks import Tasks
from engine.api.server import make_app
from engine.audit import clock
from engine.channels.http import HttpSender
from engine.delivery import Sender
from engine.desk import Desk
from engine.evaluator import Evaluator
from engine.housekeeping.housekeeper import Housekeeper
from engine.housekeeping.jobs import regular_jobs
from engine.inbox import Wires, shown
from engine.post import limit_all
from engine.provisioner import Provisioner
from engine.reloading import Parts, Reloading, overall
from engine.secrets import SecretBox

RETRY_S = 1.0
_log = logging.getLogger(__name__)


async def run(
    config: Config,
    stopping: asyncio.Event,
    ready: asyncio.Future[str],
    reloads: Callable[[Callable[[Config], None]], object] = lambda _: None,
) -> None:
    """Work until `stopping` is set; `ready` gets the API's address once it listens.

    `reloads` is given what to call with another configuration. Raises OSError if the API cannot listen, and ConfigError
    for a key that is none.
    """
    desk = Desk(config, SecretBox(config.home, config.worker.secret_key))
    reloading = Reloading(desk)
    reloads(reloading.follow)
    async with serving(desk) as address:
        ready.set_result(address)
        desk.connected = await _store(desk, stopping)
        if desk.connected is None:
            return
        try:
            await _work(desk, desk.connected, stopping, reloading)
        finally:
            desk.connected.close()


@asynccontextmanager
async def serving(desk: Desk) -> AsyncIterator[str]:
    """The API, while the context is open; gives its address."""
    runner = PlainRunner(make_app(desk), access_log=None, handle_signals=False, shutdown_timeout=2)
    await runner.setup()
    try:
        site = web.TCPSite(runner, desk.config.worker.host, desk.config.worker.port)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def _store(desk: Desk, stopping: asyncio.Event) -> Store | None:
    """The store, as soon as it answers; None when told to stop before."""
    said = ""
    while not stopping.is_set():
        try:
            return await asyncio.to_thread(_connected, desk.config)
        except (StoreError, OSError) as error:
            if str(error) != said:
                said = str(error)
                _log.warning("waiting for the store: %s", said)
        try:
            async with asyncio.timeout(RETRY_S):
                await stopping.wait()
        except TimeoutError:
            continue
    return None


def _connected(config: Config) -> Store:
    """The store, told what the configuration says that all programs are to keep to."""
    store = connect(config)
    try:
        limit_all(store, overall(config), clock())
    except StoreError:
        store.close()
        raise
    return store


async def _work(desk: Desk, store: Store, stopping: asyncio.Event, reloading: Reloading) -> None:
    tasks = Tasks()
    async with HttpSender() as http:
        sender = Sender(store, desk.box, Wires(store, http, desk.hub), woken=desk.outbox, public_url=desk.public_url)
        evaluator = Evaluator(desk)
        desk.housekeeper = Housekeeper(
            store, regular_jobs(desk, http), lambda: desk.status.leading, told=partial(shown, desk.hub)
        )
        reloading.tell(Parts(desk, tasks, http, sender, desk.housekeeper).follow)
        evaluating = tasks.start(evaluator.run(), name="evaluate rules")
        tasks.start(desk.housekeeper.run(), name="regular jobs")
        provisioner = Provisioner(desk)
        providing = tasks.start(provisioner.run(), name="take rules from files")
        tasks.start(sender.run(), name="send notifications")
        await stopping.wait()
        provisioner.stop()
        evaluator.stop()
        await asyncio.wait([evaluating, providing], timeout=5)
        await sender.stop()
        await tasks.stop()
