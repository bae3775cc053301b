"""Results of tools in Anthropic's form as `tool` messages of OpenAI Chat, which have only text. Pure.

Images and files of a result follow in the user's message behind all results, each introduced by its call's id.
A result that is an error says so in its text.
"""

from typing import Any, Final

from proxy.translate import client_json as cj
from proxy.translate.known_fields import FROM_MESSAGES
from proxy.translate.to_chat_parts import Part, parts_of, text_part

_ERROR: Final = "Error"
_ELSEWHERE: Final = "(what it gave follows in the user's message)"


def tool_messages(results: list[tuple[dict[str, Any], str]]) -> tuple[list[dict[str, Any]], list[Part]]:
    """Return the messages, and the parts that the user's message must show for them. Raises `Untranslatable`."""
    messages: list[dict[str, Any]] = []
    shown: list[Part] = []
    for block, place in results:
        FROM_MESSAGES["tool_result"].check(block, place)
        call = cj.text(block.get("tool_use_id"), f"{place}.tool_use_id")
        parts = _parts(block.get("content"), f"{place}.content")
        others = [part for part in parts if part["type"] != "text"]
        text = "\n".join(part["text"] for part in parts if part["type"] == "text")
        text = _marked(text, is_error=cj.flag(block.get("is_error"), f"{place}.is_error"))
        messages.append({"role": "tool", "tool_call_id": call, "content": text or (_ELSEWHERE if others else "")})
        if others:
            shown += [text_part(f"From the result of the call {call}:"), *others]
    return messages, shown


def _parts(content: object, place: str) -> list[Part]:
    if isinstance(content, str):
        return [text_part(content)]
    return [part for block, at in cj.objects(content, place) for part in parts_of(block, at)]


def _marked(text: str, *, is_error: bool) -> str:
    if not is_error or text.lower().startswith("error"):
        return text
    return f"{_ERROR}: {text}" if text else _ERROR
