"""Debian's chromium, driven over its debugging pipe: no port, no driver, no package between.

Messages are JSON, each ended by a zero byte, on file descriptors 3 (to the browser) and 4 (from it).
"""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# A page of ours is there within a second; a machine that is busy with other tests takes its time.
PATIENCE_S = 60.0


# The browser expects its ends as 3 and 4, which may be taken here: a process between moves them.
AS_3_AND_4 = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(fd), fcntl.F_DUPFD_CLOEXEC, 64) for fd in sys.argv[1:3]]
os.dup2(ends[0], 3)
os.dup2(ends[1], 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """One browser process. Raises `AssertionError` for what it refuses, `TimeoutError` when it is silent."""

    def __init__(self, profile: Path) -> None:
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        started = [sys.executable, "-c", AS_3_AND_4, str(to_read), str(to_write)]
        self._process = subprocess.Popen(
            [
                *started, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--hide-scrollbars", f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank",
            ],
            pass_fds=(to_read, to_write), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_read)
        os.close(to_write)
        self._left = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **given: Any) -> dict[str, Any]:
        """Ask for something and wait for the answer; events that come meanwhile are kept."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": given}
        if session is not None:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        until = time.monotonic() + PATIENCE_S
        while True:
            answer = self._next(until)
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer)
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _next(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._left:
            if not select.select([self._read], [], [], max(0.0, until - time.monotonic()))[0]:
                raise TimeoutError("the browser does not answer")
            got = os.read(self._read, 1 << 16)
            if not got:
                raise AssertionError("the browser has ended")
            self._left += got
        one, _, self._left = self._left.partition(b"\0")
        found: dict[str, Any] = json.loads(one)
        return found

    def close(self) -> None:
        try:
            self.call("Browser.close")
        except (AssertionError, BrokenPipeError):
            self._process.kill()
        self._process.wait(timeout=PATIENCE_S)
        os.close(self._read)
        os.close(self._write)


class Page:
    """One tab. `width` below 600 is a phone."""

    def __init__(self, browser: Browser, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        self.browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.size(width, height)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)

    def call(self, method: str, **given: Any) -> dict[str, Any]:
        return self.browser.call(method, self.session, **given)

    def size(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip

    def open(self, url: str, until: str = "document.readyState === 'complete'") -> None:
        """Go there and wait until this JavaScript is true."""
        self.call("Page.navigate", url=url)
        self.wait(f"location.href !== 'about:blank' && ({until})")

    def wait(self, condition: str) -> None:
        """Wait until this JavaScript is true."""
        end = time.monotonic() + PATIENCE_S
        while not self.js(f"!!({condition})"):
            assert time.monotonic() < end, f"never: {condition}\n{self.text()[:3000]}\n{self.console()}"
            time.sleep(0.02)

    def js(self, expression: str) -> Any:
        """The value of an expression (a promise's, when it is kept)."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def text(self) -> str:
        return " ".join(str(self.js("document.body.innerText")).split())

    def press(self, key: str, *, code: int = 0, text: str = "", shift: bool = False) -> None:
        """A key as a person presses it."""
        said = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown", **said, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **said)

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the left button at `start`, let it go at `end`."""
        for kind, (x, y), buttons in (
            ("mouseMoved", start, 0), ("mousePressed", start, 1), ("mouseMoved", end, 1),
            ("mouseReleased", end, 0),
        ):  # fmt: skip
            self.call(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, buttons=buttons,
                button="none" if kind == "mouseMoved" and not buttons else "left", clickCount=1,
            )  # fmt: skip

    def console(self) -> list[str]:
        """What the page complained about or said since it was opened."""
        said = []
        for event in self.browser.events:
            if event.get("sessionId") != self.session:
                continue
            given = event.get("params", {})
            if event.get("method") == "Runtime.consoleAPICalled":
                said.append(str([each.get("value") for each in given["args"]]))
            elif event.get("method") == "Runtime.exceptionThrown":
                said.append(json.dumps(given["exceptionDetails"]))
            elif event.get("method") == "Log.entryAdded":
                said.append(given["entry"]["text"])
        return said

    def requests(self) -> list[str]:
        """Every address that was asked for."""
        return [
            event["params"]["request"]["url"]
            for event in self.browser.events
            if event.get("method") == "Network.requestWillBeSent" and event.get("sessionId") == self.session
        ]

    def screenshot(self, path: Path, *, height: int | None = None) -> None:
        """The page as a picture: all of it, or so much from the top."""
        whole = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": whole["width"], "height": height or whole["height"], "scale": 1}
        data = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))


@contextmanager
def browsing(profile: Path) -> Iterator[Browser]:
    """A browser, ended afterwards."""
    browser = Browser(profile)
    try:
        yield browser
    finally:
        browser.close()
