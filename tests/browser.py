"""A real browser without a window, for tests of what it shows."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless",
    "--no-sandbox",  # needed by root, as in containers
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--disable-component-update",
    "--disable-background-networking",
    "--no-first-run",
    "--remote-debugging-pipe",
]


class Page:
    """A tab of a headless browser, spoken to over a pair of pipes (the DevTools protocol)."""

    def __init__(self, profile: Path) -> None:
        # The browser reads its file descriptor 3 and writes to 4, whatever they are here.
        read, self._write = os.pipe()
        self._read, write = os.pipe()
        command = 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"'
        flags = [*FLAGS, f"--user-data-dir={profile}", "--window-size=1000,800", "about:blank"]
        self._browser = subprocess.Popen(
            ["bash", "-c", command, "bash", str(read), str(write), str(BROWSER), *flags],
            pass_fds=(read, write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(read)
        os.close(write)
        self._buffer, self._sent, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._sent:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            chunk = os.read(self._read, 1 << 16)
            assert chunk, "the browser ended"
            self._buffer += chunk
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)

    def open(self, path: Path) -> None:
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())

    def _settle(self) -> None:
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def run(self, script: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def point_at(self, element: str, *, click: bool = False) -> None:
        """Move the mouse to the middle of an element, given as a script, and perhaps press it."""
        self.run(f"{element}.scrollIntoView({{block: 'center'}})")
        self._settle()  # scrolling hides what is under the pointer
        x, y = self.run(f"(r => [r.x + r.width / 2, r.y + r.height / 2])({element}.getBoundingClientRect())")
        for kind in ("mouseMoved", *(("mousePressed", "mouseReleased") if click else ())):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key], **text)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def complaints(self) -> list[str]:
        """Errors, warnings and dialogs so far, and requests for anything but the page."""
        self._settle()
        wrong = (
            "Runtime.exceptionThrown",
            "Runtime.consoleAPICalled",
            "Log.entryAdded",
            "Page.javascriptDialogOpening",
        )
        found = [json.dumps(event) for event in self.events if event.get("method") in wrong]
        asked = [event for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return found + [event["params"]["request"]["url"] for event in asked[1:]]

    def close(self) -> None:
        try:
            self._session = ""
            self.call("Browser.close")
            self._browser.wait(20)
        finally:
            self._browser.kill()
            self._browser.wait()
            os.close(self._read)
            os.close(self._write)


def luminance(page: Page, element: str, of: str) -> float:
    """WCAG 2 relative luminance of a computed colour, painted to be read as numbers."""
    colour = page.run(f"getComputedStyle(document.querySelector('{element}')).{of}")
    paint = (
        "(c => {{ const x = document.createElement('canvas').getContext('2d'); x.fillStyle = c; x.fillRect(0, 0, 1, 1);"
        " return [...x.getImageData(0, 0, 1, 1).data]; }})({})"
    )
    red, green, blue, _ = (part / 255 for part in page.run(paint.format(json.dumps(colour))))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (red, green, blue)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
