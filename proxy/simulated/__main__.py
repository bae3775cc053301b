"""Run the simulated provider by itself: `python -m proxy.simulated --port 8090`."""

import argparse
import asyncio
import signal
from dataclasses import fields

import uvloop
from aiohttp import web

from proxy.simulated.server import make_app
from proxy.simulated.settings import SimulatedSettings


def main() -> None:
    """Serve until SIGINT or SIGTERM; says the address in one line when it is ready."""
    arguments = vars(_parser().parse_args())
    host, port = arguments.pop("host"), arguments.pop("port")
    uvloop.run(_serve(SimulatedSettings(**arguments), host, port))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m proxy.simulated", description="A simulated LLM provider.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090, help="0: any free one (default: 8090)")
    for setting in fields(SimulatedSettings):
        default = setting.default
        flag = "--" + setting.name.replace("_", "-")
        parser.add_argument(flag, dest=setting.name, type=type(default), default=default, help=f"default: {default!r}")
    return parser


async def _serve(settings: SimulatedSettings, host: str, port: int) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    runner = web.AppRunner(make_app(settings), access_log=None, shutdown_timeout=2)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        address = runner.addresses[0]
        print(f"simulated provider ready http://{address[0]}:{address[1]}", flush=True)  # noqa: T201
        await stopped.wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    main()
