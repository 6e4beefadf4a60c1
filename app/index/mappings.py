"""The indices: their settings and mappings, as data in `mappings/elasticsearch/`."""

from typing import Any

import orjson

from app.resources import data_path


def index_mappings() -> dict[str, dict[str, Any]]:
    """Return name → version, settings and mappings of every index."""
    folder = data_path("mappings", "elasticsearch")
    return {file.stem: orjson.loads(file.read_bytes()) for file in sorted(folder.glob("*.json"))}
