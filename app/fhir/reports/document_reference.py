"""An encapsulated document (PS3.3 §A.45, §A.85) as a DocumentReference: where it is, and what."""

import re
from base64 import b64decode, b64encode
from binascii import Error as BadBase64
from hashlib import sha1
from typing import Any

from app.fhir.attributes import items, text, unsigned
from app.fhir.coding import concept_key
from app.fhir.reports.document import Document, as_instant
from app.fhir.reports.people import authors, organizations
from app.fhir.reports.tables import media_type_of_class, report_titles

_DOCUMENT = "00420011"
_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]+")


def document_reference(document: Document) -> dict[str, Any]:
    """Return the DocumentReference of an encapsulated document."""
    title = text(document.attributes, "DocumentTitle")
    resource: dict[str, Any] = {
        **document.begun("DocumentReference"),
        "masterIdentifier": document.identifier,
        "status": "current",
        "docStatus": document.status("DocumentReference"),
        "type": document.title or ({"text": title} if title else None),
        "subject": document.subject,
        "date": document.issued,
        "author": authors(document) or organizations(document),
        "description": title,
        "content": [{"attachment": _attachment(document, title)}],
        "context": _context(document),
    }
    return {name: value for name, value in resource.items() if value}


def is_report(document: Document) -> bool:
    """Tell whether an encapsulated document is a report of findings, as its title says."""
    titles = report_titles(document.record.sop_class_uid)
    named = items(document.attributes, "ConceptNameCodeSequence")
    return any(concept_key(title) in titles for title in named)


def media_type(document: Document) -> str:
    """Return the media type of an encapsulated document, as the object says."""
    named = text(document.attributes, "MIMETypeOfEncapsulatedDocument").lower()
    if _MEDIA_TYPE.fullmatch(named):
        return named
    return media_type_of_class(document.record.sop_class_uid)


def _attachment(document: Document, title: str) -> dict[str, Any]:
    attachment: dict[str, Any] = {
        "contentType": media_type(document),
        "url": document.rendered_url,
        "title": title,
        "creation": document.effective,
        **_measure(document),
    }
    return {name: value for name, value in attachment.items() if value}


def _measure(document: Document) -> dict[str, Any]:
    """Return size and hash (SHA-1, as R4 has it) as far as they are known without reading the object."""
    declared = unsigned(document.attributes, "EncapsulatedDocumentLength")
    inline = document.attributes.get(_DOCUMENT, {}).get("InlineBinary")
    if isinstance(inline, str):
        try:
            data = b64decode(inline)[:declared]
        except BadBase64:
            return {}
        digest = sha1(data, usedforsecurity=False).digest()
        return {"size": len(data), "hash": b64encode(digest).decode()}
    place = document.record.bulk.get(_DOCUMENT)
    if declared is None and place is None:
        return {}
    known = [size for size in (declared, place.length if place else None) if size is not None]
    return {"size": min(known)}


def _context(document: Document) -> dict[str, Any]:
    context: dict[str, Any] = {"related": [document.imaging_study, *document.based_on]}
    if document.encounter is not None:
        context["encounter"] = [document.encounter]
    if as_instant(document.effective):
        context["period"] = {"start": document.effective}
    return context
