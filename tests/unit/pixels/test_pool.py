import asyncio
import contextlib
import math
import operator
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from app.dicom.part10 import read_instance
from app.errors import Busy, MissingAttribute, Undecodable
from app.limits import MIB, Limits
from app.pixels.pool import WorkerPool
from tests.corpus import make_instance

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
async def pool() -> AsyncIterator[WorkerPool]:
    made = WorkerPool(1, Limits(pixel_memory_bytes=512 * MIB, pixel_waiting=4))
    try:
        yield made
    finally:
        await made.close()


def workers() -> set[int]:
    """Return the worker processes that this one has started; it may have started others."""
    found = psutil.Process().children()
    return {each.pid for each in found if "app.pixels.worker" in " ".join(each.cmdline())}


async def test_a_task_returns_its_result_from_another_process(pool: WorkerPool) -> None:
    pid = await pool.run(os.getpid)

    assert pid != os.getpid()
    assert await pool.run(math.hypot, 3, 4) == 5


async def test_a_worker_is_started_for_the_first_task_and_kept(pool: WorkerPool) -> None:
    before = workers()
    WorkerPool(4, Limits())

    assert workers() == before
    assert await pool.run(os.getpid) == await pool.run(os.getpid)
    assert len(workers() - before) == 1


async def test_a_worker_that_dies_is_replaced(pool: WorkerPool) -> None:
    first = await pool.run(os.getpid)

    with pytest.raises(Undecodable, match="end"):
        await pool.run(os._exit, 3)

    assert await pool.run(os.getpid) != first


async def test_a_worker_that_crashes_is_replaced(pool: WorkerPool) -> None:
    with pytest.raises(Undecodable, match="end"):
        await pool.run(os.abort)

    assert await pool.run(operator.add, 1, 2) == 3


async def test_a_worker_that_was_killed_between_tasks_is_replaced(pool: WorkerPool) -> None:
    first = await pool.run(os.getpid)
    os.kill(first, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(first)] if psutil.pid_exists(first) else [], timeout=10)

    assert await pool.run(operator.add, 1, 2) == 3


async def test_a_worker_that_hangs_is_killed_and_replaced() -> None:
    pool = WorkerPool(1, Limits(pixel_seconds=0.5))
    try:
        with pytest.raises(Undecodable, match="pixel_seconds"):
            await pool.run(time.sleep, 600)

        assert await pool.run(operator.add, 1, 2) == 3
        assert len(workers()) == 1
    finally:
        await pool.close()


async def test_a_task_that_needs_too_much_memory_is_refused_and_its_worker_lives(
    pool: WorkerPool,
) -> None:
    first = await pool.run(os.getpid)

    with pytest.raises(Undecodable, match="pixel_memory_bytes"):
        await pool.run(bytearray, 1024 * MIB)

    assert await pool.run(os.getpid) == first


async def test_an_error_of_coregister_comes_through(pool: WorkerPool) -> None:
    with pytest.raises(MissingAttribute) as caught:
        await pool.run(read_instance, make_instance(PatientID=None), Limits())

    assert caught.value.attributes == ("00100020",)


async def test_an_unforeseen_error_names_its_kind_and_no_value(pool: WorkerPool) -> None:
    with pytest.raises(Undecodable, match=r"\(ValueError\)") as caught:
        await pool.run(int, "Zzyzx^Sentinel")

    assert "Sentinel" not in caught.value.message


async def test_what_a_task_prints_does_not_get_between_messages(pool: WorkerPool) -> None:
    await pool.run(os.write, 1, b"x" * 100)
    await pool.run(os.system, "echo printed")

    assert await pool.run(operator.add, 1, 2) == 3


async def test_when_too_many_wait_a_further_one_is_refused_but_a_patient_one_waits(
    pool: WorkerPool,
) -> None:
    waiting = [asyncio.create_task(pool.run(time.sleep, 0.1)) for _ in range(5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    with pytest.raises(Busy) as caught:
        await pool.run(operator.add, 1, 2)
    assert caught.value.retry_after
    assert await pool.run_patiently(operator.add, 1, 2) == 3
    await asyncio.gather(*waiting)


async def test_when_nobody_waits_for_a_task_any_more_its_worker_is_used_again(
    pool: WorkerPool,
) -> None:
    first = await pool.run(os.getpid)
    task = asyncio.create_task(pool.run(time.sleep, 0.2))
    await asyncio.sleep(0.05)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task

    assert await pool.run(os.getpid) == first


async def test_closing_ends_workers_and_what_they_do() -> None:
    pool = WorkerPool(2, Limits())
    before = workers()
    await pool.run(os.getpid)
    hanging = asyncio.create_task(pool.run(time.sleep, 600))
    await asyncio.sleep(0.3)

    await pool.close()

    assert workers() == before
    with pytest.raises(asyncio.CancelledError):
        await hanging


PARENT = """
import asyncio, os, sys, time
sys.path.insert(0, {root!r})
from app.limits import Limits
from app.pixels.pool import WorkerPool

async def main():
    pool = WorkerPool(2, Limits(pixel_seconds={seconds}))
    print(await pool.run(os.getpid), flush=True)
    await pool.run(time.sleep, {sleep})
    time.sleep(600)

asyncio.run(main())
"""


@pytest.mark.parametrize(("sleep", "seconds"), [(0, 60), (600, 1)], ids=["idle", "busy"])
def test_when_the_server_is_killed_no_worker_is_left(sleep: int, seconds: int) -> None:
    program = PARENT.format(root=str(ROOT), sleep=sleep, seconds=seconds)
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    worker = psutil.Process(int(parent.stdout.readline()))

    parent.kill()
    parent.wait()
    parent.stdout.close()

    worker.wait(timeout=30)
