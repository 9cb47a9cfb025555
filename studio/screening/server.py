"""The application and the server.

Starlette, uvicorn and Jinja2: plain pages, range requests and one guard in front of all of
them. See docs/screening.md for why not Gradio.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from media.errors import ConsentError, MediaError, ProvenanceError, WildlineError
from studio.screening.access import Guard, Keys, is_loopback
from studio.screening.audience import Audience
from studio.screening.desk import Desk, NotShownError
from studio.screening.editor import Editor, NotYetError
from studio.screening.excerpts import Excerpts

__all__ = ["make_app", "serve"]

_HERE = Path(__file__).resolve().parent


def make_app(desk: Desk, keys: Keys, *, only_loopback: bool = True) -> Starlette:
    """The whole room as an ASGI application.

    With `only_loopback` requests under any other host name are refused, which keeps a page
    elsewhere from reaching in by a name of its own.
    """
    excerpts = Excerpts(desk.work / "excerpts")
    pages = _pages()
    editor, audience = Editor(desk, excerpts, pages), Audience(desk, excerpts, pages, keys)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        yield
        excerpts.close()

    return Starlette(
        routes=[
            *editor.routes(),
            *audience.routes(),
            Mount("/static", StaticFiles(directory=_HERE / "static")),
        ],
        middleware=[Middleware(Guard, keys=keys, only_loopback=only_loopback)],
        exception_handlers={WildlineError: _refused},
        lifespan=lifespan,
    )


def serve(desk: Desk, keys: Keys, *, host: str = "127.0.0.1", port: int = 8760) -> None:
    """Serve until stopped. Raises `MediaError` when the port cannot be had."""
    import socket

    import uvicorn

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        why = (error.strerror or str(error)).lower()
        raise MediaError(f"cannot listen at {host}, port {port}: {why}; name another") from error
    app = make_app(desk, keys, only_loopback=is_loopback(host))
    settings = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_keep_alive=30
    )
    with listener:
        uvicorn.Server(settings).run(sockets=[listener])


@cache
def _pages() -> Jinja2Templates:
    """The templates: everything that is filled in is escaped, and a missing name is an error."""
    env = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters["percent"] = _percent
    return Jinja2Templates(env=env)


def _percent(value: Any) -> str:
    return "–" if value is None else f"{value:.0%}"


def _refused(request: Request, error: Exception) -> Response:
    """A refusal in one line: JSON for the page's own requests, text for people."""
    status = _status(error)
    wants_page = "text/html" in request.headers.get("accept", "")
    headers = {"retry-after": "1"} if status == 503 else None
    if wants_page:
        return PlainTextResponse(f"{error}\n", status, headers)
    return JSONResponse({"error": str(error)}, status, headers)


def _status(error: Exception) -> int:
    if isinstance(error, NotShownError):
        return 404
    if isinstance(error, NotYetError):
        return 503
    if isinstance(error, (ProvenanceError, ConsentError)):
        return 409
    return 422
