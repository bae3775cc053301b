"""Reads coded bodies beside the stream. What passes through stays as it is; only the copy for the parser is decoded."""

from typing import Final
from typing import Protocol as Shape

from aiohttp.compression_utils import HAS_BROTLI, HAS_ZSTD, BrotliDecompressor, ZLibDecompressor, ZSTDDecompressor

from proxy.errors import UnreadableBody

#: What a step gives at most (a library may add a block of its own): a step of a bomb is as short as any other.
SLICE_BYTES: Final = 64 * 1024
#: What one body may grow to when it is decoded; a longer one is read no further.
MAX_DECODED_BYTES: Final = 32 * 1024 * 1024
#: What one chunk of an event stream may grow to.
MAX_CHUNK_BYTES: Final = 4 * 1024 * 1024


class Decoder(Shape):
    """Turns coded chunks, cut anywhere, into plain ones, one slice a step."""

    @property
    def pending(self) -> bool:
        """Whether the chunks so far have more to give: then `decode(b"")` comes before the next chunk."""
        ...

    def decode(self, chunk: bytes) -> bytes:
        """Return the next slice of the plain text, perhaps nothing. Raises `UnreadableBody`."""
        ...


class _Inflater(Shape):
    def decompress_sync(self, data: bytes, max_length: int = ...) -> bytes: ...

    @property
    def data_available(self) -> bool: ...


class _Decoder:
    def __init__(self, coding: str, max_bytes: int, *, per_chunk: bool) -> None:
        self._coding = coding
        self._inflater: _Inflater | None = None
        self._limit = self._room = max_bytes
        self._per_chunk = per_chunk
        self.pending = False

    def decode(self, chunk: bytes) -> bytes:
        if not chunk and not self.pending:
            return b""
        if self._inflater is None:
            self._inflater = _inflater(self._coding, chunk)
        if chunk and self._per_chunk:
            self._room = self._limit
        try:
            plain = self._slice(self._inflater, chunk)
        except Exception as error:  # each library raises its own
            raise UnreadableBody(f"the body is not {self._coding}") from error
        self._room -= len(plain)
        if self._room <= 0:
            raise UnreadableBody(f"the {self._coding} body is longer than {self._limit} bytes when decoded")
        return plain

    def _slice(self, inflater: _Inflater, chunk: bytes) -> bytes:
        parts = [inflater.decompress_sync(chunk, SLICE_BYTES)]
        size = len(parts[0])
        while parts[-1] and size < SLICE_BYTES and inflater.data_available:
            parts.append(inflater.decompress_sync(b"", SLICE_BYTES - size))
            size += len(parts[-1])
        self.pending = bool(parts[-1]) and inflater.data_available
        return b"".join(parts)


def is_plain(content_encoding: str) -> bool:
    """Return whether a body of this coding is not coded at all."""
    return content_encoding.strip().lower() in {"", "identity"}


def decoder_for(
    content_encoding: str, max_bytes: int = MAX_DECODED_BYTES, *, per_chunk: bool = False
) -> Decoder | None:
    """Return a decoder, or None for plain bodies. Raises `UnreadableBody` for a coding nobody here can read.

    `max_bytes` limits the decoded body; `per_chunk`: what one chunk may grow to, of a body without an end.
    """
    coding = content_encoding.strip().lower()
    if is_plain(coding):
        return None
    readable = {"gzip": True, "x-gzip": True, "deflate": True, "br": HAS_BROTLI, "zstd": HAS_ZSTD}
    if not readable.get(coding):
        raise UnreadableBody(f"no decoder for Content-Encoding {coding[:40]!r} is installed")
    return _Decoder(coding.removeprefix("x-"), max_bytes, per_chunk=per_chunk)


def _inflater(coding: str, first: bytes) -> _Inflater:
    if coding == "br":
        return BrotliDecompressor()
    if coding == "zstd":
        return ZSTDDecompressor()
    # some servers send deflate without its zlib header (RFC 9110 section 8.4.1.2)
    bare = coding == "deflate" and first[0] & 0x0F != 8
    return ZLibDecompressor(encoding=coding, suppress_deflate_header=bare)
