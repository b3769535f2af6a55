"""Access control: only the browser of this machine, from the page's own address.

A page of another site can make a browser send requests here, and it can make its own host name resolve to this machine
(DNS rebinding). The browser reveals both in its headers: the host that it addresses, and the origin of the request.
"""

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
"""Nothing is loaded from other hosts, and no other page can show this one in a frame."""


def refusal(headers: dict[str, list[str]], port: int) -> str | None:
    """Return the reason to refuse a request to a port with these headers (by lower-case name), or None to accept it."""
    hosts = {f"{name}:{port}" for name in LOOPBACK} | ({*LOOPBACK} if port == 80 else set())
    given = headers.get("host", [])
    if len(given) != 1 or given[0].lower() not in hosts:
        return "this is not the address of the playground"
    for origin in headers.get("origin", []):
        if origin.lower() not in {f"http://{host}" for host in hosts}:
            return "this request comes from another page"
    site = headers.get("sec-fetch-site", ["none"])[0]
    # A link on another site may open the page itself, because a request never contains the state.
    opens = headers.get("sec-fetch-mode") == ["navigate"] and headers.get("sec-fetch-dest") == ["document"]
    if site not in ("none", "same-origin") and not opens:
        return "this request comes from another page"
    return None


class RequestGuard:
    """An ASGI application that refuses requests that do not come from its own page."""

    def __init__(self, app: _App, port: int) -> None:
        self.app = app
        self.port = port

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Refuse a request, or pass it on."""
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
