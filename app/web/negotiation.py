"""Which representation to send, from what the client accepts (PS3.18 §8.7).

Lenient where real clients are not exact: parameters quoted or not, any case, `*/*`, several alternatives in one
header, and an `accept` query parameter that goes before the header.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from app.dicom.multipart import parse_content_type, split_list
from app.errors import NotAcceptable


@dataclass(frozen=True, slots=True)
class Accepted:
    """One alternative that the client accepts."""

    media_type: str  # for multipart/related: of the parts
    multipart: bool = False
    transfer_syntax: str | None = None  # "*" for: as stored
    quality: float = 1.0

    def covers(self, media_type: str) -> bool:
        """Tell whether a concrete media type satisfies this alternative."""
        if self.media_type in ("*/*", media_type):
            return True
        kind, _, sub = self.media_type.partition("/")
        return sub == "*" and media_type.startswith(f"{kind}/")


ANYTHING = (Accepted("*/*"),)


def accepted(request: Request[Any]) -> tuple[Accepted, ...]:
    """Return the client's alternatives, best first; no Accept at all means anything (as curl sends)."""
    values = request.query_params.getlist("accept") or request.headers.getlist("accept")
    found = [alternative for value in values for alternative in _parse(value)]
    if not found:
        return ANYTHING
    wanted = [alternative for alternative in found if alternative.quality > 0]
    return tuple(sorted(wanted, key=lambda each: -each.quality))


def _parse(value: str) -> list[Accepted]:
    alternatives = []
    for item in split_list(value):
        media_type, parameters = parse_content_type(item)
        multipart = media_type == "multipart/related"
        if multipart:
            media_type = parameters.get("type", "*/*").lower()
        try:
            quality = float(parameters.get("q", "1"))
        except ValueError:
            quality = 1.0
        syntax = parameters.get("transfer-syntax")
        alternatives.append(Accepted(media_type, multipart, syntax, quality))
    return alternatives


@dataclass(frozen=True, slots=True)
class Offer:
    """A representation that the resource has."""

    media_type: str
    multipart: bool = False
    aliases: Sequence[str] = field(default=())


def choose(alternatives: Sequence[Accepted], offers: Sequence[Offer]) -> Offer:
    """Return the first offer that the best alternative covers; the first offer is the default.

    Raises NotAcceptable.
    """
    for alternative in alternatives:
        for offer in offers:
            if alternative.multipart and not offer.multipart:
                continue
            if not alternative.multipart and offer.multipart and alternative.media_type != "*/*":
                continue
            if any(alternative.covers(name) for name in (offer.media_type, *offer.aliases)):
                return offer
    kinds = ", ".join(_spelled(offer) for offer in offers)
    raise NotAcceptable(f"This resource is served as {kinds}.")


def _spelled(offer: Offer) -> str:
    if offer.multipart:
        return f'multipart/related; type="{offer.media_type}"'
    return offer.media_type


DICOM_JSON = (Offer("application/dicom+json", aliases=("application/json",)),)
