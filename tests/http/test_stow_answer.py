"""What a STOW answers: its representations, statuses and reasons (PS3.18 §10.5.3)."""

from collections.abc import Iterator
from xml.etree import ElementTree as ET

import httpx
import pytest
from pydicom.uid import generate_uid

from app.dicom.native_xml import from_xml
from app.limits import Limits
from tests.conftest import Stack
from tests.corpus import element, item, make_instance, with_elements
from tests.faults.proxy import Mode, Proxy
from tests.server import Server, multipart, store, values

pytestmark = pytest.mark.stack

FAILED, OTHER_FAILURES, STORED = "00081198", "0008119A", "00081199"
REASON, WARNING, COMMENT, DETAILS = "00081197", "00081196", "00000902", "00741048"
XML = "application/dicom+xml"


# ---- representations


@pytest.mark.parametrize(
    "accept", [None, "*/*", "application/json", "application/dicom+json", f"{XML};q=0.1, */*"]
)
def test_the_answer_is_json_by_default(client: httpx.Client, accept: str | None) -> None:
    headers, body = multipart(make_instance())
    headers.pop("Accept")

    answer = client.post(
        "/studies", content=body, headers=headers | ({"Accept": accept} if accept else {})
    )

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/dicom+json"


@pytest.mark.parametrize("accept", [XML, f'multipart/related; type="{XML}"', "application/xml"])
def test_the_answer_is_xml_to_whom_asks_for_it(client: httpx.Client, accept: str) -> None:
    """The same attributes as in JSON, read by two readers."""
    study = generate_uid()
    headers, body = multipart(make_instance(StudyInstanceUID=study), b"none", boundary="q")

    answer = client.post("/studies", content=body, headers=headers | {"Accept": accept})

    assert answer.status_code == 202
    document = answer.content
    if accept.startswith("multipart"):
        assert answer.headers["Content-Type"].startswith(
            f'multipart/related; type="{XML}"; boundary='
        )
        document = document[document.index(b"<?xml") : document.rindex(b">") + 1]
    else:
        assert answer.headers["Content-Type"] == XML
    found = from_xml(document, Limits())
    assert len(values(found, STORED)) == 1
    assert len(values(found, OTHER_FAILURES)) == 1
    keywords = {each.get("keyword") for each in ET.fromstring(document)}  # noqa: S314 - our own answer
    assert {"ReferencedSOPSequence", "OtherFailuresSequence", "RetrieveURL"} <= keywords


def test_an_answer_that_nobody_can_make_is_406_and_nothing_is_stored(client: httpx.Client) -> None:
    study = generate_uid()
    headers, body = multipart(make_instance(StudyInstanceUID=study))

    answer = client.post("/studies", content=body, headers=headers | {"Accept": "image/png"})

    assert answer.status_code == 406
    assert client.get("/studies", params={"StudyInstanceUID": study}).status_code == 204


# ---- the study of the URL


def test_instances_of_another_study_are_refused_by_themselves(client: httpx.Client) -> None:
    """PS3.18 §10.5.1: A900 names the attribute."""
    study, other = generate_uid(), generate_uid()
    right, wrong = make_instance(StudyInstanceUID=study), make_instance(StudyInstanceUID=other)

    answer = store(client, right, wrong, path=f"/studies/{study}")

    assert answer.status_code == 202
    body = answer.json()
    assert values(body, "00081190")[0].endswith(f"/studies/{study}")
    (item,) = values(body, FAILED)
    assert values(item, REASON) == [0xA900]
    assert values(values(item, DETAILS)[0], "00000901") == ["0020000D"]
    assert client.get("/studies", params={"StudyInstanceUID": other}).status_code == 204


def test_only_instances_of_another_study_are_a_conflict(client: httpx.Client) -> None:
    assert store(client, make_instance(), path=f"/studies/{generate_uid()}").status_code == 409


def test_the_study_has_no_url_where_there_are_several(client: httpx.Client) -> None:
    answer = store(client, make_instance(), make_instance())

    assert answer.status_code == 200
    assert "00081190" not in answer.json()


# ---- warnings


def test_a_value_that_is_not_as_its_vr_asks_is_a_warning(client: httpx.Client) -> None:
    """B007, with the attribute, and the instance is found by its other attributes."""
    instance = generate_uid()

    answer = store(client, make_instance(SOPInstanceUID=instance, StudyDate="yesterday"))

    assert answer.status_code == 202
    (item,) = values(answer.json(), STORED)
    assert values(item, WARNING) == [0xB007]
    (detail,) = values(item, DETAILS)
    assert values(detail, "00000901") == ["00080020"]
    assert client.get("/instances", params={"SOPInstanceUID": instance}).status_code == 200


# ---- strict validation


@pytest.fixture(scope="module")
def strict(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A Coregister with COREGISTER_VALIDATION=strict."""
    server = Server(
        tmp_path_factory.mktemp("strict"),
        stack.elasticsearch_url,
        stack.fhir_url,
        {"COREGISTER_VALIDATION": "strict"},
    )
    server.start()
    try:
        with httpx.Client(base_url=server.base, timeout=60, trust_env=False) as client:
            yield client
    finally:
        server.discard()


def test_strict_validation_names_every_attribute(strict: httpx.Client) -> None:
    whole = with_elements(
        element(0x00400275, b"SQ", item(element(0x00401001, b"SH", b"x" * 18))),
        StudyDate="yesterday",
        StudyID="a study id that is longer than SH can be",
        Modality="ct",
        PatientName="N" * 65,
    )

    answer = store(strict, whole)

    assert answer.status_code == 409
    (failure,) = values(answer.json(), FAILED)
    assert values(failure, REASON) == [0xA900]
    details = values(failure, DETAILS)
    assert {values(each, "00000901")[0] for each in details} == {
        "00080020", "00080060", "00100010", "00200010", "00401001",
    }  # fmt: skip
    assert all(values(each, COMMENT)[0] for each in details)
    assert "yesterday" not in answer.text


def test_strict_validation_stores_what_is_as_it_should_be(strict: httpx.Client) -> None:
    assert store(strict, make_instance()).status_code == 200


def test_strict_validation_refuses_one_instance_by_itself(strict: httpx.Client) -> None:
    answer = store(strict, make_instance(), make_instance(PatientBirthDate="x"))

    assert answer.status_code == 202
    assert len(values(answer.json(), STORED)) == 1


# ---- a store that is down


@pytest.fixture(scope="module")
def proxy(stack: Stack) -> Iterator[Proxy]:
    """The way to the FHIR server."""
    found = Proxy(stack.fhir_url)
    yield found
    found.close()


@pytest.fixture(scope="module")
def cut_off(
    stack: Stack, proxy: Proxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A Coregister whose way to the FHIR server can be cut."""
    folder = tmp_path_factory.mktemp("cut-off")
    server = Server(folder, stack.elasticsearch_url, proxy.url)
    server.start()
    try:
        with httpx.Client(base_url=server.base, timeout=90, trust_env=False) as client:
            yield client
    finally:
        proxy.become(Mode.PASS)
        server.discard()


def test_a_store_that_is_down_is_503_whatever_else_is_wrong(
    cut_off: httpx.Client, proxy: Proxy
) -> None:
    """Nothing could be stored, and sending all of it again helps; only then the bad part is told."""
    good, bad = make_instance(), b"This is no DICOM object."
    proxy.become(Mode.REFUSE)

    down = store(cut_off, bad, good)
    proxy.become(Mode.PASS)
    up = store(cut_off, bad, good)

    assert down.status_code == 503
    assert int(down.headers["Retry-After"]) > 0
    assert down.headers["Content-Type"] == "application/problem+json"
    assert up.status_code == 202
    assert len(values(up.json(), STORED)) == 1
    assert len(values(up.json(), OTHER_FAILURES)) == 1


def test_what_is_wrong_for_good_is_told_while_a_store_is_down(
    cut_off: httpx.Client, proxy: Proxy
) -> None:
    """Sending again would not help: 409 with the reasons."""
    proxy.become(Mode.REFUSE)

    answer = store(cut_off, b"This is no DICOM object.")

    proxy.become(Mode.PASS)
    assert answer.status_code == 409
