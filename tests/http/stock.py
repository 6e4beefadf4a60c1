"""A few studies to search in, told apart from all others by a word in their descriptions."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
from pydicom.uid import generate_uid

from tests.corpus import element, item, with_elements
from tests.server import store, values

# patient, name, date, description, modalities of its series
STUDIES = (
    ("A", "anna^a", "20240105", "one", ("CT", "CT")),
    ("A", "Anna^A", "20240106", "=2+5", ("CT", "MR")),
    ("B", "Ähren^B", "20240103", "three", ("MR",)),
    ("B", "Ähren^B", "20240104", "four", ("MR",)),
    ("C", "Zoë^C", "20240102", "five", ("PT",)),
)
INSTANCES = 2  # of each series


@dataclass(frozen=True)
class Stock:
    """The studies, by number."""

    word: str = field(default_factory=lambda: f"stock{generate_uid()[-9:]}")
    studies: list[str] = field(default_factory=lambda: [generate_uid() for _ in STUDIES])

    def put(self, client: httpx.Client) -> None:
        """Store them."""
        for n in range(len(STUDIES)):
            assert store(client, *self._files(n)).status_code == 200

    def mine(self, **parameters: Any) -> dict[str, Any]:
        """Return parameters that find these studies only."""
        return {"PatientID": f"{self.word}*", **parameters}

    def numbers(self, rows: list[dict[str, Any]]) -> list[int]:
        """Return which studies rows are of."""
        return [self.studies.index(values(row, "0020000D")[0]) for row in rows]

    def _files(self, n: int) -> Iterator[bytes]:
        patient, name, date, description, modalities = STUDIES[n]
        private = (
            element(0x00290010, b"LO", b"STOCK MAKER ")
            + element(0x00291001, b"LO", f"secret-{n} ".encode())
            + element(0x00291010, b"SQ", item(element(0x00080100, b"SH", f"NEST{n} ".encode())))
        )
        for number, modality in enumerate(modalities):
            series = generate_uid()
            for k in range(INSTANCES):
                yield with_elements(
                    private,
                    SpecificCharacterSet="ISO_IR 192",
                    StudyInstanceUID=self.studies[n],
                    SeriesInstanceUID=series,
                    StudyDate=date,
                    StudyDescription=description,
                    PatientID=f"{self.word}-{patient}",
                    PatientName=name,
                    Modality=modality,
                    Manufacturer="ACME" if modality == "CT" else "Other, Inc.",
                    SeriesNumber=str(number + 1),
                    InstanceNumber=str(k + 1),
                    KVP="120.0" if modality == "CT" else None,
                    SliceLocation=str(-k),
                    AnatomicRegionSequence=[{"CodeValue": f"T-{modality}"}],
                )
