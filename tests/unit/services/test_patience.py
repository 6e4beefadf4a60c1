"""Work is tried again as long as there is time, and each failure but the last is told."""

import time

import pytest

from app.errors import BadInstance, IndexUnavailable, StoreUnavailable
from app.services.patience import patiently, retried


class Work:
    """Fails so many times."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.left = failures
        self.error = error
        self.times = 0

    async def __call__(self) -> int:
        self.times += 1
        if self.times <= self.left:
            raise self.error
        return self.times


async def test_what_fails_for_the_moment_is_tried_again_and_told() -> None:
    told: list[StoreUnavailable] = []
    error = IndexUnavailable("Elasticsearch answered 429.")

    done = await patiently(Work(2, error), until=time.monotonic() + 60, note=told.append)

    assert done == 3
    assert told == [error, error]


async def test_when_time_is_over_the_failure_is_raised() -> None:
    work = Work(99, IndexUnavailable("down"))
    with pytest.raises(IndexUnavailable):
        await patiently(work, until=time.monotonic(), note=lambda _: None)

    assert work.times == 1


async def test_another_error_is_no_reason_to_try_again() -> None:
    work = Work(1, BadInstance("no"))
    with pytest.raises(BadInstance):
        await patiently(work, until=time.monotonic() + 60, note=lambda _: None)

    assert work.times == 1


def test_a_record_of_a_retry_names_the_store_and_its_failure() -> None:
    record = retried("1.2.3", IndexUnavailable("Elasticsearch answered 429."))

    assert (record.kind, record.value_class) == ("transient-retry", "IndexUnavailable")
    assert record.message == "Elasticsearch answered 429."
