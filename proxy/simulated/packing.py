"""Content codings of a provider's answers, piece by piece, so that a compressed stream stays a stream."""

import sys
import zlib
from typing import Protocol

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


class Packer(Protocol):
    """Compresses piece by piece."""

    def piece(self, data: bytes) -> bytes:
        """`data`, in a form that can be unpacked at once."""

    def end(self) -> bytes:
        """What ends the whole."""


class Zlib:
    """gzip with a window of 31 bits, deflate with one of 15."""

    def __init__(self, window: int) -> None:
        self._packer = zlib.compressobj(wbits=window)

    def piece(self, data: bytes) -> bytes:
        """Compress and flush `data`."""
        return self._packer.compress(data) + self._packer.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        """End the stream."""
        return self._packer.flush()


class Brotli:
    """br."""

    def __init__(self) -> None:
        self._packer = brotli.Compressor()

    def piece(self, data: bytes) -> bytes:
        """Compress and flush `data`."""
        return bytes(self._packer.process(data) + self._packer.flush())

    def end(self) -> bytes:
        """End the stream."""
        return bytes(self._packer.finish())


class Zstd:
    """zstd."""

    def __init__(self) -> None:
        self._packer = zstd.ZstdCompressor()

    def piece(self, data: bytes) -> bytes:
        """Compress and flush `data`."""
        return self._packer.compress(data, zstd.ZstdCompressor.FLUSH_BLOCK)

    def end(self) -> bytes:
        """End the stream."""
        return self._packer.flush()
