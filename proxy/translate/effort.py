"""How much a model thinks, in the terms of both protocols; and what older models do not understand of it.

Anthropic → OpenAI                                  OpenAI → Anthropic
output_config.effort: the same name                 none     thinking disabled
thinking enabled, budget up to  4,096: low          minimal  effort low (Anthropic has no lower one)
                        up to 16,384: medium        others   the same name, thinking adaptive
                        above       : high          models before Claude 4.6 have budgets instead:
thinking adaptive, between_tools: not said                   low 2,048, medium 8,192, high 16,384, above 24,576
thinking disabled: `none` for GPT-5.1 and later,
                   else not said

A named effort goes before a budget, and an effort that the model does not have becomes its highest one: `max` since
GPT-5.6, `xhigh` since GPT-5.2, `high` of all others. OpenAI's models that do not reason (GPT-4o and older) are not
told any. OpenAI itself serves no functions with reasoning in Chat Completions since GPT-5.2: with tools these are
told `none`. (Gateways that call them `openai/…` do serve both.)
"""

import re
from typing import Any, Final

_BUDGETS: Final = {"minimal": 2_048, "low": 2_048, "medium": 8_192, "high": 16_384, "xhigh": 24_576, "max": 24_576}
_EFFORTS: Final = ((4_096, "low"), (16_384, "medium"))
_MIN_BUDGET: Final = 1_024

EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

_NOT_REASONING: Final = re.compile(r"(?:.*/)?(?:gpt-(?:3|4)|chatgpt)")
_CAN_REST: Final = re.compile(r"(?:.*/)?gpt-(?:5\.[1-9]|[6-9]|\d\d)")
_TOPS: Final = (
    (re.compile(r"(?:.*/)?gpt-(?:5\.[6-9]|[6-9]|\d\d)"), "max"),
    (re.compile(r"(?:.*/)?gpt-5\.(?:[2-5]|1-codex-max)"), "xhigh"),
)
_TOOLS_OR_REASONING: Final = re.compile(r"gpt-(?:5\.[2-9]|[6-9]|\d\d)")
_BEFORE_THINKING: Final = re.compile(r"(?:.*[/.])?claude-(?:instant|[12]|3-(?!7)|3\.[05])")
_WITH_BUDGETS: Final = re.compile(
    r"(?:.*[/.])?claude-(?:3[-.]7|(?:opus|sonnet|haiku)-4(?:-\d{8}|[-.@][0-5](?!\d)|@\d{8}|$))"
)


def is_old_claude(model: str) -> bool:
    """Whether the model came before Claude 4.6: it has budgets or no thinking, and no effort."""
    return _BEFORE_THINKING.match(model) is not None or _WITH_BUDGETS.match(model) is not None


def effort_for(model: str, thinking: str, budget: int, effort: str, *, has_tools: bool) -> str:
    """Return the `reasoning_effort` to ask `model` for; '' leaves it to the model.

    `thinking`: the type of the client's `thinking`, '' without one; `effort`: the one it names, or ''.
    """
    if _NOT_REASONING.match(model):
        return ""
    if has_tools and _TOOLS_OR_REASONING.match(model):
        return "none"
    if effort:
        return min(effort, _top(model), key=EFFORTS.index)
    if thinking == "disabled":
        return "none" if _CAN_REST.match(model) else ""
    if thinking != "enabled":
        return ""
    return next((name for limit, name in _EFFORTS if budget <= limit), "high")


def _top(model: str) -> str:
    return next((effort for names, effort in _TOPS if names.match(model)), "high")


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
