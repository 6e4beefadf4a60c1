"""What others write on an ImagingStudy stays; what is Coregister's comes back (docs/fhir/changes.md)."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydicom.uid import generate_uid

from tests.agreement import assert_agreement
from tests.conftest import Stack
from tests.corpus import make_instance
from tests.http.test_changes import ASKING, Hospital, until
from tests.server import Server, store

pytestmark = pytest.mark.stack

OTHERS: dict[str, Any] = {
    "note": [{"text": "Compare with the study before."}],
    "reasonCode": [{"text": "Cough"}],
    "extension": [{"url": "https://example.org/priority", "valueCode": "high"}],
    "interpreter": [{"display": "Dr. Chen"}],
}


@pytest.fixture(scope="module")
def hospital(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    folder = tmp_path_factory.mktemp("ownership")
    made = Hospital(Server(folder, stack.elasticsearch_url, stack.fhir_url, ASKING))
    made.server.start()
    yield made
    made.close()


def annotate(hospital: Hospital, study: str) -> None:
    """Write on a study what others write."""
    resource = hospital.imaging_study(study)
    extensions = [*resource.get("extension", ()), *OTHERS["extension"]]
    resource["series"][0]["bodySite"] = {"display": "Left knee"}
    hospital.put({**resource, **OTHERS, "extension": extensions})


def assert_annotated(resource: dict[str, Any]) -> None:
    assert {name: resource[name] for name in OTHERS if name != "extension"} == {
        name: value for name, value in OTHERS.items() if name != "extension"
    }
    assert OTHERS["extension"][0] in resource["extension"]
    assert resource["series"][0]["bodySite"] == {"display": "Left knee"}


def more_of(hospital: Hospital, study: str) -> bytes:
    """Return a further instance of a study's first series and patient."""
    patient = hospital.patient_of(study)
    (identifier,) = patient["identifier"]
    return make_instance(
        StudyInstanceUID=study,
        SeriesInstanceUID=hospital.imaging_study(study)["series"][0]["uid"],
        PatientID=identifier["value"],
        PatientName="Before^Ann",
    )


def settled(hospital: Hospital, study: str) -> None:
    """Return when the index knows the version of the ImagingStudy."""
    assert_agreement(hospital.archive, studies=[study])


def test_what_others_wrote_survives_every_kind_of_update(hospital: Hospital) -> None:
    study = hospital.stored(3)
    annotate(hospital, study)
    settled(hospital, study)
    assert_annotated(hospital.imaging_study(study))
    problems = hospital.dicom.get(f"{hospital.server.root}/errors", params={"study": study}).json()
    assert [each for each in problems["errors"] if each["kind"] == "damaged-study"] == []

    assert store(hospital.dicom, more_of(hospital, study)).status_code == httpx.codes.OK
    assert_annotated(hospital.imaging_study(study))

    series = hospital.imaging_study(study)["series"]
    last = series[-1]
    path = f"/studies/{study}/series/{last['uid']}/instances/{last['instance'][0]['uid']}"
    assert hospital.dicom.delete(path).status_code == httpx.codes.NO_CONTENT
    assert_annotated(hospital.imaging_study(study))

    hospital.rename(study, "Corrected")
    until(lambda: hospital.family(study) == "Corrected", "the corrected name")
    assert_annotated(hospital.imaging_study(study))

    resource = hospital.imaging_study(study)
    hospital.put({**resource, "numberOfInstances": 99})
    until(lambda: hospital.imaging_study(study)["numberOfInstances"] == 3, "the repair")
    assert_annotated(hospital.imaging_study(study))

    hospital.fhir.delete(f"ImagingStudy/{resource['id']}").raise_for_status()
    until(lambda: hospital.archive.imaging_study(study) is not None, "the study to come back")
    assert_annotated(hospital.imaging_study(study))
    settled(hospital, study)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "cancelled"),
        ("numberOfSeries", 0),
        ("numberOfInstances", None),
        ("modality", [{"system": "urn:other", "code": "XX"}]),
        ("started", "1999-01-01"),
        ("endpoint", None),
        ("series", None),
        ("identifier", None),
    ],
)
def test_damage_is_repaired_and_recorded(hospital: Hospital, name: str, value: Any) -> None:
    study = hospital.stored()
    good = hospital.imaging_study(study)
    wrong = {**good, name: value}
    hospital.put({key: each for key, each in wrong.items() if each is not None})
    until(lambda: _same(hospital.imaging_study(study), good, name), "the repair")
    settled(hospital, study)

    def recorded() -> bool:
        url = f"{hospital.server.root}/errors"
        found = hospital.dicom.get(url, params={"study": study, "kind": "damaged-study"}).json()
        return any(each["valueClass"] == f"ImagingStudy: {name}" for each in found["errors"])

    until(recorded, "the record")


def _same(resource: dict[str, Any], good: dict[str, Any], name: str) -> bool:
    if name != "identifier":
        return bool(resource.get(name) == good[name])
    return good["identifier"][0] in resource.get("identifier", ())


def test_a_commit_repairs_before_it_builds_on_damage(hospital: Hospital) -> None:
    """Sooner than anybody hears of the edit."""
    study = hospital.stored(3)
    resource = hospital.imaging_study(study)
    further = more_of(hospital, study)
    hospital.put({**resource, "series": resource["series"][:1], "numberOfInstances": 1})
    assert store(hospital.dicom, further).status_code == httpx.codes.OK

    assert hospital.imaging_study(study)["numberOfInstances"] == 4
    settled(hospital, study)


def test_a_commit_into_a_deleted_study_brings_all_of_it_back(hospital: Hospital) -> None:
    study = hospital.stored(3)
    further = more_of(hospital, study)
    resource = hospital.imaging_study(study)
    hospital.fhir.delete(f"ImagingStudy/{resource['id']}").raise_for_status()
    assert store(hospital.dicom, further).status_code == httpx.codes.OK

    assert hospital.imaging_study(study)["numberOfInstances"] == 4
    settled(hospital, study)


def test_a_study_whose_history_is_gone_is_made_anew_from_the_index(hospital: Hospital) -> None:
    study = hospital.stored(3)
    good = hospital.imaging_study(study)
    hospital.put({**good, "series": [], "numberOfInstances": 7, "status": "unknown"})
    expunge = {
        "resourceType": "Parameters",
        "parameter": [{"name": "expungePreviousVersions", "valueBoolean": True}],
    }
    hospital.fhir.post(f"ImagingStudy/{good['id']}/$expunge", json=expunge)
    until(lambda: hospital.imaging_study(study)["numberOfInstances"] == 3, "the repair")
    settled(hospital, study)

    found = hospital.imaging_study(study)
    assert {each["uid"] for each in found["series"]} == {each["uid"] for each in good["series"]}
    for name in ("status", "modality", "started", "numberOfSeries", "endpoint"):
        assert found[name] == good[name]


def test_a_subject_that_is_another_patient_is_accepted_everywhere(hospital: Hospital) -> None:
    study, other = hospital.stored(), hospital.stored(PatientName="Other^Olga")
    resource = hospital.imaging_study(study)
    subject = hospital.imaging_study(other)["subject"]
    hospital.put({**resource, "subject": subject})

    until(lambda: hospital.family(study) == "Other", "the other patient's name")
    settled(hospital, study)
    assert hospital.imaging_study(study)["subject"] == subject


@pytest.mark.parametrize("subject", [{"display": "Somebody"}, {"reference": "Group/g"}])
def test_a_subject_that_is_no_patient_is_repaired(
    hospital: Hospital, subject: dict[str, str]
) -> None:
    hospital.put({"resourceType": "Group", "id": "g", "type": "person", "actual": True})
    study = hospital.stored()
    good = hospital.imaging_study(study)
    hospital.put({**good, "subject": subject})

    until(lambda: hospital.imaging_study(study)["subject"] == good["subject"], "the repair")
    settled(hospital, study)


def test_a_retired_study_stays_as_others_edit_it(hospital: Hospital) -> None:
    study = hospital.stored()
    assert hospital.dicom.delete(f"/studies/{study}").status_code == httpx.codes.NO_CONTENT
    retired = hospital.imaging_study(study)
    hospital.put({**retired, "status": "cancelled", "note": [{"text": "Wrong patient."}]})
    probe = hospital.stored()
    hospital.rename(probe, "Heard")
    until(lambda: hospital.family(probe) == "Heard", "a change that came after")

    assert hospital.imaging_study(study)["status"] == "cancelled"
    hospital.fhir.delete(f"ImagingStudy/{retired['id']}").raise_for_status()
    hospital.rename(probe, "Twice")
    until(lambda: hospital.family(probe) == "Twice", "a change that came after")
    assert hospital.archive.imaging_study(study) is None


def test_an_imaging_study_of_others_is_none_of_our_business(hospital: Hospital) -> None:
    patient = hospital.imaging_study(hospital.stored())["subject"]
    theirs = {
        "resourceType": "ImagingStudy",
        "id": f"theirs-{generate_uid()[-12:]}",
        "status": "registered",
        "subject": patient,
    }
    hospital.put(theirs)
    probe = hospital.stored()
    hospital.rename(probe, "Heard")
    until(lambda: hospital.family(probe) == "Heard", "a change that came after")

    found = hospital.fhir.get(f"ImagingStudy/{theirs['id']}").json()
    assert found["meta"]["versionId"] == "1"
