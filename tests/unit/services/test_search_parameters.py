"""Search parameters are installed in the background: what fails is tried again or let be."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from app.errors import CoregisterError, FhirUnavailable, LinkRefused
from app.services import search_parameters as module
from app.services.search_parameters import SearchParameters, search_parameters
from app.stores.hapi import Found


class Fhir:
    """A server with some parameters, whose next writes fail."""

    def __init__(self, *errors: CoregisterError) -> None:
        self.resources: dict[str, dict[str, Any]] = {}
        self.errors = list(errors)
        self.writes: list[int] = []
        self.indexed: list[str] = []

    async def read(self, resource_type: str, resource_id: str) -> Found:
        assert resource_type == "SearchParameter"
        return Found(self.resources.get(resource_id), 1)

    async def write(self, resources: Sequence[Mapping[str, Any]]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.writes.append(len(resources))
        self.resources |= {each["id"]: {**each, "meta": {}} for each in resources}

    async def index_again(self, resource_type: str) -> None:
        self.indexed.append(resource_type)
        raise LinkRefused("switched off")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.0)


async def install(fhir: Fhir) -> None:
    await SearchParameters(cast("Any", fhir)).install_sometime()


async def test_all_are_installed_at_once_and_their_types_indexed_again() -> None:
    fhir = Fhir()

    await install(fhir)
    await install(fhir)

    assert fhir.writes == [len(search_parameters())]
    assert fhir.indexed == ["DiagnosticReport", "ImagingStudy"]


async def test_only_what_differs_is_written() -> None:
    fhir = Fhir()
    await install(fhir)
    changed = search_parameters()[2]["id"]
    fhir.resources[changed]["status"] = "retired"

    await install(fhir)

    assert fhir.writes[1:] == [1]
    assert fhir.resources[changed]["status"] == "active"


async def test_a_server_that_is_down_is_asked_again() -> None:
    fhir = Fhir(FhirUnavailable("down"), FhirUnavailable("still down"))

    await install(fhir)

    assert fhir.writes == [len(search_parameters())]


async def test_a_server_that_refuses_is_let_be() -> None:
    fhir = Fhir(LinkRefused("no"))

    await install(fhir)

    assert fhir.writes == []
