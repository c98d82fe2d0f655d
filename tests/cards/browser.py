"""Chromium without a window, steered over its debugging pipe: what a page shows, runs and asks the network for."""

import base64
import json
import os
import shutil
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
]
# Chromium listens on descriptor 3 and answers on 4.
START = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
os.dup2(ends[0], 3), os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def chromium() -> str:
    """Path of the browser; without one the test is skipped, except in continuous integration, where it fails."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        reason = "no chromium: the cards cannot be looked at in a browser"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


class Page:
    """One tab: `events` holds every dialog, console message and network request since it was opened."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read, self._buffer, self._id = write, read, b"", 0
        self.events: list[dict[str, Any]] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session: str | None = None
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(f"{domain}.enable")

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._read, 1 << 20)
            if not part:
                raise RuntimeError("chromium closed its pipe")
            self._buffer += part
        line, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(line)
        if "method" in message:
            self.events.append(message)
            if message["method"] == "Page.javascriptDialogOpening":
                self._send("Page.handleJavaScriptDialog", accept=True)
        return message

    def _send(self, method: str, **parameters: Any) -> int:
        self._id += 1
        request: dict[str, Any] = {"id": self._id, "method": method, "params": parameters}
        if getattr(self, "_session", None):
            request["sessionId"] = self._session
        os.write(self._write, json.dumps(request).encode() + b"\0")
        return self._id

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        wanted = self._send(method, **parameters)
        while (message := self._message()).get("id") != wanted:
            pass
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']}")
        result: dict[str, Any] = message["result"]
        return result

    def open(self, address: str | Path, *, width: int = 1400, height: int = 1000, settle: float = 0.5) -> None:
        """Load a page and let it run for `settle` seconds after it has loaded."""
        url = address.as_uri() if isinstance(address, Path) else address
        self.resize(width, height)
        self._call("Page.navigate", url=url)
        while self._message().get("method") != "Page.loadEventFired":
            pass
        self.evaluate(f"new Promise(done => setTimeout(done, {1000 * settle}))")

    def resize(self, width: int, height: int = 1000) -> None:
        """Set the size of the view in pixels."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression, which the page's own policy does not bind."""
        done = self._call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in done:
            raise RuntimeError(str(done["exceptionDetails"])[:600])
        return done["result"].get("value")

    def happened(self, method: str) -> list[dict[str, Any]]:
        """Parameters of all events of a kind."""
        return [event["params"] for event in self.events if event["method"] == method]

    def requests(self) -> list[str]:
        """Addresses asked for, other than files and data in the page."""
        urls = [event["request"]["url"] for event in self.happened("Network.requestWillBeSent")]
        return [url for url in urls if not url.startswith(("file:", "data:", "about:"))]

    def screenshot(self, target: Path) -> None:
        """A picture of the whole page."""
        picture = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        target.write_bytes(base64.b64decode(picture["data"]))

    def pdf(self, target: Path) -> None:
        """The page as it prints on A4."""
        printed = self._call("Page.printToPDF", printBackground=True, paperWidth=8.27, paperHeight=11.69)
        target.write_bytes(base64.b64decode(printed["data"]))


@contextmanager
def tab(folder: Path) -> Iterator[Page]:
    """A tab of a fresh browser, whose profile lies in `folder`."""
    to_child, write = os.pipe()
    read, from_child = os.pipe()
    command = [chromium(), *FLAGS, f"--user-data-dir={folder}/profile", "about:blank"]
    process = subprocess.Popen(
        [sys.executable, "-c", START, str(to_child), str(from_child), *command],
        pass_fds=(to_child, from_child),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_child)
    os.close(from_child)
    stop = threading.Timer(100, process.kill)
    stop.start()
    try:
        yield Page(write, read)
    finally:
        stop.cancel()
        process.terminate()
        process.wait(20)
        os.close(write)
        os.close(read)


class _Note(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        line = self.request.recv(2000).split(b"\r\n")[0].decode(errors="replace")
        self.server.lines.append(line)  # type: ignore[attr-defined]
        self.request.sendall(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")


@contextmanager
def listener() -> Iterator[tuple[str, list[str]]]:
    """A server on this machine that only notes who knocks: its address and the request lines so far."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Note) as server:
        server.daemon_threads = True
        server.lines = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", server.lines  # type: ignore[attr-defined]
        finally:
            server.shutdown()
            thread.join()
