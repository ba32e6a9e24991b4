"""A real headless Chromium, and what it saw of a page."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
BINARY = next(filter(None, map(shutil.which, NAMES)), None)
DRIVER = shutil.which("chromedriver")
MISSING = "no Chromium with chromedriver on the PATH (Debian: apt-get install chromium chromium-driver)"


class Browser:
    """One browser for many pages."""

    def __init__(self) -> None:
        options = Options()
        options.binary_location = str(BINARY)
        for argument in ("--headless=new", "--disable-gpu", "--window-size=1280,1000", "--disable-dev-shm-usage"):
            options.add_argument(argument)
        if os.geteuid() == 0:
            options.add_argument("--no-sandbox")  # Chromium's sandbox refuses root
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(DRIVER))

    def open(self, path: Path, *, width: int = 1280, dark: bool = False) -> None:
        """Open a page and wait until its last plot is drawn."""
        self.device("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.scheme(dark=dark)
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)  # type: ignore[no-untyped-call]
        self.driver.get(path.as_uri())
        deadline = time.monotonic() + 120
        while self.run("return document.documentElement.dataset.drawn") is None:
            assert time.monotonic() < deadline, f"the page never got ready: {self.console()}"
            time.sleep(0.05)

    def scheme(self, *, dark: bool) -> None:
        """What the system asks for: dark or light."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.device("Emulation.setEmulatedMedia", features=[feature])

    def device(self, command: str, **parameters: Any) -> Any:
        """A command of the DevTools protocol."""
        return self.driver.execute_cdp_cmd(command, parameters)

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script in the page returns."""
        return self.driver.execute_script(script, *arguments)  # type: ignore[no-untyped-call]

    def console(self) -> list[str]:
        """What the page has written to its console."""
        return [entry["message"] for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def requests(self) -> list[str]:
        """Every address that the page has asked for, itself included; what it carries within itself is no request."""
        entries = self.driver.get_log("performance")  # type: ignore[no-untyped-call]
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        asked = [message for message in messages if message["method"] == "Network.requestWillBeSent"]
        addresses = [message["params"]["request"]["url"] for message in asked]
        return [address for address in addresses if not address.startswith("data:")]
