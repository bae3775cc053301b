"""The output of an OpenAI batch: a file of JSON lines, one for each request, with its answer or why there is none.

Its requests may have asked any of several endpoints; an answer is read by what it says it is.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Final

import msgspec

from proxy.usage import embeddings, fields, openai_chat, openai_responses, other
from proxy.usage.batch_results import MAX_CUSTOM_ID, SUCCEEDED, TIER, BatchResult
from proxy.usage.errors import read_error
from proxy.usage.usage import Usage

#: A file whose first lines are no output is no batch's; the first alone may be cut where a part of it is asked for.
TRIES: Final = 2
_ERRORED: Final = "errored"
_READERS: Final[Mapping[str, Callable[[bytes], Usage]]] = {
    "chat.completion": openai_chat.read_body,
    "text_completion": openai_chat.read_body,
    "response": openai_responses.read_body,
    "list": embeddings.read_body,
}


class _Response(msgspec.Struct):
    status_code: Annotated[int, msgspec.Meta(ge=100, le=599)]
    request_id: msgspec.Raw = msgspec.Raw()
    body: msgspec.Raw = msgspec.Raw()


class _Line(msgspec.Struct):
    response: _Response | None  # as what is asked has none: a batch's input is no output
    custom_id: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


class _Body(msgspec.Struct):
    object: msgspec.Raw = msgspec.Raw()


_LINE: Final = msgspec.json.Decoder(_Line)
_BODY: Final = msgspec.json.Decoder(_Body)


def read_output(line: bytes) -> BatchResult | None:
    """Read one line; None for what is none."""
    try:
        read = _LINE.decode(line)
    except fields.UNREADABLE:
        return None
    custom_id = fields.text(fields.decode(read.custom_id), MAX_CUSTOM_ID)
    error = fields.error_of(fields.decode(read.error))
    if not custom_id or not (read.response or error[0]):
        return None
    usage = _answered(read.response) if read.response else Usage(complete=True)
    if error[0]:
        usage = msgspec.structs.replace(usage, error_class=error[0], error_message=error[1])
    return BatchResult(
        custom_id,
        _ERRORED if usage.error_class else SUCCEEDED,
        msgspec.structs.replace(usage, service_tier=TIER),
        len(line),
        status=read.response.status_code if read.response else 0,
        request_id=fields.text(fields.decode(read.response.request_id)) if read.response else "",
    )


def _answered(response: _Response) -> Usage:
    body = bytes(response.body)
    if response.status_code >= 400:
        usage = read_error(body)
        return (
            usage if usage.error_class else msgspec.structs.replace(usage, error_class=f"http_{response.status_code}")
        )
    return _READERS.get(_kind(body), other.read_body)(body)


def _kind(body: bytes) -> str:
    """What an answer says it is."""
    try:
        return fields.text(fields.decode(_BODY.decode(body).object))
    except fields.UNREADABLE:
        return ""
