"""The parser beside the stream: it sees a decoded copy of what passes, and nothing it does disturbs the answer."""

from msgspec.structs import replace

from proxy.decoding import Decoder, decoder_for
from proxy.errors import UnreadableBody
from proxy.usage.usage import Usage, UsageParser


class Tee:
    """Decodes an answer's chunks for a usage parser. A body that cannot be decoded is counted as incomplete."""

    __slots__ = ("_decoder", "_parser", "_trouble")

    def __init__(self, parser: UsageParser, content_encoding: str = "") -> None:
        self._parser = parser
        self._trouble = ""
        self._decoder: Decoder | None = None
        try:
            self._decoder = decoder_for(content_encoding) if content_encoding else None
        except UnreadableBody as error:
            self._trouble = str(error)

    @property
    def output_started(self) -> bool:
        """Whether the first content was seen."""
        return self._parser.output_started

    def feed(self, chunk: bytes) -> bytes | None:
        """Show the parser `chunk`; return it decoded, or None once the body cannot be decoded."""
        if self._trouble:
            return None
        if self._decoder is not None:
            try:
                chunk = self._decoded(self._decoder, chunk)
            except UnreadableBody as error:
                self._trouble = str(error)
                return None
        self._parser.feed(chunk)
        return chunk

    def finish(self) -> Usage:
        """Say what was seen."""
        usage = self._parser.finish()
        return replace(usage, complete=False, note=self._trouble) if self._trouble else usage

    def _decoded(self, decoder: Decoder, chunk: bytes) -> bytes:
        parts = [decoder.decode(chunk)]
        while decoder.pending:
            parts.append(decoder.decode(b""))
        return b"".join(parts)
