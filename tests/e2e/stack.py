"""The real programs, started the way a user starts them, in front of a simulated provider."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil
import pytest
import requests

from data.config import Config
from data.settings import load
from data.store import Store, connect
from tests.engine.receivers import free_port
from tests.forks import Forked

ROOT = Path(__file__).parents[2]
START_LIMIT_S = 120.0
T = TypeVar("T")


def until(ask: Callable[[], T], *, limit_s: float = 90.0, what: str = "") -> T:
    """The first true answer of `ask`; fails after `limit_s`."""
    deadline = time.monotonic() + limit_s
    while not (answer := ask()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {limit_s:g} s: {what or ask}")
        time.sleep(0.05)
    return answer


class Spoken:
    """A subprocess whose lines are kept as they come."""

    def __init__(self, *command: str, environ: dict[str, str] | None = None) -> None:
        self.lines: list[str] = []
        self.process = self._started(command, {**os.environ, "PYTHONUNBUFFERED": "1", **(environ or {})})
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _started(self, command: tuple[str, ...], environ: dict[str, str]) -> subprocess.Popen[str] | Forked:
        return subprocess.Popen(
            command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def _read(self) -> None:
        with self.process.stdout as output:
            self.lines.extend(line.rstrip() for line in iter(output.readline, ""))

    def wait_for(self, word: str, *, limit_s: float = START_LIMIT_S) -> None:
        def seen() -> bool:
            if self.process.poll() is not None and not any(word in line for line in self.lines):
                pytest.fail(f"ended before {word!r}:\n" + "\n".join(self.lines))
            return any(word in line for line in self.lines)

        until(seen, limit_s=limit_s, what=word)

    def end(self, number: signal.Signals = signal.SIGTERM, *, limit_s: float = 60.0) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(limit_s)
        self._reader.join(5)
        return code


class SpokenFork(Spoken):
    """The same of a module and its arguments, forked: it begins at once, however often it is killed."""

    def _started(self, command: tuple[str, ...], environ: dict[str, str]) -> Forked:
        return Forked(*command, environ=environ, errors=True)


class Stack:
    """Everything that `claude-proxy up` runs, in a home of its own, in front of a simulated provider."""

    def __init__(self, home: Path, *, ui: bool, before: tuple[str, ...] = ()) -> None:
        self.provider_port = free_port()
        ports = {name: free_port() for name in ("proxy", "worker", "ui")}
        provider = f"http://127.0.0.1:{self.provider_port}"
        self.environ = {
            "CLAUDE_PROXY_HOME": str(home),
            **{f"CLAUDE_PROXY_{name.upper()}_PORT": str(port) for name, port in ports.items()},
            **{f"CLAUDE_PROXY_PROVIDERS_{name}_BASE_URL": provider for name in ("ANTHROPIC", "OPENAI")},
        }
        self.config: Config = load(self.environ)
        self.proxy = f"http://127.0.0.1:{ports['proxy']}"
        self.worker = f"http://127.0.0.1:{ports['worker']}"
        self.ui = f"http://127.0.0.1:{ports['ui']}"
        self.provider = provider
        self._simulated = SpokenFork("proxy.simulated", "--port", str(self.provider_port), "--speed", "0")
        self._simulated.wait_for("ready")
        if before:
            alone = Spoken(sys.executable, "-m", "app.cli", *before, environ=self.environ)
            assert alone.process.wait(180) == 0, alone.lines
        command = (sys.executable, "-m", "app.cli", "up", *(() if ui else ("--no-ui",)))
        self.up = Spoken(*command, environ=self.environ)
        self._stores: list[Store] = []

    def wait_until_ready(self) -> "Stack":
        until(self._ready_or_failed, limit_s=START_LIMIT_S, what="ready")
        return self

    def _ready_or_failed(self) -> bool:
        if self.up.process.poll() is not None:
            pytest.fail("claude-proxy up ended:\n" + "\n".join(self.up.lines))
        return "ready" in self.up.lines

    def store(self) -> Store:
        """A writer's client of the store, closed with the stack."""
        self._stores.append(connect(self.config))
        return self._stores[-1]

    def pid(self, module: str) -> int:
        """The process that runs `python -m MODULE` for this stack now; 0 if none does."""
        children = psutil.Process(self.up.process.pid).children()
        return next((child.pid for child in children if module in _command(child)), 0)

    def kill(self, module: str) -> None:
        """`kill -9` it and wait until the supervisor has started it again."""
        before = until(lambda: self.pid(module), what=f"{module} runs")
        os.kill(before, signal.SIGKILL)
        until(lambda: self.pid(module) not in {0, before}, what=f"{module} runs again")

    def get(self, path: str, *, base: str = "", **parameters: object) -> requests.Response:
        return requests.get((base or self.proxy) + path, params=parameters, timeout=30)

    def post(self, path: str, body: object, *, base: str = "", **headers: str) -> requests.Response:
        return requests.post((base or self.proxy) + path, json=body, headers=headers, timeout=30)

    def end(self) -> int:
        for store in self._stores:
            store.close()
        code = self.up.end()
        self._simulated.end()
        return code


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
