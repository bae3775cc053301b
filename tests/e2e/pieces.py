"""Store, proxy and simulated providers as programs of their own, each of them killed and started by itself."""

import itertools
import json
import os
import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import select

from data.config import Config
from data.errors import StoreError
from data.schema import requests as ledger
from data.settings import load
from data.store import Role, connect
from tests.e2e.stack import SpokenFork, until
from tests.engine.receivers import free_port

#: US dollars a token, of every model: round, so that a row's cost is checked by hand.
INPUT_USD, OUTPUT_USD = Decimal("0.000004"), Decimal("0.00002")
#: Served by the first provider alone, and with the second one behind it.
ALONE, BACKED = "claude-sonnet-4-5", "claude-haiku-4-5"
_PRICES = f"""
[[prices]]
model = "*"
input = {INPUT_USD * 1_000_000}
output = {OUTPUT_USD * 1_000_000}
"""
_ROUTE = """
[[routes]]
model = "{model}"
provider = "{first}"
{fallbacks}
"""


class Pieces:
    """The programs on one home; `proxy_settings` are the lines of the section `[proxy]`."""

    def __init__(self, home: Path, *, providers: tuple[str, ...] = ("one",), proxy_settings: str = "") -> None:
        self.port = free_port()
        self.proxy_url = f"http://127.0.0.1:{self.port}"
        self.providers = {name: _Provider(seed) for seed, name in enumerate(providers, 1)}
        file = home / "config.toml"
        file.write_text(self._config(proxy_settings))
        keys = {f"KEY_{name.upper()}": f"sk-ant-{name}" for name in providers}
        self.environ = {"CLAUDE_PROXY_HOME": str(home), "CLAUDE_PROXY_CONFIG": str(file), **keys}
        self.config: Config = load({**os.environ, **self.environ})
        self.numbers = itertools.count(1)
        self._store: SpokenFork | None = None
        self._proxy: SpokenFork | None = None

    def _config(self, proxy_settings: str) -> str:
        first, *others = self.providers
        parts = [f"[proxy]\nport = {self.port}\n{proxy_settings}", _PRICES]
        for name, provider in self.providers.items():
            parts.append(
                f'[providers.{name}]\nprotocol = "anthropic"\nbase_url = "{provider.url}"\n'
                f'api_key = "env:KEY_{name.upper()}"\n'
            )
        behind = ", ".join(f'{{ provider = "{name}" }}' for name in others)
        parts.append(_ROUTE.format(model=BACKED, first=first, fallbacks=f"fallbacks.any = [{behind}]"))
        parts.append(_ROUTE.format(model="*", first=first, fallbacks=""))
        return "\n".join(parts)

    def start_store(self) -> None:
        self._store = SpokenFork("data", environ=self.environ)
        self._store.wait_for("store ready")

    def start_proxy(self) -> None:
        self._proxy = SpokenFork("proxy", environ=self.environ)
        self._proxy.wait_for("proxy ready")

    def kill_store(self) -> None:
        assert self._store is not None
        self._store.end(signal.SIGKILL)

    def kill_proxy(self) -> None:
        assert self._proxy is not None
        self._proxy.end(signal.SIGKILL)

    def end(self) -> None:
        for program in (self._proxy, self._store, *(each.program for each in self.providers.values())):
            if program is not None:
                program.end()

    def get(self, path: str, **parameters: str) -> requests.Response:
        return requests.get(self.proxy_url + path, params=parameters, timeout=60)

    def health(self) -> tuple[str, dict[str, Any]]:
        """The status as a whole, and the checks."""
        found = self.get("/health").json()
        return found["status"], found["checks"]

    def make_budget(self, amount_usd: object, name: str = "all") -> None:
        """A hard budget over everything and for good: no period ends under the test."""
        document = {"name": name, "amount_usd": float(str(amount_usd)), "period": "once"}
        made = requests.post(self.proxy_url + "/api/budget/configure", json=document, timeout=60)
        assert made.status_code == 201, made.text

    def budget(self) -> dict[str, Decimal]:
        """What the only budget has spent and holds."""
        (shown,) = json.loads(self.get("/api/budget/status").text, parse_float=Decimal)["items"]
        (group,) = shown["groups"]
        return {name: Decimal(group[name]) for name in ("spent_usd", "held_usd")}

    def spool(self) -> dict[str, int]:
        """How many records wait for the store (`records`), and how many calls are in flight (`in_flight`)."""
        found: dict[str, int] = self.get("/api/system/spool").json()
        return found

    def wait_until_shipped(self) -> None:
        """Wait until nothing is in flight and the store has everything."""

        def nothing_left() -> bool:
            left = self.spool()
            return not (left["records"] or left["in_flight"])

        until(nothing_left, limit_s=120, what="the store has everything")

    def rows(self) -> list[dict[str, Any]]:
        """The whole ledger, with the number that marks each call as `n`."""
        store = until(self._reader, limit_s=60, what="the store answers")
        try:
            rows = store.frame(select(ledger)).to_dicts()
        finally:
            store.close()
        return [row | {"n": int(json.loads(row["tags"])["n"])} for row in rows]

    def _reader(self) -> Any:
        try:
            return connect(self.config, Role.READER)
        except StoreError:
            return None

    def served(self) -> list[dict[str, Any]]:
        """What the providers have served, each with its `provider` and with the call's number as `n`."""
        return [
            entry | {"provider": name, "n": int(entry["user_agent"].removeprefix("chaos/"))}
            for name, provider in self.providers.items()
            for entry in provider.log()
            if entry["user_agent"].startswith("chaos/")
        ]


class _Provider:
    """A simulated provider without delays of its own."""

    def __init__(self, seed: int) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        arguments = ("--port", str(port), "--speed", "0", "--seed", str(seed), "--log-size", "1000000")
        self.program = SpokenFork("proxy.simulated", *arguments)
        self.program.wait_for("ready")

    def log(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = requests.get(f"{self.url}/simulated/log?limit=1000000", timeout=60).json()
        return found

    def overload(self, seconds: float) -> None:
        """Refuse everything for so long."""
        headers = {"x-simulate": f"overloaded_for={seconds:g}"}
        body = {"model": ALONE, "max_tokens": 1, "messages": [{"role": "user", "content": "-"}]}
        refused = requests.post(f"{self.url}/v1/messages", json=body, headers=headers, timeout=60)
        assert refused.status_code == 529
