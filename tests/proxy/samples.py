"""Requests and answers that several tests send."""

MESSAGES = b'{"model":"claude-sonnet-4-5","max_tokens":64,"messages":[{"role":"user","content":"hi"}]}'
STREAMED = MESSAGES[:-1] + b',"stream":true}'
MESSAGE = (
    b'{"id":"msg_1","type":"message","model":"claude-sonnet-4-5","stop_reason":"end_turn","content":[],'
    b'"usage":{"input_tokens":10,"output_tokens":5}}'
)
_START = b'{"type":"message_start","message":{"id":"m","model":"claude-sonnet-4-5","usage":%s}}'
_DELTA = b'{"type":"content_block_delta","delta":{"type":"text_delta","text":"hello"}}'
_END = b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}'
EVENTS = (
    b"event: message_start\ndata: %s\n\n" % _START % b'{"input_tokens":10,"output_tokens":1}',
    b"event: content_block_delta\ndata: %s\n\n" % _DELTA,
    b"event: message_delta\ndata: %s\n\n" % _END,
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
)
CHAT = b'{"model":"gpt-4o","stream":true,"messages":[]}'
CHAT_EVENTS = (
    b'data: {"id":"c","model":"gpt-4o","choices":[{"delta":{"content":"hey"}}],"usage":null}\n\n',
    b'data: {"id":"c","model":"gpt-4o","choices":[{"delta":{},"finish_reason":"stop"}],"usage":null}\n\n',
)
CHAT_USAGE = b'data: {"id":"c","model":"gpt-4o","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"
