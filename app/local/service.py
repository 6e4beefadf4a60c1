"""What a stack consists of: services, each a process with an address and a sign that it is ready."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Service:
    """How one process is run and when it counts as ready."""

    name: str
    command: tuple[str, ...]
    url: str
    ready_url: str  # answers 200 once the service can be used
    log: Path
    needs: tuple[str, ...] = ()  # services that have to be ready before this one is started
    environment: dict[str, str] = field(default_factory=dict)
    stop_seconds: float = 30.0
    viewer_url: str | None = None  # what it serves to people

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "name": self.name, "command": list(self.command), "url": self.url,
            "ready_url": self.ready_url, "log": str(self.log), "needs": list(self.needs),
            "environment": self.environment, "stop_seconds": self.stop_seconds,
            "viewer_url": self.viewer_url,
        }  # fmt: skip

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Return what `to_json` wrote."""
        return cls(
            **{
                **values,
                "command": tuple(values["command"]),
                "log": Path(values["log"]),
                "needs": tuple(values["needs"]),
            }
        )
