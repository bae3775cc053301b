import socket
import threading

import pytest

from engine.channels.guard import BlockedAddress, connect, guarding, is_public


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_let_through(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b:1::7f00:1",
        "fec0::1",
    ],
)
def test_internal_addresses_are_not(address):
    assert not is_public(address)


async def test_a_name_that_leads_inside_is_blocked_before_connecting():
    with pytest.raises(BlockedAddress):
        await connect("localhost", 9, allow_private=False)


@pytest.mark.parametrize("address", [("127.0.0.1", 9), ("10.0.0.1", 9), ("localhost", 9), ("169.254.169.254", 80)])
def test_sockets_that_others_make_reach_no_internal_address_while_they_are_guarded(address):
    with guarding() as refusals:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as made, pytest.raises(BlockedAddress):
                made.connect(address)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made, pytest.raises(BlockedAddress):
            made.sendto(b"x", address)
        with socket.socket(socket.AF_UNIX) as made, pytest.raises(BlockedAddress):
            made.connect("/run/nothing")
        assert len(refusals) == 4
    with socket.socket() as made, pytest.raises(ConnectionRefusedError):
        made.connect(("127.0.0.1", 9))


def test_only_the_context_that_asked_is_guarded():
    seen = []

    def connect_freely():
        with socket.socket() as made:
            try:
                made.connect(("127.0.0.1", 9))
            except OSError as error:
                seen.append(type(error))

    with guarding():
        thread = threading.Thread(target=connect_freely)
        thread.start()
        thread.join()
    assert seen == [ConnectionRefusedError]
