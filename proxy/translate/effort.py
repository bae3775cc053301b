"""How much a model thinks, in the terms of both protocols; and what older models do not understand of it.

Anthropic → OpenAI                                  OpenAI → Anthropic
output_config.effort: the same name                 none     thinking disabled
thinking enabled, budget up to  4,096: low          minimal  effort low (Anthropic has no lower one)
                        up to 16,384: medium        others   the same name, thinking adaptive
                        above       : high          models before Claude 4.6 have budgets instead:
thinking adaptive, between_tools: not said                   low 2,048, medium 8,192, high 16,384, above 24,576
thinking disabled: `none` for GPT-5.1 and later,
                   else not said

A named effort goes before a budget. OpenAI's models that do not reason (GPT-4o and older) are not told any.
"""

import re
from typing import Any, Final

_BUDGETS: Final = {"minimal": 2_048, "low": 2_048, "medium": 8_192, "high": 16_384, "xhigh": 24_576, "max": 24_576}
_EFFORTS: Final = ((4_096, "low"), (16_384, "medium"))
_MIN_BUDGET: Final = 1_024

EFFORTS: Final = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "max"})

_OPENAIS: Final = re.compile(r"(?:.*/)?(?:gpt-(?!oss)|o\d|chatgpt|codex)")
_NOT_REASONING: Final = re.compile(r"(?:.*/)?(?:gpt-(?:3|4)|chatgpt)")
_CAN_REST: Final = re.compile(r"(?:.*/)?gpt-(?:5\.[1-9]|[6-9]|\d\d)")
_BEFORE_THINKING: Final = re.compile(r"(?:.*[/.])?claude-(?:instant|[12]|3-(?!7)|3\.[05])")
_WITH_BUDGETS: Final = re.compile(
    r"(?:.*[/.])?claude-(?:3[-.]7|(?:opus|sonnet|haiku)-4(?:-\d{8}|[-.@][0-5](?!\d)|@\d{8}|$))"
)


def is_openais(model: str) -> bool:
    """Whether the model is OpenAI's own, as its name tells: these have left the names behind that all others know."""
    return _OPENAIS.match(model) is not None


def is_old_claude(model: str) -> bool:
    """Whether the model came before Claude 4.6: it has budgets or no thinking, and no effort."""
    return _BEFORE_THINKING.match(model) is not None or _WITH_BUDGETS.match(model) is not None


def effort_for(model: str, thinking: str, budget: int, effort: str) -> str:
    """Return the `reasoning_effort` to ask `model` for; '' leaves it to the model.

    `thinking`: the type of the client's `thinking`, '' without one; `effort`: the one it names, or ''.
    """
    if _NOT_REASONING.match(model):
        return ""
    if effort or thinking == "disabled":
        return effort or ("none" if _CAN_REST.match(model) else "")
    if thinking != "enabled":
        return ""
    return next((name for limit, name in _EFFORTS if budget <= limit), "high")


def thinking_for(model: str, effort: str, max_tokens: int, *, may_think: bool) -> dict[str, Any]:
    """Return the members of a Messages request that ask `model` for a `reasoning_effort`.

    Without `may_think` (a tool is forced, or a call is being answered whose thinking Anthropic would want to see
    again) an older model is not told to think. Neither is one whose answer is too short for the least budget.
    """
    if effort == "none":
        return {} if _BEFORE_THINKING.match(model) else {"thinking": {"type": "disabled"}}
    if not is_old_claude(model):
        thinking = {"thinking": {"type": "adaptive"}} if may_think else {}
        return {**thinking, "output_config": {"effort": "low" if effort == "minimal" else effort}}
    budget = min(_BUDGETS[effort], max_tokens - 1)
    if budget < _MIN_BUDGET or not may_think or _BEFORE_THINKING.match(model):
        return {}
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}
