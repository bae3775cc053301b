"""The deadline that is put off: it ends what is late, and nothing else."""

import asyncio

import pytest

from proxy.overdue import Overdue

SOON, LATE = 0.02, 30.0


async def late(*seconds: float, cleaning: BaseException | None = None) -> None:
    """Put the deadline off again and again, and then wait for long; `cleaning`: what cleaning up after it raises."""
    with Overdue() as clock:
        for each in seconds:
            clock.set(clock.now() + each)
        try:
            await asyncio.sleep(LATE)
        except asyncio.CancelledError:
            if cleaning is not None:
                raise cleaning from None
            raise


async def test_what_is_late_ends_with_a_timeout_and_the_task_goes_on():
    with pytest.raises(TimeoutError):
        await late(SOON)
    await asyncio.sleep(0)
    assert asyncio.current_task().cancelling() == 0


@pytest.mark.parametrize("seconds", [(LATE, SOON), (SOON, LATE, SOON), (-1,)])
async def test_the_last_time_that_was_set_counts(seconds):
    with pytest.raises(TimeoutError):
        await late(*seconds)


async def test_what_is_put_off_in_time_is_not_ended():
    with Overdue() as clock:
        for _ in range(5):
            clock.set(clock.now() + 5 * SOON)
            await asyncio.sleep(2 * SOON)
        clock.set(clock.now() + LATE)


async def test_nothing_is_ended_after_it():
    with Overdue() as clock:
        clock.set(clock.now() + SOON)
    await asyncio.sleep(3 * SOON)


async def test_somebody_elses_cancellation_stays_one():
    async with asyncio.TaskGroup() as group:
        task = group.create_task(late(LATE))
        await asyncio.sleep(SOON)
        task.cancel()
    assert task.cancelled()


async def test_with_both_at_once_the_cancellation_wins():
    async with asyncio.TaskGroup() as group:
        task = group.create_task(late(LATE, 0))
        await asyncio.sleep(0)
        task.cancel()
    assert task.cancelled()


async def test_another_error_passes_through_though_time_was_up():
    with pytest.raises(KeyError):
        await late(0, cleaning=KeyError())
    assert asyncio.current_task().cancelling() == 0
