"""The audience's routes: clips in two versions, blind, and an answer sheet for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.templating import Jinja2Templates

from media.errors import WildlineError
from studio.batch.results import CueResult
from studio.screening import views
from studio.screening.access import VIEWER, Keys, viewer_cookie
from studio.screening.desk import Desk, NotShownError
from studio.screening.editor import changing, media_response, ready
from studio.screening.excerpts import Excerpt, Excerpts
from studio.screening.questions import ORIGINAL, Question, Screening, load_screening, versions_of
from studio.screening.votes import record_vote, voted

__all__ = ["Audience"]

_MP4 = "video/mp4"
_Scale = Annotated[int, Field(ge=1, le=5)]


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Answers(_Sent):
    """What is said of one version."""

    believable: _Scale
    moved: _Scale
    noticed: bool
    remark: Annotated[str, StringConstraints(max_length=1000)] = ""
    own: Annotated[dict[str, _Scale | bool], Field(max_length=12)] = Field(default_factory=dict)


class Sheet(_Sent):
    """An answer sheet: both versions in the order in which they were shown."""

    answers: tuple[Answers, Answers]
    prefer: Literal["first", "second", "neither"]


@dataclass(frozen=True)
class Audience:
    """The routes, over one desk."""

    desk: Desk
    excerpts: Excerpts
    pages: Jinja2Templates
    keys: Keys

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("/audience", self.home),
            Route("/audience/next", self.next),
            Route("/audience/cue/{cue}", self.cue),
            Route("/audience/state/{cue}", self.state),
            Route("/audience/media/{cue}/{blind}", self.media),
            Route("/audience/answer/{cue}", changing(self.answer), methods=["POST"]),
        ]

    def home(self, request: Request) -> Response:
        """The welcome; gives a new viewer a number."""
        screening = load_screening(self.desk.production)
        viewer, cookie, new = viewer_cookie(self.keys, request.cookies)
        done, shown = voted(self.desk.production, viewer), self._shown(screening)
        context = {
            "screening": screening,
            "left": len([r for r in shown if r.cue.id not in done]),
            "shown": len(shown),
        }
        response = self.pages.TemplateResponse(request, "audience_home.html", context)
        if new:
            response.set_cookie(
                VIEWER, cookie, max_age=30 * 86_400, httponly=True, samesite="strict"
            )
        return response

    def next(self, request: Request) -> Response:
        """On to the first cue that this viewer has not answered."""
        viewer = self._viewer(request)
        if viewer is None:
            return RedirectResponse("/audience", 303)
        done = voted(self.desk.production, viewer)
        for result in self._ordered(viewer, self._shown(load_screening(self.desk.production))):
            if result.cue.id not in done:
                return RedirectResponse(f"/audience/cue/{result.cue.id}", 303)
        return RedirectResponse("/audience", 303)

    def cue(self, request: Request) -> Response:
        """Two versions and the questions."""
        viewer = self._viewer(request)
        if viewer is None:
            return RedirectResponse("/audience", 303)
        screening, result, versions = self._asked(request, viewer)
        done, shown = voted(self.desk.production, viewer), self._shown(screening)
        if result.cue.id in done:
            return RedirectResponse("/audience/next", 303)
        context = {
            "screening": screening,
            "cue": result.cue.id,
            "names": [self._blind(viewer, result, v) for v in versions],
            "number": len(done & {r.cue.id for r in shown}) + 1,
            "shown": len(shown),
        }
        return self.pages.TemplateResponse(request, "audience_cue.html", context)

    def state(self, request: Request) -> Response:
        """Whether both versions can be played."""
        viewer = self._viewer(request) or ""
        _, result, versions = self._asked(request, viewer)
        states = [self.excerpts.state(self._excerpt(result, v)) for v in versions]
        worst = next((s for s in ("failed", "making") if s in (k for k, _ in states)), "ready")
        return JSONResponse({"state": worst})

    def media(self, request: Request) -> Response:
        """A version under its blind name."""
        viewer = self._viewer(request) or ""
        _, result, versions = self._asked(request, viewer)
        for version in versions:
            if self._blind(viewer, result, version) == request.path_params["blind"]:
                path = ready(self.excerpts, self._excerpt(result, version))
                return media_response(path, _MP4)
        raise NotShownError("there is no such version")

    def answer(self, request: Request, body: bytes) -> Response:
        """Put an answer sheet on file, once for each viewer and cue."""
        viewer = self._viewer(request)
        if viewer is None:
            raise NotShownError("open the screening with its link first")
        screening, result, versions = self._asked(request, viewer)
        sheet = Sheet.model_validate_json(body)
        if result.cue.id in voted(self.desk.production, viewer):
            raise NotShownError("you have answered for this clip already")
        for answers in sheet.answers:
            _check_own(screening.questions, answers)
        self._record(viewer, result, versions, sheet)
        return JSONResponse({"said": "thank you"})

    def _record(
        self, viewer: str, result: CueResult, versions: Sequence[str], sheet: Sheet
    ) -> None:
        said = dict(zip(versions, sheet.answers, strict=True))
        prefer = {"first": versions[0], "second": versions[1], "neither": None}[sheet.prefer]
        made = next((v for v in (result.chosen, *versions) if v in said and v != ORIGINAL), None)
        rated = {} if made is None else {"rating": said[made].believable, "rated": made}
        record_vote(
            self.desk.production,
            {
                "cue": result.cue.id,
                "viewer": viewer,
                "versions": {
                    v: a.model_dump(exclude_defaults=True) | {"noticed": a.noticed}
                    for v, a in said.items()
                },
                "prefer": prefer,
                **rated,
            },
        )
        self.desk.touched()

    # who and what

    def _viewer(self, request: Request) -> str | None:
        number, _, new = viewer_cookie(self.keys, request.cookies)
        return None if new else number

    def _shown(self, screening: Screening) -> list[CueResult]:
        """The cues that there are two versions of, in the order of the pairs or of the film."""
        found = {
            r.cue.id: r
            for r in self.desk.results()
            if versions_of(screening, r) and views.span_of(self.desk, r)
        }
        if not screening.pairs:
            return list(found.values())
        return [found[p.cue] for p in screening.pairs if p.cue in found]

    def _ordered(self, viewer: str, shown: Sequence[CueResult]) -> list[CueResult]:
        """Each viewer sees the cues in an order of their own."""
        return sorted(shown, key=lambda r: self.keys.name_for("order", viewer, r.cue.id))

    def _asked(self, request: Request, viewer: str) -> tuple[Screening, CueResult, tuple[str, str]]:
        """The cue and its versions, in the order in which this viewer sees them."""
        screening = load_screening(self.desk.production)
        result = self.desk.cue(request.path_params["cue"])
        versions = versions_of(screening, result)
        if versions is None:
            raise NotShownError("this clip is not in the screening")
        swap = int(self.keys.name_for("swap", viewer, result.cue.id), 16) % 2
        return screening, result, (versions[1], versions[0]) if swap else versions

    def _blind(self, viewer: str, result: CueResult, version: str) -> str:
        return self.keys.name_for("version", viewer, result.cue.id, version)

    def _excerpt(self, result: CueResult, version: str) -> Excerpt:
        take = result.take(version)
        if version == ORIGINAL or take is None:
            found = views.original_excerpt(self.desk, result)
        else:
            found = views.take_excerpt(self.desk, result, take)
        if found is None:
            raise NotShownError("this clip has no picture")
        return found


def _check_own(questions: Sequence[Question], answers: Answers) -> None:
    """The production's own questions are all answered, each in its kind, and no others."""
    wanted: dict[str, Any] = {q.key: bool if q.kind == "yes-no" else int for q in questions}
    if {k: type(v) for k, v in answers.own.items()} != wanted:
        raise UnansweredError("please answer every question for both versions")


class UnansweredError(WildlineError):
    """An answer sheet with a question left out."""
