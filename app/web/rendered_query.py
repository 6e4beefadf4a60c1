"""The query parameters of rendered resources and thumbnails, as one value (PS3.18 §8.3.5)."""

import codecs
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TypeVar

from app.errors import BadQuery
from app.limits import Limits
from app.pixels.render_options import (
    Annotation,
    IccProfile,
    RenderOptions,
    Viewport,
    VoiFunction,
    Window,
)

Known = TypeVar("Known", Annotation, IccProfile, VoiFunction)

PARAMETERS = ("accept", "annotation", "charset", "iccprofile", "quality", "viewport", "window")
THUMBNAIL_PARAMETERS = ("accept", "charset", "viewport")
_SIZE_ONLY, _WITH_REGION = 2, 6  # values of a viewport
_WINDOW_VALUES = 3
# character sets in which every character of the markup is the byte that it is in ASCII
_CHARACTER_SETS = frozenset(
    {
        "ascii", "utf-8", "koi8-r", "euc_jp", "euc_kr", "gb2312", "gbk", "gb18030", "tis-620",
        *(f"iso8859-{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16)),
        *(f"cp{page}" for page in range(1250, 1259)),
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RenderedQuery:
    """What a request for a rendered resource asks, besides the media type."""

    options: RenderOptions
    charset: str = "utf-8"


def parse_rendered(parameters: Sequence[tuple[str, str]], limits: Limits) -> RenderedQuery:
    """Return what the parameters of a rendered resource ask. Raises BadQuery, which names the parameter."""
    values = _only(parameters, PARAMETERS)
    options = RenderOptions(
        quality=_quality(values["quality"]) if "quality" in values else None,
        viewport=parse_viewport(values["viewport"], limits) if "viewport" in values else None,
        window=_window(values["window"]) if "window" in values else None,
        annotations=_annotations(values["annotation"]) if "annotation" in values else (),
        icc_profile=_known(IccProfile, "iccprofile", values["iccprofile"].lower())
        if "iccprofile" in values
        else None,
    )
    return RenderedQuery(options, _charset(values.get("charset", "utf-8")))


def parse_thumbnail(
    parameters: Sequence[tuple[str, str]], limits: Limits, side: int
) -> RenderedQuery:
    """Return what the parameters of a thumbnail ask; without a viewport it has this side. Raises BadQuery."""
    values = _only(parameters, THUMBNAIL_PARAMETERS)
    viewport = Viewport(side, side, enlarges=False)
    if "viewport" in values:
        viewport = parse_viewport(values["viewport"], limits)
    return RenderedQuery(
        RenderOptions(viewport=viewport, overlays=False), _charset(values.get("charset", "utf-8"))
    )


def parse_viewport(text: str, limits: Limits) -> Viewport:
    """Return a viewport; values of the region may be left out, not the commas between. Raises BadQuery."""
    values = [value.strip() for value in text.split(",")]
    if not _SIZE_ONLY <= len(values) <= _WITH_REGION:
        raise BadQuery("viewport is vw,vh or vw,vh,sx,sy,sw,sh.")
    width, height = (_size(value) for value in values[:_SIZE_ONLY])
    if width * height > limits.viewport_pixels:
        raise BadQuery("viewport is larger than the limit viewport_pixels.")
    region = [*values[_SIZE_ONLY:], *[""] * (_WITH_REGION - len(values))]
    left, top, across, down = (_decimal("viewport", each) if each else None for each in region)
    if across == 0 or down == 0:
        raise BadQuery("viewport has a region without width or height.")
    return Viewport(
        width,
        height,
        left=abs(left or 0),
        top=abs(top or 0),
        region_width=None if across is None else abs(across),
        region_height=None if down is None else abs(down),
        flip_horizontally=across is not None and across < 0,
        flip_vertically=down is not None and down < 0,
    )


def _only(parameters: Sequence[tuple[str, str]], known: Collection[str]) -> Mapping[str, str]:
    values: dict[str, str] = {}
    for name, value in parameters:
        if name not in known:
            shown = name if name.isidentifier() and len(name) <= 32 else "One"  # noqa: PLR2004
            raise BadQuery(f"{shown} is no parameter of this resource: it has {', '.join(known)}.")
        if name in values and name != "accept":
            raise BadQuery(f"{name} is given twice.")
        values[name] = value
    return values


def _quality(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:4]) <= 100 and len(text) <= 3):  # noqa: PLR2004
        raise BadQuery("quality is a whole number from 1 to 100.")
    return int(text)


def _window(text: str) -> Window:
    values = [value.strip() for value in text.split(",")]
    if len(values) != _WINDOW_VALUES:
        raise BadQuery("window is center,width,function.")
    center, width = (_decimal("window", value) for value in values[:2])
    function = _known(VoiFunction, "window", values[2].upper().replace("-", "_"))
    window = Window(center, width, function)
    if not window.is_valid:
        raise BadQuery("window has a width that is too small for its function.")
    return window


def _annotations(text: str) -> tuple[Annotation, ...]:
    wanted = {_known(Annotation, "annotation", value.strip().lower()) for value in text.split(",")}
    return tuple(sorted(wanted))


def _known(kind: type[Known], name: str, value: str) -> Known:
    try:
        return kind(value)
    except ValueError as exc:
        names = ", ".join(each.value.lower().replace("_", "-") for each in kind)
        raise BadQuery(f"{name} is none of {names}.") from exc


def _size(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and int(text) > 0):  # noqa: PLR2004
        raise BadQuery("viewport needs a width and a height in whole pixels.")
    return int(text)


def _decimal(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError as exc:
        raise BadQuery(f"{name} has a value that is no decimal number.") from exc
    if not isfinite(number):
        raise BadQuery(f"{name} has a value that is no decimal number.")
    return number


def _charset(text: str) -> str:
    try:
        name = codecs.lookup(text).name if text.isascii() and text.isprintable() else ""
    except LookupError:
        name = ""
    if name not in _CHARACTER_SETS:
        raise BadQuery("charset is none that text can be sent in.")
    return name
