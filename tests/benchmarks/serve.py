"""``python -m benchmarks serve``: `bertkit serve` beside a FastAPI application that calls transformers' pipeline."""

import asyncio
import json
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from benchmarks.rounds import OURS

# 32 word pieces of the embedded model, special tokens included.
TEXT = (
    "the old woman opened the [MASK] of the little house and looked at the sea , and then she called the children , "
    "who were playing in the garden ."
)
_THEIRS = """
import sys
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline

class Asked(BaseModel):
    inputs: str

app, fill = FastAPI(), pipeline("fill-mask", model=sys.argv[1], dtype="float32")

@app.post("/")
def ask(asked: Asked):
    return fill(asked.inputs)

uvicorn.run(app, port=int(sys.argv[2]), log_level="error", access_log=False)
"""
_CONNECTIONS, _ALONE, _ASKED = 32, 100, 400
_START_S = 120


def bench_serve(model: str, rounds: int, concurrent: int, served: str | None = None) -> dict[str, Any]:
    """Of each server, round by round, the median milliseconds of a text alone and requests a second over 32 connections, and
    beside both the processor's milliseconds a request, which other work on the machine changes little; of ours, also what
    becomes of many requests at once, each with a connection of its own.

    Args:
        model: a folder, as plain transformers loads it.
        rounds: of both, taking turns.
        concurrent: requests at once.
        served: what `bertkit serve` reads, such as an ONNX export of the model; None is the model.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    ours = [sys.executable, "-m", "bertkit", "serve", served or model, "--timeout", "3600", "--port"]
    commands = {OURS: ours, "FastAPI": [sys.executable, "-c", _THEIRS, model]}
    figures: dict[str, Any] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            with _server(command) as (port, process):
                figures[name].append(_measured(port, process) | {"load": os.getloadavg()[0]})
    with _server(ours) as (port, process):
        figures["at_once"] = asyncio.run(_at_once(port, concurrent)) | {"memory_bytes": process.memory_info().rss}
    return figures


@contextmanager
def _server(command: list[str]) -> Iterator[tuple[int, psutil.Process]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    process = subprocess.Popen([*command, str(port)], env=os.environ | {"HF_HUB_OFFLINE": "1"})
    try:
        until = time.monotonic() + _START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > until:
                    raise
                time.sleep(0.1)
        asyncio.run(_many(port, 1, 5))
        yield port, psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _measured(port: int, process: psutil.Process) -> dict[str, float]:
    cpu_s = [sum(process.cpu_times()[:2])]
    alone = asyncio.run(_many(port, 1, _ALONE))
    cpu_s.append(sum(process.cpu_times()[:2]))
    began = time.perf_counter()
    asyncio.run(_many(port, _CONNECTIONS, _ASKED))
    seconds = time.perf_counter() - began
    cpu_s.append(sum(process.cpu_times()[:2]))
    return {
        "p50_ms": 1e3 * statistics.median(alone),
        "cpu_ms_alone": 1e3 * (cpu_s[1] - cpu_s[0]) / _ALONE,
        "requests_a_second": _ASKED / seconds,
        "cpu_ms_together": 1e3 * (cpu_s[2] - cpu_s[1]) / _ASKED,
    }


async def _many(port: int, connections: int, requests: int) -> list[float]:
    """Seconds of each request, over so many connections that are kept."""
    left, took = iter(range(requests)), []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in left:
            began = time.perf_counter()
            await _ask(reader, writer)
            took.append(time.perf_counter() - began)
        writer.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    return took


async def _at_once(port: int, concurrent: int) -> dict[str, float]:
    """How many of so many requests are answered, all sent before any is waited for; and how long the last takes."""

    async def client() -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await _ask(reader, writer)
            return True
        finally:
            writer.close()

    began = time.perf_counter()
    done = await asyncio.gather(*(client() for _ in range(concurrent)), return_exceptions=True)
    return {
        "asked": concurrent,
        "answered": sum(one is True for one in done),
        "seconds": time.perf_counter() - began,
    }


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    body = json.dumps({"inputs": TEXT}).encode()
    head = f"POST / HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    headers = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert headers.startswith(b"http/1.1 200"), headers
    size = int(headers.split(b"content-length:")[1].split(b"\r\n")[0])
    guesses = json.loads(await reader.readexactly(size))
    assert len(guesses) == 5
