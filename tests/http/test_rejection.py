"""A rejection note deletes what it refers to within the STOW request that stores it (IHE IOCM)."""

from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any

import httpx
import pydicom
import pytest
from pydicom.uid import generate_uid

from tests.agreement import Archive, assert_agreement
from tests.conftest import Stack
from tests.corpus import make_instance
from tests.http.conftest import archive_of
from tests.http.test_delete import NO_PIXELS, assert_gone, imaging_study, path_of
from tests.server import Server, store

pytestmark = pytest.mark.stack

KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"


def note(
    rejected: Sequence[bytes], *, title: str = "113001", scheme: str = "DCM", **overrides: Any
) -> bytes:
    """Return a Key Object Selection with this title that refers to these instances."""
    datasets = [pydicom.dcmread(BytesIO(data)) for data in rejected]
    evidence = [
        {
            "StudyInstanceUID": each.StudyInstanceUID,
            "ReferencedSeriesSequence": [
                {
                    "SeriesInstanceUID": each.SeriesInstanceUID,
                    "ReferencedSOPSequence": [
                        {
                            "ReferencedSOPClassUID": each.SOPClassUID,
                            "ReferencedSOPInstanceUID": each.SOPInstanceUID,
                        }
                    ],
                }
            ],
        }
        for each in datasets
    ]
    code = {"CodeValue": title, "CodingSchemeDesignator": scheme, "CodeMeaning": "Title"}
    attributes: dict[str, Any] = {
        "SOPClassUID": KEY_OBJECT_SELECTION,
        "Modality": "KO",
        "StudyInstanceUID": datasets[0].StudyInstanceUID,
        "SeriesInstanceUID": generate_uid(),
        "ConceptNameCodeSequence": [code],
        "CurrentRequestedProcedureEvidenceSequence": evidence,
        **NO_PIXELS,
        **overrides,
    }
    return make_instance(**attributes)


@pytest.mark.parametrize("title", ["113001", "113037", "113038", "113039"])
def test_what_a_note_rejects_is_deleted_and_the_note_stays(
    client: httpx.Client, archive: Archive, title: str
) -> None:
    study = generate_uid()
    files = [make_instance(StudyInstanceUID=study) for _ in range(3)]
    store(client, *files)
    rejection = note(files[:2], title=title)
    assert store(client, rejection).status_code == 200

    for file in files[:2]:
        assert_gone(client, path_of(file))
    assert client.get(path_of(files[2])).status_code == 200
    answer = client.get(path_of(rejection), headers={"Accept": "application/dicom"})
    assert (answer.status_code, answer.content) == (200, rejection)
    resource = imaging_study(archive, study)
    assert resource["numberOfInstances"] == 2
    assert sorted(m["code"] for m in resource["modality"]) == ["CT", "KO"]
    assert_agreement(archive, studies=[study])


@pytest.mark.parametrize(("title", "scheme"), [("113000", "DCM"), ("113001", "99LOCAL")])
def test_any_other_key_object_selection_rejects_nothing(
    client: httpx.Client, title: str, scheme: str
) -> None:
    file = make_instance()
    store(client, file)
    assert store(client, note([file], title=title, scheme=scheme)).status_code == 200
    assert client.get(path_of(file)).status_code == 200


def test_a_note_may_come_before_what_it_rejects_in_one_request(
    client: httpx.Client, archive: Archive
) -> None:
    study = generate_uid()
    file = make_instance(StudyInstanceUID=study)
    assert store(client, note([file]), file).status_code == 200
    assert_gone(client, path_of(file))
    assert imaging_study(archive, study)["numberOfInstances"] == 1


def test_a_note_may_reject_instances_of_several_studies(
    client: httpx.Client, archive: Archive
) -> None:
    files = [make_instance() for _ in range(3)]
    store(client, *files)
    assert store(client, note(files)).status_code == 200
    for file in files:
        assert_gone(client, path_of(file))
    studies = [pydicom.dcmread(BytesIO(file)).StudyInstanceUID for file in files]
    assert imaging_study(archive, studies[1])["status"] == "entered-in-error"
    assert_agreement(archive, studies=studies)


def test_what_a_note_names_wrongly_is_left_alone(client: httpx.Client) -> None:
    """The study and series of a reference count, not the SOP Instance UID alone."""
    file = make_instance()
    store(client, file)
    sop = pydicom.dcmread(BytesIO(file)).SOPInstanceUID
    elsewhere = make_instance(SOPInstanceUID=sop)  # another study and series
    assert store(client, note([elsewhere])).status_code == 200
    assert client.get(path_of(file)).status_code == 200


def test_a_note_that_is_sent_again_rejects_again(client: httpx.Client, archive: Archive) -> None:
    study = generate_uid()
    file = make_instance(StudyInstanceUID=study)
    store(client, file)
    rejection = note([file])
    for _ in range(2):
        assert store(client, rejection).status_code == 200
        assert client.get(path_of(file)).status_code == 410
        assert store(client, file).status_code == 200
        assert client.get(path_of(file)).status_code == 200
    assert_agreement(archive, studies=[study])


def test_a_note_that_refers_to_itself_is_stored(client: httpx.Client) -> None:
    of: dict[str, Any] = {"SOPInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    file = make_instance(**of)
    study = pydicom.dcmread(BytesIO(file)).StudyInstanceUID
    rejection = note([file], StudyInstanceUID=study, **of)
    assert store(client, rejection).status_code == 200
    assert client.get(path_of(rejection)).status_code == 200


# ---- settings


@pytest.fixture(scope="module")
def special(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(
        tmp_path_factory.mktemp("ignoring"),
        stack.elasticsearch_url,
        stack.fhir_url,
        {"COREGISTER_REJECTION_NOTES": "false"},
    )
    server.start()
    yield server
    server.discard()


def test_notes_have_no_effect_where_that_is_set(special: Server) -> None:
    file = make_instance()
    with httpx.Client(base_url=special.base, timeout=60, trust_env=False) as http:
        store(http, file)
        assert store(http, note([file])).status_code == 200
        assert http.get(path_of(file)).status_code == 200
    assert_agreement(archive_of(special))


def test_a_note_that_refers_to_too_many_is_refused(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    server = Server(
        tmp_path_factory.mktemp("few"),
        stack.elasticsearch_url,
        stack.fhir_url,
        {"COREGISTER_LIMIT_REJECTED_INSTANCES": "2"},
    )
    server.start()
    files = [make_instance() for _ in range(3)]
    with httpx.Client(base_url=server.base, timeout=60, trust_env=False) as http:
        store(http, *files)
        answer = store(http, note(files))
        assert answer.status_code == 409
        assert "rejected_instances" in answer.text
        assert [http.get(path_of(file)).status_code for file in files] == [200] * 3
        assert store(http, note(files[:2])).status_code == 200
    server.discard()
