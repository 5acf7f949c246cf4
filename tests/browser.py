"""Drive real JupyterLab in a headless Chromium that reaches nothing but this machine.

In: a folder with notebooks. Out: pages of it, the addresses that were refused, and what the console said.

    with JupyterLab(folder) as lab, Browser() as browser:
        write_notebook(folder / "a.ipynb", "1 + 1")
        page = browser.open_notebook(lab, "a.ipynb")
        browser.run_all(page)
        assert not browser.errors(page) and not browser.blocked

Tests take the fixtures `lab` and `browser` of conftest.py. Scope locators to `OUTPUT`: Lab has buttons of its own.
"""

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Playwright, Route, sync_playwright

from kernels import FORKS, Exchange

OUTPUT = ".jp-OutputArea-output"
# Addresses of this machine; a request to any other is refused. Only those reach Python: Lab alone makes hundreds.
FOREIGN = re.compile(r"^(?!(http|ws)://(127\.0\.0\.1|localhost):|(file|data|blob|about):)")
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
# Software WebGL, so that 3D views draw without a graphics card; the resolver rule refuses every host even where
# a request escapes the page (workers, web sockets).
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-gpu-compositing",  # pages are painted without it, and only views in 3D pay for software graphics
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)


def find_chromium() -> str | None:
    "Path of a Chromium on this machine (`CHROMIUM` names one explicitly), or None."
    named = os.environ.get("CHROMIUM")
    return named or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)


def need_chromium() -> None:
    "Skip where there is no browser; under CI its absence is a failure."
    if find_chromium() is None:
        reason = "no Chromium on this machine: apt-get install chromium, or name one in the variable CHROMIUM"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


def write_notebook(path: Path, *cells: str) -> Path:
    "Write a notebook whose code cells are `cells`; strings opening with `%% md` become prose."
    made: list[dict[str, Any]] = []
    for i, source in enumerate(cells):
        cell: dict[str, Any] = {"id": f"cell{i}", "metadata": {}, "source": source.removeprefix("%% md\n")}
        prose = source.startswith("%% md")
        made.append(
            cell
            | ({"cell_type": "markdown"} if prose else {"cell_type": "code", "execution_count": None, "outputs": []})
        )
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path


class JupyterLab:
    "A JupyterLab server over `root`, with settings, workspaces and kernels of its own, all gone at the end."

    def __init__(self, root: Path, timeout: float = 90.0) -> None:
        self.root, self.timeout, self.ending = Path(root), timeout, ExitStack()
        self.token = secrets.token_hex(16)
        self.state = Path(tempfile.mkdtemp(prefix="fwb-lab-"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "JupyterLab":
        quiet = self.state / "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
        quiet.parent.mkdir(parents=True)
        quiet.write_text(
            '{"fetchNews": "false", "checkForUpdates": false}'
        )  # else Lab asks about news, and the web for it
        folders = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_PATH": "data",  # before the kernels of the environment
            "JUPYTER_RUNTIME_DIR": "runtime",
            "IPYTHONDIR": "ipython",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        }
        if FORKS:  # libraries take seconds to import, in every kernel
            self.kernels = self.ending.enter_context(Exchange(self.state))
            self.kernels.register(self.state / "data")
        environment = os.environ | {name: str(self.state / folder) for name, folder in folders.items()}
        environment.setdefault("OMP_NUM_THREADS", "1")
        options = [
            "--no-browser",
            "--allow-root",
            "--ip=127.0.0.1",
            f"--port={self.port}",
            "--ServerApp.port_retries=0",
            f"--IdentityProvider.token={self.token}",
            f"--ServerApp.root_dir={self.root}",
            "--expose-app-in-browser",
        ]
        with (self.state / "log").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterlab", *options],
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        try:
            self._wait()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _wait(self) -> None:
        deadline = time.monotonic() + self.timeout
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.url}/api", timeout=2).close()
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise RuntimeError(f"JupyterLab did not start within {self.timeout:.0f} s:\n{self.log()}")

    def log(self) -> str:
        "The last lines the server wrote."
        return "\n".join((self.state / "log").read_text().splitlines()[-20:])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, sign)
                self.process.wait(15)
                break
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        self.ending.close()
        shutil.rmtree(self.state, ignore_errors=True)


class Chromium:
    "A headless Chromium, in which every `Browser` is a profile of its own; a context manager."

    def __enter__(self) -> "Chromium":
        executable = find_chromium()
        if executable is None:
            raise FileNotFoundError("no Chromium here: apt-get install chromium, or name one in the variable CHROMIUM")
        self._playwright: Playwright = sync_playwright().start()
        try:
            self.process = self._playwright.chromium.launch(
                executable_path=executable, headless=True, args=list(CHROMIUM_FLAGS)
            )
        except BaseException:
            self._playwright.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.process.close()
        self._playwright.stop()


class Browser:
    "A fresh profile; requests to other hosts are refused and noted in `blocked`, console lines kept in `console`."

    def __init__(
        self, chromium: Chromium | None = None, size: tuple[int, int] = (1280, 900), dark: bool = False
    ) -> None:
        self.chromium, self.size, self.dark, self.ending = chromium, size, dark, ExitStack()
        self.blocked: list[str] = []
        self.failed: list[str] = []
        self.console: list[tuple[str, str]] = []
        self.received = 0

    def __enter__(self) -> "Browser":
        chromium = self.chromium or self.ending.enter_context(Chromium())
        self.context: BrowserContext = chromium.process.new_context(
            viewport={"width": self.size[0], "height": self.size[1]},
            color_scheme="dark" if self.dark else "light",
            accept_downloads=True,
            service_workers="block",
        )
        self.context.set_default_timeout(60_000)
        self.context.route(FOREIGN, self._refuse)
        return self

    def _refuse(self, route: Route) -> None:
        self.blocked.append(route.request.url)
        route.abort()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.context.close()
        self.ending.close()

    def _heard(self, message: ConsoleMessage) -> None:
        self.console.append((message.type, message.text[:500]))

    def page(self, address: str | Path | None = None) -> Page:
        "A new page, at a web address or a file of this machine; it keeps its console and failed requests here."
        page = self.context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.console.append(("pageerror", str(error)[:500])))
        page.on("requestfailed", lambda request: self.failed.append(request.url))
        page.on("websocket", lambda socket: socket.on("framereceived", self._count))
        if address is not None:
            page.goto(address.resolve().as_uri() if isinstance(address, Path) else address)
        return page

    def _count(self, payload: str | bytes) -> None:
        self.received += len(payload)

    def open_notebook(self, lab: JupyterLab, path: str) -> Page:
        "Open the notebook `path` (relative to the server's root) in a fresh workspace, and wait for its kernel."
        page = self.page(f"{lab.url}/lab/tree/{path}?reset&token={lab.token}")
        page.wait_for_selector(".jp-Notebook")
        page.wait_for_function(
            "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'",
            timeout=90_000,
        )
        return page

    def run_all(self, page: Page, wait: bool = True) -> None:
        "Run every cell; `wait=False` returns at once, for views one wants to touch while the kernel works."
        execute = "window.jupyterapp.commands.execute('notebook:run-all-cells')"
        page.evaluate(f"() => {execute}" if wait else f"() => {{ {execute}; return null; }}")

    def restart_kernel(self, page: Page) -> None:
        "Restart the kernel without Lab's question, and wait until it is idle again."
        page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
        page.wait_for_function(
            "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"
        )

    def errors(self, page: Page) -> list[str]:
        "What cells of the open notebook raised."
        notebook = page.evaluate("() => window.jupyterapp.shell.currentWidget.content.model.toJSON()")
        outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
        return [f"{output['ename']}: {output['evalue']}" for output in outputs if output["output_type"] == "error"]

    def complaints(self) -> list[str]:
        """Console errors and uncaught exceptions of all pages so far.

        Not among them is what anywidget says when a model takes more than two seconds, which on a machine busy with more than it
        can do is no fault: the view comes all the same, and tests wait for it.
        """
        late = "[anywidget] Failed to initialize model."
        return [text for kind, text in self.console if kind in ("error", "pageerror") and text != late]

    def screenshot(self, page: Page, path: Path) -> Path:
        "Save what the page shows."
        path.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=path)
        return path
