"""The socket: what is sent goes out at once."""

import socket

import pytest

from bertkit.errors import BertkitError
from bertkit.serving import server
from bertkit.serving.server import _listening, serve


def test_no_answer_waits_for_the_acknowledgement_of_its_headers():
    with _listening("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()) as asking:
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert asking.recv(1) == b""


@pytest.mark.parametrize("host", ["\u00e4..b", "a" * 64 + ".example", "\ud800"])
def test_a_name_that_is_none_is_one_line(host):
    with pytest.raises(BertkitError, match=r"^cannot listen at .*: give another --port or --host$"):
        _listening(host, 0)


def test_an_address_in_brackets_is_no_markup(tiny_model, monkeypatch, capsys):
    uvicorn = pytest.importorskip("uvicorn", reason="uvicorn is not installed: pip install 'bertkit[serve]'")

    class Listening(socket.socket):
        def getsockname(self):
            return ("fd00::1", 8000, 0, 0)

    monkeypatch.setattr(server, "_listening", lambda *_: Listening())
    monkeypatch.setattr(uvicorn.Server, "run", lambda *_, **__: None)
    serve(str(tiny_model), "fd00::1", 8000, "cpu", 1)
    assert "at http://[fd00::1]:8000 (a page to try it" in " ".join(capsys.readouterr().err.split())
