"""Removes objects of an intent that nothing refers to.

What the index names is asked at the last moment: an object that some document names, be it of a former
version, is never removed, whatever the caller believes, because another worker may have finished the same
intent meanwhile.
"""

from app.services.intents import Intent
from app.services.snapshot import INSTANCES, VERSIONS
from app.stores.blob_store import BlobStore
from app.stores.elasticsearch import ElasticsearchIndex


async def drop_copies(index: ElasticsearchIndex, blobs: BlobStore, intent: Intent) -> None:
    """Remove the intent's objects that no document names. Raises StoreUnavailable."""
    uids = [item.sop_instance_uid for item in intent.instances]
    documents = await index.get_many(INSTANCES, uids, fields=["blob_key"])
    versions = [item.version for item in intent.instances]
    documents |= await index.get_many(VERSIONS, versions, fields=["blob_key"])
    kept = {document["blob_key"] for document in documents.values()}
    await blobs.delete(item.blob_key for item in intent.instances if item.blob_key not in kept)
