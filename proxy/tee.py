"""The parser beside the stream: it sees a decoded copy of what passes, and nothing it does disturbs the answer."""

from msgspec.structs import replace

from proxy.decoding import MAX_CHUNK_BYTES, MAX_DECODED_BYTES, Decoder, decoder_for
from proxy.errors import UnreadableBody
from proxy.usage.usage import Usage, UsageParser


class Tee:
    """Decodes an answer's chunks for a usage parser. A body that cannot be decoded is counted as incomplete."""

    __slots__ = ("_decoder", "_parser", "_trouble")

    def __init__(self, parser: UsageParser, content_encoding: str = "", *, streams: bool = False) -> None:
        """`streams`: the answer may have no end, so that each of its chunks is limited, not the sum."""
        self._parser = parser
        self._trouble = ""
        most = MAX_CHUNK_BYTES if streams else MAX_DECODED_BYTES
        self._decoder: Decoder | None = None
        try:
            self._decoder = decoder_for(content_encoding, most, per_chunk=streams) if content_encoding else None
        except UnreadableBody as error:
            self._trouble = str(error)

    @property
    def output_started(self) -> bool:
        """Whether the first content was seen."""
        return self._parser.output_started

    @property
    def pending(self) -> bool:
        """Whether the chunks so far have more to give."""
        return self._decoder is not None and self._decoder.pending and not self._trouble

    def feed(self, chunk: bytes) -> bytes | None:
        """Show the parser the first slice of `chunk`; return it decoded, or None once the body cannot be decoded.

        While there is more (`pending`), feed nothing to get the next slice: other calls may have their turn between.
        """
        if self._trouble:
            return None
        if self._decoder is not None:
            try:
                chunk = self._decoder.decode(chunk)
            except UnreadableBody as error:
                self._trouble = str(error)
                return None
        self._parser.feed(chunk)
        return chunk

    def finish(self) -> Usage:
        """Say what was seen."""
        usage = self._parser.finish()
        # what the proxy cannot decode may be a good answer
        return replace(usage, complete=False, note=self._trouble, error_class="") if self._trouble else usage
