"""A headless Chromium that is asked through pipes, in the DevTools protocol: no driver, no
package."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE = 60.0  # seconds


class Page:
    """A page that is open. `complaints` are errors of its scripts and of the console."""

    def __init__(self, commands: int, answers: int) -> None:
        self.commands, self.answers = commands, answers
        self.number, self.rest, self.session = 0, b"", None
        self.complaints: list[str] = []

    def ask(self, method: str, **parameters: Any) -> Any:
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self.rest:
            more = os.read(self.answers, 2**16)
            assert more, "the browser has ended"
            self.rest += more
        text, _, self.rest = self.rest.partition(b"\0")
        return json.loads(text)

    def _note(self, event: dict[str, Any]) -> None:
        method, said = event.get("method"), event.get("params", {})
        entry = said.get("entry", {})
        if method == "Runtime.exceptionThrown" or said.get("type") in ("error", "assert"):
            self.complaints.append(json.dumps(said))
        elif method == "Log.entryAdded" and entry.get("level") == "error":
            self.complaints.append(json.dumps(entry))

    def value(self, expression: str) -> Any:
        found = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, expression: str) -> None:
        end = time.monotonic() + PATIENCE
        while not self.value(expression):
            assert time.monotonic() < end, f"{expression} did not come: {self.complaints}"
            time.sleep(0.05)


@contextmanager
def opened(path: Path, profile: Path) -> Iterator[Page]:
    """A file in the browser, whose settings are kept in the folder `profile`."""
    assert CHROMIUM
    read, commands = os.pipe()
    answers, write = os.pipe()
    words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
    theirs, own = (fcntl.fcntl(each, fcntl.F_DUPFD, 10) for each in (read, write))

    def placed() -> None:  # the protocol is spoken on descriptors 3 and 4
        os.dup2(theirs, 3)
        os.dup2(own, 4)

    process = subprocess.Popen(
        [CHROMIUM, *words, f"--user-data-dir={profile}", "about:blank"],
        pass_fds=(3, 4),
        preexec_fn=placed,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for each in (read, write, theirs, own):
        os.close(each)
    try:
        page = Page(commands, answers)
        target = page.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = page.ask("Target.attachToTarget", targetId=target, flatten=True)
        page.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            page.ask(f"{domain}.enable")
        page.ask("Page.navigate", url=path.resolve().as_uri())
        page.wait("document.readyState === 'complete'")
        yield page
    finally:
        process.terminate()
        process.wait(timeout=30)
        os.close(commands)
        os.close(answers)
