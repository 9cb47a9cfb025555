"""The editors' routes: the list, a cue, its media, decisions and wishes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from markupsafe import Markup
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.templating import Jinja2Templates

from media.errors import WildlineError
from studio.batch.results import CueResult, TakeResult, decide, request_take
from studio.screening import views, waves
from studio.screening.desk import Desk, NotShownError
from studio.screening.excerpts import Excerpts
from studio.screening.votes import tallies

__all__ = ["Editor"]

_WAV, _MP4 = "audio/wav", "video/mp4"
_DELIVERED = (".wav", ".mp4", ".mov", ".mkv")
_LONGEST_LINE, _LONGEST_COMMENT = 2000, 4000

_By = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)]
_Id = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DecisionSent(_Sent):
    """What the page sends when somebody decides; None is no opinion."""

    take: _Id
    by: _By
    circled: bool | None = None
    rating: Annotated[int, Field(ge=1, le=5)] | None = None
    comment: Annotated[str, StringConstraints(max_length=_LONGEST_COMMENT)] | None = None
    approved: bool | None = None


class WishSent(_Sent):
    """What the page sends to ask for a new take: new words, moved phones, or once more."""

    take: _Id | None = None
    by: _By
    text: Annotated[str, StringConstraints(max_length=_LONGEST_LINE)] | None = None
    phones: Annotated[tuple[tuple[float, float], ...], Field(max_length=2000)] | None = None
    note: Annotated[str, StringConstraints(max_length=_LONGEST_COMMENT)] = ""


@dataclass(frozen=True)
class Editor:
    """The routes, over one desk."""

    desk: Desk
    excerpts: Excerpts
    pages: Jinja2Templates

    def routes(self) -> list[Route]:
        """All of them; functions that are not coroutines run in threads."""
        return [
            Route("/", self.home),
            Route("/results", self.results),
            Route("/cue/{cue}", self.cue),
            Route("/cue/{cue}/panel", self.panel),
            Route("/api/cues", self.list),
            Route("/api/cue/{cue}", self.player),
            Route("/api/cue/{cue}/outline/{name}", self.outline),
            Route("/api/cue/{cue}/outline/take/{take}", self.outline),
            Route("/api/cue/{cue}/decision", changing(self.decision), methods=["POST"]),
            Route("/api/cue/{cue}/wish", changing(self.wish), methods=["POST"]),
            Route("/media/{cue}/take/{take}", self.take),
            Route("/media/{cue}/{name}", self.video),
        ]

    # pages

    def home(self, request: Request) -> Response:
        """The whole production."""
        del request
        return HTMLResponse(self.desk.kept("home", lambda: self._page("home.html")))

    def cue(self, request: Request) -> Response:
        """One cue's page."""
        result = self._cue(request)
        ids = self.desk.kept("ids", lambda: [r.id for r in views.overview(self.desk).rows])
        context = views.cue_page(self.desk, result)
        context["neighbours"] = _neighbours(ids, result.cue.id)
        return HTMLResponse(self._page("cue.html", **context))

    def _page(self, name: str, **context: Any) -> str:
        """A page with the list of cues, which is drawn once for all pages."""
        overview = views.overview(self.desk)
        common = {"overview": overview, "production": self.desk.production}
        env = self.pages.env
        cues = self.desk.kept("list", lambda: env.get_template("_list.html").render(common))
        return env.get_template(name).render(common | context, cues=Markup(cues))

    def panel(self, request: Request) -> Response:
        """The part of a cue's page that changes with decisions."""
        context = views.cue_page(self.desk, self._cue(request))
        return self.pages.TemplateResponse(request, "_panel.html", context)

    def results(self, request: Request) -> Response:
        """What audiences said."""
        del request
        return HTMLResponse(self.desk.kept("results", self._results))

    def _results(self) -> str:
        results = self.desk.results()
        scenes = {r.cue.id: r.cue.scene for r in results}
        counted = tallies(self.desk.production, scenes)
        told = [(r.cue, counted[r.cue.id]) for r in results if r.cue.id in counted]
        return self._page("results.html", tallies=told)

    # data

    def list(self, request: Request) -> Response:
        """Every cue's status, for the list to follow the batch."""
        signature = f'"{self.desk.signature()}"'
        if request.headers.get("if-none-match") == signature:
            return Response(status_code=304)
        headers = {"etag": signature, "cache-control": "no-cache"}
        rows = self.desk.kept("rows", self._rows)
        return Response(rows, headers=headers, media_type="application/json")

    def _rows(self) -> str:
        names = ("id", "status", "light", "asked", "circled", "approved")
        rows = views.overview(self.desk).rows
        return json.dumps([{name: getattr(row, name) for name in names} for row in rows])

    def player(self, request: Request) -> Response:
        """What a cue's page plays."""
        return JSONResponse(views.player(self.desk, self.excerpts, self._cue(request)))

    def outline(self, request: Request) -> Response:
        """The outline of a take's, the shot's or the original's sound."""
        result = self._cue(request)
        if "take" in request.path_params:
            path = self.desk.shown(self._take(request, result).wav)
        else:
            path = self._excerpt(request, result)
        return JSONResponse(waves.outline(path), headers={"cache-control": "private, max-age=3600"})

    # media

    def take(self, request: Request) -> Response:
        """A take's WAV."""
        path = self.desk.shown(self._take(request, self._cue(request)).wav)
        return media_response(path, _WAV)

    def video(self, request: Request) -> Response:
        """The original's or the shot's excerpt; 503 while it is being made."""
        return media_response(self._excerpt(request, self._cue(request)), _MP4)

    # changes

    def decision(self, request: Request, body: bytes) -> Response:
        """Circle, rate, comment, approve."""
        result, sent = self._cue(request), DecisionSent.model_validate_json(body)
        self._known_take(result, sent.take)
        decide(
            self.desk.production,
            result.cue.id,
            sent.take,
            by=sent.by,
            circled=sent.circled,
            rating=sent.rating,
            comment=(sent.comment or "").strip() or None,
            approved=sent.approved,
        )
        self.desk.touched()
        if sent.approved and sent.take == result.chosen:
            self._name_approver(result, sent.by, sent.take)
        return JSONResponse({"said": "noted"})

    def wish(self, request: Request, body: bytes) -> Response:
        """Ask for a new take; the next batch makes it."""
        result, sent = self._cue(request), WishSent.model_validate_json(body)
        text = None if sent.text is None else " ".join(sent.text.split())
        if sent.phones is not None and text is not None:
            raise NotShownError("send new words or moved phones, one after the other")
        timing = None if sent.phones is None else self._moved(result, sent)
        note = f"{sent.by}: {sent.note.strip()}" if sent.note.strip() else sent.by
        request_take(self.desk.production, result.cue.id, text=text, timing=timing, note=note)
        self.desk.touched()
        return JSONResponse({"said": "asked for; the next batch makes it"})

    def _moved(self, result: CueResult, sent: WishSent) -> Path:
        """Write the moved words and phones where the batch finds them."""
        from align.formats import write_timing

        take = self._known_take(result, sent.take or result.chosen or "")
        if take.id != result.chosen:
            raise NotShownError("phones can be moved in the chosen take; circle this one first")
        timing = waves.read_take_timing(self.desk.shown(views.timing_of(result, take)))
        new = waves.moved(timing, sent.phones or ())
        folder = self.desk.work / "timings"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{result.cue.id}-{len(result.requests) + 1}.json"
        write_timing(new, path)
        return path

    def _name_approver(self, result: CueResult, by: str, take: str) -> None:
        """The approval of these very files: in the ledger, and in the disclosure sheet's rows."""
        from studio.ledger import Ledger
        from studio.provenance import Papers, approve

        files = [p for p in result.delivered if p.suffix.lower() in _DELIVERED and p.is_file()]
        if files:
            production = self.desk.production
            papers = Papers(Ledger(production.ledger), production.disclosure)
            approve(papers, files, by=by, cue=result.cue.id, take=take)

    # ids to things

    def _cue(self, request: Request) -> CueResult:
        return self.desk.cue(request.path_params["cue"])

    def _take(self, request: Request, result: CueResult) -> TakeResult:
        return self._known_take(result, request.path_params["take"])

    @staticmethod
    def _known_take(result: CueResult, take_id: str) -> TakeResult:
        take = result.take(take_id)
        if take is None:
            raise NotShownError("there is no such take of this cue")
        return take

    def _excerpt(self, request: Request, result: CueResult) -> Path:
        found = {"original": views.original_excerpt, "shot": views.shot_excerpt}
        name = request.path_params["name"]
        if name not in found:
            raise NotShownError("there is nothing of that name")
        excerpt = found[name](self.desk, result)
        if excerpt is None:
            raise NotShownError("this cue has no such picture")
        return ready(self.excerpts, excerpt)


class NotYetError(WildlineError):
    """An excerpt is being made."""


def ready(excerpts: Excerpts, excerpt: Any) -> Path:
    """The excerpt's place. Raises `NotYetError` while it is made, `NotShownError` if it cannot."""
    state, why = excerpts.state(excerpt)
    if state == "making":
        raise NotYetError("this picture is being prepared; try again in a moment")
    if state == "failed":
        raise NotShownError(why)
    return excerpts.path(excerpt)


def media_response(path: Path, media_type: str) -> Response:
    """A file in whole or in the ranges that were asked for."""
    headers = {"cache-control": "private, max-age=3600"}
    return FileResponse(
        path, media_type=media_type, headers=headers, content_disposition_type="inline"
    )


def changing(work: Callable[[Request, bytes], Response]) -> Callable[[Request], Any]:
    """An endpoint that reads the body, works in a thread, and words what is wrong with it."""
    from starlette.concurrency import run_in_threadpool

    async def endpoint(request: Request) -> Response:
        body = await request.body()
        try:
            return await run_in_threadpool(partial(work, request, body))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "what was sent"
            return JSONResponse({"error": f"{where}: {first['msg']}"}, 422)

    return endpoint


def _neighbours(ids: list[str], cue_id: str) -> tuple[str | None, str | None]:
    at = ids.index(cue_id)
    return ids[at - 1] if at else None, ids[at + 1] if at + 1 < len(ids) else None
