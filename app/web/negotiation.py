"""Which representation to send, from what the client accepts (PS3.18 §8.7, RFC 9110 §12.5.1).

Lenient where real clients are not exact: parameters quoted or not, any case, wildcards also as the type of
parts, several alternatives in one header, and an `accept` query parameter that goes before the header.

Strategy: of the alternatives that cover an offer the most specific one says how much it is wanted. The offer
that is wanted most is sent; among equals one that is named goes before one that a wildcard covers, and then
the server's order counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from app.dicom.multipart import parse_content_type, split_list
from app.errors import NotAcceptable

RELATED, ANY_MULTIPART = "multipart/related", "multipart/*"


@dataclass(frozen=True, slots=True)
class Accepted:
    """One alternative that the client accepts."""

    media_type: str  # for multipart/related: of the parts
    multipart: bool = False
    transfer_syntax: str | None = None  # "*" for: as stored
    quality: float = 1.0

    def covers(self, media_type: str) -> bool:
        """Tell whether a concrete media type satisfies this alternative."""
        return self.specificity(media_type) > 0

    def specificity(self, media_type: str) -> int:
        """Return how closely a concrete media type is named, 0 where it is not."""
        if self.media_type == media_type:
            return 3
        kind, _, sub = self.media_type.partition("/")
        if sub == "*" and media_type.startswith(f"{kind}/"):
            return 2
        return int(self.media_type == "*/*")


@dataclass(frozen=True, slots=True)
class Offer:
    """A representation that the resource has."""

    media_type: str
    multipart: bool = False
    aliases: Sequence[str] = field(default=())


# quality and specificity of a type of parts that is named, and wanted wholly
HIGHEST_RANK = (1.0, 4)
ANYTHING = (Accepted("*/*"),)
DICOM_JSON = (Offer("application/dicom+json", aliases=("application/json",)),)
METADATA = (*DICOM_JSON, Offer("application/dicom+xml", multipart=True))


def accepted(request: Request[Any]) -> tuple[Accepted, ...]:
    """Return the client's alternatives, best first; no Accept at all means anything (as curl sends)."""
    found = [each for value in _from_query(request) for each in _parse(value)]
    if not found:
        found = [each for value in request.headers.getlist("accept") for each in _parse(value)]
    return tuple(sorted(found, key=lambda each: -each.quality)) or ANYTHING


def _from_query(request: Request[Any]) -> list[str]:
    """Return the values of the query parameter; a plus that nobody escaped came as a space."""
    values = []
    for value in request.query_params.getlist("accept"):
        items = (item.partition(";") for item in split_list(value))
        values += [f"{name.strip().replace(' ', '+')}{mark}{rest}" for name, mark, rest in items]
    return values


def _parse(value: str) -> list[Accepted]:
    alternatives = []
    for item in split_list(value):
        media_type, parameters = parse_content_type(item)
        multipart = media_type in (RELATED, ANY_MULTIPART)
        if multipart:
            media_type = parameters.get("type", "*/*").strip().lower()
        syntax = parameters.get("transfer-syntax")
        quality = _quality(parameters.get("q", "1"))
        alternatives.append(Accepted(media_type or "*/*", multipart, syntax, quality))
    return alternatives


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 1.0
    return quality if 0 <= quality <= 1 else 1.0


def choose(alternatives: Sequence[Accepted], offers: Sequence[Offer]) -> Offer:
    """Return the offer that is wanted most. Raises NotAcceptable, which names what is offered."""
    ranked = [(_wanted(alternatives, offer), offer) for offer in offers]
    best = max(ranked, key=lambda each: each[0])  # of equals the first
    if not best[0][0]:
        kinds = ", ".join(_spelled(offer) for offer in offers)
        raise NotAcceptable(f"This resource is served as {kinds}.")
    return best[1]


def _wanted(alternatives: Sequence[Accepted], offer: Offer) -> tuple[float, int]:
    """Return the quality of an offer for the client, and how closely it was named."""
    found = [(specificity(alternative, offer), alternative.quality) for alternative in alternatives]
    closest, quality = max(found, default=(0, 0.0))
    return (quality, closest) if closest else (0.0, 0)


def specificity(alternative: Accepted, offer: Offer) -> int:
    """Return how closely an alternative names an offer, 0 where it does not take it."""
    everything = alternative.media_type == "*/*" and not alternative.multipart
    if alternative.multipart != offer.multipart and not everything:
        return 0
    named = max(alternative.specificity(name) for name in (offer.media_type, *offer.aliases))
    return named + 1 if alternative.multipart and named else named


def _spelled(offer: Offer) -> str:
    if offer.multipart:
        return f'multipart/related; type="{offer.media_type}"'
    return offer.media_type
