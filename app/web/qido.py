"""QIDO-RS: the search resources (PS3.18 §10.6), and as an extension patients."""

from starlette.requests import Request
from starlette.responses import Response

from app.dicom.qido_grammar import Level
from app.index.hits import columns_of_rows
from app.index.patients import columns_of_patients
from app.web.negotiation import accepted, choose
from app.web.qido_answer import CSV, SEARCH, send_rows
from app.web.qido_request import query_of
from app.web.state import State


async def search_patients(request: Request[State]) -> Response:
    """Find patients by what their studies are found by; an extension of PS3.18 §10.6."""
    offer = choose(accepted(request), SEARCH)
    query = query_of(request, Level.STUDY)
    found = await request.state["find"].patients(query)
    columns = columns_of_patients(query) if offer.media_type == CSV else None
    return await send_rows(request, found, offer, columns)


async def search_studies(request: Request[State]) -> Response:
    """Find studies (PS3.18 §10.6)."""
    return await _search(request, Level.STUDY)


async def search_series(request: Request[State]) -> Response:
    """Find series, of all studies or of one (PS3.18 §10.6)."""
    return await _search(request, Level.SERIES)


async def search_instances(request: Request[State]) -> Response:
    """Find instances, of all studies, of a study or of a series (PS3.18 §10.6)."""
    return await _search(request, Level.INSTANCE)


async def _search(request: Request[State], level: Level) -> Response:
    offer = choose(accepted(request), SEARCH)
    query = query_of(request, level)
    found = await request.state["find"].find(query)
    columns = columns_of_rows(query) if offer.media_type == CSV else None
    return await send_rows(request, found, offer, columns)
