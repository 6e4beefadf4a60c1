"""Kinds of matching as they arrive in a URL, at every level and without a study in it (PS3.4 §C.2.2.2)."""

from collections.abc import Iterator

import httpx
import pytest
from pydicom.uid import generate_uid

from tests.corpus import element, item, with_elements
from tests.server import Server, store, values

pytestmark = pytest.mark.stack

LEVELS = ("studies", "series", "instances")


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.base, timeout=60, trust_env=False) as each:
        yield each


@pytest.fixture(scope="module")
def study(http: httpx.Client) -> str:
    """One study whose PatientID, a word of its own, keeps it apart from those of other tests."""
    uid = generate_uid()
    within = element(0x00210010, b"LO", b"NEST MAKER") + element(0x00211042, b"SS", b"\xfb\xff")
    private = element(0x00211001, b"SQ", item(within))
    names = "Müller^Jürgen=山田^太郎=やまだ^たろう".encode()
    file = with_elements(
        element(0x00210010, b"LO", b"NEST MAKER") + private,
        SpecificCharacterSet="ISO_IR 192",
        StudyInstanceUID=uid,
        PatientID=uid[-16:],
        PatientName=(names + b" " * (len(names) % 2)).decode(),
        StudyDate="20240115",
        StudyTime="030000",
        AccessionNumber="",
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
        SliceLocation="-12.5",
        AcquisitionDateTime="20240115030000+0100",
    )
    assert store(http, file).status_code == 200
    return uid


FUZZY, EMPTY, MULTIPLE = (
    "fuzzymatching=true",
    "emptyvaluematching=true",
    "multiplevaluematching=true",
)
NEST = "00210010=NEST%20MAKER&00211001.00210010=NEST%20MAKER&"


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("query", "matches"),
    [
        ("PatientName=MULLER%5ejurgen", True),
        ("PatientName=mueller", False),
        (f"PatientName=mueller&{FUZZY}", True),
        (f"PatientName=juergen%20mull&{FUZZY}", True),
        (f"PatientName=Miller&{FUZZY}", True),
        (f"PatientName=yamada%20taro&{FUZZY}", True),
        (f"PatientName=*%C3%BCrg*&{FUZZY}", True),
        (f"PatientName=Jones&{FUZZY}", False),
        ("PatientName=%E5%B1%B1%E7%94%B0*", True),
        ("StudyDate=20240114-20240115&StudyTime=2200-0600", True),
        ("StudyDate=20240114-20240115&StudyTime=2200-0200", False),
        ("StudyDate=20240115&StudyTime=0200-0400", True),
        ("AcquisitionDateTime=20240115020000%2B0000", True),
        ("AcquisitionDateTime=20240115030000+0100-", True),
        ("AcquisitionDateTime=20240115030000-0100-", False),
        ("SliceLocation=-12.5", True),
        ("SliceLocation=-13--12", True),
        ("SliceLocation=-+5", True),
        ("SliceLocation=--13", False),
        (f'AccessionNumber=""&{EMPTY}', True),
        (f'PatientName=""&{EMPTY}', False),
        ('AccessionNumber=""', False),
        (f"ImageType=AXIAL%5CORIGINAL&{MULTIPLE}", True),
        (f"ImageType=AXIAL%5CMPR&{MULTIPLE}", False),
        ("ImageType=AXIAL%5CMPR", True),
        (f"{NEST}00211001.00211042=-5", True),
        (f"{NEST}00211001.00211042=-4-", False),
    ],
)
def test_key_finds_what_it_asks_for(
    http: httpx.Client, study: str, level: str, query: str, matches: bool
) -> None:
    answer = http.get(f"/{level}?PatientID={study[-16:]}&{query}")

    assert answer.status_code == (200 if matches else 204), answer.text
    if matches:
        assert [values(row, "0020000D") for row in answer.json()] == [[study]]
