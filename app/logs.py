"""Structured logs: one JSON object a line, and no key that could carry patient data."""

import errno
import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

# A log line may say these things and no others. UIDs, names and query values are not among them.
ALLOWED = frozenset(
    {
        "event", "level", "timestamp", "exception", "logger",
        "method", "route", "status", "milliseconds",
        "error", "intent", "instances", "host", "port", "store", "state", "version", "seconds",
        "cleared", "resource_type", "elements", "failed",
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
    logging.basicConfig(handlers=[_Others()], force=True)
    for name in ("uvicorn.error", "uvicorn.access", "elastic_transport", "httpx", "stamina"):
        logging.getLogger(name).setLevel(logging.ERROR)


class _Others(logging.Handler):
    """Says of the logs of libraries who spoke and where it failed: their words may quote a data set."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line of our own."""
        error = record.exc_info[1] if record.exc_info else None
        if error is None and isinstance(record.msg, BaseException):
            error = record.msg
        structlog.get_logger().log(
            record.levelno, "library_message", logger=record.name, exc_info=error
        )


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
        event["exception"] = f"{_kind(error)} at {' > '.join(places)}"
    return event


def _kind(error: BaseException) -> str:
    """Return the name of an error's class; of the system's errors also which one, such as ENOSPC."""
    name = type(error).__name__
    code = errno.errorcode.get(error.errno or 0) if isinstance(error, OSError) else None
    return f"{name} ({code})" if code else name
