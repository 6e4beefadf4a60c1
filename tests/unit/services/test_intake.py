"""Which objects are read at once, and which in a thread."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from app.dicom import part10
from app.dicom.instance import UNFIT
from app.errors import BlobsUnavailable, InvalidAttributes, MissingAttribute
from app.limits import Limits
from app.services.intake import Intake, Refused, Spooled
from tests.corpus import make_instance

LIMITS = Limits()


async def taken_in(
    folder: Path, *files: bytes, limits: Limits = LIMITS, strict: bool = False
) -> list[Spooled | Refused]:
    with ThreadPoolExecutor(1, thread_name_prefix="parse") as threads:
        taking = Intake(folder, limits, threads, strict=strict)
        for data in files:
            taking.begin()
            await taking.write(data)
            await taking.end()
        return await taking.finish()


@pytest.fixture
def by(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the threads that read, as they do."""
    names: list[str] = []
    read = part10.read_instance

    def noted(data: bytes, limits: Limits) -> object:
        names.append(threading.current_thread().name)
        return read(data, limits)

    monkeypatch.setattr("app.services.intake.read_instance", noted)
    return names


async def test_a_small_object_is_read_at_once(tmp_path: Path, by: list[str]) -> None:
    (taken,) = await taken_in(tmp_path, make_instance())

    assert isinstance(taken, Spooled)
    assert by == ["MainThread"]
    assert taken.path.read_bytes()[128:132] == b"DICM"


async def test_a_larger_object_is_read_in_a_thread(tmp_path: Path, by: list[str]) -> None:
    small = Limits(read_at_once_bytes=500)
    await taken_in(tmp_path, make_instance(), limits=small)

    assert by == ["parse_0"]


async def test_what_may_inflate_is_read_in_a_thread_however_small(
    tmp_path: Path, by: list[str]
) -> None:
    await taken_in(tmp_path, make_instance(transfer_syntax=DeflatedExplicitVRLittleEndian))

    assert by == ["parse_0"]


async def test_small_and_large_ones_keep_the_order_of_the_request(tmp_path: Path) -> None:
    files = [make_instance(), make_instance(PixelData=bytes(2 * 400 * 400), Rows=400, Columns=400)]
    found = await taken_in(tmp_path, *files, b"no DICOM", files[0])

    assert [type(each) for each in found] == [Spooled, Spooled, Refused, Spooled]


async def test_a_spool_that_cannot_be_written_is_said_of_small_objects_too(tmp_path: Path) -> None:
    with pytest.raises(BlobsUnavailable):
        await taken_in(tmp_path / "missing", make_instance())


@pytest.mark.parametrize("value", ["", "   "])
async def test_an_empty_patient_id_is_a_finding_or_where_it_is_strict_a_refusal(
    tmp_path: Path, value: str
) -> None:
    data = make_instance(PatientID=value)
    (lenient,) = await taken_in(tmp_path, data)
    (refused,) = await taken_in(tmp_path, data, strict=True)

    assert isinstance(lenient, Spooled)
    assert [(each.tag, each.reason) for each in lenient.findings] == [("00100020", UNFIT)]
    assert isinstance(refused, Refused)
    assert isinstance(refused.error, MissingAttribute)
    assert (refused.error.failure_reason, refused.error.attributes) == (0x0120, ("00100020",))


async def test_an_invalid_optional_value_is_a_finding_or_where_it_is_strict_a_refusal(
    tmp_path: Path,
) -> None:
    data = make_instance(PatientBirthDate="1970-13-99", SeriesNumber="one")
    (lenient,) = await taken_in(tmp_path, data)
    (refused,) = await taken_in(tmp_path, data, strict=True)

    assert isinstance(lenient, Spooled)
    assert {each.tag for each in lenient.findings} == {"00100030", "00200011"}
    assert isinstance(refused, Refused)
    assert isinstance(refused.error, InvalidAttributes)
    assert {tag for tag, _ in refused.error.details} == {"00100030", "00200011"}


async def test_a_whole_object_passes_where_it_is_strict(tmp_path: Path) -> None:
    (taken,) = await taken_in(tmp_path, make_instance(), strict=True)

    assert isinstance(taken, Spooled)
    assert taken.findings == ()
