"""One line: which program is up, and how far the ledger is behind."""

from collections.abc import Sequence
from datetime import datetime
from html import escape

import streamlit as st

from app.health import Condition, Program
from app.views.format import ago

_LOOKS = {
    Condition.UP: ("up", "●", "up"),
    Condition.DEGRADED: ("unsure", "◐", "degraded"),
    Condition.DOWN: ("down", "○", "down"),
}


def statusline(programs: Sequence[Program], last: datetime | None, now: datetime) -> None:
    """Draw it. `last` is when the newest row of the ledger ended, None: there is none."""
    parts = [_part(program) for program in programs]
    newest = f"last request {ago(last, now)}" if last else "no request yet"
    st.html(f'<div class="status" role="status">{"".join(parts)}<span>{escape(newest)}</span></div>')


def advice(programs: Sequence[Program]) -> str | None:
    """What follows from a program being down, in one sentence each; None when all are up."""
    follows = {
        "Proxy": "clients get no answers",
        "Worker": "no rule is evaluated and nothing is notified",
        "Store": "nothing can be shown; requests wait in the proxy's spool",
    }
    down = [program for program in programs if program.condition is Condition.DOWN]
    if not down:
        return None
    said = "; ".join(f"**{p.name}** is down: {follows.get(p.name, 'it does not answer')}" for p in down)
    return f"{said}. Start everything with `claude-proxy up`."


def _part(program: Program) -> str:
    style, dot, word = _LOOKS[program.condition]
    return f'<span class="{style}" title="{escape(program.detail)}"><i>{dot}</i>{escape(program.name)} {word}</span>'
