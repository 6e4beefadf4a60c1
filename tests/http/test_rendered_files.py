"""Every file of pydicom's test set is rendered, or answered with a reason why not."""

from collections import Counter
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pydicom.data
import pytest
from PIL import Image
from pydicom.uid import generate_uid

from tests.server import store
from tests.wado import Stored

pytestmark = [pytest.mark.stack, pytest.mark.filterwarnings("ignore::UserWarning:pydicom")]

FOLDER = Path(pydicom.data.__file__).parent / "test_files"
IMAGES_AT_LEAST = 55  # of pydicom 3.0; newer ones have more
NOT_STORED_AT_MOST = 15  # no whole objects: without File Meta, or cut off
# files that say that they are images, and cannot be shown
REASONED = {
    "JPEG2000-embedded-sequence-delimiter.dcm",  # a codestream of another size than the image
    "MR_truncated.dcm",  # less than one frame
    "badVR.dcm",  # a number of frames that is none
}


def own_copy(path: Path) -> Stored | None:
    """Return the file under UIDs of its own; None for what is no whole object."""
    try:
        dataset = pydicom.dcmread(path, force=True)
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.PatientID = f"files-{dataset.StudyInstanceUID[-10:]}"
        file = BytesIO()
        dataset.save_as(file, enforce_file_format=True)
        return Stored(file.getvalue(), pydicom.dcmread(BytesIO(file.getvalue())))
    except (
        AttributeError,
        ValueError,
        OSError,
        EOFError,
        NotImplementedError,
        KeyError,
        TypeError,
    ):
        return None


def test_every_file_is_rendered_or_refused_for_a_reason(client: httpx.Client) -> None:
    """PS3.18 §10.4.3.3: 200 with what it is, or 406; what is an image is a picture of its size."""
    outcomes: Counter[str] = Counter()
    wrong: list[str] = []
    for path in sorted(FOLDER.rglob("*.dcm")):
        file = own_copy(path)
        if file is None or store(client, file.data).status_code not in (200, 202):
            outcomes["not stored"] += 1
            continue
        answer = client.get(f"{file.instance}/rendered")
        thumbnail = client.get(f"{file.instance}/thumbnail")
        outcomes[f"{answer.status_code} {answer.headers['Content-Type'].partition(';')[0]}"] += 1
        is_image = "PixelData" in file.dataset
        fine = _is_right(file, answer) and thumbnail.status_code == (
            200 if answer.status_code == 200 and is_image else 406
        )
        if not fine or (is_image and answer.status_code != 200 and path.name not in REASONED):
            wrong.append(
                f"{path.name}: {answer.status_code}, {thumbnail.status_code} {answer.text[:200]}"
            )

    assert wrong == []
    assert outcomes["200 image/jpeg"] >= IMAGES_AT_LEAST
    assert outcomes["200 text/html"] >= 3
    assert outcomes["not stored"] <= NOT_STORED_AT_MOST


def _is_right(file: Stored, answer: httpx.Response) -> bool:
    if answer.status_code != 200:
        return answer.status_code == 406 and len(answer.json()["detail"]) > 20
    if answer.headers["Content-Type"].startswith("text/html"):
        return b"</html>" in answer.content
    opened = Image.open(BytesIO(answer.content))
    return opened.size == (file.dataset.Columns, file.dataset.Rows) and np.asarray(opened).size > 0


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("MR_small_RLE.dcm", "MR_small.dcm"),
        ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
        ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
        ("MR_small_bigendian.dcm", "MR_small.dcm"),
        ("MR_small_implicit.dcm", "MR_small.dcm"),
        ("rtdose_rle.dcm", "rtdose.dcm"),
        ("SC_rgb_rle.dcm", "SC_rgb_rle_16bit.dcm"),
    ],
)
def test_an_image_looks_the_same_in_every_lossless_transfer_syntax(
    client: httpx.Client, name: str, reference: str
) -> None:
    seen = []
    for each in (name, reference):
        file = own_copy(FOLDER / each)
        assert file is not None
        assert store(client, file.data).status_code in (200, 202)
        answer = client.get(f"{file.instance}/rendered?accept=image/png")
        seen.append(np.asarray(Image.open(BytesIO(answer.content))))

    assert (seen[0] == seen[1]).all()
