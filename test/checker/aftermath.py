"""
test/checker/aftermath.py
    What happens to a database after the storms: it is purged, and copied.

By now the comparison has read all that it needs, and receivers acknowledge everything.

    purge    removes attempts older than it was told, no newer ones, nothing that
             waits and no dead letter; a cursor from before is refused
    copy     of the database, with what waits in it, made beside it by TEMPLATE: it sends
             nothing, neither that nor events of its own, nor after a restart, until
             kg_adopt(); and then all of it, under the webhook-ids that the original's have
"""

from collections import Counter

from comparison import read_records
from server import CheckerError, wait_until
from world import ORGS, TABLES

COPY = "copied"
SEEN = "SELECT worker_state FROM kgwebhook.stats"


class Aftermath:
    """Goes through all of it once; what must be empty and isn't is in "found"."""

    def __init__(self, server, receivers, world, merchant):
        self.server = server
        self.receivers = receivers
        self.world = world
        self.found = {"purged": [], "copy": []}
        self._write("both")
        self._purge(merchant)
        try:
            self._copy()
        except CheckerError as error:
            self._complain("copy", [str(error)])

    def _write(self, token, database="postgres"):
        """A payment of each kind by each organization, with a URL of its own."""
        self.server.must("".join(
            f"INSERT INTO {table} (org, id, status, version, url) VALUES"
            f" ('{org}', '{token}', '1.{token}', 1, '{self.world.bases[0]}own/{org}/late');"
            for table in TABLES.values() for org in ORGS), database=database)

    def _rows(self, query, database="postgres"):
        return self.server.must(query, 300, database)

    def _purge(self, merchant):
        waiting = "SELECT delivery_id, webhook_id, url FROM kgwebhook.{} ORDER BY 1"
        before = [self._rows(waiting.format(table)) for table in ("queue", "dead_letter")]
        cut = ("(SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY started_at)"
               " FROM kgwebhook.delivery_log)")
        self._rows("CREATE TABLE checker.kept AS SELECT attempt_id, started_at >="
                   f" {cut} AS stays, {cut} AS cut FROM kgwebhook.delivery_log;"
                   "BEGIN; SELECT kg_purge(now() - (SELECT cut FROM checker.kept LIMIT 1)); COMMIT")
        self._complain("purged", self._rows(
            "SELECT 'attempt ' || coalesce(k.attempt_id, l.attempt_id) || CASE WHEN l.attempt_id IS NULL"
            " THEN ' is gone' ELSE ' is still there' END FROM checker.kept k FULL JOIN"
            " kgwebhook.delivery_log l USING (attempt_id) WHERE coalesce(k.stays, false) <> (l.attempt_id IS NOT NULL)"
            " LIMIT 20"))
        if self.server.sql(f"SELECT kg_events_since('{merchant.org}', {merchant.first})"):
            self._complain("purged", ["a cursor from before is not refused"])
        self._rows("SELECT kg_purge('0')")
        after = [self._rows(waiting.format(table)) for table in ("queue", "dead_letter")]
        for name, was, now in zip(("queued", "dead letter"), before, after):
            self._complain("purged", [f"{name} {line}" for line in sorted({*was} ^ {*now})])
        if self._rows("SELECT FROM kgwebhook.delivery_log"):
            self._complain("purged", ["the log is not empty"])

    def _copy(self):
        self.server.must(f"CREATE DATABASE {COPY} TEMPLATE postgres", 120, "template1")
        self._write("copy1", COPY)
        self._restart()
        self._wait_for("both")
        self._expect_silence()
        self._restart()
        self._write("copy2", COPY)
        self._write("beside")
        self._wait_for("beside")
        self._expect_silence()
        once = self._arrived("both")
        self.server.must("SELECT kg_adopt()", database=COPY)
        self._wait_for("copy1", COPY)
        self._wait_for("copy2", COPY)
        self._wait_for("both", COPY)
        twice = self._arrived("both")
        for key, times in once.items():
            if times != 1 or twice[key] != 2:
                self._complain("copy", [
                    f"{key}: {times} times before it was adopted, {twice[key]} after it"])
        for token in "copy1", "copy2":
            if len(self._arrived(token)) != len(once):
                self._complain("copy", [f"{token} did not arrive as the original's did"])

    def _restart(self):
        self.server.stop("fast")
        self.server.start("kgwebhook.enabled = on")

    def _wait_for(self, token, database="postgres"):
        wait_until(f"{token} to be sent from {database}", lambda: self.server.sql(
            f"SELECT NOT EXISTS (SELECT FROM kgwebhook.queue WHERE object_id = '{token}')",
            database=database) == ["t"])

    def _expect_silence(self):
        """The copy has been looked at by a worker, and has sent nothing."""
        wait_until("a worker to see that it is a copy", lambda: self.server.sql(
            SEEN, database=COPY) == ["not adopted"] or self._arrived("copy1"))
        self._complain("copy", [
            f"sent before it was adopted: {key}" for token in ("copy1", "copy2")
            for key in self._arrived(token)])

    def _arrived(self, token):
        """How often each delivery of these arrived, by its endpoint and webhook-id."""
        records, _ = read_records(self.receivers)
        return Counter((r["key"][:2], r["key"][4], r["webhook_id"]) for r in records
                       if r["object"] == token and r["answer"] == 200)

    def _complain(self, name, what):
        self.found[name] += what
