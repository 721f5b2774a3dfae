"""A model served in a thread of this process, over real HTTP on loopback."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def served(model: Path | str, timeout_s: float = 60.0) -> Iterator[tuple[str, Any]]:
    """Its address, as ``http://127.0.0.1:PORT``, and its ``Service``."""
    import uvicorn

    from bertkit.serving.app import Service
    from bertkit.serving.server import _listening

    service = Service(str(model), "cpu", timeout_s)
    server = uvicorn.Server(uvicorn.Config(service.app(), log_level="warning", lifespan="off"))
    with _listening("127.0.0.1", 0) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", service
        finally:
            server.should_exit = True
            thread.join()


def asked(address: str, content: Any, path: str = "/", method: str = "POST") -> tuple[int, Any]:
    """Status and answer of a request. Bytes are sent as they are, all else as JSON."""
    return answer_of(sent(address, content, path, method))


def sent(address: str, content: Any, path: str = "/", method: str = "POST") -> http.client.HTTPConnection:
    """A request that is on its way, for ``answer_of``."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    body = content if isinstance(content, bytes) else json.dumps(content)
    connection.request(method, path, body, {"content-type": "application/json"})
    return connection


def answer_of(connection: http.client.HTTPConnection) -> tuple[int, Any]:
    """Status and answer of a request, once it is answered."""
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer
