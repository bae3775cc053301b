"""What a page stands on: the configuration, the store, and cached answers from it.

The store is started if none runs; one client is shared by all sessions. A page runs inside `standing()`, which turns
what can go wrong into words that say what to do.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FunctionType
from typing import Any, TypeVar, cast

import polars as pl
import streamlit as st

from app import health
from app.views.empty import empty
from data import settings
from data.config import Config
from data.errors import ConfigError, DataError, DeadlineExceeded, StoreUnavailable
from data.query import Question, answers
from data.store import Store, connect, ensure_running

FRESH_S = 10.0  # how old a cached answer may be
T = TypeVar("T")

_HASHED: dict[type | str, Callable[[Any], Any]] = {
    Config: lambda config: str(config.home),
    Question: repr,
    FunctionType: lambda function: f"{function.__module__}.{function.__qualname__}",
}


def config() -> Config:
    """The configuration of this process; raises `ConfigError`."""
    return _config(tuple(sorted((k, v) for k, v in os.environ.items() if k.startswith(settings.PREFIX))))


def store() -> Store:
    """The store's client, shared; the store is started if none runs. Raises `StoreUnavailable`."""
    return _client(config())


def answer_all(questions: Sequence[Question]) -> list[pl.DataFrame]:
    """One frame a question, at most `FRESH_S` old, equal reads shared. The frames are shared too: never change them."""
    return _answers(config(), tuple(questions))


def fresh(ask: Callable[..., T], *arguments: object) -> T:
    """What `ask(store, *arguments)` returns, at most `FRESH_S` old; `ask` is a module's function, not a lambda."""
    return cast("T", _fresh(config(), ask, arguments))


def health_report() -> health.Report:
    """Which programs are up and how far the ledger is behind, at most `FRESH_S` old."""
    return _report(config())


def now() -> datetime:
    """The clock's instant, UTC. Pages ask the clock here and nowhere else."""
    return datetime.now(UTC)


@contextmanager
def standing() -> Iterator[None]:
    """Run a page; where the store or the configuration fails, say what and what to do, and end the page there."""
    try:
        yield
    except ConfigError as error:
        _trouble("The configuration has faults", f"{error}\n\nCorrect them and start the app again.", "settings_alert")
    except StoreUnavailable as error:
        forget()
        why = f"No store answers, so there is nothing to show ({error}). Requests still pass the proxy; their ledger "
        _trouble("The store is down", why + "waits in its spool. Start everything with `claude-proxy up`.", "cloud_off")
    except DeadlineExceeded:
        _trouble("That took too long", "The question ran into its time limit. Choose a shorter range.", "timer_off")
    except DataError as error:
        _trouble("That cannot be answered", f"{error}", "error")


def forget() -> None:
    """Drop the shared client and all answers, so that the next run connects anew."""
    for cached in (_client, _answers, _fresh, _report):
        cached.clear()


def _trouble(title: str, why: str, icon: str) -> None:
    empty(title, why, icon=icon, key="trouble")
    st.button("Try again", icon=":material/refresh:", key="try-again")
    st.stop()


@st.cache_resource(show_spinner=False, max_entries=8)
def _config(environ: tuple[tuple[str, str], ...]) -> Config:
    return settings.load(dict(environ))


@st.cache_resource(
    show_spinner="Starting the store …", max_entries=4, hash_funcs=_HASHED, on_release=lambda c: c.close()
)
def _client(config: Config) -> Store:
    ensure_running(config)
    return connect(config)


@st.cache_resource(show_spinner=False, ttl=FRESH_S, max_entries=256, hash_funcs=_HASHED)
def _answers(config: Config, questions: tuple[Question, ...]) -> list[pl.DataFrame]:
    return answers(_client(config), questions)


@st.cache_resource(show_spinner=False, ttl=FRESH_S, max_entries=256, hash_funcs=_HASHED)
def _fresh(config: Config, ask: Callable[..., object], arguments: tuple[object, ...]) -> object:
    return ask(_client(config), *arguments)


@st.cache_resource(show_spinner=False, ttl=FRESH_S, max_entries=4, hash_funcs=_HASHED)
def _report(config: Config) -> health.Report:
    return health.report(config, lambda: _client(config))
