from bytemlperf.environment.timer import measure


def ticks(*steps):
    now = 0
    for step in steps:
        now += step
        yield now


def test_the_smallest_step_forward_is_the_resolution():
    clock = ticks(0, 40, 0, 25, 100)
    timer = measure(source=None, clock=lambda: next(clock), reads=5)
    assert timer.resolution_ns == 25
    assert timer.read_ns == (40 + 0 + 25 + 100) / 4


def test_a_clock_that_stands_has_no_resolution():
    assert measure(source=None, clock=lambda: 7, reads=10).resolution_ns is None


def test_this_machines_clock_moves():
    timer = measure(source="tsc")
    assert timer.resolution_ns is not None
    assert timer.resolution_ns < 1_000_000
    assert timer.read_ns > 0
    assert timer.source == "tsc"
