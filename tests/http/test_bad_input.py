"""Bad input: each part is answered for itself, nothing half visible stays, and the process lives on.

The reasons are those of PS3.18 §10.5.3.1 and PS3.4 Table B.2-1. After each test `unharmed` asserts that the
spool is empty, that nothing which was refused can be found, and that no name of a patient got out.
"""

import gzip
import io
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import orjson
import pydicom
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.uid import generate_uid

from app.errors import BadInstance
from tests.agreement import Archive, assert_agreement
from tests.corpus import SCRIPT, SENTINEL, make_instance, nasty_files
from tests.http.conftest import SENTINELS, archive_of
from tests.server import Server, multipart, store, values

pytestmark = pytest.mark.stack

FAILED, OTHER_FAILURES, STORED = "00081198", "0008119A", "00081199"
REASON, COMMENT, DETAILS = "00081197", "00000902", "00741048"
NASTY = nasty_files()
REFUSED = sorted(name for name, (_, error) in NASTY.items() if error is not None)
KEPT = sorted(name for name, (_, error) in NASTY.items() if error is None)


@pytest.fixture(autouse=True)
def unharmed(server: Server, client: httpx.Client) -> Iterator[None]:
    """See that the process is the same one as before, holds nothing back, and told no names."""
    process = server.process
    yield
    assert server.process is process
    assert server.running
    assert client.get(f"{server.root}/health/ready").status_code == 200
    assert_soon_empty(server)
    told = server.log.read_text() + client.get(f"{server.root}/metrics").text
    assert [name for name in SENTINELS if name in told] == []


def assert_soon_empty(server: Server) -> None:
    """Assert that the spool is emptied; the server may hear of a hang-up a moment later."""
    deadline = time.monotonic() + 10
    while server.spooled() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert server.spooled() == []


def assert_invisible(client: httpx.Client, archive: Archive, *studies: str) -> None:
    """Assert that QIDO, WADO and FHIR know nothing of these studies."""
    for study in studies:
        assert client.get("/studies", params={"StudyInstanceUID": study}).status_code == 204
        assert client.get("/instances", params={"StudyInstanceUID": study}).status_code == 204
        assert client.get(f"/studies/{study}/metadata").status_code == 404
        assert archive.imaging_study(study) is None


def failures(answer: httpx.Response) -> list[dict[str, Any]]:
    """Return the failed items of an answer, and see that they tell nothing of the data."""
    assert [name for name in SENTINELS if name in answer.text] == []
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    body = answer.json()
    return [*values(body, FAILED), *values(body, OTHER_FAILURES)]


def reason(item: Mapping[str, Any]) -> int:
    (found,) = values(item, REASON)
    (detail,) = values(item, DETAILS)
    assert values(detail, COMMENT)[0]
    return int(found)


@pytest.mark.parametrize("name", REFUSED)
def test_a_nasty_object_is_refused_with_its_reason(client: httpx.Client, name: str) -> None:
    """409, and the failure reason of that error (PS3.18 §10.5.3)."""
    data, error = NASTY[name]
    answer = store(client, data)
    assert answer.status_code == 409
    assert answer.headers["Content-Type"] == "application/dicom+json"
    assert STORED not in answer.json()
    (item,) = failures(answer)
    assert error is not None
    assert reason(item) == error.failure_reason


@pytest.mark.parametrize("name", KEPT)
def test_a_strange_but_whole_object_is_kept_as_it_came(client: httpx.Client, name: str) -> None:
    data, _ = NASTY[name]
    answer = store(client, data)
    assert answer.status_code in (200, 202)
    (item,) = values(answer.json(), STORED)
    (url,) = values(item, "00081190")
    assert client.get(url, headers={"Accept": "application/dicom"}).content == data


def test_a_refused_object_leaves_no_trace(client: httpx.Client, archive: Archive) -> None:
    """Refused for the last of its bytes: everything else of it was well."""
    study = generate_uid()
    data = make_instance(StudyInstanceUID=study)[:-7]
    assert store(client, data).status_code == 409
    assert_invisible(client, archive, study)


def ends_of_elements(data: bytes) -> set[int]:
    """Return where the elements of a data set end, as another reader sees it."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    raw: list[Any] = [dataset.get_item(tag) for tag in dataset.keys()]  # noqa: SIM118  no dict
    return {each.value_tell + each.length for each in raw if isinstance(each, RawDataElement)}


def test_an_object_cut_off_at_every_64th_byte_is_never_kept(
    client: httpx.Client, archive: Archive
) -> None:
    """One request, a part for each length; the whole one among them is stored.

    What ends between two elements is another matter: some senders have objects without pixel data on
    purpose, so such a one is kept, with a warning.
    """
    study = generate_uid()
    whole = make_instance(StudyInstanceUID=study)
    between = ends_of_elements(whole)
    cut = [whole[:length] for length in range(0, len(whole), 64) if length not in between]
    answer = store(client, *cut)
    assert answer.status_code == 409
    assert len(failures(answer)) == len(cut)
    assert {reason(item) for item in failures(answer)} <= {0xC000, 0x0120, 0xA900}
    assert_invisible(client, archive, study)

    answer = store(client, *cut, whole)
    assert answer.status_code == 202
    assert len(values(answer.json(), STORED)) == 1
    assert len(failures(answer)) == len(cut)
    (row,) = client.get("/studies", params={"StudyInstanceUID": study}).json()
    assert values(row, "00201208") == [1]


def test_the_good_ones_of_a_mixed_request_are_stored(
    client: httpx.Client, archive: Archive
) -> None:
    study = generate_uid()
    good = [make_instance(StudyInstanceUID=study, InstanceNumber=n) for n in range(3)]
    bad = [data for data, error in NASTY.values() if error is not None]
    mixed = [each for pair in zip(good, bad, strict=False) for each in pair] + bad[len(good) :]
    answer = store(client, *mixed)

    assert answer.status_code == 202
    assert len(values(answer.json(), STORED)) == len(good)
    assert len(failures(answer)) == len(bad)
    (row,) = client.get("/studies", params={"StudyInstanceUID": study}).json()
    assert values(row, "00201208") == [len(good)]
    resource = archive.imaging_study(study)
    assert resource is not None
    assert resource["numberOfInstances"] == len(good)


def test_an_object_whose_identity_can_be_read_is_named_in_its_failure(
    client: httpx.Client,
) -> None:
    """Referenced SOP Class and Instance UID stand in Failed SOP Sequence (PS3.18 Table 10.5.3-2)."""
    sop = generate_uid()
    answer = store(client, make_instance(SOPInstanceUID=sop)[:-7])
    (item,) = values(answer.json(), FAILED)
    assert values(item, "00081155") == [sop]
    assert OTHER_FAILURES not in answer.json()


def test_a_path_as_a_uid_reaches_no_file(client: httpx.Client, server: Server) -> None:
    before = sorted(server.folder.iterdir())
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        for value in ("../../../escaped", "/etc/passwd", "1.2\\..\\3", "1..2/../3", "1.2\0.3"):
            spoiled: dict[str, Any] = {keyword: value}
            answer = store(client, make_instance(**spoiled))
            assert answer.status_code == 409
            assert [reason(item) for item in failures(answer)] == [0xA900]
            assert "escaped" not in answer.text
    assert sorted(server.folder.iterdir()) == before


@pytest.mark.parametrize("uid", ["1.2.x", "1..2", "1." + "2" * 64, "%2e%2e", "1.2%00"])
@pytest.mark.parametrize("path", ["/studies/{}", "/studies/{}/metadata", "/studies/1.2/series/{}"])
def test_what_is_no_uid_in_a_url_is_a_bad_request(
    client: httpx.Client, uid: str, path: str
) -> None:
    answer = client.get(path.format(uid))
    assert answer.status_code in (400, 404)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


# ---- framing


def send(client: httpx.Client, body: bytes, **headers: str) -> httpx.Response:
    """Send a body as it is."""
    kind = 'multipart/related; type="application/dicom"; boundary=xyz-42'
    return client.post(
        "/studies",
        content=body,
        headers={"Content-Type": kind, **{k.replace("_", "-"): v for k, v in headers.items()}},
    )


def problem(answer: httpx.Response, status: int) -> str:
    """Return the detail of a problem (RFC 9457)."""
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert [name for name in SENTINELS if name in answer.text] == []
    body = answer.json()
    assert body["status"] == status
    return str(body["detail"])


def test_a_body_without_final_boundary_stores_nothing(
    client: httpx.Client, archive: Archive
) -> None:
    study = generate_uid()
    _, body = multipart(*(make_instance(StudyInstanceUID=study) for _ in range(3)))
    answer = send(client, body.removesuffix(b"--xyz-42--\r\n"))
    assert "final boundary" in problem(answer, 400)
    assert_invisible(client, archive, study)


@pytest.mark.parametrize("body", [b"", b"--xyz-42--\r\n", b"\r\n--xyz-42--", b"nothing of it"])
def test_a_body_without_parts_is_a_bad_request(client: httpx.Client, body: bytes) -> None:
    assert problem(send(client, body), 400)


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/related",
        'multipart/related; type="application/dicom"; boundary=',
        f'multipart/related; type="application/dicom"; boundary={"b" * 71}',
    ],
)
def test_a_boundary_that_is_none_is_a_bad_request(client: httpx.Client, kind: str) -> None:
    assert "boundary" in problem(
        send(client, multipart(make_instance())[1], Content_Type=kind), 400
    )


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "text/plain",
        "multipart/form-data; boundary=xyz-42",
        'multipart/related; type="image/jpeg"; boundary=xyz-42',
        "",
    ],
)
def test_another_content_type_is_not_understood(client: httpx.Client, kind: str) -> None:
    """415 (PS3.18 Table 10.5.3-1)."""
    assert problem(send(client, multipart(make_instance())[1], Content_Type=kind), 415)


def test_a_compressed_body_is_not_understood(client: httpx.Client, archive: Archive) -> None:
    """A bomb would pass every limit that counts the bytes as they come."""
    study = generate_uid()
    _, body = multipart(make_instance(StudyInstanceUID=study))
    answer = send(client, gzip.compress(body), Content_Encoding="gzip")
    assert "compressed" in problem(answer, 415)
    assert_invisible(client, archive, study)


def test_an_answer_in_another_format_is_not_acceptable(
    client: httpx.Client, archive: Archive
) -> None:
    study = generate_uid()
    _, body = multipart(make_instance(StudyInstanceUID=study))
    assert problem(send(client, body, Accept="text/html"), 406)
    assert_invisible(client, archive, study)


def part(data: bytes, *headers: str) -> bytes:
    lines = "".join(f"{header}\r\n" for header in headers)
    return b"--xyz-42\r\n" + lines.encode() + b"\r\n" + data + b"\r\n"


def test_a_part_that_lies_about_its_length_is_refused(
    client: httpx.Client, archive: Archive
) -> None:
    """The boundary alone frames a part; a Content-Length that disagrees spoils only that part."""
    studies = [generate_uid() for _ in range(4)]
    files = [make_instance(StudyInstanceUID=study) for study in studies]
    lengths = [len(files[0]) - 1, len(files[1]) + 1, 0, len(files[3])]
    kind = "Content-Type: application/dicom"
    body = b"".join(
        part(data, kind, f"Content-Length: {length}")
        for data, length in zip(files, lengths, strict=True)
    )
    answer = send(client, body + b"--xyz-42--\r\n")

    assert answer.status_code == 202
    assert [reason(item) for item in failures(answer)] == [BadInstance.failure_reason] * 3
    assert len(values(answer.json(), STORED)) == 1
    assert_invisible(client, archive, *studies[:3])
    assert client.get("/studies", params={"StudyInstanceUID": studies[3]}).status_code == 200


def test_a_part_of_another_type_is_refused_alone(client: httpx.Client) -> None:
    data = make_instance()
    body = part(data, "Content-Type: text/plain") + part(data, "Content-Type: application/dicom")
    answer = send(client, body + b"--xyz-42--\r\n")
    assert answer.status_code == 202
    assert len(failures(answer)) == 1


@pytest.mark.parametrize(
    "headers",
    [["no colon"], ["X: " + "y" * 20_000], [f"X-{n}: y" for n in range(40)]],
    ids=["no colon", "long", "many"],
)
def test_a_part_header_beyond_the_limits_is_a_bad_request(
    client: httpx.Client, headers: list[str]
) -> None:
    assert "eader" in problem(
        send(client, part(make_instance(), *headers) + b"--xyz-42--\r\n"), 400
    )


def test_other_bytes_around_the_parts_do_no_harm(client: httpx.Client) -> None:
    """RFC 2046 §5.1.1: preamble and epilogue are ignored."""
    _, body = multipart(make_instance())
    assert send(client, b"a preamble\r\n" + body + b"an epilogue").status_code == 200


def test_names_with_markup_come_out_as_json_only(client: httpx.Client) -> None:
    study = generate_uid()
    data = make_instance(
        StudyInstanceUID=study,
        PatientName=f"{SCRIPT}^x",
        StudyDescription=SCRIPT,
        PatientID=f"{SCRIPT}{study[-9:]}",
    )
    assert store(client, data).status_code == 200
    for path in (
        f"/studies?StudyInstanceUID={study}&includefield=all",
        f"/studies/{study}/metadata",
    ):
        for accept in ("application/dicom+json", "*/*", "text/html, */*;q=0.1"):
            answer = client.get(path, headers={"Accept": accept})
            assert answer.headers["Content-Type"] == "application/dicom+json"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            (row,) = orjson.loads(answer.content)
            assert values(row, "00081030") == [SCRIPT]


# ---- clients that do not play along


@pytest.fixture(scope="module")
def strict(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Coregister with small limits."""
    limits = {
        "REQUEST_BYTES": "200000",
        "INSTANCE_BYTES": "50000",
        "PARTS": "20",
        "REQUEST_IDLE_SECONDS": "0.5",
        "STORE_REQUESTS": "1",
        "STORE_WAIT_SECONDS": "0.3",
    }
    running = Server(
        tmp_path_factory.mktemp("strict"),
        server.elasticsearch_url,
        server.fhir_url,
        {f"COREGISTER_LIMIT_{name}": value for name, value in limits.items()},
    )
    running.start()
    yield running
    assert_agreement(archive_of(running))
    running.discard()


@pytest.fixture
def strict_client(strict: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=strict.base, timeout=30, trust_env=False) as http:
        yield http
    assert_soon_empty(strict)


def test_a_body_that_declares_too_much_is_too_large(strict_client: httpx.Client) -> None:
    files = [make_instance(PixelData=bytes(40_000)) for _ in range(6)]
    assert "request_bytes" in problem(store(strict_client, *files), 413)


def test_a_body_that_grows_too_much_is_too_large(
    strict: Server, strict_client: httpx.Client
) -> None:
    """Sent in chunks, without a Content-Length that could be looked at."""
    study = generate_uid()
    headers, body = multipart(
        *(make_instance(StudyInstanceUID=study, PixelData=bytes(40_000)) for _ in range(6))
    )
    chunks = (body[at : at + 10_000] for at in range(0, len(body), 10_000))
    answer = strict_client.post("/studies", headers=headers, content=chunks)
    assert "request_bytes" in problem(answer, 413)
    assert_invisible(strict_client, archive_of(strict), study)


def test_an_instance_beyond_the_limit_is_refused_alone(strict_client: httpx.Client) -> None:
    answer = store(strict_client, make_instance(PixelData=bytes(60_000)), make_instance())
    assert answer.status_code == 202
    assert [reason(item) for item in failures(answer)] == [0xA700]


def test_too_many_parts_are_too_large(strict: Server, strict_client: httpx.Client) -> None:
    study = generate_uid()
    files = [make_instance(StudyInstanceUID=study, PixelData=None, Rows=None) for _ in range(21)]
    assert "parts" in problem(store(strict_client, *files), 413)
    assert_invisible(strict_client, archive_of(strict), study)


def connect(server: Server, declared: int, body: bytes) -> socket.socket:
    """Open a connection and send the head of a STOW request and some of its body."""
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    head = (
        "POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\n"
        'Content-Type: multipart/related; type="application/dicom"; boundary=xyz-42\r\n'
        f"Content-Length: {declared}\r\n\r\n"
    )
    raw.sendall(head.encode() + body)
    return raw


def test_a_client_that_hangs_up_halfway_leaves_nothing(
    server: Server, client: httpx.Client, archive: Archive
) -> None:
    """At the beginning, within a part of which some is on disk already, and just before the end."""
    studies = [generate_uid() for _ in range(3)]
    for study, size in zip(studies, (100, 2_000_000, 4_000_000), strict=True):
        _, body = multipart(
            make_instance(StudyInstanceUID=study), make_instance(PixelData=bytes(4_000_000))
        )
        sent = body[: min(size, len(body) - 20)]
        with connect(server, len(body), sent):
            pass
    assert_soon_empty(server)
    assert_invisible(client, archive, *studies)


def test_a_client_that_resets_its_connection_leaves_nothing(
    server: Server, client: httpx.Client, archive: Archive
) -> None:
    study = generate_uid()
    _, body = multipart(make_instance(StudyInstanceUID=study, PixelData=bytes(3_000_000)))
    raw = connect(server, len(body), body[:-100])
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    raw.close()
    assert_soon_empty(server)
    assert_invisible(client, archive, study)


def test_a_client_that_stalls_is_given_up(strict: Server, strict_client: httpx.Client) -> None:
    """408 after `request_idle_seconds`, and its place is free again."""
    study = generate_uid()
    _, body = multipart(make_instance(StudyInstanceUID=study))
    with connect(strict, len(body), body[:-50]) as raw:
        answer = raw.recv(4096)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"request_idle_seconds" in answer or b"problem+json" in answer
    assert_invisible(strict_client, archive_of(strict), study)
    assert store(strict_client, make_instance()).status_code == 200


def test_more_requests_than_places_hear_503(strict: Server, strict_client: httpx.Client) -> None:
    """One client holds the only place; who waits too long is told when to come again."""
    _, body = multipart(make_instance())
    with connect(strict, len(body), body[:-50]):
        time.sleep(0.1)
        answer = store(strict_client, make_instance())
    assert problem(answer, 503)
    assert int(answer.headers["Retry-After"]) > 0


def test_a_content_length_that_is_none_is_refused(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
        raw.sendall(b"POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n")
        assert raw.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_a_sentinel_is_really_in_what_was_sent() -> None:
    """The tests above would see nothing if the corpus did not carry the names that they look for."""
    assert all(SENTINEL.encode() in data for data in [make_instance(), make_instance()[:-7]])
