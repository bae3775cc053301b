"""`python -m proxy`: the proxy program alone."""

import argparse
import asyncio
import functools
import gc
import logging
import signal
import socket
import sys

from data.config import Config
from data.connection import Connection
from data.errors import ConfigError
from data.lean import without_pandas
from data.settings import load
from proxy.errors import ProxyError, TelemetryUnavailable
from proxy.logs import configure, set_level
from proxy.program import Proxy, running

try:
    import uvloop
except ImportError:  # Windows
    _new_loop = asyncio.new_event_loop
else:
    _new_loop = uvloop.new_event_loop

_log = logging.getLogger(__name__)


async def serve(config: Config, shared: socket.socket | None = None) -> None:
    """Run until SIGTERM or SIGINT; a second one ends the drain at once. `shared`: the socket of several proxies."""
    signals = asyncio.Queue[int]()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.put_nowait, number)
    async with running(config, functools.partial(Connection.open, config), shared=shared) as proxy:
        loop.add_signal_handler(signal.SIGHUP, _reload, proxy)
        _settle_down()
        print(f"proxy ready {proxy.url}", flush=True)  # noqa: T201 - the line that a starter waits for
        await signals.get()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, proxy.forwarder.interrupt)


def _reload(proxy: Proxy) -> None:
    """Read the configuration again; with faults in it the old one stays."""
    try:
        config = load()
        kept = proxy.reload(config)
    except (ConfigError, TelemetryUnavailable) as error:
        _log.error("the configuration has faults and stays as it was: %s", error)
        return
    set_level(config.proxy.log_level)
    note = f"; these take a new start: {', '.join(kept)}" if kept else ""
    _log.warning("the configuration was read again%s", note)


def _settle_down() -> None:
    """Tune the interpreter for a program whose every millisecond of pause is somebody's latency."""
    # a thread that computes (it ships records) may hold up the event loop this long, not Python's 5 ms
    sys.setswitchinterval(0.0001)
    gc.collect()
    gc.freeze()  # what lives as long as the program need not be looked at again
    gc.set_threshold(20_000, 20, 50)  # calls leave no cycles behind; looking for them costs a tenth of a call


def main() -> int:
    """Run the program; return its exit status."""
    without_pandas()
    configure()
    parser = argparse.ArgumentParser(prog="python -m proxy", description="The proxy program.")
    parser.add_argument("--fd", type=int, help="the file descriptor of a listening socket that proxies share")
    number = parser.parse_args().fd
    try:
        config = load()
        set_level(config.proxy.log_level)
        shared = None if number is None else socket.socket(fileno=number)
        with asyncio.Runner(loop_factory=_new_loop) as runner:
            runner.run(serve(config, shared))
    except (ConfigError, ProxyError, OSError) as error:
        print(f"proxy: {error}", file=sys.stderr)  # noqa: T201 - for the person who started it
        return 2 if isinstance(error, ConfigError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
