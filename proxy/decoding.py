"""Reads coded bodies beside the stream. What passes through stays as it is; only the copy for the parser is decoded."""

from typing import Protocol as Shape

from aiohttp.compression_utils import HAS_BROTLI, HAS_ZSTD, BrotliDecompressor, ZLibDecompressor, ZSTDDecompressor

from proxy.errors import UnreadableBody

#: What one body may grow to when it is decoded; a longer one is read no further.
MAX_DECODED_BYTES = 128 * 1024 * 1024


class Decoder(Shape):
    """Turns coded chunks, cut anywhere, into plain ones."""

    def decode(self, chunk: bytes) -> bytes:
        """Return what `chunk` adds to the plain text, perhaps nothing. Raises `UnreadableBody`."""
        ...


class _Inflater(Shape):
    def decompress_sync(self, data: bytes, max_length: int = ...) -> bytes: ...

    @property
    def data_available(self) -> bool: ...


class _Decoder:
    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._inflater: _Inflater | None = None
        self._room = MAX_DECODED_BYTES

    def decode(self, chunk: bytes) -> bytes:
        if not chunk:
            return b""
        if self._inflater is None:
            self._inflater = _inflater(self._coding, chunk)
        try:
            plain = self._inflater.decompress_sync(chunk, self._room)
        except Exception as error:  # each library raises its own
            raise UnreadableBody(f"the body is not {self._coding}: {error}") from error
        self._room -= len(plain)
        if self._room <= 0:
            raise UnreadableBody(f"the {self._coding} body is longer than {MAX_DECODED_BYTES} bytes when decoded")
        return plain


def decoder_for(content_encoding: str) -> Decoder | None:
    """Return a decoder, or None for plain bodies. Raises `UnreadableBody` for a coding nobody here can read."""
    coding = content_encoding.strip().lower()
    if coding in {"", "identity"}:
        return None
    readable = {"gzip": True, "x-gzip": True, "deflate": True, "br": HAS_BROTLI, "zstd": HAS_ZSTD}
    if not readable.get(coding):
        raise UnreadableBody(f"no decoder for Content-Encoding {coding[:40]!r} is installed")
    return _Decoder(coding.removeprefix("x-"))


def _inflater(coding: str, first: bytes) -> _Inflater:
    if coding == "br":
        return BrotliDecompressor()
    if coding == "zstd":
        return ZSTDDecompressor()
    # some servers send deflate without its zlib header (RFC 9110 section 8.4.1.2)
    bare = coding == "deflate" and first[0] & 0x0F != 8
    return ZLibDecompressor(encoding=coding, suppress_deflate_header=bare)
