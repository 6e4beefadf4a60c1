"""What an intent amounts to once it is carried out, for its Provenance."""

from collections.abc import Collection
from datetime import UTC, datetime

from app.fhir.provenance import Activity, Deed, TracedInstance
from app.services.intents import Intent


def deed_of(intent: Intent, version: int, left_out: Collection[str] = ()) -> Deed:
    """Return what was done, now that `version` of the ImagingStudy has it, but for those `left_out`."""
    stored = [each for each in intent.instances if each.sop_instance_uid not in left_out]
    activity: Activity = "create"
    if intent.corrects is not None:
        activity = "correct"
    elif intent.removed:
        activity = "delete"
    elif any(each.replaces is not None for each in stored):
        activity = "replace"
    traced = [TracedInstance(each.sop_instance_uid, each.sha256) for each in stored]
    traced += [TracedInstance(each.sop_instance_uid) for each in intent.removed]
    return Deed(
        id=intent.id,
        activity=activity,
        study_instance_uid=intent.study_instance_uid,
        recorded=_now(),
        requester=intent.requester,
        imaging_study_version=version,
        instances=tuple(traced),
        sources=() if intent.corrects is None else (intent.corrects,),
        also=() if intent.corrects is None else (intent.corrects.partition("/_history/")[0],),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
