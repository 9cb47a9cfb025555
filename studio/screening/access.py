"""Who may come in: tokens, and the guard that every request passes.

Two links: the editors' opens everything, the audience's only the test screening. The token
comes once in the address, moves into a cookie (HttpOnly, SameSite=Strict) and disappears
from the address bar. Comparisons take the same time whatever is wrong.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from media.files import output_error

__all__ = ["Guard", "Keys", "Role", "is_loopback"]

Role = Literal["editor", "audience"]
_COOKIES: Mapping[Role, str] = {"editor": "wildline", "audience": "wildline-audience"}
_LARGEST_BODY = 64 * 1024  # bytes; nothing that is sent here is longer
_SAFE_METHODS = ("GET", "HEAD")
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "media-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
_CLOSED = (
    "This is a screening room. Open it with the whole link that `wildline screen` printed, "
    "or ask the production for one.\n"
)


@dataclass(frozen=True, slots=True)
class Keys:
    """The tokens of the two links, and the secret behind blind names."""

    editor: str
    audience: str
    secret: str

    def __repr__(self) -> str:
        return "Keys(...)"  # never in a log

    @classmethod
    def fresh(cls) -> Keys:
        """New tokens of 192 bits each."""
        return cls(*(secrets.token_urlsafe(24) for _ in range(3)))

    @classmethod
    def kept(cls, folder: Path, *, renew: bool = False) -> Keys:
        """The keys in `folder`, readable by their owner alone; made on first use.

        Links that were sent out stay good when the server is started again; `renew` ends
        them. Raises `OutputError` when the folder cannot be written.
        """
        path = folder / "keys.json"
        if not renew:
            try:
                return cls(**json.loads(path.read_text("utf-8")))
            except (OSError, ValueError, TypeError):
                pass  # none yet, or damaged: the old links end
        keys = cls.fresh()
        temporary = path.with_name(f".keys-{secrets.token_hex(4)}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(asdict(keys), file)
            temporary.replace(path)
        except OSError as error:
            raise output_error(path, error) from error
        return keys

    def role_of(self, token: str) -> Role | None:
        """Whose token this is. Both are always compared."""
        given = token.encode()
        editor = hmac.compare_digest(given, self.editor.encode())
        audience = hmac.compare_digest(given, self.audience.encode())
        return "editor" if editor else "audience" if audience else None

    def name_for(self, *parts: str) -> str:
        """A name that tells nothing about `parts` (made with the secret), 24 hex digits."""
        message = "\0".join(parts).encode()
        return hmac.digest(self.secret.encode(), message, "sha256").hex()[:24]


def is_loopback(host: str) -> bool:
    """Whether a host name can only mean this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """ASGI middleware: host, token, role, origin and size of every request; security headers."""

    def __init__(self, app: ASGIApp, keys: Keys, *, only_loopback: bool) -> None:
        self._app, self._keys, self._only_loopback = app, keys, only_loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what may not pass; hand on the rest with `scope["role"]` set."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        refusal, role = self._judge(scope, headers, query)
        guarded = _with_headers(send)
        if refusal is not None:
            await refusal(scope, receive, guarded)
            return
        scope["role"] = role
        await self._app(scope, receive, guarded)

    def _judge(
        self, scope: Scope, headers: Headers, query: dict[str, str]
    ) -> tuple[Response | None, Role | None]:
        host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        if self._only_loopback and not is_loopback(host):  # a foreign name led here (rebinding)
            return PlainTextResponse("this host is not served here\n", 421), None
        role = self._role(headers, query.get("token"))
        if role is None:
            return PlainTextResponse(_CLOSED, 401), None
        path: str = scope["path"]
        if "token" in query and scope["method"] == "GET":
            return self._let_in(path, query, _cookie(role, headers)), role
        if role == "audience" and not path.startswith(("/audience", "/static/")):
            return PlainTextResponse("this link is for the test screening only\n", 403), None
        if scope["method"] not in _SAFE_METHODS:
            return self._judge_change(headers), role
        return None, role

    def _role(self, headers: Headers, token: str | None) -> Role | None:
        if token is not None:
            return self._keys.role_of(token)
        bearer = headers.get("authorization", "")
        if bearer.startswith("Bearer "):
            return self._keys.role_of(bearer.removeprefix("Bearer "))
        cookies = _cookies(headers)
        for role in _COOKIES:
            if self._keys.role_of(cookies.get(_cookie(role, headers), "")) == role:
                return role
        return None

    @staticmethod
    def _judge_change(headers: Headers) -> Response | None:
        """Only JSON of bounded size, and only from this room's own pages."""
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            return PlainTextResponse("this came from another page\n", 403)
        if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return PlainTextResponse("send JSON\n", 415)
        length = headers.get("content-length", "")
        if not length.isdigit():  # the server holds a body to its declared length
            return PlainTextResponse("say how long it is\n", 411)
        if int(length) > _LARGEST_BODY:
            return PlainTextResponse("that is too long\n", 413)
        return None

    @staticmethod
    def _let_in(path: str, query: dict[str, str], cookie: str) -> Response:
        """Move the token from the address into a cookie."""
        rest = urlencode([(k, v) for k, v in query.items() if k != "token"])
        # Only ever a path of this server: "//host" would lead elsewhere.
        place = "/" + path.lstrip("/\\")
        if cookie.startswith(_COOKIES["audience"]) and not place.startswith("/audience"):
            place = "/audience"
        response = RedirectResponse(f"{place}?{rest}" if rest else place, 303)
        response.set_cookie(cookie, query["token"], httponly=True, samesite="strict")
        return response


def _cookie(role: Role, headers: Headers) -> str:
    """The cookie's name, with the port: browsers share cookies between the ports of a host."""
    return f"{_COOKIES[role]}-{headers.get('host', '').rpartition(':')[2]}"


def _cookies(headers: Headers) -> dict[str, str]:
    try:
        return {k: m.value for k, m in SimpleCookie(headers.get("cookie", "")).items()}
    except CookieError:
        return {}


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return sending


def viewer_cookie(keys: Keys, cookies: Mapping[str, str]) -> tuple[str, str, bool]:
    """A test viewer's number, its signed cookie, and whether it is new."""
    number, _, mark = cookies.get(VIEWER, "").partition(".")
    if number and hmac.compare_digest(mark.encode(), keys.name_for("viewer", number).encode()):
        return number, cookies[VIEWER], False
    number = secrets.token_hex(8)
    return number, f"{number}.{keys.name_for('viewer', number)}", True


VIEWER = "wildline-viewer"
