"""Asks both APIs about studies that were stored."""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import httpx

from app.client.compare import StudySeen
from app.client.demo_set import DemoFile
from app.errors import ServerUnreachable

AT_ONCE = 4
DICOM_JSON = "application/dicom+json"
AS_STORED = "application/dicom; transfer-syntax=*"
OK, NO_CONTENT = 200, 204
PIECE_BYTES = 512 * 1024


class Lookout:
    """Reads studies through DICOMweb and FHIR."""

    def __init__(self, http: httpx.AsyncClient, *, base_url: str, fhir_url: str) -> None:
        """Ask the two services at these addresses."""
        self._http = http
        self._dicomweb = base_url.rstrip("/")
        self._fhir = fhir_url.rstrip("/")
        self._few = asyncio.Semaphore(AT_ONCE)

    async def look(self, study_instance_uid: str, stored: Sequence[DemoFile]) -> StudySeen:
        """Return what both sides say of a study; `stored` are its acknowledged files."""
        study = f"{self._dicomweb}/studies/{study_instance_uid}"
        rows = await self._qido(
            f"{self._dicomweb}/studies",
            {
                "StudyInstanceUID": study_instance_uid,
                "includefield": "ModalitiesInStudy,NumberOfStudyRelatedSeries,"
                "NumberOfStudyRelatedInstances,PatientID",
            },
        )
        instances = await self._qido(f"{study}/instances", {"includefield": "SeriesInstanceUID"})
        imaging_studies = await self._search(
            "ImagingStudy", {"identifier": f"urn:dicom:uid|urn:oid:{study_instance_uid}"}
        )
        patient = await self._patient(imaging_studies)
        same = await asyncio.gather(*(self._same_bytes(study, file) for file in stored))
        return StudySeen(
            study_instance_uid=study_instance_uid,
            sent=frozenset(file.sop_instance_uid for file in stored),
            rows=rows,
            instances=instances,
            imaging_studies=imaging_studies,
            patient=patient,
            other_bytes=tuple(
                file.sop_instance_uid
                for file, is_same in zip(stored, same, strict=True)
                if not is_same
            ),
        )

    async def _qido(self, url: str, params: Mapping[str, str]) -> list[Any]:
        response = await self._get(url, params, DICOM_JSON)
        if response.status_code == NO_CONTENT:
            return []
        return _json_list(response)

    async def _search(self, kind: str, params: Mapping[str, str]) -> list[Any]:
        response = await self._get(f"{self._fhir}/{kind}", params, "application/fhir+json")
        if response.status_code != OK:
            return []
        return [entry["resource"] for entry in response.json().get("entry", ())]

    async def _patient(self, imaging_studies: Sequence[Mapping[str, Any]]) -> Any:
        references: Iterable[str] = (
            study.get("subject", {}).get("reference", "") for study in imaging_studies
        )
        reference = next(iter(references), "")
        if not reference.startswith("Patient/"):
            return None
        response = await self._get(f"{self._fhir}/{reference}", {}, "application/fhir+json")
        return response.json() if response.status_code == OK else None

    async def _same_bytes(self, study: str, file: DemoFile) -> bool:
        """Return whether WADO gives back what was sent, byte by byte."""
        url = f"{study}/series/{file.series_instance_uid}/instances/{file.sop_instance_uid}"
        sent = _digest(file.prepared.source.pieces(PIECE_BYTES))
        try:
            async with self._few:
                return await self._digest_of(url) == sent
        except httpx.TransportError as error:
            raise ServerUnreachable(f"The answer breaks off at {url}") from error

    async def _digest_of(self, url: str) -> bytes | None:
        async with self._http.stream("GET", url, headers={"Accept": AS_STORED}) as response:
            if response.status_code != OK:
                return None
            received = hashlib.sha256()
            async for piece in response.aiter_bytes(PIECE_BYTES):
                received.update(piece)
            return received.digest()

    async def _get(self, url: str, params: Mapping[str, str], accept: str) -> httpx.Response:
        try:
            async with self._few:
                return await self._http.get(url, params=params, headers={"Accept": accept})
        except httpx.TransportError as error:
            raise ServerUnreachable(f"Nobody answers at {url}") from error


def _json_list(response: httpx.Response) -> list[Any]:
    answer = response.json() if response.status_code == OK else []
    return answer if isinstance(answer, list) else []


def _digest(pieces: Iterable[bytes]) -> bytes:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.digest()
