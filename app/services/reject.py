"""Carries out rejection notes: what they refer to is deleted while they are stored (IHE IOCM)."""

from collections.abc import Iterable, Sequence

import structlog

from app.dicom.rejection_note import RejectedInstance
from app.services.delete_study import DeleteStudy

log = structlog.get_logger(__name__)


class Rejections:
    """The effect of rejection notes; none where the setting `rejection_notes` is off."""

    def __init__(self, delete: DeleteStudy, *, active: bool) -> None:
        """Delete through `delete`."""
        self._delete = delete
        self._active = active

    def effective(self, rejected: Iterable[RejectedInstance]) -> tuple[RejectedInstance, ...]:
        """Return what will be deleted for these references."""
        return tuple(rejected) if self._active else ()

    async def carry_out(self, rejected: Sequence[RejectedInstance]) -> None:
        """Delete the instances, which the caller has claimed; those that are not there need nothing.

        Raises StoreUnavailable, VersionConflict, LinkRefused; then some may be deleted and some not.
        """
        if not rejected:
            return
        wanted = {
            (r.study_instance_uid, r.series_instance_uid, r.sop_instance_uid) for r in rejected
        }
        uids = list({r.sop_instance_uid for r in rejected})
        deleted = await self._delete.delete_claimed(uids, lambda *place: place in wanted)
        log.info("rejected", instances=deleted)
