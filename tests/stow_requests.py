"""STOW requests in other forms than plain DICOM parts: metadata with bulk data, and what real senders make."""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import orjson
from pydicom.uid import generate_uid

from app.dicom.native_xml import to_xml

BOUNDARY = "b-17"
JSON, XML = "application/dicom+json", "application/dicom+xml"
Part = tuple[Mapping[str, str], bytes]


def send(
    client: httpx.Client,
    kind: str,
    *parts: Part,
    path: str = "/studies",
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    """Send parts in one request of this type."""
    body = b"".join(
        b"--%b\r\n%b\r\n%b\r\n"
        % (
            BOUNDARY.encode(),
            "".join(f"{name}: {value}\r\n" for name, value in part_headers.items()).encode(),
            content,
        )
        for part_headers, content in parts
    )
    content_type = f'multipart/related; type="{kind}"; boundary={BOUNDARY}'
    return client.post(
        path,
        content=body + b"--%b--\r\n" % BOUNDARY.encode(),
        headers={"Content-Type": content_type, **(headers or {})},
    )


def in_json(objects: Any) -> Part:
    """Return the part with the metadata of all instances."""
    return {"Content-Type": JSON}, orjson.dumps(objects)


def in_xml(attributes: Mapping[str, Any]) -> Part:
    """Return the part with the metadata of one instance."""
    return {"Content-Type": XML}, to_xml(attributes)


def bulk(location: str, content: bytes, content_type: str = "application/octet-stream") -> Part:
    """Return a part with bulk data."""
    return {"Content-Type": content_type, "Content-Location": location}, content


def image(rows: int = 4, columns: int = 4, **overrides: Any) -> dict[str, Any]:
    """Return the metadata of a secondary capture image whose pixel data are `pixels`; tags as `x00100020`."""
    attributes: dict[str, Any] = {
        "00080016": ("UI", "1.2.840.10008.5.1.4.1.1.7"),
        "00080018": ("UI", str(generate_uid())),
        "00080020": ("DA", "20260102"),
        "00080060": ("CS", "OT"),
        "00100010": ("PN", {"Alphabetic": "Müller^Jörg"}),
        "00100020": ("LO", "STOW-1"),
        "0020000D": ("UI", str(generate_uid())),
        "0020000E": ("UI", str(generate_uid())),
        "00200013": ("IS", 1),
        "00280002": ("US", 1),
        "00280004": ("CS", "MONOCHROME2"),
        "00280010": ("US", rows),
        "00280011": ("US", columns),
        "00280100": ("US", 8),
        "00280101": ("US", 8),
        "00280102": ("US", 7),
        "00280103": ("US", 0),
    }
    found = {tag: {"vr": vr, "Value": [value]} for tag, (vr, value) in attributes.items()}
    found["7FE00010"] = {"vr": "OB", "BulkDataURI": "pixels"}
    changed = {tag.removeprefix("x"): value for tag, value in overrides.items()}
    return {tag: value for tag, value in {**found, **changed}.items() if value is not None}


def uids(attributes: Mapping[str, Any]) -> Sequence[str]:
    """Return the Study, Series and SOP Instance UID."""
    return [attributes[tag]["Value"][0] for tag in ("0020000D", "0020000E", "00080018")]


def instance_path(attributes: Mapping[str, Any]) -> str:
    """Return the path of the instance below the DICOMweb base."""
    return "/studies/{}/series/{}/instances/{}".format(*uids(attributes))
