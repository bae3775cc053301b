"""What `claude-proxy up` runs: the four programs, and for a demo the provider and the traffic too."""

import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from app.supervisor import Program, module
from data.config import Config

ROOT = Path(__file__).resolve().parents[1]


def programs(config: Config, *, ui: bool = True, socket_fd: int | None = None) -> tuple[Program, ...]:
    """The store, the proxies, the worker and (unless `ui` is false) the app, in the order they start.

    `socket_fd`: the listening socket that several proxies share.
    """
    core = (
        Program("store", module("data"), f"unix:{config.socket}"),
        *proxy_programs(config, socket_fd),
        Program("worker", module("engine"), url(config.worker.host, config.worker.port), reloads=True),
    )
    return (*core, ui_program(config)) if ui else core


def proxy_programs(config: Config, socket_fd: int | None) -> tuple[Program, ...]:
    """One proxy, or as many as are configured side by side behind one listening socket."""
    address = url(config.proxy.host, config.proxy.port)
    if socket_fd is None:
        return (Program("proxy", module("proxy"), address, reloads=True),)
    shared = module("proxy", "--fd", str(socket_fd))
    return tuple(
        Program(f"proxy-{number}", shared, address, says="proxy", reloads=True, sockets=(socket_fd,))
        for number in range(1, config.proxy.processes + 1)
    )


@contextmanager
def shared_socket(config: Config) -> Iterator[int | None]:
    """The listening socket of several proxies, as a file descriptor; None where there is only one of them.

    What one of them leaves in its queue, another one takes. Raises OSError.
    """
    if config.proxy.processes == 1:
        yield None
        return
    family = socket.AF_INET6 if ":" in config.proxy.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((config.proxy.host, config.proxy.port))
        made.listen(1024)
        yield made.fileno()


def ui_program(config: Config) -> Program:
    """The app, run by Streamlit."""
    address = url(config.ui.host, config.ui.port)
    command = (
        *(sys.executable, "-m", "streamlit", "run", str(ROOT / "app")),
        *("--server.address", config.ui.host, "--server.port", str(config.ui.port), "--server.headless", "true"),
    )
    return Program("ui", command, address, health=f"{url(reachable(config.ui.host), config.ui.port)}/_stcore/health")


def provider_program(port: int) -> Program:
    """The simulated provider on `port`."""
    return Program("provider", module("proxy.simulated", "--port", str(port)), f"{url('127.0.0.1', port)} (simulated)")


def history_program() -> Program:
    """Loads the demo's history once; loading it again adds nothing."""
    return Program("history", module("app.cli", "demo", "load"), "90 days of made-up history", once=True)


def traffic_program(config: Config) -> Program:
    """A team's traffic against the proxy."""
    address = url(reachable(config.proxy.host), config.proxy.port)
    return Program("traffic", module("app.traffic", "--url", address), f"a made-up team calls {address}")


def environment(config: Config, settings: Mapping[str, object], environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of the programs: the caller's, the home, and `settings` (dotted path to value)."""
    given = {f"CLAUDE_PROXY_{path.replace('.', '_').upper()}": str(value) for path, value in settings.items()}
    return {**environ, "CLAUDE_PROXY_HOME": str(config.home), "PYTHONUNBUFFERED": "1", **given, **_import_path(environ)}


def _import_path(environ: Mapping[str, str]) -> dict[str, str]:
    paths = [str(ROOT), *filter(None, environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def url(host: str, port: int) -> str:
    """The address of a program that listens on `host` and `port`."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def reachable(host: str) -> str:
    """An address of this machine that reaches a program listening on `host`."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound


def free_port() -> int:
    """A TCP port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
