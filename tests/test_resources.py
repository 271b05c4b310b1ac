"""How many threads a fit takes."""

import os

import pytest

from perennial.resources import free_threads

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.mark.parametrize("wanted", [1, 2, 10_000])
def test_a_number_from_the_configuration_is_taken_up_to_the_cores(wanted: int) -> None:
    """No more threads than cores, whatever was asked for."""
    assert free_threads(wanted) == min(wanted, CORES)


def test_without_a_number_there_is_always_one() -> None:
    """However busy the machine is, a fit goes on with one thread; however idle, with no more than the cores."""
    assert 1 <= free_threads() <= CORES
