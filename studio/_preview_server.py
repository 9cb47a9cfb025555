"""The page that `wildline preview` shows: one video that plays while it is rendered.

Bound to this machine's own address. Every load of the page renders anew, so a changed line is
seen by reloading; a page that is closed stops its rendering.
"""

from __future__ import annotations

import html
import io
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, BinaryIO

from media.errors import WildlineError

__all__ = ["Render", "make_server", "serve"]

#: Writes fragmented MP4 to what it is given; returns the number of frames.
Render = Callable[[BinaryIO], int]

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{background:#111;color:#ccc;font:16px system-ui;margin:2rem;text-align:center}}
video{{max-width:100%;max-height:80vh;background:#000}}</style>
<h1>{title}</h1><video src="/preview.mp4" autoplay controls></video>
<p>Preview, not for delivery. Reload to render the line again.</p></html>
"""


class _Sink(io.RawIOBase):
    """Bytes as chunks of an HTTP answer."""

    def __init__(self, out: Any, gone: threading.Event) -> None:
        self._out, self._gone = out, gone

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        """One chunk; `BrokenPipeError` when the page is closed or another took its place."""
        block = bytes(data)
        if self._gone.is_set():
            raise BrokenPipeError
        if block:
            self._out.write(f"{len(block):x}\r\n".encode() + block + b"\r\n")
            self._out.flush()
        return len(block)


class _Server(ThreadingHTTPServer):
    """One rendering at a time: a new one stops the one before."""

    daemon_threads = True

    def __init__(self, port: int, render: Render, title: str, show: Callable[[str], None]) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.render, self.title, self.show = render, title, show
        self.busy = threading.Lock()
        self._newest = threading.Event()

    def begin(self) -> threading.Event:
        """A fresh flag for this rendering; the older one's is raised."""
        self._newest.set()
        self._newest = threading.Event()
        return self._newest


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The page, or the video."""
        if self.path.split("?")[0] == "/":
            body = _PAGE.format(title=html.escape(self.server.title)).encode()
            self._head(200, "text/html; charset=utf-8", len(body))
            self.wfile.write(body)
        elif self.path.split("?")[0] == "/preview.mp4":
            self._video()
        else:
            self._head(404, "text/plain", 0)

    def _head(self, code: int, kind: str, length: int | None) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        if length is None:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _video(self) -> None:
        gone = self.server.begin()
        with self.server.busy:
            if gone.is_set():
                self._head(503, "text/plain", 0)
                return
            self._head(200, "video/mp4", None)
            try:
                self.server.render(_Sink(self.wfile, gone))  # type: ignore[arg-type]
                self.wfile.write(b"0\r\n\r\n")
            except WildlineError as error:
                self.server.show(f"error: {error}")
                self.close_connection = True
            except OSError:
                self.close_connection = True  # the page was closed

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: requests are nobody's news."""


def make_server(
    render: Render, *, title: str, port: int, show: Callable[[str], None]
) -> ThreadingHTTPServer:
    """The server, listening but not yet serving; port 0 takes any free one.

    Raises `WildlineError` when the port is taken.
    """
    try:
        return _Server(port, render, title, show)
    except OSError as error:
        raise WildlineError(
            f"port {port} cannot be used ({(error.strerror or str(error)).lower()}); choose "
            "another with --port"
        ) from error


def serve(
    render: Render,
    *,
    title: str,
    port: int,
    show: Callable[[str], None],
    open_browser: bool,
) -> None:
    """Serve the page until interrupted."""
    import webbrowser

    with make_server(render, title=title, port=port, show=show) as server:
        address = f"http://127.0.0.1:{server.server_address[1]}/"
        show(f"preview of {title}: {address} (Ctrl-C ends it)")
        if open_browser:
            webbrowser.open(address)
        server.serve_forever()
