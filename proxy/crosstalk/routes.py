"""The routes of conversations, and what the API's description says of them."""

from typing import Any, Final

from data.crosstalk import Status
from proxy.api_body import with_problems
from proxy.api_route import ApiRoute, Parameter
from proxy.crosstalk import shown
from proxy.crosstalk.api import CrosstalkApi
from proxy.crosstalk.document import CrosstalkDocument
from proxy.crosstalk.socket import CrosstalkSocket
from proxy.crosstalk.span import PARAMETERS

_PAGE: Final = 200
_LIMIT: Final = Parameter("limit", "How many items.", {"type": "integer", "minimum": 1, "maximum": _PAGE})
_CURSOR: Final = Parameter("cursor", "`next` of the page before.")
_STATUS: Final = Parameter("status", "Only those that stand so.", {"type": "string", "enum": [*map(str, Status)]})
_AFTER: Final = Parameter(
    "after", "The last turn already seen.", {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
)
_BEGIN: Final = (
    "Begin a conversation of models, which this proxy holds and the store keeps, what is said included. Each turn is "
    "an Anthropic Messages call of the creator's: the credential that this request shows (x-api-key, "
    "x-claude-proxy-key, or Authorization where that is not the API's own token) is sent with it, and is forgotten "
    "when the conversation ends"
)
_FOLLOW: Final = (
    "Follow a conversation (WebSocket): one message {type: session, session}, then {type: message, message} for each "
    "turn from the first on, then {type: end, session}"
)


def routes(api: CrosstalkApi, socket: CrosstalkSocket) -> tuple[ApiRoute, ...]:
    """Return the routes of `api` and of `socket`."""
    every, one = "/api/crosstalk/sessions", "/api/crosstalk/sessions/{id}"
    missing, away = {404: "There is no such conversation."}, {503: "The store does not answer."}
    bad = {400: "What was posted is at fault; the fields are named.", 413: "It is too large.", 415: "It is not JSON."}
    asked = {400: "A parameter is at fault."}

    def route(method: str, path: str, handler: Any, summary: str, **more: Any) -> ApiRoute:
        return ApiRoute(method, path, with_problems(handler), summary, **more)

    return (
        route(
            "POST",
            every,
            api.create,
            _BEGIN,
            body=CrosstalkDocument,
            result=shown.SESSION,
            answers={
                201: "The conversation, which runs.",
                **bad,
                401: "The API's token, or a valid virtual key, is not shown.",
                429: "As many conversations run at this proxy as may.",
                503: "The store does not answer, or the proxy is stopping.",
            },
        ),
        route(
            "GET",
            every,
            api.listing,
            "Conversations, the newest first, as the store knows them",
            query=(_LIMIT, _CURSOR, _STATUS),
            result=shown.SESSIONS,
            answers={200: "A page of conversations.", **asked, **away},
        ),
        route(
            "GET",
            one,
            api.one,
            "One conversation",
            result=shown.SESSION,
            answers={200: "The conversation.", **missing, **away},
        ),
        route(
            "DELETE",
            one,
            api.remove,
            "Forget a conversation that has ended, and what was said; the ledger keeps its calls",
            answers={204: "It is forgotten.", **missing, 409: "It runs; stop it first.", **away},
        ),
        route(
            "GET",
            f"{one}/messages",
            api.messages,
            "What was said, in order",
            query=(_LIMIT, _AFTER),
            result=shown.MESSAGES,
            answers={200: "Messages.", **asked, **missing, **away},
        ),
        route(
            "POST",
            f"{one}/stop",
            api.stop,
            "End a conversation now; the turn that is under way is given up",
            result=shown.SESSION,
            answers={200: "The conversation, which has ended.", **missing, **away},
        ),
        route(
            "GET",
            "/api/system/crosstalk-stats",
            api.stats,
            "What the conversations that began in a range came to: tokens and costs are the ledger's",
            query=PARAMETERS,
            result=shown.STATS,
            answers={200: "The figures.", **asked, **away},
        ),
        route(
            "GET",
            "/ws/crosstalk/{id}",
            socket.handle,
            _FOLLOW,
            result={},
            answers={101: "It opens.", **missing, **away},
        ),
    )
