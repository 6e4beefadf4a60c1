"""Structured logs: one JSON object a line, and no key that could carry patient data."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

# A log line may say these things and no others. UIDs, names and query values are not among them.
ALLOWED = frozenset(
    {
        "event", "level", "timestamp", "exception", "logger",
        "method", "route", "status", "milliseconds", "path",
        "error", "intent", "instances", "host", "port", "store", "state", "version", "seconds",
        "cleared",
    }
)  # fmt: skip


def configure(level: str) -> None:
    """Send all logs to standard error, as JSON."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _stack_without_values,
            keep_allowed,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    for name in ("uvicorn.error", "uvicorn.access", "elastic_transport", "httpx", "stamina"):
        logging.getLogger(name).setLevel(logging.ERROR)


def keep_allowed(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop every key that is not on the list."""
    return {key: value for key, value in event.items() if key in ALLOWED}


def _stack_without_values(
    _: Any, __: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Put the places of a stack into the line; messages of foreign errors may quote a data set."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        places = []
        trace = error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            places.append(f"{code.co_filename.rsplit('/app/', 1)[-1]}:{trace.tb_lineno}")
            trace = trace.tb_next
        event["exception"] = f"{type(error).__name__} at {' > '.join(places)}"
    return event
