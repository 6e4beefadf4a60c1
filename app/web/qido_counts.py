"""Counts beside the search resources, extensions of QIDO-RS: how many match, and what values they have."""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from app.dicom.attribute_path import dotted
from app.dicom.qido_grammar import Level
from app.dicom.qido_ordering import parse_attributes
from app.index.facets import Facet
from app.web.csv_table import column_name
from app.web.negotiation import Offer, accepted, choose
from app.web.qido_answer import warning
from app.web.qido_request import parameters_of, query_of
from app.web.state import State

_JSON = (Offer("application/json", aliases=("application/dicom+json",)),)


async def count_patients(request: Request[State]) -> Response:
    """Tell how many patients match."""
    choose(accepted(request), _JSON)
    query = query_of(request, Level.STUDY)
    return _counted(await request.state["find"].count(query, patients=True))


async def count_studies(request: Request[State]) -> Response:
    """Tell how many studies match."""
    return await _count(request, Level.STUDY)


async def count_series(request: Request[State]) -> Response:
    """Tell how many series match."""
    return await _count(request, Level.SERIES)


async def count_instances(request: Request[State]) -> Response:
    """Tell how many instances match."""
    return await _count(request, Level.INSTANCE)


async def facets_of_studies(request: Request[State]) -> Response:
    """Tell how many of the studies that match have which value of an attribute."""
    return await _facets(request, Level.STUDY)


async def facets_of_series(request: Request[State]) -> Response:
    """Tell how many of the series that match have which value of an attribute."""
    return await _facets(request, Level.SERIES)


async def facets_of_instances(request: Request[State]) -> Response:
    """Tell how many of the instances that match have which value of an attribute."""
    return await _facets(request, Level.INSTANCE)


async def _count(request: Request[State], level: Level) -> Response:
    choose(accepted(request), _JSON)
    return _counted(await request.state["find"].count(query_of(request, level)))


def _counted(number: int) -> Response:
    return Response(orjson.dumps({"count": number}), media_type="application/json")


async def _facets(request: Request[State], level: Level) -> Response:
    choose(accepted(request), _JSON)
    limits = request.state["settings"].limits
    given = parameters_of(request)
    named = [value for name, value in given if name.lower() == "by"]
    attributes = parse_attributes(named, given, limits.facet_attributes)
    parameters = [(name, value) for name, value in given if name.lower() != "by"]
    if not any(name.lower() == "limit" for name, _ in parameters):
        parameters.append(("limit", str(limits.facet_results)))
    found = await request.state["find"].facets(query_of(request, level, parameters), attributes)
    body = {"count": found.total, "facets": [_facet(each) for each in found.facets]}
    headers = {"Warning": warning(found.warnings)} if found.warnings else {}
    return Response(orjson.dumps(body), media_type="application/json", headers=headers)


def _facet(facet: Facet) -> dict[str, Any]:
    return {
        "attribute": dotted(facet.attribute.path),
        "name": column_name(facet.attribute.path),
        "vr": facet.attribute.vr,
        "values": [{"value": value, "count": count} for value, count in facet.values],
        "further": facet.further,
        "missing": facet.missing,
    }
