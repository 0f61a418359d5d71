"""
bench/driver/handshakes.py
    TLS where connections are not kept: receivers that close after each answer,
    and so many destinations that each gets one event.
"""

from . import peers
from .runs import Sample, drain, warm_up


def _drain(bench, group, count):
    with bench.server.database() as database:
        warm_up(database, bench.tls, "fast")
        return drain(database, bench.tls, group, count)


def _plain(bench, group, count):
    return peers.plain_curl(bench.tls.urls(group), count,
                            bench.certificates.authority)


def tls_close(bench, _wanted):
    """
    Eight destinations that close: a handshake for each delivery.  How many of
    them resumed a session is what the receiver says.
    """
    count = bench.scaled(10000)
    ours = _drain(bench, "closing", count)
    seen = bench.tls.group("closing")
    plain = _plain(bench, "closing", count)
    cpu = plain["cpu_seconds"] / count
    yield Sample(("tls_close", "hits"), seen["resumed"] / seen["connections"],
                 seen["resumed"], seen["connections"])
    yield Sample(("tls_close", "cpu"), ours.cpu / cpu, ours.cpu * 1e6, cpu * 1e6)


def tls_hosts(bench, _wanted):
    """One event to each of 10,000 destinations: every handshake is a whole one."""
    count = len(bench.tls.urls("hosts"))
    ours = _drain(bench, "hosts", count)
    plain = _plain(bench, "hosts", count)
    cpu = plain["cpu_seconds"] / count
    yield Sample(("tls_hosts", "rate"), ours.rate * plain["seconds"] / count,
                 ours.rate, count / plain["seconds"])
    yield Sample(("tls_hosts", "cpu"), ours.cpu / cpu, ours.cpu * 1e6, cpu * 1e6)
