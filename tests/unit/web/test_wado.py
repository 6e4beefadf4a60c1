"""Which instances of a study are sent to whom asks for a transfer syntax (PS3.18 §10.4, §8.7.3)."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from io import BytesIO
from typing import Any
from zipfile import ZipFile

import httpx
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from app.dicom.instance import ByteRange
from app.errors import CoregisterError, NotFound
from app.services.retrieve import Found, Located, Target, Values
from app.web import problem
from app.web.routes import BASE, ROUTES

EXPLICIT, JPEG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50"
MPEG = "1.2.840.10008.1.2.4.100"  # which nothing can be made in
LOST = "1.2.840.10008.1.2"  # in this file: instances whose objects are missing
ALONE = "application/dicom; transfer-syntax=*"
STUDY = f"{BASE}/studies/1.2"
INSTANCE = f"{STUDY}/series/1.2.3/instances/1.2.3.4"


class Stored:
    """Instances in memory, in place of the service over the real stores."""

    def __init__(self, *syntaxes: str) -> None:
        self._located = [
            Located("1.2", "1.2.3", f"1.2.3.{number}", syntax, f"key{number}", 4, "v1")
            for number, syntax in enumerate(syntaxes, start=4)
        ]

    async def instances(self, _: Target) -> Found[Located]:
        if not self._located:
            raise NotFound("There is no such study.")
        syntaxes = frozenset(each.transfer_syntax_uid for each in self._located)
        return Found("1-2-3", syntaxes, self._pages())

    async def _pages(self) -> AsyncGenerator[Sequence[Located], None]:
        for located in self._located:
            yield [located]

    async def clock(self, _: Target) -> str:
        return "1-2-3"

    async def instance(
        self, _: Target, __: Sequence[str] = ()
    ) -> tuple[Located, Mapping[str, Any]]:
        return self._located[0], {}

    async def read_whole(self, instances: Sequence[Located]) -> list[bytes | None]:
        return [
            None if each.transfer_syntax_uid == LOST else each.blob_key.encode()
            for each in instances
        ]

    async def contents(self, values: Values) -> AsyncGenerator[AsyncIterator[bytes], None]:
        for data in await self.read_values(values):
            yield _chunks(data)

    async def whole(self, located: Located) -> Values:
        return Values(located, ((ByteRange(0, located.size),),), encapsulated=False, deflated=False)

    async def read_values(self, values: Values) -> list[bytes]:
        data = values.located.blob_key.encode()
        return [
            b"".join(
                data[part.offset : part.offset + part.length]
                for part in stretches
                if isinstance(part, ByteRange)
            )
            for stretches in values.stretches
        ]


class NoTranscode:
    """In these tests nothing is sent otherwise than it is stored."""

    async def instances(self, wanted: Sequence[object]) -> AsyncGenerator[object, None]:
        assert not wanted
        return
        yield


async def _chunks(data: bytes) -> AsyncGenerator[bytes, None]:
    yield data


async def get(
    path: str, accept: str, syntaxes: Sequence[str], method: str = "GET", **headers: str
) -> httpx.Response:
    app = Starlette(
        routes=list(ROUTES),
        exception_handlers={
            CoregisterError: problem.coregister_error,
            HTTPException: problem.http_error,
        },
    )

    async def with_state(scope: Any, receive: Any, send: Any) -> None:
        await app(
            {**scope, "state": {"retrieve": Stored(*syntaxes), "transcode": NoTranscode()}},
            receive,
            send,
        )

    transport = httpx.ASGITransport(with_state)
    async with httpx.AsyncClient(transport=transport, base_url="http://archive") as http:
        return await http.request(method, path, headers={"Accept": accept, **headers})


@pytest.mark.parametrize(
    "accept", ["*/*", 'multipart/related; type="application/dicom"; transfer-syntax=*']
)
async def test_without_a_wish_every_instance_is_sent_as_stored(accept: str) -> None:
    answer = await get(STUDY, accept, [EXPLICIT, JPEG])

    assert answer.status_code == 200
    assert [key in answer.content for key in (b"key4", b"key5")] == [True, True]
    assert f"transfer-syntax={JPEG}".encode() in answer.content


@pytest.mark.parametrize("order", [[EXPLICIT, JPEG], [JPEG, EXPLICIT]])
async def test_instances_in_another_syntax_are_left_out(order: list[str]) -> None:
    """Whichever of them comes first."""
    accept = f'multipart/related; type="application/dicom"; transfer-syntax={JPEG}'

    answer = await get(STUDY, accept, order)

    assert answer.status_code == 206
    assert answer.content.count(b"application/dicom; transfer-syntax=") == 1
    assert f"transfer-syntax={JPEG}".encode() in answer.content


async def test_where_no_instance_is_in_the_syntax_it_is_a_406_that_says_which_is() -> None:
    accept = f'multipart/related; type="application/dicom"; transfer-syntax={MPEG}'

    answer = await get(STUDY, accept, [JPEG])

    assert (answer.status_code, JPEG in answer.json()["detail"]) == (406, True)


async def test_an_alternative_for_something_else_does_not_lift_the_wish() -> None:
    accept = f"application/dicom; transfer-syntax={MPEG}, text/html"

    assert (await get(INSTANCE, accept, [JPEG])).status_code == 406


async def test_a_single_part_names_its_syntax() -> None:
    answer = await get(INSTANCE, ALONE, [JPEG])

    assert answer.headers["Content-Type"] == f"application/dicom; transfer-syntax={JPEG}"
    assert answer.content == b"key4"


async def test_what_is_not_there_is_a_404() -> None:
    assert (await get(STUDY, "*/*", [])).status_code == 404


async def test_what_is_no_uid_is_a_400() -> None:
    assert (await get(f"{BASE}/studies/Doe^John", "*/*", [])).status_code == 400


@pytest.mark.parametrize("syntaxes", [[LOST, EXPLICIT], [EXPLICIT, LOST]])
async def test_a_lost_object_is_left_out_and_the_answer_is_partial(syntaxes: list[str]) -> None:
    answer = await get(STUDY, "*/*", syntaxes)

    assert answer.status_code == 206
    assert answer.content.count(b"application/dicom; transfer-syntax=") == 1
    assert "ETag" not in answer.headers


async def test_where_every_object_is_lost_it_is_a_404() -> None:
    assert (await get(STUDY, "*/*", [LOST])).status_code == 404


async def test_the_head_is_that_of_the_answer_without_a_body() -> None:
    head = await get(STUDY, "*/*", [EXPLICIT, JPEG], "HEAD")
    whole = await get(STUDY, "*/*", [EXPLICIT, JPEG])

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["ETag"] == whole.headers["ETag"]
    assert "Content-Length" not in head.headers


async def test_who_has_it_already_hears_so() -> None:
    known = (await get(STUDY, "*/*", [EXPLICIT])).headers["ETag"]

    answer = await get(STUDY, "*/*", [EXPLICIT], **{"If-None-Match": f'"other", {known}'})
    other = await get(STUDY, "application/zip", [EXPLICIT], **{"If-None-Match": known})

    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", known)
    assert other.status_code == 200


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("bytes=0-0", b"k"), ("bytes=1-", b"ey4"), ("bytes=-2", b"y4"), ("bytes=2-99", b"y4")],
)
async def test_a_range_of_a_single_part_is_sent(asked: str, expected: bytes) -> None:
    answer = await get(INSTANCE, ALONE, [JPEG], Range=asked)

    assert (answer.status_code, answer.content) == (206, expected)
    first = b"key4".index(expected)
    assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(expected) - 1}/4"
    assert answer.headers["Content-Length"] == str(len(expected))


async def test_a_range_beyond_the_end_is_a_416_that_says_how_long_it_is() -> None:
    answer = await get(INSTANCE, ALONE, [JPEG], Range="bytes=4-")

    assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */4")


async def test_several_ranges_are_parts_of_one_answer() -> None:
    answer = await get(INSTANCE, ALONE, [JPEG], Range="bytes=0-0, 2-3")

    assert answer.status_code == 206
    assert answer.headers["Content-Type"].startswith("multipart/byteranges; boundary=")
    assert answer.headers["Content-Length"] == str(len(answer.content))
    pieces = [part.partition(b"\r\n\r\n")[2] for part in answer.content.split(b"\r\n--")]
    assert pieces[1:3] == [b"k", b"y4"]
    assert answer.content.count(f"transfer-syntax={JPEG}".encode()) == 2


async def test_a_range_of_another_version_is_the_whole() -> None:
    """RFC 9110 §13.1.5."""
    known = (await get(INSTANCE, ALONE, [JPEG])).headers["ETag"]

    same = await get(INSTANCE, ALONE, [JPEG], **{"Range": "bytes=1-2", "If-Range": known})
    other = await get(INSTANCE, ALONE, [JPEG], **{"Range": "bytes=1-2", "If-Range": '"old"'})

    assert (same.status_code, same.content) == (206, b"ey")
    assert (other.status_code, other.content) == (200, b"key4")


async def test_an_archive_has_a_file_for_each_instance() -> None:
    answer = await get(STUDY, "application/zip", [EXPLICIT, JPEG])

    assert answer.headers["Content-Type"] == "application/zip"
    with ZipFile(BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "1.2/1.2.3/1.2.3.4.dcm": b"key4",
            "1.2/1.2.3/1.2.3.5.dcm": b"key5",
        }
