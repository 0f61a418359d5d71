"""
test/checker/comparison.py
    What was committed against what was received, queued, given up and logged.

A delivery is known by kind, organization, id, status and endpoint.

    lost        committed, but neither acknowledged by a receiver, nor in the
                queue, nor among the dead letters, nor superseded
    phantom     received, queued, given up or logged, but not committed
    broken      promised by an answered COMMIT, but not committed
    order       an older transition of an object that an endpoint sees for the first
                time after a newer one (unless the older was given up before)
    mixed       one transition under two webhook-ids, or two under one
    forged      a request whose signature is wrong
    unrecorded  logged as acknowledged, but never answered so by a receiver
    duplicates  acknowledged more often than once; allowed are those that were in
                flight, or not yet written down, when something ended, and those
                whose answer came too late
"""

import json
from collections import Counter, defaultdict

from world import endpoint_of, split_event, version_of

CHALLENGE = "endpoint.challenge"


def read_records(receivers):
    """All requests with events, and all challenges, in the order of their arrival."""
    records = []
    challenges = []
    for receiver in receivers:
        with open(receiver.record, encoding="utf-8") as file:
            # a receiver that was killed may have written half a line
            for line in file:
                try:
                    record = json.loads(line)
                except json.JSONDecodeError:
                    continue
                if record["event"] == CHALLENGE:
                    challenges.append(record)
                    continue
                kind, status = split_event(record["event"])
                record["key"] = (kind, record["org"], record["object"], status,
                                 receiver.destination + record["path"])
                if status != record["status"]:
                    raise ValueError(f"body and header differ: {record}")
                records.append(record)
    for found in records, challenges:
        found.sort(key=lambda record: record["t"])
    return records, challenges


def rows(server, query):
    """The rows of a query, as tuples of text."""
    return [tuple(line.split("|")) for line in server.must(query, 300)]


def deliveries(server, table, more="", order="delivery_id"):
    """Keys of what is in one of our tables, each with more columns behind it."""
    found = []
    for org, event, object_id, url, *rest in rows(
            server, f"SELECT org_id, event, object_id, url{more} FROM kgwebhook.{table}"
            f" WHERE event <> '{CHALLENGE}' ORDER BY {order}"):
        kind, status = split_event(event)
        found.append(((kind, org, object_id, status, endpoint_of(url)), *rest))
    return found


def committed(server, world):
    """Keys of what has to be delivered, each with the time of its commit."""
    found = {}
    for kind, org, object_id, status, url, color, at in rows(
            server, "SELECT kind, org, id, status, url, color,"
            " extract(epoch FROM pg_xact_commit_timestamp(xmin)) FROM checker.audit"):
        for endpoint in world.endpoints(kind, org, url, color):
            found[kind, org, object_id, status, endpoint] = float(at or 0)
    return found


def out_of_order(records, given_up):
    """Transitions first seen after a newer one of their object."""
    newest = defaultdict(int)
    seen = set()
    late = []
    for record in records:
        key = record["key"]
        if key in seen:
            continue
        seen.add(key)
        kind, org, object_id, status, endpoint = key
        line = (kind, org, object_id, endpoint)
        version = version_of(status)
        if version < newest[line] and key not in given_up:
            late.append(key)
        newest[line] = max(newest[line], version)
    return late


class Comparison:
    """The comparison, once everything has come to rest."""

    def __init__(self, server, receivers, shared, allowed):
        self.records, self.challenges = read_records(receivers)
        everything = set(rows(server, "SELECT kind, org, id, status FROM checker.audit"))
        self.committed = committed(server, shared.world)
        self.is_down = shared.world.is_down
        self.queued = {r[0] for r in deliveries(server, "queue")}
        self.dead = {r[0] for r in deliveries(server, "dead_letter")}
        logged = deliveries(server, "delivery_log", ", outcome, webhook_id")
        self.log_rows = len(logged)
        self.superseded = {r[0] for r in logged if r[1] == "superseded"}
        acknowledged = {r[0] for r in logged if r[1] == "acknowledged"}

        received = {r["key"] for r in self.records}
        answered = Counter(r["key"] for r in self.records if r["answer"] == 200)
        accounted = answered.keys() | self.queued | self.dead | self.superseded
        known = received | self.queued | self.dead | {r[0] for r in logged}
        self.lost = self.committed.keys() - accounted
        self.phantom = known - self.committed.keys()
        self.broken = set(shared.promised) - everything
        self.undone = len(set(shared.asynchronous) - everything)
        self.order = out_of_order(self.records, self.dead)
        self.mixed = self._mixed(logged)
        self.forged = [r["key"] for r in self.records if r["secret"] < 0] + \
            [(r["event"], r["path"]) for r in self.challenges if r["secret"] < 0]
        self.unrecorded = acknowledged - answered.keys()
        self.unlogged = self.committed.keys() - acknowledged - self.queued - self.dead \
            - self.superseded
        self.duplicates = sum(n - 1 for n in answered.values())
        # an answer that came too late was recorded too
        self.allowed = allowed + sum(
            r[1] == "timed_out" and r[0] in answered for r in logged)

    def _mixed(self, logged):
        """An event has one webhook-id, whatever receivers it has."""
        ids = defaultdict(set)
        keys = defaultdict(set)
        names = [(r["key"], r["webhook_id"]) for r in self.records]
        for key, webhook_id in names + [(r[0], r[2]) for r in logged]:
            ids[key[:4]].add(webhook_id)
            keys[webhook_id].add(key[:4])
        return [key for key, found in ids.items() if len(found) > 1] + \
            [key for key, found in keys.items() if len(found) > 1]

    def faults(self):
        """What must be empty and isn't, by name."""
        must = {
            "lost": self.lost, "phantom": self.phantom, "broken": self.broken,
            "out of order": self.order, "mixed webhook-ids": self.mixed,
            "wrong signatures": self.forged, "unrecorded": self.unrecorded,
            "unlogged": self.unlogged,
            "still queued": {key for key in self.queued if not self.is_down(key[4])},
        }
        found = {name: sorted(what) for name, what in must.items() if what}
        if self.duplicates > self.allowed:
            found["duplicates"] = [f"{self.duplicates} of {self.allowed} allowed"]
        return found

    def lines(self):
        """The comparison for the reader."""
        def show(what):
            return str(len(what)) if what else "∅"

        return [
            f"committed   {len(self.committed)} deliveries",
            f"received    {len(self.records)} requests;"
            f" {self.log_rows} attempts logged",
            f"given up    {len(self.dead)} dead letters,"
            f" {len(self.superseded)} superseded",
            f"undone      {self.undone} asynchronous commits, lost in a crash"
            " with their payments",
            f"lost        {show(self.lost)}",
            f"phantom     {show(self.phantom)}",
            f"order       {show(self.order)}",
            f"duplicates  {self.duplicates} (at most {self.allowed} were in flight or timed out),"
            f" under another webhook-id: {show(self.mixed)}",
        ]
