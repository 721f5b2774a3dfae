"""The socket: what is sent goes out at once."""

import socket

from bertkit.serving.server import _listening


def test_no_answer_waits_for_the_acknowledgement_of_its_headers():
    with _listening("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()) as asking:
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert asking.recv(1) == b""
