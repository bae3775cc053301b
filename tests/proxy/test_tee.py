"""Coded bodies, read beside the stream."""

import gzip
import zlib

import pytest
from aiohttp.compression_utils import HAS_BROTLI, HAS_ZSTD

from proxy.decoding import SLICE_BYTES, Decoder, decoder_for
from proxy.errors import UnreadableBody
from proxy.tee import Tee
from proxy.usage.usage import Usage

TEXT = b"a text that is long enough to be worth it " * 20


class Kept:
    """A parser that keeps what it is fed."""

    def __init__(self) -> None:
        self.fed = b""

    @property
    def output_started(self) -> bool:
        return bool(self.fed)

    def feed(self, data: bytes) -> None:
        self.fed += data

    def finish(self) -> Usage:
        return Usage(complete=True)


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "coded"),
    [
        ("gzip", gzip.compress(TEXT)),
        ("x-gzip", gzip.compress(TEXT)),
        ("GZIP", gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:])),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", raw_deflate(TEXT)),
        ("", TEXT),
        ("identity", TEXT),
    ],
    ids=["gzip", "x-gzip", "two members", "deflate", "bare deflate", "plain", "identity"],
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_every_coding_is_read_however_it_is_cut(coding: str, coded: bytes, size: int):
    parser = Kept()
    tee = Tee(parser, coding)
    for start in range(0, len(coded), size):
        tee.feed(coded[start : start + size])
    assert parser.fed == TEXT
    assert tee.finish().complete


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_bytes_that_are_not_coded_as_said_end_the_reading_alone(coding: str):
    parser = Kept()
    tee = Tee(parser, coding)
    assert tee.feed(b"\x78this is not coded at all") is None
    assert tee.feed(b"more") is None
    usage = tee.finish()
    assert not usage.complete
    assert coding in usage.note
    assert parser.fed == b""


@pytest.mark.parametrize(
    "coding", ["compress", "gzip, gzip", *([] if HAS_BROTLI else ["br"]), *([] if HAS_ZSTD else ["zstd"])]
)
def test_an_unknown_coding_is_said_in_the_note(coding: str):
    tee = Tee(Kept(), coding)
    assert tee.feed(b"x") is None
    assert coding in tee.finish().note


def read(decoder: Decoder, chunk: bytes) -> list[bytes]:
    """All slices of one chunk."""
    slices = [decoder.decode(chunk)]
    while decoder.pending:
        slices.append(decoder.decode(b""))
    return slices


BOMB = gzip.compress(b"0" * 1_000_000)


@pytest.mark.parametrize("per_chunk", [True, False], ids=["chunk", "body"])
def test_a_bomb_is_read_no_further_than_the_limit(*, per_chunk: bool):
    decoder = decoder_for("gzip", 200_000, per_chunk=per_chunk)
    assert decoder is not None
    with pytest.raises(UnreadableBody, match="longer than 200000"):
        read(decoder, BOMB)


def test_a_chunk_is_given_in_slices():
    decoder = decoder_for("gzip")
    assert decoder is not None
    slices = read(decoder, BOMB)
    assert b"".join(slices) == b"0" * 1_000_000
    assert max(map(len, slices)) == SLICE_BYTES


def test_a_stream_without_end_is_read_as_long_as_its_chunks_are_sensible():
    decoder = decoder_for("gzip", 200_000, per_chunk=True)
    assert decoder is not None
    for _ in range(50):
        assert b"".join(read(decoder, gzip.compress(b"1" * 100_000))) == b"1" * 100_000
