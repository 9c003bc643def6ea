from datetime import timedelta

from activityctl.domain.values.back_off import BackOff

BACK_OFF = BackOff(timedelta(seconds=1), timedelta(minutes=5))


def test_each_failure_doubles_the_pause_up_to_the_longest():
    pauses = [BACK_OFF.pause(failures, 0).total_seconds() for failures in range(1, 12)]
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert BACK_OFF.pause(10_000, 0) == timedelta(minutes=5)


def test_chance_shortens_the_pause_by_up_to_a_half():
    assert BACK_OFF.pause(3, 1) == timedelta(seconds=2)
    assert BACK_OFF.pause(3, 0.5) == timedelta(seconds=3)
