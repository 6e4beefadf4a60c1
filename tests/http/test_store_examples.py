"""The examples of docs/dicomweb/store.md do what they say, typed as they stand there."""

import re
import shutil
import subprocess
import uuid
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from PIL import Image
from pydicom import dcmread

from tests.corpus import make_instance
from tests.server import Server, values

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(shutil.which("curl") is None, reason="the examples are for curl"),
]

PAGE = Path(__file__).resolve().parents[2] / "docs/dicomweb/store.md"
EXAMPLE = re.compile(r"```sh\n(.*?)```", re.DOTALL)
PLACE = "http://127.0.0.1:8080/dicom-web"


@pytest.fixture
def root() -> str:
    """Stand for `2.25.101` and `2.25.102`, which other runs have used."""
    return f"2.25.{uuid.uuid4().int % 10**15}"


def test_every_example_stores_what_it_shows(
    server: Server, client: httpx.Client, tmp_path: Path, root: str
) -> None:
    image, report = make_instance(), make_instance()
    (tmp_path / "image.dcm").write_bytes(image)
    (tmp_path / "report.dcm").write_bytes(report)
    (tmp_path / "report.pdf").write_bytes(b"%PDF-1.7\n")
    Image.new("RGB", (6, 4), "red").save(tmp_path / "photo.jpg")
    examples = EXAMPLE.findall(PAGE.read_text("utf-8"))
    script = "set -e\n" + "echo; echo ======\n".join(examples)
    script = script.replace(PLACE, server.base).replace("2.25.10", f"{root}.10")

    done = subprocess.run(
        ["/bin/sh", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    one, several, photo, document = done.stdout.split("======\n")
    for answer in (one, several, photo):
        assert "00081198" not in answer
        assert "0008119A" not in answer
    assert several.count('"00081155"') == 2
    assert "ReferencedSOPSequence" in document
    assert "FailedSOPSequence" not in document
    rows = client.get("/instances", params={"StudyInstanceUID": f"{root}.101.1", "limit": 9}).json()
    assert {values(row, "0020000E")[0] for row in rows} == {f"{root}.101.2", f"{root}.102.2"}
    url = f"/studies/{root}.101.1/series/{root}.101.2/instances/{root}.101.3"
    found = dcmread(
        BytesIO(client.get(url, headers={"Accept": "application/dicom; transfer-syntax=*"}).content)
    )
    assert (found.Rows, found.Columns, found.PatientName) == (4, 6, "Müller^Jörg")
