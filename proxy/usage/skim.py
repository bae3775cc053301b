"""Content deltas in bulk: their text is only counted, so that one pass over many of them needs no objects.

Whatever is not written exactly as a pattern says is left to the protocol's reader, which gives the same counts.
"""

import re
from typing import Final

import msgspec

from proxy.usage import fields
from proxy.usage.estimate import OutputSeen

#: What may be the inside of a JSON text, as a group: it goes on after a quotation mark with a backslash before it.
#: Whether it is one, its decoder tells.
TEXT: Final = rb'([^"]*+(?:(?<=\\)"[^"]*+)*+)'
#: The inside of a JSON text of plain ASCII.
WORD: Final = rb"[ !#-\[\]-~]*+"

_TEXT_DECODER: Final = msgspec.json.Decoder(str)


def event_of(block: bytes) -> re.Pattern[bytes]:
    """Return the pattern of the events whose lines match `block`, whose only groups are `TEXT`s, one in each event."""
    return re.compile(rb"\n\n" + block + rb"(?=\n\n)")


def skimmed(events: bytes, pattern: re.Pattern[bytes], seen: OutputSeen) -> bytes:
    """Count the text of the events that match; return the others, or all where one of the texts is none.

    An event is cut out with the blank line before it, so that the one after it stands between the others.
    """
    if len(events) > fields.MAX_JSON_BYTES:  # one of them may be larger than what is read
        return events
    parts, step = pattern.split(b"\n\n" + events), pattern.groups + 1
    others = b"".join(parts[::step])[2:]
    del parts[::step]
    if texts := list(filter(None, parts)):
        try:
            # the space keeps the halves of a character or of an escape in two texts from becoming one
            seen.add_joined(_TEXT_DECODER.decode(b'"%s"' % b" ".join(texts)), len(texts))
        except fields.UNREADABLE:
            return events
    return others
