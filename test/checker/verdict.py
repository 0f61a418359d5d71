"""
test/checker/verdict.py
    What was committed against what was received, queued, given up and logged.

    lost        committed, but neither acknowledged by a receiver, nor in the
                queue, nor among the dead letters, nor superseded
    phantom     received, queued, given up or logged, but not committed
    broken      promised by an answered COMMIT, but not committed
    order       an older transition of an object that a receiver sees for the first
                time after a newer one (unless the older was given up before)
    mixed       one transition under two webhook-ids, or two under one
    forged      a request whose signature is wrong
    unrecorded  logged as acknowledged, but never answered so by a receiver
    duplicates  acknowledged more often than once; allowed are those that were in
                flight, or not yet written down, when something ended
"""

import json
from collections import Counter, defaultdict


def version_of(status):
    """The number of a transition within its object."""
    return int(status.split(".")[0])


def read_records(receivers):
    """All requests, in the order of their arrival."""
    records = []
    for receiver in receivers:
        with open(receiver.record, encoding="utf-8") as file:
            # a receiver that was killed may have written half a line
            for line in file:
                try:
                    record = json.loads(line)
                except json.JSONDecodeError:
                    continue
                record["key"] = (record["object"], record["status"])
                records.append(record)
    records.sort(key=lambda record: record["t"])
    return records


def pairs(server, query):
    """Rows of object and something else."""
    return [tuple(line.split("|")) for line in server.must(query, 300)]


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
        version = version_of(key[1])
        if version < newest[key[0]] and key not in given_up:
            late.append(key)
        newest[key[0]] = max(newest[key[0]], version)
    return late


class Verdict:
    """The comparison, once everything has come to rest."""

    def __init__(self, server, receivers, shared, allowed):
        self.records = read_records(receivers)
        everything = pairs(server, "SELECT object, status FROM checker.audit")
        self.committed = set(pairs(
            server, "SELECT object, status FROM checker.audit WHERE has_url"))
        status = "substr(event, length('payment_intent.') + 1)"
        self.queued = set(pairs(
            server, f"SELECT object_id, {status} FROM kgwebhook.queue"))
        self.dead = set(pairs(
            server, f"SELECT object_id, {status} FROM kgwebhook.dead_letter"))
        logged = pairs(server, f"SELECT object_id, {status}, outcome, webhook_id"
                       " FROM kgwebhook.delivery_log")
        self.log_rows = len(logged)
        self.superseded = {r[:2] for r in logged if r[2] == "superseded"}
        acknowledged = {r[:2] for r in logged if r[2] == "acknowledged"}

        received = {r["key"] for r in self.records}
        answered = Counter(r["key"] for r in self.records if r["answer"] == 200)
        accounted = answered.keys() | self.queued | self.dead | self.superseded
        known = received | self.queued | self.dead | {r[:2] for r in logged}
        self.lost = self.committed - accounted
        self.phantom = known - self.committed
        self.broken = set(shared.promised) - set(everything)
        self.undone = len(set(shared.asynchronous) - set(everything))
        self.order = out_of_order(self.records, self.dead | self.superseded)
        self.mixed = self._mixed(logged)
        self.forged = [r["key"] for r in self.records if not r["genuine"]]
        self.unrecorded = acknowledged - answered.keys()
        self.unlogged = self.committed - acknowledged - self.queued - self.dead \
            - self.superseded
        self.duplicates = sum(n - 1 for n in answered.values())
        self.allowed = allowed

    def _mixed(self, logged):
        ids = defaultdict(set)
        keys = defaultdict(set)
        names = [(r["key"], r["webhook_id"]) for r in self.records]
        for key, webhook_id in names + [(r[:2], r[3]) for r in logged]:
            ids[key].add(webhook_id)
            keys[webhook_id].add(key)
        return [key for key, found in ids.items() if len(found) > 1] + \
            [key for key, found in keys.items() if len(found) > 1]

    def faults(self):
        """What must be empty and isn't, by name."""
        must = {
            "lost": self.lost, "phantom": self.phantom, "broken": self.broken,
            "out of order": self.order, "mixed webhook-ids": self.mixed,
            "wrong signatures": self.forged, "unrecorded": self.unrecorded,
            "unlogged": self.unlogged, "still queued": self.queued,
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
            f"committed   {len(self.committed)} transitions to be delivered",
            f"received    {len(self.records)} requests;"
            f" {self.log_rows} attempts logged",
            f"given up    {len(self.dead)} dead letters,"
            f" {len(self.superseded)} superseded",
            f"undone      {self.undone} asynchronous commits, lost in a crash"
            " with their payments",
            f"lost        {show(self.lost)}",
            f"phantom     {show(self.phantom)}",
            f"order       {show(self.order)}",
            f"duplicates  {self.duplicates} (at most {self.allowed} were in flight),"
            f" under another webhook-id: {show(self.mixed)}",
        ]
