import pytest

from proxy.relocation import MAX_BYTES, Relocation, relocated

HERE = b"http://localhost:8082/p/web"
PATH = "/v1/messages/batches/msgbatch_01/results"


@pytest.mark.parametrize(
    ("url", "changed"),
    [
        (f"https://api.anthropic.com{PATH}", True),
        (f"http://127.0.0.1:8090{PATH}", True),
        (f"https://gateway.example/anthropic{PATH}", True),
        ("https://api.anthropic.com/v1/files/f", False),
        (f"https://api.anthropic.com{PATH}/more", False),
        (f"ftp://api.anthropic.com{PATH}", False),
    ],
)
def test_only_the_begin_of_an_address_of_results_changes(url: str, *, changed: bool):
    body = f'{{"a":1, "results_url" : "{url}","z":null}}'.encode()
    wanted = body.replace(url.encode(), HERE + PATH.encode()) if changed else body
    assert relocated(body, HERE) == wanted


@pytest.mark.parametrize(
    "body",
    [
        b'{"results_url":null}',
        b'{"other_url":"https://api.anthropic.com/v1/messages/batches/b/results"}',
        # within a text, where it is no member
        rb'{"text":"\"results_url\":\"https://api.anthropic.com/v1/messages/batches/b/results\""}',
        b"\xff\xfe not JSON",
        b"",
    ],
)
def test_everything_else_stays_as_it_is(body: bytes):
    assert relocated(body, HERE) == body


def test_every_way_to_cut_an_answer_gives_the_same():
    body = f'{{"data":[{{"results_url":"https://a.example{PATH}"}},{{"results_url":null}}]}}'.encode()
    wanted = relocated(body, HERE)
    for cut in range(len(body)):
        held = Relocation(HERE.decode())
        assert held.feed(body[:cut]) + held.feed(body[cut:]) == b""
        assert held.flush() == wanted
        assert held.flush() == b""


def test_a_host_that_is_no_name_breaks_no_json():
    held = Relocation('http://a"b\\c\ud800')
    held.feed(f'{{"results_url":"https://a.example{PATH}"}}'.encode())
    assert held.flush() == rb'{"results_url":"http://a\"b\\c?' + PATH.encode() + b'"}'


def test_an_answer_that_is_too_long_passes_unchanged():
    held, piece = Relocation(HERE.decode()), b"x" * (MAX_BYTES // 2)
    assert held.feed(piece) == b""
    assert held.feed(piece) == b""
    assert held.feed(b"y") == piece * 2 + b"y"
    assert held.feed(b"z") == b"z"
    assert held.flush() == b""
