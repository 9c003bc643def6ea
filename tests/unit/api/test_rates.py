from activityctl.api import rates
from activityctl.api.rates import Rates


def test_a_client_has_its_burst_then_its_rate_and_others_have_their_own():
    now = 100.0
    limiter = Rates(2, 3, lambda: now)
    assert [limiter.seconds_to_wait("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert limiter.seconds_to_wait("b") == 0
    now += 0.5
    assert [limiter.seconds_to_wait("a") for _ in range(2)] == [0, 0.5]
    now += 3_600
    assert [limiter.seconds_to_wait("a") for _ in range(4)] == [0, 0, 0, 0.5]


def test_no_more_clients_are_remembered_than_fit(monkeypatch):
    monkeypatch.setattr(rates, "MOST_CLIENTS", 2)
    limiter = Rates(1, 1, lambda: 0.0)
    for client in "abc":
        assert limiter.seconds_to_wait(client) == 0
    assert limiter.seconds_to_wait("c") > 0
    assert limiter.seconds_to_wait("a") == 0
