"""What is set up, what is reachable, what is missing: the findings of `claude-proxy doctor`."""

import asyncio
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import aiohttp

from app.stack import reachable, url
from data.config import Config, ProviderConfig
from data.errors import StoreError
from data.store import connect

LIMIT_S = 5.0
LOW_DISK_BYTES = 1024**3


class Verdict(StrEnum):
    """How a finding is to be taken."""

    OK = "ok"
    MISSING = "missing"  # not running or not set; nothing is broken
    FAULT = "FAULT"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    verdict: Verdict
    detail: str


async def examine(config: Config, environ: Mapping[str, str]) -> list[Finding]:
    """Look at the configuration, the home, the four programs and the providers. Never shows a secret."""
    timeout = aiohttp.ClientTimeout(total=LIMIT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        remote = await asyncio.gather(
            asyncio.to_thread(_store, config),
            _program(session, "proxy", url(reachable(config.proxy.host), config.proxy.port), "/health"),
            _program(session, "worker", url(reachable(config.worker.host), config.worker.port), "/health"),
            _program(session, "app", url(reachable(config.ui.host), config.ui.port), "/_stcore/health"),
            *(_provider(session, provider) for provider in config.providers.values()),
        )
    credentials = [_credentials(provider) for provider in config.providers.values()]
    return [_configuration(config, environ), _home(config.home), *remote, *credentials]


def _configuration(config: Config, environ: Mapping[str, str]) -> Finding:
    source = environ.get("CLAUDE_PROXY_CONFIG") or "no file, so defaults and environment"
    routes = f"{len(config.providers)} providers, {len(config.routes)} routes, {len(config.prices)} own prices"
    return Finding("configuration", Verdict.OK, f"{source}: {routes}")


def _home(home: Path) -> Finding:
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        return Finding("home", Verdict.FAULT, f"{existing} cannot be written to")
    free = shutil.disk_usage(existing).free
    detail = f"{home}{'' if existing == home else ' (made at the first start)'}, {free / 1024**3:.1f} GiB free"
    return Finding("home", Verdict.FAULT if free < LOW_DISK_BYTES else Verdict.OK, detail)


def _store(config: Config) -> Finding:
    if not config.socket.exists():
        return Finding("store", Verdict.MISSING, f"none runs on {config.home}")
    try:
        client = connect(config)
        try:
            status = client.ping()
        finally:
            client.close()
    except StoreError as error:
        return Finding("store", Verdict.MISSING, str(error))
    return Finding("store", Verdict.OK, f"{config.socket}, {status.database_bytes / 1024**2:.1f} MiB")


async def _program(session: aiohttp.ClientSession, name: str, address: str, path: str) -> Finding:
    try:
        async with session.get(address + path) as response:
            text = await response.text()
    except (aiohttp.ClientError, TimeoutError) as error:
        return Finding(name, Verdict.MISSING, f"{address} does not answer ({type(error).__name__})")
    healthy = response.status == 200 and '"degraded"' not in text
    return Finding(name, Verdict.OK if healthy else Verdict.FAULT, address if healthy else f"{address}: {text[:300]}")


async def _provider(session: aiohttp.ClientSession, provider: ProviderConfig) -> Finding:
    subject = f"provider {provider.name}"
    try:
        async with session.get(f"{provider.base_url}/v1/models") as response:
            return Finding(subject, Verdict.OK, f"{provider.base_url} answers (status {response.status} without a key)")
    except (aiohttp.ClientError, TimeoutError) as error:
        return Finding(subject, Verdict.FAULT, f"{provider.base_url} cannot be reached ({type(error).__name__})")


def _credentials(provider: ProviderConfig) -> Finding:
    detail = "a key is configured" if provider.credentials else "no key configured: each caller's own is passed on"
    return Finding(f"key for {provider.name}", Verdict.OK, detail)
