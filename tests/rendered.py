"""What the tests of rendered resources have in common: studies whose images tell which they are."""

from io import BytesIO
from typing import Any

import httpx
import numpy as np
from PIL import Image
from pydicom.uid import JPEG2000MC, generate_uid

from tests.corpus import SIDE, fragments, make_instance
from tests.server import Server, store

RAMP = np.arange(SIDE * SIDE, dtype="<u2").reshape(SIDE, SIDE) * 16
GREY = (RAMP // 16).astype(np.uint8)
IN_PARTS = 'multipart/related; type="image/png"'


class Study:
    """Images under UIDs of their own: what each shows is told by its Instance Number."""

    def __init__(self) -> None:
        self.uid, self.series_uid = generate_uid(), generate_uid()
        self.sent: list[bytes] = []
        self.instances: list[str] = []

    def add(self, **attributes: Any) -> str:
        uid = generate_uid()
        defaults: dict[str, Any] = {
            "InstanceNumber": str(len(self.sent) + 1),
            "PixelData": RAMP.tobytes(),
            "StudyInstanceUID": self.uid,
            "SeriesInstanceUID": self.series_uid,
        }
        self.sent.append(make_instance(SOPInstanceUID=uid, **{**defaults, **attributes}))
        series = attributes.get("SeriesInstanceUID", self.series_uid)
        self.instances.append(f"/studies/{self.uid}/series/{series}/instances/{uid}")
        return self.instances[-1]

    @property
    def path(self) -> str:
        return f"/studies/{self.uid}"

    @property
    def series(self) -> str:
        return f"{self.path}/series/{self.series_uid}"

    def stored(self, client: httpx.Client) -> "Study":
        answer = store(client, *self.sent)
        assert answer.status_code in (200, 202), answer.text
        return self


def plain(level: int, frames: int = 1) -> bytes:
    """Pixels that differ in the first column alone, so that `level` of 255 is what the others show."""
    pixels = np.full((SIDE, SIDE), level * 16, "<u2")
    pixels[:, 0], pixels[0, 0] = 0, 4080
    return pixels.tobytes() * frames


def shown(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(BytesIO(answer.content)))


def study_of_seven(server: Server) -> Study:
    """Five images of one series, a multi-frame one in another, and one that no codec can decode."""
    made = Study()
    for level in (10, 20, 30, 40, 50):
        made.add(PixelData=plain(level))
    multi = generate_uid()
    frames = b"".join(plain(level) for level in (60, 70, 80))
    made.add(SeriesInstanceUID=multi, SeriesNumber="2", NumberOfFrames="3", PixelData=frames)
    made.add(
        SeriesInstanceUID=generate_uid(), SeriesNumber="3", transfer_syntax=JPEG2000MC,
        PixelData=fragments(b"\xff\x4f\xff\x51" + bytes(60)),
    )  # fmt: skip
    with httpx.Client(base_url=server.base, timeout=60, trust_env=False) as http:
        return made.stored(http)
