"""In which transfer syntax instances and values are sent (PS3.18 §8.7.3).

Strategy: a client is given what is stored where it takes that, as nothing is faster and nothing is lost; else
what can be made of it. Who names no transfer syntax gets instances in Explicit VR Little Endian, or as they
are stored where no codec can decode them; who asks for frames and takes anything gets them as stored.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from app.dicom.instance import ByteRange
from app.dicom.transfer_syntax import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN as DEFLATED,
)
from app.dicom.transfer_syntax import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    OCTET_STREAM,
    aliases_of,
    media_type_of,
)
from app.errors import NotAcceptable
from app.pixels.encode import ENCODABLE
from app.pixels.transcode import can_transcode
from app.services.retrieve import Values
from app.services.transcode import MadeValues, Transcode
from app.web.negotiation import HIGHEST_RANK, Accepted, Offer, specificity

AS_STORED = "*"
_ROOT = "1.2.840.10008.1.2."
# what a media type means without a transfer syntax (PS3.18 table 8.7.3-5)
_DEFAULT_OF = {
    "image/jpeg": _ROOT + "4.70",
    "image/dicom-rle": _ROOT + "5",
    "image/jls": _ROOT + "4.80",
    "image/jp2": _ROOT + "4.90",
    "image/jphc": _ROOT + "4.201",
    "image/jxl": _ROOT + "4.110",
    OCTET_STREAM: EXPLICIT_VR_LITTLE_ENDIAN,
}
# these differ only in the data set around a value; values of big-endian objects are put in little endian
_SAME_VALUES = frozenset(
    {
        IMPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_LITTLE_ENDIAN,
        DEFLATED,
        EXPLICIT_VR_BIG_ENDIAN,
    }
)


def syntax_for(
    alternatives: Sequence[Accepted], stored: str, *, unnamed: str = EXPLICIT_VR_LITTLE_ENDIAN
) -> str:
    """Return the transfer syntax to send an instance in that is stored in `stored`.

    `unnamed` is what alternatives without a transfer syntax mean. Raises NotAcceptable.
    """
    best: tuple[float, bool] | None = None
    result = stored
    for each in alternatives:
        # who takes any media type, takes what is stored
        meant = AS_STORED if each.media_type == "*/*" else unnamed
        syntax = _met(each.transfer_syntax or meant, stored)
        if syntax is None and each.transfer_syntax is None:
            syntax = stored  # what cannot be decoded goes out as it is
        if syntax is None or not each.quality:
            continue
        rank = (each.quality, syntax == stored)
        if best is None or rank > best:
            best, result = rank, syntax
    if best is None:
        raise NotAcceptable(
            f"The instance is stored in {stored} and cannot be made in what is asked for; "
            "ask for it with transfer-syntax=* or without."
        )
    return result


def takes_any(alternatives: Sequence[Accepted]) -> bool:
    """Tell whether a client that is served as `syntax_for` says could also be sent what is stored."""
    return any(each.quality and each.transfer_syntax in (None, AS_STORED) for each in alternatives)


def _met(asked: str, stored: str) -> str | None:
    """Return the transfer syntax that meets what is asked for."""
    if asked in (AS_STORED, stored):
        return stored
    return asked if can_transcode(stored, asked) else None


def syntaxes_for(
    alternatives: Sequence[Accepted], stored: Iterable[str], *, unnamed: str
) -> Mapping[str, str]:
    """Return, for those of the stored transfer syntaxes that can be sent, in which one.

    Raises NotAcceptable where that is none.
    """
    found: dict[str, str] = {}
    refusal: NotAcceptable | None = None
    for each in sorted(stored):
        try:
            found[each] = syntax_for(alternatives, each, unnamed=unnamed)
        except NotAcceptable as error:
            refusal = error
    if refusal is not None and not found:
        raise refusal
    return found


@dataclass(frozen=True, slots=True)
class Form:
    """How values are sent."""

    media_type: str
    syntax: str
    made: bool  # not as stored
    multipart: bool = True

    @property
    def content_type(self) -> str:
        """Return the Content-Type of one value."""
        return f"{self.media_type}; transfer-syntax={self.syntax}"


def form_for(
    alternatives: Sequence[Accepted], values: Values, *, alone: bool, ranged: bool = False
) -> Form:
    """Return how to send values; compressed frames only to whom takes them compressed.

    `alone` allows them to be the whole body, `ranged` prefers that. Raises NotAcceptable.
    """
    ways = ((False, True) if ranged else (True, False)) if alone else (True,)
    own = _syntax_of_values(values.located.transfer_syntax_uid)
    best: tuple[float, int] = (0.0, 0)
    result: Form | None = None
    for form in (replace(form, multipart=way) for form in _forms(values) for way in ways):
        rank = _rank(alternatives, form, own)
        if rank[0] and rank > best:
            best, result = rank, form
        if rank == HIGHEST_RANK:
            break  # nothing that follows can be wanted more
    if result is None:
        kinds = dict.fromkeys(form.media_type for form in _forms(values))
        raise NotAcceptable(f"This value is served as {', '.join(kinds)}.")
    return result


def _forms(values: Values) -> Iterable[Form]:
    """Yield what values can be sent as, as stored first."""
    stored = values.located.transfer_syntax_uid
    own = _syntax_of_values(stored)
    media_type = media_type_of(own) if values.encapsulated else OCTET_STREAM
    yield Form(media_type, own, made=stored == EXPLICIT_VR_BIG_ENDIAN)
    if values.numbers:
        for syntax in ENCODABLE:
            if syntax not in (own, DEFLATED) and can_transcode(stored, syntax):
                yield Form(media_type_of(syntax), syntax, made=True)


def _rank(alternatives: Sequence[Accepted], form: Form, own: str) -> tuple[float, int]:
    """Return how much a form is wanted, and how closely it is named."""
    found = [
        (specificity(each, _offer(each, form)), each.quality)
        for each in alternatives
        if _fits(each, form, own)
    ]
    closest, quality = max(found, default=(0, 0.0))
    return (quality, closest) if closest else (0.0, 0)


def _fits(alternative: Accepted, form: Form, own: str) -> bool:
    asked = alternative.transfer_syntax
    if asked is not None and asked != AS_STORED:
        return _syntax_of_values(asked) == form.syntax
    if form.syntax == own:
        return True
    if asked == AS_STORED and form.media_type == OCTET_STREAM:
        return False  # it means frames as they are stored, whatever they are
    return _DEFAULT_OF.get(form.media_type) == form.syntax


def _offer(alternative: Accepted, form: Form) -> Offer:
    """Return what the client may call a form: octets, where it says which codestream it takes for them."""
    names = aliases_of(form.media_type)
    if alternative.transfer_syntax is not None:
        names = (*names, OCTET_STREAM)
    return Offer(form.media_type, multipart=form.multipart, aliases=names)


def _syntax_of_values(syntax: str) -> str:
    return EXPLICIT_VR_LITTLE_ENDIAN if syntax in _SAME_VALUES else syntax


async def make_values(transcode: Transcode, values: Values, form: Form) -> MadeValues:
    """Return values that are not sent as stored. Raises NotAcceptable, NotFound, BlobsUnavailable, Busy."""
    if not values.numbers:
        (place,) = (
            part for parts in values.stretches for part in parts if isinstance(part, ByteRange)
        )
        return await transcode.bulk(values.located, values.path, place)
    made = await transcode.frames(values.located, values.numbers, form.syntax)
    if values.path and form.media_type == OCTET_STREAM:  # native pixel data are one value
        return MadeValues((sum(made.lengths),), made.spool)
    return made
