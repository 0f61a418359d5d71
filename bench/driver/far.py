"""
bench/driver/far.py
    Receivers that are far away: 240 destinations that answer after 200 ms.

What limits a sender there is how much it has in flight.  By Little's law the
rate is at most the number in flight over the time of an answer; how near a
sender comes, and what its CPU costs a delivery when it holds thousands, is what
these rows measure.
"""

from . import machine, peers
from .machine import BenchError
from .runs import Sample, drain, finish_queue, warm_up

ANSWER_SECONDS = 0.2
IN_FLIGHT = [256, 1000, 4000, 8000]
IN_FLIGHT_TLS = [1000, 4000]

# Of a destination; so many that all of them can fill what is in flight.
PER_DESTINATION = 64

# How long a run would last if Little's law were all there is.
SECONDS = 6
MOST = 60000


def _set_in_flight(bench, in_flight, per_destination):
    for name, value in (("max_in_flight", in_flight),
                        ("max_in_flight_per_destination", per_destination)):
        bench.server.set(f"kgwebhook.{name}", value or "DEFAULT")


def far_drain(bench, receiver, in_flight, count):
    """
    Drains to "wan" with so many in flight.  What goes ahead opens the windows
    and connections.
    """
    urls = receiver.urls("wan")
    _set_in_flight(bench, in_flight, PER_DESTINATION)
    try:
        with bench.server.database() as database:
            database.enable()
            database.fill(8 * len(urls) + 3 * in_flight, urls)
            finish_queue(database)
            return drain(database, receiver, "wan", count)
    finally:
        _set_in_flight(bench, None, None)


def _near_cpu(bench):
    """CPU of a delivery with 32 in flight, to what answers at once."""
    with bench.server.database() as database:
        warm_up(database, bench.http, "fast")
        return drain(database, bench.http, "fast", bench.scaled(50000)).cpu


def _check_files():
    files = machine.most_files()
    if files < 2 * max(IN_FLIGHT) + 1500:
        raise BenchError(f"wan needs 17500 open files, and {files} are allowed"
                         " here (ulimit -Hn)")


def _compare(bench, receiver, in_flight, ca_file=None):
    """What we had, and the rate of plain libcurl with as many in flight."""
    count = bench.scaled(min(MOST, round(SECONDS * in_flight / ANSWER_SECONDS)))
    ours = far_drain(bench, receiver, in_flight, count)
    plain = peers.plain_curl(receiver.urls("wan"), count, ca_file, in_flight)
    return ours, count / plain["seconds"]


def wan(bench, _wanted):
    _check_files()
    for in_flight in IN_FLIGHT:
        law = in_flight / ANSWER_SECONDS
        ours, rate = _compare(bench, bench.http, in_flight)
        yield Sample(("wan", f"{in_flight} little"), ours.rate / law,
                     ours.rate, law)
        yield Sample(("wan", str(in_flight)), ours.rate / rate, ours.rate, rate)
    near = _near_cpu(bench)
    yield Sample(("wan", "cpu"), ours.cpu / near, ours.cpu * 1e6, near * 1e6)


def wan_tls(bench, _wanted):
    _check_files()
    for in_flight in IN_FLIGHT_TLS:
        ours, rate = _compare(bench, bench.tls, in_flight,
                              bench.certificates.authority)
        yield Sample(("wan_tls", str(in_flight)), ours.rate / rate,
                     ours.rate, rate)
