"""What a resource can do: `OPTIONS` on each, answered in WADL (PS3.18 §8.9, Annex H).

What each handler takes and sends stands in `mappings/dicom/transactions.toml`, from which the conformance
statement is made as well.
"""

import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.resources import data_path
from app.web.negotiation import Offer, accepted, choose
from app.web.state import State, base_url

WADL = "application/vnd.sun.wadl+xml"
_NAMESPACE = "http://wadl.dev.java.net/2009/02"
_OFFERS = (Offer(WADL), Offer("application/xml"), Offer("text/xml"))
_ALWAYS = frozenset({"HEAD", "OPTIONS"})

Handler = Callable[[Request[State]], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Transaction:
    """What a handler does, in the words of the standard."""

    name: str
    takes: tuple[str, ...] = ()  # media types of the request's body
    sends: tuple[str, ...] = ()  # media types of the answer's body, the default first
    parameters: tuple[str, ...] = ()  # of the query string, besides match keys


@cache
def transactions() -> Mapping[str, Transaction]:
    """Return each handler's transaction by the handler's name."""
    text = data_path("mappings", "dicom", "transactions.toml").read_text("utf-8")
    return {
        handler: Transaction(
            row["name"],
            tuple(row.get("takes", ())),
            tuple(row.get("sends", ())),
            tuple(row.get("parameters", ())),
        )
        for handler, row in tomllib.loads(text).items()
    }


def options_routes(routes: Iterable[Route]) -> list[Route]:
    """Return a route for OPTIONS on each path of these, and on the base for all of them."""
    by_path: dict[str, list[Route]] = {}
    for route in routes:
        by_path.setdefault(route.path, []).append(route)
    every = [route for together in by_path.values() for route in together]
    spelled_out_first = sorted(
        by_path.items(), key=lambda entry: "{" in entry[0].rsplit("/", 1)[-1]
    )
    return [
        Route("/", _capabilities(every), methods=["OPTIONS"]),
        *(
            Route(path, _capabilities(here), methods=["OPTIONS"])
            for path, here in spelled_out_first
        ),
    ]


def _capabilities(routes: Sequence[Route]) -> Handler:
    allowed = set().union(*(route.methods or () for route in routes)) if _is_one(routes) else set()
    allow = ", ".join(sorted(allowed | _ALWAYS))

    async def retrieve_capabilities(request: Request[State]) -> Response:
        """Tell what the resource can do, in WADL (PS3.18 §8.9)."""
        offer = choose(accepted(request), _OFFERS)
        headers = {"Allow": allow, "Content-Type": f"{offer.media_type}; charset=utf-8"}
        return Response(wadl(base_url(request), routes), headers=headers)

    return retrieve_capabilities


def _is_one(routes: Sequence[Route]) -> bool:
    return len({route.path for route in routes}) == 1


def wadl(base: str, routes: Iterable[Route]) -> bytes:
    """Return the Web Application Description of these routes."""
    ET.register_namespace("", _NAMESPACE)
    root = ET.Element(f"{{{_NAMESPACE}}}application")
    resources = _child(root, "resources", base=f"{base}/")
    by_path: dict[str, ET.Element] = {}
    for route in routes:
        resource = by_path.get(route.path)
        if resource is None:
            resource = by_path[route.path] = _child(
                resources, "resource", path=route.path.lstrip("/")
            )
            for name in route.param_convertors:
                _child(resource, "param", name=name, style="template", required="true")
        for method in sorted((route.methods or set()) - _ALWAYS):
            _describe(resource, method, transactions()[route.endpoint.__name__])
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _describe(resource: ET.Element, name: str, transaction: Transaction) -> None:
    method = _child(resource, "method", name=name, id=transaction.name)
    request = _child(method, "request")
    if transaction.sends:
        accept = _child(request, "param", name="Accept", style="header")
        for media_type in transaction.sends:
            _child(accept, "option", value=media_type)
    for parameter in transaction.parameters:
        _child(request, "param", name=parameter, style="query")
    for media_type in transaction.takes:
        _child(request, "representation", mediaType=media_type)
    response = _child(method, "response")
    for media_type in transaction.sends:
        _child(response, "representation", mediaType=media_type)


def _child(parent: ET.Element, kind: str, /, **attributes: str) -> ET.Element:
    return ET.SubElement(parent, f"{{{_NAMESPACE}}}{kind}", attributes)
