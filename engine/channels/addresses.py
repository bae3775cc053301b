"""Addresses that are secrets themselves: whoever knows one can post there, so that faults never quote it."""

from typing import Annotated

from pydantic import AfterValidator, HttpUrl, TypeAdapter, ValidationError

_URL = TypeAdapter(HttpUrl)


def _checked(text: str) -> str:
    try:
        url = _URL.validate_python(text) if text else None
    except ValidationError:
        raise ValueError("must be an address like https://example.com/…") from None
    return str(url) if url else ""


#: An http(s) address, or '' for none.
SecretUrl = Annotated[str, AfterValidator(_checked)]
