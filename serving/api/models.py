"""Which versions score, and their cards."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel
from starlette.responses import HTMLResponse, Response

from data.contract import Manifest
from serving.api.problems import Problem, problems
from serving.api.state import Here, identified

Form = Literal["json", "markdown", "html"]
MEDIA_TYPES: dict[Form, str] = {
    "json": "application/json",
    "markdown": "text/markdown",
    "html": "text/html",
}


def may_read_cards(request: Request, here: Here) -> None:
    """Anyone, unless `public_cards` is off; then whoever has a key."""
    if not here.config.public_cards:
        identified(request, here, None)


router = APIRouter(prefix="/v1/models", tags=["models"], dependencies=[Depends(may_read_cards)])


class ModelResource(BaseModel):
    """A version that scores now."""

    name: str
    version: str
    manifest: Manifest
    links: dict[str, str]


class ModelList(BaseModel):
    """The champion of every name."""

    models: list[ModelResource]


@router.get("", responses=problems(401, 503))
def champions(here: Here) -> ModelList:
    """The versions that make scores at the moment."""
    if problem := here.unready():
        raise problem
    return ModelList(
        models=[
            ModelResource(
                name=name,
                version=version.version,
                manifest=version.manifest,
                links={"card": f"/v1/models/{name}/{version.version}/card"},
            )
            for name, version in (here.champions or {}).items()
        ]
    )


@router.get(
    "/{name}/{version}/card",
    response_class=Response,
    responses={
        200: {"content": {media_type: {} for media_type in MEDIA_TYPES.values()}},
        **problems(401, 404, 406, 503),
    },
)
def card(
    request: Request,
    here: Here,
    name: str,
    version: str,
    form: Annotated[Form | None, Query(alias="format")] = None,
) -> Response:
    """What the version learned from, how well it does, and what it must not be used for.

    As JSON, Markdown or a page, by `format` or by the Accept header.
    """
    found = here.version(name, version)
    form = form or preferred(request.headers.get("accept", ""))
    headers = {"Vary": "Accept", "Cache-Control": "public, max-age=300"}
    if form == "json":
        return Response(found.card_json, headers=headers, media_type=MEDIA_TYPES[form])
    if form == "markdown":
        return Response(found.card_markdown, headers=headers, media_type=MEDIA_TYPES[form])
    # Pages need pandas, which scoring does not: imported by whoever asks for the first page.
    from evaluation.card import Card, render_html

    page = render_html(Card.model_validate_json(found.card_json))
    return HTMLResponse(page, headers=headers)


def preferred(accept: str) -> Form:
    """The form an Accept header likes best; JSON where it has no wish. Raises Problem 406."""
    best: tuple[float, Form] | None = None
    for wish in filter(None, (part.strip() for part in accept.split(","))):
        media_type, _, parameters = wish.partition(";")
        quality = _quality(parameters)
        for form, offered in MEDIA_TYPES.items():
            if _matches(media_type.strip().lower(), offered) and quality > (best or (0.0,))[0]:
                best = (quality, form)
    if best is None and accept.strip():
        raise Problem(406, "not_acceptable", f"There are: {', '.join(MEDIA_TYPES.values())}.")
    return "json" if best is None else best[1]


def _matches(wish: str, offered: str) -> bool:
    return wish in (offered, "*/*", offered.partition("/")[0] + "/*")


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
