"""One line: which program is up, and how far the ledger is behind."""

from datetime import datetime
from html import escape

import streamlit as st

from app.health import Backlog, Condition, Program, Report
from app.views.format import ago, count, duration

#: Style, sign and words of a program's condition.
_LOOKS = {
    Condition.UP: ("up", "●", "up"),
    Condition.DEGRADED: ("unsure", "◐", "degraded"),
    Condition.DOWN: ("down", "○", "down"),
    Condition.STRANGE: ("unsure", "◌", "of another home answers"),
}
_FOLLOWS = {
    "Proxy": "clients get no answers",
    "Worker": "no rule is evaluated and nothing is notified",
    "Store": "nothing can be shown; requests wait in the proxy's spool",
}
LATE_S = 10.0  # of backlog that is worth a warning


def statusline(report: Report, last: datetime | None, now: datetime) -> None:
    """Draw it. `last` is when the newest request of the ledger ended, None: there is none."""
    parts = [_program(program) for program in report.programs]
    if report.backlog is not None:
        parts.append(_ledger(report.backlog, now))
    newest = f"last request {ago(last, now)}" if last else "no request yet"
    st.html(f'<div class="status" role="status">{"".join(parts)}<span>{escape(newest)}</span></div>')


def advice(report: Report) -> str | None:
    """What follows from programs being down or degraded, a sentence each; None when all are well."""
    down = [program for program in report.programs if program.condition is Condition.DOWN]
    told = [f"**{program.name}** is down: {_FOLLOWS[program.name]}." for program in down]
    strange = [program for program in report.programs if program.condition is Condition.STRANGE]
    told += [
        f"**{program.name}**: {program.detail}, and this home's own does not run. What it does is not shown here."
        for program in strange
    ]
    if strange:
        told.append("Start this home on other ports with `claude-proxy up --port`, or end the other one.")
    if down:
        told.append("Start everything with `claude-proxy up`.")
    degraded = [program for program in report.programs if program.condition is Condition.DEGRADED]
    told += [f"**{program.name}** is degraded: {program.detail}" for program in degraded]
    return " ".join(told) or None


def _program(program: Program) -> str:
    style, dot, words = _LOOKS[program.condition]
    title = escape(program.detail, quote=True)
    return f'<span class="{style}" title="{title}"><i>{dot}</i>{escape(program.name)} {words}</span>'


def _ledger(backlog: Backlog, now: datetime) -> str:
    behind = (now - backlog.since).total_seconds() if backlog.since and backlog.records else 0.0
    if behind < LATE_S:
        return '<span class="up" title="Nothing waits for the store"><i>●</i>Ledger up to date</span>'
    late = f"Ledger {duration(behind * 1_000)} behind, {count(backlog.records)} requests wait"
    return f'<span class="unsure"><i>◐</i>{escape(late)}</span>'
