"""Who may talk to the page: this machine's browser, from the page's own address.

A page of another site can make a browser send requests here, and a name of its own can be made to mean this machine
(DNS rebinding). Both show in what the browser says: which host it believes to talk to, and where the request is from.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' ws://{host}; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; object-src 'none'"
)
"""Nothing is loaded from elsewhere, and no other page shows this one in a frame."""


def refusal(headers: dict[str, list[str]], port: int) -> str | None:
    """Why a request with these headers is refused; None if it is not.

    Args:
        headers: by name in lower case.
        port: where the page is served.
    """
    hosts = {f"{name}:{port}" for name in LOOPBACK} | ({*LOOPBACK} if port == 80 else set())
    given = headers.get("host", [])
    if len(given) != 1 or given[0].lower() not in hosts:
        return "this is not the address of the playground"
    for origin in headers.get("origin", []):
        if origin.lower() not in {f"http://{host}" for host in hosts}:
            return "this request comes from another page"
    site = headers.get("sec-fetch-site", ["none"])[0]
    # A link from elsewhere may lead here, as long as it opens the page itself: the state is no request's business.
    opens = headers.get("sec-fetch-mode") == ["navigate"] and headers.get("sec-fetch-dest") == ["document"]
    if site not in ("none", "same-origin") and not opens:
        return "this request comes from another page"
    return None


class Guard:
    """An ASGI application that refuses what does not come from its own page."""

    def __init__(self, app: _App, port: int) -> None:
        self.app = app
        self.port = port

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Refuse, or hand on."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        why = refusal(headers, self.port)
        if why is None:
            await self.app(scope, receive, _with_policy(send, headers["host"][0]))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": why})
        else:
            plain = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": 403, "headers": plain})
            await send({"type": "http.response.body", "body": f"refused: {why}\n".encode()})


def _with_policy(send: _Send, host: str) -> _Send:
    extra = [
        (b"content-security-policy", _POLICY.format(host=host).encode()),
        (b"x-frame-options", b"DENY"),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"cross-origin-opener-policy", b"same-origin"),
    ]

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *extra]
        await send(message)

    return sending
