"""How a conversation goes: turn after turn, until its document or a failure ends it."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from data.crosstalk import MessageRow, Status
from proxy.crosstalk.calling import Answered, Failed
from proxy.crosstalk.session import Session
from proxy.crosstalk.turns import request_body, speaker, why_over

#: Messages that a conversation may be ahead of the store; then it waits for it.
AHEAD: Final = 10
_RECORD_S: Final = 5.0
_BROKEN_OFF_S: Final = 1.0

Ask = Callable[[Session, int], Awaitable[Answered | Failed]]


async def talk(session: Session, ask: Ask) -> None:
    """Hold the conversation to its end. Whoever cancels this ends it."""
    try:
        await _turns(session, ask)
    except Exception:
        session.end(Status.FAILED, "proxy_error", _now(), "The proxy could not go on; its log says why.")
        raise


async def _turns(session: Session, ask: Ask) -> None:
    document, texts = session.document, list[str]()
    while not (over := why_over(document, texts, session.tab.spent)):
        while session.unstored >= AHEAD:
            await session.change()
        if (failed := await _turn(session, ask)) is not None:
            session.end(Status.FAILED, failed.kind, _now(), failed.message)
            return
        texts.append(session.messages[-1].text)
    session.end(Status.FINISHED, over, _now())


async def _turn(session: Session, ask: Ask) -> Failed | None:
    """Have one turn; return why there is none."""
    turn, tab = len(session.messages) + 1, session.tab
    tab.begin()
    try:
        answer = await ask(session, turn)
    except BaseException:
        await tab.settled(_BROKEN_OFF_S)
        raise
    if isinstance(answer, Failed):
        if answer.request_id:
            await tab.cost(answer.request_id, answer.status, _RECORD_S)
        return answer
    cost = await tab.cost(answer.request_id, 200, _RECORD_S)
    session.say(_message(session, turn, answer, cost))
    if not answer.text.strip():
        return Failed("empty_answer", f"Turn {turn} said nothing (stop reason: {answer.stop_reason or 'none'}).")
    if session.document.max_cost_usd is not None and cost is None:
        return Failed("cost_unknown", f"What turn {turn} cost is not known, so that max_cost_usd cannot be held.")
    return None


def _message(session: Session, turn: int, answer: Answered, cost: Decimal | None) -> MessageRow:
    participant = speaker(session.document, turn)
    return MessageRow(
        session=session.id,
        turn=turn,
        participant=participant.name,
        model_requested=participant.model,
        model=answer.model,
        text=answer.text,
        stop_reason=answer.stop_reason,
        request_id=answer.request_id,
        input_tokens=answer.input_tokens,
        output_tokens=answer.output_tokens,
        cost_usd=cost,
        duration_ms=answer.duration_ms,
        created_at=_now(),
    )


def request_of(session: Session) -> dict[str, object]:
    """Return the request of the turn that is to be had."""
    return request_body(session.document, [message.text for message in session.messages])


def _now() -> datetime:
    return datetime.now(UTC)
