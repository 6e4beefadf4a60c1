"""What planners and whoever carries their plans out pass to each other: requests, responses, what was found."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from app.dicom.qido_grammar import Level
from app.index.cursor import SortValue

INDEX: Mapping[Level, str] = {
    Level.STUDY: "studies",
    Level.SERIES: "series",
    Level.INSTANCE: "instances",
}

Response = Mapping[str, Any]
Responses = tuple[Response, Response | None]  # to a request, and to what is beside it
_Result = TypeVar("_Result")
Steps = Generator["Request", Responses, _Result]


@dataclass(frozen=True, slots=True)
class Request:
    """A search: the index by its name, the body, and that of a small one that is asked together with it."""

    index: str
    body: dict[str, Any]
    beside: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The answer: how many match, and the documents of the page that was asked for."""

    total: int
    sources: tuple[Mapping[str, Any], ...]
    warnings: tuple[str, ...] = ()
    last: tuple[SortValue, ...] | None = None  # sort values of the last document
    passed: int = 0  # rows before the first
