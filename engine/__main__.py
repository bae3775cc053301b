"""`python -m engine [--home DIR]`: run the worker in the foreground.

SIGHUP makes it read its configuration again; with faults in it the old one stays.

Exit status: 0 after SIGTERM or SIGINT, 2 for a bad configuration, 1 when the API's address is taken.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from logging.handlers import RotatingFileHandler
from pathlib import Path

from data.config import Config
from data.errors import ConfigError
from data.lean import without_pandas
from data.log_safety import NothingQuoted, ShortLines
from data.settings import load
from engine.worker import run

FAILED, BAD_CONFIGURATION = 1, 2
#: How long a thread that is still at work keeps a worker that has stopped; one that hangs would for ever.
_LEAVE_S = 5.0
_log = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    """Work until SIGTERM or SIGINT; the exit status."""
    without_pandas()
    os.umask(0o077)
    try:
        config = _config(arguments)
        _log_to(config.home / "logs" / "worker.log")
        asyncio.run(_main(config, lambda: _config(arguments)))
    except ConfigError as error:
        return _failed(str(error), BAD_CONFIGURATION)
    except OSError as error:
        return _failed(str(error), FAILED)
    return 0


def _config(arguments: list[str]) -> Config:
    parser = argparse.ArgumentParser(prog="python -m engine", description="Run the worker.")
    parser.add_argument("--home", type=Path)
    parser.add_argument("--port", type=int)
    options = parser.parse_args(arguments)
    overrides: dict[str, object] = {"home": options.home} if options.home else {}
    overrides |= {"worker.port": options.port} if options.port else {}
    return load(os.environ, overrides=overrides)


def _log_to(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handler = RotatingFileHandler(path, maxBytes=8 * 1024 * 1024, backupCount=3, encoding="utf-8")
    handler.setFormatter(ShortLines("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(NothingQuoted())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("apscheduler").setLevel(logging.WARNING)


async def _main(config: Config, again: Callable[[], Config]) -> None:
    loop = asyncio.get_running_loop()
    # names are looked up in these threads too: a slow one must not keep the store's callers waiting
    loop.set_default_executor(ThreadPoolExecutor(32, thread_name_prefix="worker"))
    stopping, ready = asyncio.Event(), loop.create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    ready.add_done_callback(_say)

    def reloads(follow: Callable[[Config], None]) -> None:
        loop.add_signal_handler(signal.SIGHUP, _reload, again, follow)

    status = FAILED
    try:
        await run(config, stopping, ready, reloads)
        status = 0
    finally:
        leaving = threading.Timer(_LEAVE_S, os._exit, args=(status,))
        leaving.daemon = True
        leaving.start()


def _reload(again: Callable[[], Config], follow: Callable[[Config], None]) -> None:
    try:
        config = again()
    except ConfigError as error:
        _log.error("the configuration has faults and stays as it was: %s", error)
        return
    follow(config)


def _say(ready: "asyncio.Future[str]") -> None:
    if not ready.cancelled():
        sys.stdout.write(f"worker ready {ready.result()}\n")
        sys.stdout.flush()


def _failed(message: str, status: int) -> int:
    sys.stderr.write(f"worker: {message}\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
