"""Puts new versions of instances in place of the current ones, which stay as former versions.

Strategy: each document is looked at, and written only if it is still the one that was looked at; where it is
not, it is looked at again. So doing it twice, or two workers doing it at once, ends in the same.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from app.index.documents import Links, linked
from app.index.versions import KEPT_FIELDS, replaced_version
from app.services.index_writes import insist
from app.services.intake import Prepared
from app.services.snapshot import INSTANCES, VERSIONS
from app.stores.elasticsearch import ElasticsearchIndex, Write
from app.stores.lane import Lane


async def put_versions(
    index: ElasticsearchIndex, lane: Lane, replaced: Sequence[Prepared], links: Links
) -> None:
    """Make these the current versions, unless one is past already. Raises IndexUnavailable."""
    left = {each.stored.record.sop_instance_uid: each for each in replaced}
    while left:
        places = await index.get_places(INSTANCES, list(left), fields=KEPT_FIELDS)
        names = [each.stored.version for each in left.values()]
        past = await index.get_many(VERSIONS, names, fields=["version"])
        now = datetime.now(UTC)
        current: list[Write] = []
        former: list[Write] = []
        for uid, each in left.items():
            place = places.get(uid)
            before = place.source["version"] if place is not None else None
            if each.stored.version in past or before == each.stored.version:
                continue
            document = linked(each.document, links)
            if place is None:
                current.append(Write("create", INSTANCES, uid, document))
                continue
            current.append(Write("index", INSTANCES, uid, document, guard=place.guard))
            source = replaced_version(place.source, now)
            former.append(Write("create", VERSIONS, source["version"], source))
        # the former first: what was acknowledged is at no moment without a document
        results = await insist(lane, [*former, *current])
        left = {
            write.id: left[write.id]
            for write, result in zip(current, results[len(former) :], strict=True)
            if result.conflict
        }
