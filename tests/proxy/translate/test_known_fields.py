"""The tables of fields are whole: every field of the SDKs' request types is translated, left out, or refused."""

from collections.abc import Mapping
from typing import Any, get_args

import anthropic.types as anthropic_types
import anthropic.types.beta as anthropic_beta
import openai.types.chat as chat_types
import pytest
from anthropic.types import message_create_params
from anthropic.types.beta import message_create_params as beta_create_params
from openai.types.chat import completion_create_params
from openai.types.chat.chat_completion_content_part_image_param import ImageURL
from openai.types.chat.chat_completion_content_part_param import File, FileFile
from openai.types.chat.chat_completion_message_function_tool_call_param import Function
from openai.types.chat.chat_completion_named_tool_choice_param import Function as Chosen
from openai.types.shared_params import FunctionDefinition, ResponseFormatJSONSchema
from openai.types.shared_params.response_format_json_schema import JSONSchema

from proxy.errors import Untranslatable
from proxy.translate.known_fields import BLOCKS_LEFT_OUT, FROM_CHAT, FROM_MESSAGES, Fields


def keys(*shapes: Any) -> set[str]:
    """The fields of the shapes, which are TypedDicts or unions of them."""
    dicts = [each for shape in shapes for each in get_args(shape) or (shape,)]
    return {key for each in dicts for key in each.__required_keys__ | each.__optional_keys__}


def missing(fields: Fields, *shapes: Any) -> set[str]:
    known = fields.translated | fields.left_out.keys() | fields.refused.keys()
    return keys(*shapes) - known


A, B, C = anthropic_types, anthropic_beta, chat_types

ANTHROPIC = {
    "request": (
        message_create_params.MessageCreateParamsNonStreaming,
        message_create_params.MessageCreateParamsStreaming,
        beta_create_params.MessageCreateParamsNonStreaming,
        beta_create_params.MessageCreateParamsStreaming,
    ),
    "message": (A.MessageParam, B.BetaMessageParam),
    "metadata": (A.MetadataParam, B.BetaMetadataParam),
    "output_config": (A.OutputConfigParam, B.BetaOutputConfigParam),
    "format": (A.JSONOutputFormatParam,),
    "thinking": (A.ThinkingConfigParam, B.BetaThinkingConfigParam),
    "tool_choice": (A.ToolChoiceParam, B.BetaToolChoiceParam),
    "tool": (A.ToolParam, B.BetaToolParam),
    "text": (A.TextBlockParam, B.BetaTextBlockParam),
    "image": (A.ImageBlockParam, B.BetaImageBlockParam),
    "document": (A.DocumentBlockParam, B.BetaRequestDocumentBlockParam),
    "search_result": (A.SearchResultBlockParam, B.BetaSearchResultBlockParam),
    "tool_use": (A.ToolUseBlockParam, B.BetaToolUseBlockParam),
    "tool_result": (A.ToolResultBlockParam, B.BetaToolResultBlockParam),
    "tool_reference": (A.ToolReferenceBlockParam,),
    "base64": (A.Base64ImageSourceParam, A.Base64PDFSourceParam),
    "url": (A.URLImageSourceParam,),
    "plain": (A.PlainTextSourceParam,),
    "content": (A.ContentBlockSourceParam,),
}
OPENAI = {
    "request": (
        completion_create_params.CompletionCreateParamsNonStreaming,
        completion_create_params.CompletionCreateParamsStreaming,
    ),
    "system": (C.ChatCompletionSystemMessageParam, C.ChatCompletionDeveloperMessageParam),
    "user": (C.ChatCompletionUserMessageParam,),
    "assistant": (C.ChatCompletionAssistantMessageParam,),
    "tool": (C.ChatCompletionToolMessageParam,),
    "text": (C.ChatCompletionContentPartTextParam,),
    "refusal": (C.ChatCompletionContentPartRefusalParam,),
    "image_url": (C.ChatCompletionContentPartImageParam,),
    "image": (ImageURL,),
    "file": (File,),
    "file_data": (FileFile,),
    "tool_call": (C.ChatCompletionMessageFunctionToolCallParam,),
    "called": (Function,),
    "function_tool": (C.ChatCompletionFunctionToolParam,),
    "function": (FunctionDefinition,),
    "tool_choice": (C.ChatCompletionNamedToolChoiceParam,),
    "chosen": (Chosen,),
    "response_format": (ResponseFormatJSONSchema,),
    "json_schema": (JSONSchema,),
    "stream_options": (C.ChatCompletionStreamOptionsParam,),
}


@pytest.mark.parametrize("kind", FROM_MESSAGES)
def test_every_field_of_anthropics_sdk_is_in_the_table(kind: str):
    assert missing(FROM_MESSAGES[kind], *ANTHROPIC[kind]) == set()


@pytest.mark.parametrize("kind", FROM_CHAT)
def test_every_field_of_openais_sdk_is_in_the_table(kind: str):
    assert missing(FROM_CHAT[kind], *OPENAI[kind]) == set()


@pytest.mark.parametrize("fields", [*FROM_MESSAGES.values(), *FROM_CHAT.values()])
def test_a_field_has_one_fate_and_a_reason(fields: Fields):
    left_out, refused = set(fields.left_out), set(fields.refused)
    assert len(fields.translated | left_out | refused) == len(fields.translated) + len(left_out) + len(refused)
    assert all({**fields.left_out, **fields.refused, **BLOCKS_LEFT_OUT}.values())


def test_a_field_that_is_in_no_table_is_refused_unless_it_asks_for_nothing():
    with pytest.raises(Untranslatable, match=r"a\.b: has no known counterpart in OpenAI Chat"):
        FROM_MESSAGES["text"].check({"b": 1}, "a")
    FROM_MESSAGES["text"].check({"b": None, "c": [], "d": {}, "e": False}, "a")


@pytest.mark.parametrize(
    ("table", "name"),
    [(FROM_CHAT, "seed"), (FROM_CHAT, "top_logprobs"), (FROM_MESSAGES, "top_k")],
    ids=["seed", "top_logprobs", "top_k"],
)
@pytest.mark.parametrize("zero", [0, 0.0], ids=repr)
def test_zero_asks_for_something(table: Mapping[str, Fields], name: str, zero: float):
    with pytest.raises(Untranslatable, match=name):
        table["request"].check({name: zero}, "")
