"""The server of the page, on the loopback address only. All assets come from this package or from NiceGUI."""

import asyncio
import contextlib
import logging
import socket
import webbrowser
from collections.abc import Callable

from nicegui import app, background_tasks, ui

from chattmpl.errors import UsageError
from chattmpl.playground.guard import RequestGuard
from chattmpl.playground.html import ASSETS, style
from chattmpl.playground.lane import Lane
from chattmpl.playground.session import Session
from chattmpl.playground.setup import Setup, Watch, watched

HOST = "127.0.0.1"
PORT = 8290
TRIES = 20
WATCH_SECONDS = 0.3
BUILD_SECONDS = 60.0
SECONDS = {"view": 5.0, "analysis": 20.0, "laws": 90.0}
"""Time limit of one answer of each worker."""

_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="4" fill="#0550ae"/>'
    '<path d="M3 5h10M3 8h6M3 11h8" stroke="#fff" stroke-width="1.6"/></svg>'
)


def free_port(wanted: int | None) -> int:
    """Return the port to serve on: the wanted one, or else the first free one.

    Raises:
        UsageError: if the wanted port, or every default port, is in use.
    """
    for port in [wanted] if wanted else range(PORT, PORT + TRIES):
        with contextlib.closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                return port
    ports = f"port {wanted} is" if wanted else f"ports {PORT} to {PORT + TRIES - 1} are"
    raise UsageError(f"{ports} in use", hint="choose another one with --port")


def serve(setup: Setup, *, port: int, browser: bool, say: Callable[[str], None]) -> None:
    """Serve the page on a port of the loopback address until interrupted, and ``say`` its address."""
    lanes = {name: Lane(seconds, impatient=name == "laws") for name, seconds in SECONDS.items()}
    sessions: dict[str, Session] = {}
    address = f"http://{HOST}:{port}/"
    app.add_middleware(RequestGuard, port=port)
    head = f"<style>{style('view', 'page')}</style>"
    script = f"<script>{(ASSETS / 'page.js').read_text(encoding='utf-8')}</script>"

    async def root() -> None:
        ui.add_head_html(head + script)
        session = Session(setup, lanes)
        sessions[session.client.id] = session
        session.client.on_delete(lambda: sessions.pop(session.client.id, None))
        ui.on("scheme", lambda event: session.scheme(bool(event.args)))
        ui.on("address", lambda event: session.go_to(str(event.args)))
        await session.start()

    # NiceGUI warns about decorations of text that was deleted in the meantime.
    logging.getLogger("nicegui").setLevel(logging.ERROR)

    async def started() -> None:
        for name in ("view", "analysis"):
            background_tasks.create(lanes[name].warm())
        background_tasks.create(_watch(setup, sessions))
        background_tasks.create(announced())

    async def announced() -> None:
        # The server listens only after its startup handlers have returned.
        await _wait_for(port)
        say(f"the playground is at {address} (stop it with Ctrl+C)")
        if browser:
            webbrowser.open(address)

    app.on_startup(started)
    for lane in lanes.values():
        app.on_shutdown(lane.close)
    # Pages that are open at shutdown leave unfinished tasks, which need no message.
    app.on_shutdown(lambda: logging.getLogger("nicegui").setLevel(logging.CRITICAL))
    ui.page("/", response_timeout=BUILD_SECONDS)(root)
    ui.run(
        host=HOST,
        port=port,
        title="chattmpl playground",
        favicon=_ICON,
        language="en-US",
        dark=None,
        tailwind=False,
        show=False,
        reload=False,
        reconnect_timeout=30,
        show_welcome_message=False,
        uvicorn_logging_level="error",
    )


async def _wait_for(port: int) -> None:
    """Return once the port accepts connections."""
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(HOST, port)
            writer.close()
            return
        await asyncio.sleep(0.02)


async def _watch(setup: Setup, sessions: dict[str, Session]) -> None:
    path = watched(setup.template)
    if path is None:
        return
    watch = Watch(path)
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        if watch.changed():
            for session in list(sessions.values()):
                with session.client:
                    session.file_changed()
