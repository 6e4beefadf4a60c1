"""Which Patient a study is of, and who took whose place."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from app.fhir.identifiers import IdentifierSystems
from app.services.patients import Patients
from app.settings import Settings
from app.stores.hapi import Found

SYSTEMS = IdentifierSystems.from_settings(Settings())


class World:
    """A FHIR server with Patients."""

    def __init__(self, patients: Mapping[str, Mapping[str, Any]]) -> None:
        self.patients = {f"Patient/{key}": {"id": key, **each} for key, each in patients.items()}

    async def read(self, kind: str, key: str) -> Found:
        return Found(self.patients.get(f"{kind}/{key}"), 1)

    async def ask(self, questions: Sequence[Any]) -> list[Any]:
        return [
            [
                each
                for each in self.patients.values()
                if any(
                    link.get("other", {}).get("reference") == question.params["link"]
                    for link in each.get("link", ())
                )
            ]
            for question in questions
        ]


def linked(kind: str, other: str) -> dict[str, Any]:
    return {"link": [{"type": kind, "other": {"reference": other}}]}


@pytest.mark.parametrize(
    ("patients", "chain"),
    [
        ({}, []),
        ({"p": {}}, ["p"]),
        ({"p": linked("replaced-by", "Patient/q"), "q": {}}, ["p", "q"]),
        ({"p": linked("replaced-by", "Patient/q")}, ["p"]),
        ({"p": {}, "q": linked("replaces", "Patient/p")}, ["p", "q"]),
        ({"p": {}, "q": linked("seealso", "Patient/p")}, ["p"]),
        ({"p": {"link": [{"type": "replaced-by"}]}}, ["p"]),
        ({"p": linked("replaced-by", "http://elsewhere/Patient/q"), "q": {}}, ["p"]),
        (
            {"p": linked("replaced-by", "Patient/q"), "q": linked("replaced-by", "Patient/p")},
            ["p", "q"],
        ),
    ],
)
async def test_a_chain_of_merges_has_an_end(
    patients: dict[str, dict[str, Any]], chain: list[str]
) -> None:
    world: Any = World(patients)
    found = await Patients(world, SYSTEMS).chain("Patient/p")
    assert [each["id"] for each in found] == chain


def test_where_dicom_is_the_master_nothing_is_corrected() -> None:
    world: Any = World({})
    patient = {"id": "p", "name": [{"family": "Roe"}]}
    assert Patients(world, SYSTEMS, master="dicom").demographics(patient) is None
    assert Patients(world, SYSTEMS).demographics(patient) is not None
