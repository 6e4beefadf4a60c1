"""Extended query tags, as Microsoft's DICOM service and its clients write them.

Every attribute can be searched without registering it. A registered one is known by name to clients that
manage their tags, can be switched off, and is asked for at its level or below only.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.dicom.attribute_path import (
    LONGEST_CREATOR,
    UNKNOWN_VR,
    is_private,
    is_private_creator,
    private_step,
    tag_of,
    vr_of,
)
from app.dicom.qido_grammar import Level
from app.errors import BadRequest
from app.limits import Limits

VRS = frozenset(
    "AE AS AT CS DA DS DT FD FL IS LO PN SH SL SS SV TM UC UI UL UR US UV".split()  # noqa: SIM905
)
"""Value representations that can be compared; of others it can only be said whether they are there."""

_LEVELS = {level.value: level for level in Level}
_STATUSES = {"enabled": True, "disabled": False}
_PRIVATE_ELEMENT = re.compile(
    r"[0-9A-F]{4}(?:00(?:[1-9A-F][0-9A-F])|(?:[1-9A-F][0-9A-F])[0-9A-F]{2})"
)
_NAMES = frozenset({"path", "vr", "privatecreator", "level"})


@dataclass(frozen=True, slots=True)
class ExtendedQueryTag:
    """One registered attribute."""

    tag: str  # 8 hex digits
    vr: str
    level: Level
    private_creator: str | None = None
    enabled: bool = True
    operation: str = ""  # id of the operation that added it

    @property
    def step(self) -> str:
        """Return the name under which the index and queries know the attribute."""
        if self.private_creator is not None and not is_private_creator(self.tag):
            return private_step(self.tag, self.private_creator)
        return self.tag


def parse_tags(body: Any, limits: Limits) -> list[ExtendedQueryTag]:
    """Return the tags that a request asks to add. Raises BadRequest, saying which entry is wrong and why."""
    if not isinstance(body, list) or not body:
        raise BadRequest("The body is not a list of extended query tags.")
    if len(body) > limits.extended_query_tags:
        raise BadRequest("The body has more tags than the limit extended_query_tags.")
    tags: list[ExtendedQueryTag] = []
    for number, entry in enumerate(body, start=1):
        try:
            tags.append(_parse(entry))
        except BadRequest as error:
            raise BadRequest(f"Extended query tag {number} of the body: {error.message}") from error
    if len({tag.tag for tag in tags}) < len(tags):
        raise BadRequest("The body names a tag twice.")
    return tags


def parse_query_status(body: Any) -> bool:
    """Return whether a request asks to enable a tag. Raises BadRequest."""
    fields = _fields(body)
    if set(fields) != {"querystatus"}:
        raise BadRequest("The body is not a QueryStatus, the only thing that can be changed.")
    status = fields["querystatus"]
    if isinstance(status, int) and not isinstance(status, bool) and status in (0, 1):
        return bool(status)  # Microsoft's client sends numbers of its enumeration
    enabled = _STATUSES.get(str(status).lower())
    if enabled is None:
        raise BadRequest("QueryStatus is neither Enabled nor Disabled.")
    return enabled


def tag_in_path(text: str) -> str:
    """Return the tag that a URL names by keyword or 8 hex digits. Raises BadRequest."""
    tag = tag_of(text)
    if tag is None:
        raise BadRequest("The tag path is neither a keyword nor 8 hex digits.")
    return tag


def _parse(entry: Any) -> ExtendedQueryTag:
    fields = _fields(entry)
    if set(fields) - _NAMES:
        raise BadRequest("it has a property that is none of Path, VR, PrivateCreator and Level.")
    tag = tag_of(_text(fields, "path", "Path") or "")
    if tag is None:
        raise BadRequest(
            "Path is neither a keyword nor 8 hex digits; nested ones need no registration."
        )
    level = _LEVELS.get((_text(fields, "level", "Level") or "").lower())
    if level is None:
        raise BadRequest("Level is none of Study, Series and Instance.")
    creator, vr = _text(fields, "privatecreator", "PrivateCreator"), _text(fields, "vr", "VR")
    if is_private(tag):
        return _private(tag, vr, creator, level)
    if creator:
        raise BadRequest("PrivateCreator is given for a standard attribute.")
    known = vr_of(tag)
    if known == UNKNOWN_VR:
        raise BadRequest("Path is not an attribute of the DICOM dictionary.")
    if vr and vr != known:
        raise BadRequest(f"VR is not {known}, the one of the dictionary.")
    return ExtendedQueryTag(tag, _comparable(known), level)


def _private(tag: str, vr: str | None, creator: str | None, level: Level) -> ExtendedQueryTag:
    if not _PRIVATE_ELEMENT.fullmatch(tag):
        raise BadRequest("Path is in a private group, but no private attribute.")
    if is_private_creator(tag):
        if creator:
            raise BadRequest("PrivateCreator is given for an attribute that is one itself.")
        if vr not in (None, "", "LO"):
            raise BadRequest("VR is not LO, the one of a private creator.")
        return ExtendedQueryTag(tag, "LO", level)
    if not creator or len(creator) > LONGEST_CREATOR:
        raise BadRequest("PrivateCreator is missing, or longer than 64 characters.")
    if not vr:
        raise BadRequest("VR is missing; a private attribute needs one.")
    return ExtendedQueryTag(tag, _comparable(vr), level, creator)


def _comparable(vr: str) -> str:
    if vr not in VRS:
        raise BadRequest("VR is not one of those that can be registered.")
    return vr


def _fields(entry: Any) -> Mapping[str, Any]:
    """Return properties by their names in lower case: clients write them either way."""
    if not isinstance(entry, dict):
        raise BadRequest("it is no JSON object.")
    return {str(name).lower(): value for name, value in entry.items()}


def _text(fields: Mapping[str, Any], name: str, shown: str) -> str | None:
    value = fields.get(name)
    if isinstance(value, int) and name == "level" and 0 <= value < len(_CLIENT_LEVELS):
        return _CLIENT_LEVELS[value]
    if value is not None and not isinstance(value, str):
        raise BadRequest(f"{shown} is no text.")
    return value.strip() if value else None


_CLIENT_LEVELS: Sequence[str] = ("instance", "series", "study")  # Microsoft's enumeration
