"""`python -m data [--home DIR] [--settings JSON]`: run the store in the foreground.

Without `--settings` (a `StoreConfig` as JSON) the configuration is read from file and environment.
Exit status: 0 after a signal, 2 for a bad configuration, 3 when another store serves the home, 1 for anything else.
"""

import argparse
import logging
import os
import signal
import sys
import threading
from logging.handlers import RotatingFileHandler
from pathlib import Path

import msgspec

from data.config import Config, StoreConfig
from data.errors import ConfigError, StoreError
from data.lean import without_pandas
from data.serving import AlreadyServed, RunningStore
from data.settings import load

_STOP_S = 20.0
FAILED, BAD_CONFIGURATION, ALREADY_SERVED = 1, 2, 3


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM, SIGINT, a shutdown call or a fatal database error; the exit status."""
    without_pandas()
    os.umask(0o077)
    signalled = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: signalled.set())
    try:
        config = _config(arguments)
        _log_to(config.home / "logs" / "store.log")
        return _serve(config, signalled)
    except (ConfigError, msgspec.ValidationError) as error:
        return _failed(str(error), BAD_CONFIGURATION)
    except AlreadyServed as error:
        return _failed(str(error), ALREADY_SERVED)
    except (StoreError, OSError) as error:
        return _failed(str(error), FAILED)


def _config(arguments: list[str]) -> Config:
    parser = argparse.ArgumentParser(prog="python -m data", description="Run the store.")
    parser.add_argument("--home", type=Path)
    parser.add_argument("--settings", type=str)
    options = parser.parse_args(arguments)
    if options.home and options.settings:
        return Config(home=options.home, store=msgspec.json.decode(options.settings, type=StoreConfig))
    return load(os.environ, overrides={"home": options.home} if options.home else None)


def _log_to(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handler = RotatingFileHandler(path, maxBytes=8 * 1024 * 1024, backupCount=3, encoding="utf-8")
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        handlers=[handler],
    )


def _serve(config: Config, signalled: threading.Event) -> int:
    store = RunningStore(config)
    print("store ready", *store.addresses, flush=True)  # noqa: T201 - the line supervisors wait for
    logging.getLogger(__name__).info("ready at %s", ", ".join(store.addresses))
    if problem := store.wait(signalled):
        # not closed in order, for the instance or its folder is lost: what is acknowledged lies in the log on disk
        _failed(problem, FAILED)
        logging.shutdown()
        os._exit(FAILED)
    # a caller that neither reads nor leaves must not keep the store alive: all it acknowledged is on disk
    last = threading.Timer(_STOP_S, os._exit, (FAILED,))
    last.daemon = True
    last.start()
    store.stop()
    last.cancel()
    return 0


def _failed(message: str, status: int) -> int:
    logging.getLogger(__name__).critical("%s", message)
    print(f"store: {message}", file=sys.stderr, flush=True)  # noqa: T201 - the one line a supervisor shows
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
