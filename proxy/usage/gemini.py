"""Gemini `generateContent`: counts of a plain answer, and of a stream in either of its two forms.

The prompt's count includes what came from the cache; thoughts and what tools gave back come on top. A stream tells
its counts so far again and again: per field the last ones are right. It has no last event, but a reason to stop.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from data.model import Tokens
from proxy.sse import SseEvent
from proxy.usage import fields
from proxy.usage.errors import broken_body, read_error
from proxy.usage.estimate import OutputSeen
from proxy.usage.usage import Billing, Usage

#: Kinds of tokens that have prices of their own: of a prompt, and of an answer.
_HEARD: Final = frozenset({"AUDIO"})
_SHOWN: Final = frozenset({"AUDIO", "IMAGE", "VIDEO"})
_TIERS: Final[Mapping[str, str]] = {
    "ON_DEMAND_FLEX": "flex",
    "ON_DEMAND_PRIORITY": "priority",
    "PROVISIONED_THROUGHPUT": "provisioned",
}


class _Part(msgspec.Struct):
    text: msgspec.Raw = msgspec.Raw()
    function_call: msgspec.Raw = msgspec.field(name="functionCall", default=msgspec.Raw())
    executable_code: msgspec.Raw = msgspec.field(name="executableCode", default=msgspec.Raw())
    inline_data: msgspec.Raw = msgspec.field(name="inlineData", default=msgspec.Raw())


class _Content(msgspec.Struct):
    parts: list[_Part] | None = None


class _Candidate(msgspec.Struct):
    content: _Content | None = None
    finish_reason: msgspec.Raw = msgspec.field(name="finishReason", default=msgspec.Raw())
    grounding: msgspec.Raw = msgspec.field(name="groundingMetadata", default=msgspec.Raw())


class _Chunk(msgspec.Struct):
    """The fields that are read of an answer, or of a piece of one; images in it are skipped unread."""

    candidates: msgspec.Raw = msgspec.Raw()
    usage: msgspec.Raw = msgspec.field(name="usageMetadata", default=msgspec.Raw())
    model: msgspec.Raw = msgspec.field(name="modelVersion", default=msgspec.Raw())
    id: msgspec.Raw = msgspec.field(name="responseId", default=msgspec.Raw())
    feedback: msgspec.Raw = msgspec.field(name="promptFeedback", default=msgspec.Raw())
    error: msgspec.Raw = msgspec.Raw()


_CHUNK: Final = msgspec.json.Decoder(_Chunk)
_CANDIDATES: Final = msgspec.json.Decoder(list[_Candidate])


class GeminiStream:
    """Reads the pieces of an answer; a plain answer is one piece."""

    def __init__(self, tier: str = "") -> None:
        """`tier`: the one that served, as the answer's headers say it."""
        self.output_started = False
        self._tier = tier
        self._seen = OutputSeen()
        self._usage: dict[str, Any] = {}
        self._model = self._id = self._stop_reason = ""
        self._searches = 0
        self._garbled = False
        self._error = ("", "")

    def take(self, event: SseEvent) -> None:
        """Read one piece."""
        if event.data == b"[DONE]" or not event.data:
            return
        try:
            chunk = _CHUNK.decode(event.data)
        except fields.UNREADABLE:
            self._garbled = True
            return
        self._candidates(chunk.candidates)
        if usage := fields.mapping(fields.decode(chunk.usage) if chunk.usage else None):
            self._usage, self._garbled = fields.merged(self._usage, usage), False
        self._model = _text(chunk.model) or self._model
        self._id = _text(chunk.id) or self._id
        if chunk.feedback:
            blocked = fields.text(fields.mapping(fields.decode(chunk.feedback)).get("blockReason"))
            self._stop_reason = blocked or self._stop_reason
        if chunk.error:
            self._error = fields.error_of(fields.decode(chunk.error))

    def usage(self, *, damaged: bool, whole: bool = False) -> Usage:
        """Say what was read; `whole`: it was a plain answer, which ends without a reason too."""
        counted = fields.count(self._usage.get("promptTokenCount")) is not None
        ended = whole or bool(self._stop_reason)
        complete = counted and ended and not (damaged or self._garbled or self._error[0])
        searches = _billed_searches(self._model, self._searches)
        tokens = replace(tokens_of(self._usage), tool_units=searches)
        if not complete:
            tokens = replace(tokens, output=self._seen.tokens(at_least=tokens.output))
        aside = _aside(self._usage, searches)
        return Usage(
            tokens=tokens,
            model=self._model,
            stop_reason=self._stop_reason,
            service_tier=self._served_tier(),
            response_id=self._id,
            raw=fields.encode(self._usage),
            complete=complete,
            billing=Billing.PARTLY if aside else Billing.COUNTED,
            note=aside if complete else f"estimated from {self._seen.characters} characters of output",
            error_class=self._error[0],
            error_message=self._error[1],
        )

    def _served_tier(self) -> str:
        told = fields.text(self._usage.get("serviceTier"))
        return self._tier or told or _TIERS.get(fields.text(self._usage.get("trafficType")), "")

    def _candidates(self, raw: msgspec.Raw) -> None:
        if not raw:
            return
        try:
            candidates = _CANDIDATES.decode(raw)
        except fields.UNREADABLE:
            self._garbled = True
            return
        searches = 0
        for each in candidates:
            self._stop_reason = _text(each.finish_reason) or self._stop_reason
            for part in (each.content.parts or ()) if each.content else ():
                self._part(part)
            queries = fields.mapping(fields.decode(each.grounding)).get("webSearchQueries") if each.grounding else None
            searches += len(queries) if isinstance(queries, list) else 0
        self._searches = max(self._searches, searches)

    def _part(self, part: _Part) -> None:
        if part.text:
            self._output(_text(part.text, len(part.text)))
        for raw in (part.function_call, part.executable_code):
            if raw:
                self._output(bytes(raw).decode("utf-8", "replace"))
        self.output_started = self.output_started or bool(part.inline_data)

    def _output(self, text: str) -> None:
        if text:
            self.output_started = True
            self._seen.add(text)


def read_body(data: bytes, tier: str = "") -> Usage:
    """The counts of a plain answer; an error answer bills nothing."""
    try:
        chunk = _CHUNK.decode(data)
    except fields.UNREADABLE:
        return broken_body(data)
    if chunk.error:
        return read_error(data)
    answer = GeminiStream(tier)
    answer.take(SseEvent("", data))
    usage = answer.usage(damaged=False, whole=True)
    return usage if usage.complete else msgspec.structs.replace(usage, note="the answer told no counts")


def tokens_of(usage: Mapping[str, Any]) -> Tokens:
    """Counts of a `usageMetadata` object."""

    def count(name: str) -> int:
        return fields.count(usage.get(name)) or 0

    prompt, tools, thoughts = count("promptTokenCount"), count("toolUsePromptTokenCount"), count("thoughtsTokenCount")
    cached, said = count("cachedContentTokenCount"), count("candidatesTokenCount")
    total = fields.count(usage.get("totalTokenCount"))
    if total is not None and usage.get("candidatesTokenCount") is None:
        said = max(total - prompt - tools - thoughts, 0)
    # some previews counted their thoughts as said: the total tells
    within = thoughts and total == prompt + tools + said
    output = said if within else said + thoughts
    return Tokens(
        uncached_input=max(prompt - cached, 0) + tools,
        cache_read=cached,
        output=output,
        reasoning=min(thoughts, output),
    )


def other_prices(details: object, kinds: frozenset[str]) -> int:
    """How many tokens of a list of counts by modality are of `kinds`."""
    counts = [fields.mapping(each) for each in details] if isinstance(details, list) else []
    of_kinds = (each.get("tokenCount") for each in counts if fields.text(each.get("modality")) in kinds)
    return sum(fields.count(each) or 0 for each in of_kinds)


def _billed_searches(model: str, queries: int) -> int:
    """The searches that are charged: each query, but with Gemini 1 and 2 the whole request as one."""
    return min(queries, 1) if model.startswith(("gemini-1", "gemini-2")) else queries


def _aside(usage: Mapping[str, Any], searches: int) -> str:
    """Say what the counts do not tell the price of; '' for nothing."""
    heard = other_prices(usage.get("promptTokensDetails"), _HEARD)
    heard += other_prices(usage.get("toolUsePromptTokensDetails"), _HEARD)
    shown = other_prices(usage.get("candidatesTokensDetails"), _SHOWN)
    found = []
    if heard or shown:
        found.append(f"{heard + shown} audio, image or video tokens are priced as text")
    if searches:
        found.append(f"{searches} searches are priced without Google's free ones")
    return "; ".join(found)


def _text(raw: msgspec.Raw, limit: int = fields.MAX_TEXT) -> str:
    return fields.text(fields.decode(raw), limit) if raw else ""
