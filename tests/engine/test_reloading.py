"""A worker that really runs reads its configuration again: what follows, what does not, and that nothing is lost."""

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from data.config import Config, RetentionConfig, StoreConfig, UiConfig, WorkerConfig
from data.queries import leases
from data.serving import RunningStore
from data.store import connect
from engine import channel_store, rules
from engine.bucket import Limit
from engine.evaluator import LEASE
from engine.post import terms
from engine.reloading import followed
from engine.secrets import SecretBox
from engine.terms import ALL
from tests.conftest import ROOT
from tests.engine.receivers import free_port, receiving, until
from tests.engine.test_worker import health
from tests.engine.traffic import COSTLY, NOON, rows, spend


@dataclass
class Running:
    """A worker that runs."""

    process: subprocess.Popen[bytes]
    port: int
    config: Path
    log: Path

    def configure(self, text: str) -> None:
        self.config.write_text(f"[worker]\nport = {self.port}\n{text}")

    async def reload(self, words: str) -> str:
        """Have it read its configuration; the line that says what came of it, which has these words."""
        before = len(self._lines())
        self.process.send_signal(signal.SIGHUP)
        return await until(lambda: next((line for line in self._lines()[before:] if words in line), ""))

    def _lines(self) -> list[str]:
        return self.log.read_text().splitlines()


@asynccontextmanager
async def running(home: Path, *, healthy: bool = True) -> AsyncIterator[Running]:
    port, config = free_port(), home / "settings.toml"
    environ = {**os.environ, "CLAUDE_PROXY_HOME": str(home), "CLAUDE_PROXY_CONFIG": str(config)}
    config.write_text(f"[worker]\nport = {port}\n")
    process = await asyncio.to_thread(subprocess.Popen, [sys.executable, "-m", "engine"], cwd=ROOT, env=environ)
    try:
        await until(lambda: health(port)["status"] in (["ok"] if healthy else ["ok", "degraded"]))
        yield Running(process, port, config, home / "logs" / "worker.log")
        assert process.poll() is None
        process.terminate()
        assert await asyncio.to_thread(process.wait, 60) == 0
    finally:
        process.kill()
        process.wait()


def jobs(port: int) -> list[str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/jobs", timeout=5) as answer:
        return [job["name"] for job in json.load(answer)["items"]]


def hook(store, config, name: str, url: str) -> None:
    document = {"name": name, "kind": "webhook", "config": {"url": url, "allow_private": True}}
    channel_store.create(store, SecretBox(config.home), document, by="ada")


async def test_settings_follow_and_neither_lease_nor_evaluation_nor_delivery_is_lost(store, config, home):
    async with receiving(200) as receiver, receiving("hang") as slow, running(home) as worker:
        hook(store, config, "hook", receiver.url)
        hook(store, config, "slow", slow.url)
        rules.save(store, {**COSTLY, "every": "1s", "group_by": ["model"], "notify": ["hook"]}, by="ada")
        rules.save(store, {**COSTLY, "name": "slow", "every": "1s", "notify": ["slow"]}, by="ada")
        spend(store, datetime.now(UTC), "2", model="one")
        await until(lambda: receiver.got and slow.got)
        held = leases.holder(store, LEASE)
        worker.configure('public_url = "http://elsewhere"\nnotices_burst = 7\n[retention]\nevents_days = 70\n')
        assert (await worker.reload("read again")).endswith("the configuration was read again")
        for known, model in enumerate("abc", 1):
            spend(store, datetime.now(UTC), "2", model=model)
            await worker.reload("read again")
            await until(lambda known=known: len(receiver.got) > known)
        linked = [json.loads(got.body)["data"]["rule_url"].startswith("http://elsewhere/") for got in receiver.got]
        assert linked == [False] + [True] * 3
        slow.released.set()
        await until(lambda: {s for (s,) in rows(store, "notifications", "status")} == {"sent"})
        assert len(slow.got) == 1
        assert terms(store, NOON).buckets[ALL].limit == Limit(per_minute=300, burst=7)
        evaluator = health(worker.port)["checks"]["evaluator"]
        assert leases.holder(store, LEASE)[0] == held[0]
        assert store.sql("SELECT token FROM leases WHERE name = ?", [LEASE]).item() == evaluator["token"]
        assert (evaluator["missed_ticks"], evaluator["failed_ticks"]) == (0, 0)


async def test_faults_change_nothing_and_what_takes_a_new_start_is_said(store, home, tmp_path):
    async with running(home) as worker:
        worker.configure('notices_burst = "many"\n')
        await worker.reload("has faults and stays as it was")
        await until(lambda: "notices_burst" in worker.log.read_text())
        (tmp_path / "secret").write_text("k" * 40)
        secret = f'secret_key = "file:{tmp_path / "secret"}"'
        worker.config.write_text(f"[worker]\nport = {worker.port + 1}\n{secret}\nnotices_burst = 9\n")
        line = await worker.reload("read again")
        assert line.endswith("these take a new start: worker.port, worker.secret_key")
        await until(lambda: terms(store, NOON).buckets[ALL].limit.burst == 9)
        assert health(worker.port)["status"] == "ok"


async def test_what_changed_before_the_store_answered_is_followed_when_it_does(config, home):
    async with running(home, healthy=False) as worker:
        worker.configure("notices_burst = 11\n")
        await worker.reload("read again")
        store_program = RunningStore(config)
        store = connect(config)
        try:
            await until(lambda: health(worker.port)["status"] == "ok")
            await until(lambda: terms(store, NOON).buckets[ALL].limit.burst == 11)
        finally:
            store.close()
            store_program.stop()


async def test_another_folder_of_rules_and_a_heartbeat_are_followed(store, home, tmp_path):
    async with receiving(200) as receiver, running(home) as worker:
        (tmp_path / "costly.yaml").write_text(json.dumps({**COSTLY, "notify": []}))
        (tmp_path / "url").write_text(receiver.url)
        beats = f'heartbeat_url = "file:{tmp_path / "url"}"\nheartbeat_s = 1\n'
        worker.configure(f'rules_dir = "{tmp_path}"\n{beats}')
        await worker.reload("read again")
        await until(lambda: rows(store, "rules", "name") == [("High cost",)])
        await until(lambda: len(receiver.got) >= 2)
        worker.configure(f'rules_dir = "{tmp_path}"\n')
        await worker.reload("read again")
        listed = await asyncio.to_thread(jobs, worker.port)
        assert "heartbeat" not in listed
        assert "retention" in listed


OLD = Config(Path("/old"), worker=WorkerConfig(port=1, secret_key="a", public_url="u"), ui=UiConfig(port=5))


@pytest.mark.parametrize(
    ("new", "kept"),
    [
        (OLD, []),
        (dataclasses.replace(OLD, worker=WorkerConfig(port=1, secret_key="a", notices_burst=3)), []),
        (dataclasses.replace(OLD, retention=RetentionConfig(audit_days=70)), []),
        (dataclasses.replace(OLD, home=Path("/new"), store=StoreConfig(threads=9)), ["home", "store"]),
        (
            dataclasses.replace(OLD, worker=WorkerConfig("h", 2, secret_key="b"), ui=UiConfig("h", 6)),
            ["worker.host", "worker.port", "worker.secret_key", "ui.host", "ui.port"],
        ),
    ],
    ids=["the same", "what follows", "retention", "where the data is", "where it listens"],
)
def test_what_takes_a_new_start_stays_and_is_named(new: Config, kept: list[str]):
    config, named = followed(OLD, new)
    assert named == kept
    held = (config.home, config.store, config.worker.host, config.worker.port, config.worker.secret_key, config.ui)
    assert held == (OLD.home, OLD.store, OLD.worker.host, OLD.worker.port, OLD.worker.secret_key, OLD.ui)
    assert (config.worker.notices_burst, config.retention) == (new.worker.notices_burst, new.retention)
