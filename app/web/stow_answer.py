"""The Store Instances Response, in JSON or XML (PS3.18 §10.5.3 and Annex I)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson
from starlette.responses import Response

from app.dicom.instance import COERCED, DISCARDED, NOT_SEARCHED, UNFIT, Finding
from app.dicom.multipart import closing, new_boundary, part_header
from app.dicom.native_xml import to_xml
from app.errors import BadInstance, CoregisterError
from app.services.outcome import InstanceOutcome
from app.web.negotiation import DICOM_JSON, Offer
from app.web.wado_target import related

HTTP_OK, HTTP_ACCEPTED, HTTP_CONFLICT = 200, 202, 409
XML = "application/dicom+xml"
OFFERS = (
    *DICOM_JSON,
    Offer(XML, aliases=("application/xml", "text/xml")),
    Offer(XML, multipart=True),
)
_TAG_DIGITS = 8
_MOST_NAMED = 8  # attributes in one header


def answer(outcomes: Sequence[InstanceOutcome], base: str, offer: Offer) -> Response:
    """Return what became of each instance, in the representation that was chosen."""
    stored = [each for each in outcomes if each.error is None]
    failed = len(stored) < len(outcomes)
    warned = any(_doubts(each.findings) for each in stored)
    if not stored:
        status = HTTP_CONFLICT
    else:
        status = HTTP_ACCEPTED if failed or warned else HTTP_OK
    body = store_response(outcomes, base)
    headers = _warning(stored)
    if offer.media_type != XML:
        return Response(orjson.dumps(body), status, headers, media_type=offer.media_type)
    document = to_xml(body)
    if not offer.multipart:
        return Response(document, status, headers, media_type=XML)
    boundary = new_boundary()
    part = part_header(boundary, {"Content-Type": XML}) + document + closing(boundary)
    return Response(part, status, headers | {"Content-Type": related(XML, boundary)})


def _doubts(findings: Iterable[Finding]) -> list[Finding]:
    """Return what has a Warning Reason."""
    return [finding for finding in findings if finding.reason != NOT_SEARCHED]


def _warning(stored: Iterable[InstanceOutcome]) -> dict[str, str]:
    """Return the header that names the attributes of which not all can be searched for."""
    found = [
        [finding.tag for finding in each.findings if finding.reason == NOT_SEARCHED]
        for each in stored
    ]
    names = sorted({name for each in found for name in each})
    if not names:
        return {}
    listed = ", ".join(names[:_MOST_NAMED]) + (" and others" if len(names) > _MOST_NAMED else "")
    text = f"{sum(map(bool, found))} instances are stored with more values than can be searched for: {listed}"
    return {"Warning": f'299 coregister "{text}"'}


def store_response(outcomes: Sequence[InstanceOutcome], base: str) -> dict[str, Any]:
    """Return the Store Instances Response Module as a DICOM JSON object (PS3.18 Table I.1-1)."""
    stored = [each for each in outcomes if each.error is None]
    named: list[dict[str, Any]] = []
    other: list[dict[str, Any]] = []
    for each in outcomes:
        if each.error is not None:
            is_named = each.sop_instance_uid and each.sop_class_uid
            (named if is_named else other).append(_failure(each, each.error))
    body: dict[str, Any] = {}
    studies = {each.study_instance_uid for each in stored}
    if len(studies) == 1:
        body["00081190"] = {"vr": "UR", "Value": [f"{base}/studies/{studies.pop()}"]}
    if named:
        body["00081198"] = _sequence(named)
    if stored:
        body["00081199"] = _sequence(_reference(each) | _success(each, base) for each in stored)
    if other:
        body["0008119A"] = _sequence(other)
    return body


def _sequence(items: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {"vr": "SQ", "Value": list(items)}


def _reference(outcome: InstanceOutcome) -> dict[str, Any]:
    named = {"00081150": outcome.sop_class_uid, "00081155": outcome.sop_instance_uid}
    return {tag: {"vr": "UI", "Value": [uid]} for tag, uid in named.items() if uid}


def _success(outcome: InstanceOutcome, base: str) -> dict[str, Any]:
    url = (
        f"{base}/studies/{outcome.study_instance_uid}/series/{outcome.series_instance_uid}"
        f"/instances/{outcome.sop_instance_uid}"
    )
    item: dict[str, Any] = {"00081190": {"vr": "UR", "Value": [url]}}
    if doubts := _doubts(outcome.findings):
        item["00081196"] = {"vr": "US", "Value": [_warning_reason(doubts)]}
        item["00741048"] = _sequence(_comments((each.tag, each.message) for each in doubts))
    return item


def _warning_reason(findings: Iterable[Finding]) -> int:
    """Return the gravest of the reasons (PS3.18 Table I.2-1)."""
    reasons = {finding.reason for finding in findings}
    return next(reason for reason in (COERCED, DISCARDED, UNFIT) if reason in reasons)


def _failure(outcome: InstanceOutcome, error: CoregisterError) -> dict[str, Any]:
    item = _reference(outcome)
    item["00081197"] = {"vr": "US", "Value": [error.failure_reason]}
    details = error.details if isinstance(error, BadInstance) else ()
    if details:
        item["00741048"] = _sequence(_comments(details))
        return item
    comment: dict[str, Any] = {}
    if isinstance(error, BadInstance) and error.attributes:
        comment["00000901"] = {"vr": "AT", "Value": list(error.attributes)}
    comment["00000902"] = {"vr": "LO", "Value": [error.message]}
    item["00741048"] = _sequence([comment])
    return item


def _comments(details: Iterable[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    """Yield items of the Failed Attributes Sequence (0074,1048): the attribute, and what is wrong with it."""
    for path, message in details:
        item: dict[str, Any] = {}
        tag = path.rpartition(".")[2]
        if len(tag) == _TAG_DIGITS:
            item["00000901"] = {"vr": "AT", "Value": [tag]}
        item["00000902"] = {"vr": "LO", "Value": [f"{path}: {message}"]}
        yield item
