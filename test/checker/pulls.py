"""
test/checker/pulls.py
    Merchants who fetch their events by cursor, while all the rest goes on.

Each asks kg_events_since() for a page of any size, keeps the cursor of its last row,
and asks on from there, through every crash; one asks for a subscription only.  In the
end each has to have had

    not pulled     every event that was committed and had a receiver,
    pulled anyway  no other: what a crash can still undo must not be shown, for a
                   cursor behind it would pass by what takes its place
    pulled twice   each once,
    pulled late    those of an object in their order, also where the transaction of the
                   later one has the lower number,
    bad body       each as it is, and signed by the right secret.

Over delivery nodes, each asks one node or another, sometimes with the cursor that another
one gave, which must be refused.  Having got a page, it often asks the others for all that they
have; and then nothing may be missing that is older than what the page has:

    pulled ahead   what came in a page, but something older of its object came later than what
                   the other nodes had then.
"""

import hashlib
import hmac
import json
import random
import subprocess
import threading
from collections import Counter, defaultdict

from world import ORGS, split_event, version_of

# Seconds between two looks, and how many events a page may have.
EVERY = 0.3
PAGES = [1, 7, 50, 1000, 1000]

# After how many of the pages all other nodes are asked.
SWEPT = 0.5


def is_signed(body, secrets):
    """Whether one of these signed it: see receiver.mjs."""
    text = (body[:-80] + "}").encode()
    return any(body[-80:] == ',"signature":"{}"}}'.format(
        hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()) for secret in secrets)


# How many changes were made by a transaction of a lower number than that of an older one.
CROSSED = """
SELECT count(*)
  FROM (SELECT xid, max(xid) OVER (PARTITION BY kind, org, id
                                   ORDER BY split_part(status, '.', 1)::int) AS largest
          FROM checker.audit) a
 WHERE xid < largest"""


class Merchant:
    """One who pulls, and what came of it."""

    def __init__(self, org, number, endpoint):
        self.org = org
        self.number = number        # of a subscription, or "NULL"
        self.endpoint = endpoint    # its URL and path
        self.signer = endpoint[1] if endpoint else org
        self.cursors = {}           # by server, the last that it gave
        self.last = "NULL"          # the last that anyone gave
        self.first = None           # the first cursor that it was given
        self.events = []            # (kind, org, id, status), in the order in which they came
        self.servers = []           # who gave each
        self.swept = []             # where a page began and ended, and where all that others had
        self.webhook_ids = []
        self.bodies = []            # those whose secret is not known yet, or never

    def pull(self, server, page, secrets, seconds=20):
        """One page; how many events it had, or None when there was no answer."""
        return self._pull(server, self.cursors.get(server, "NULL"), page, secrets, seconds)

    def pull_by_last(self, server, page, secrets):
        """The same by whatever cursor came last, as one who knows no better."""
        return self._pull(server, self.last, page, secrets, 20)

    def sweep(self, began, others, secrets):
        """All that other servers have, after a page that began there; if all answer."""
        ended = len(self.events)
        for server in others:
            while pulled := self.pull(server, 1000, secrets):
                pass
            if pulled is None:
                return
        self.swept.append((began, ended, len(self.events)))

    def _pull(self, server, cursor, page, secrets, seconds):
        lines = server.sql(
            "SELECT json_build_array(cursor, webhook_id, event, object_id, body) FROM"
            f" kg_events_since('{self.org}', {cursor}, {page}, {self.number})", seconds)
        if lines is None:
            return None
        for line in lines:
            self._take(server, *json.loads(line), secrets)
        return len(lines)

    def _take(self, server, cursor, webhook_id, event, object_id, body, secrets):
        kind, status = split_event(event)
        content = json.loads(body)
        self.last = self.cursors[server] = f"'{cursor}'"
        self.first = self.first or self.last
        self.servers.append(server)
        self.webhook_ids.append(webhook_id)
        self.events.append((kind, self.org, object_id, status))
        if (content["org"], content["object"], content["status"]) != self.events[-1][1:]:
            self.bodies.append((body, False))
        elif not is_signed(body, secrets):
            self.bodies.append((body, True))

    def wanted(self, committed):
        """What it had to get of what was committed."""
        return {key[:4] for key in committed if key[1] == self.org
                and (not self.endpoint or key[4] == self.endpoint[0])}

    def out_of_order(self):
        """Events that came after a newer one of their object from the same server."""
        newest = defaultdict(int)
        late = []
        for event, server in zip(self.events, self.servers):
            version = version_of(event[3])
            line = server, event[:3]
            if version < newest[line]:
                late.append(event)
            newest[line] = max(newest[line], version)
        return late

    def ahead(self):
        """Events after which something older came, later than all that the others had."""
        came = defaultdict(dict)
        for at, event in enumerate(self.events):
            came[event[:3]].setdefault(version_of(event[3]), at)
        complete = {}       # when all that is older than a version had come
        for thing, versions in came.items():
            latest = -1
            for version in sorted(versions):
                complete[thing, version] = latest
                latest = max(latest, versions[version])
        return [event for began, ended, until in self.swept for event in self.events[began:ended]
                if complete[event[:3], version_of(event[3])] >= until]


class Pulls(threading.Thread):
    """All of them, one after the other."""

    def __init__(self, servers, truth, shared, receiver, seed):
        super().__init__(daemon=True)
        self.servers = servers
        self.truth = truth              # the server that knows what was committed
        self.shared = shared
        self.receiver = receiver        # whose secrets are those of all
        self.random = random.Random(f"{seed} pulls")
        self.merchants = [Merchant(org, "NULL", None) for org in ORGS] + [
            Merchant(it.org, number, (it.url, it.name))
            for number, it in shared.world.numbers("sealed").items()]
        self.pages = 0
        self.foreign = 0                # pages that were asked for by another's cursor
        self.crossed = 0
        self.error = None

    def run(self):
        while not self.shared.over.wait(EVERY):
            for merchant in self.merchants:
                try:
                    self._ask(merchant)
                except subprocess.TimeoutExpired:
                    continue
                except Exception as error:      # not to be taken for a merchant without news
                    self.error = error
                    return

    def _ask(self, merchant):
        """A page of one server, and often all that the others have then."""
        server = self.random.choice(self.servers)
        others = [other for other in self.servers if other is not server]
        page = self.random.choice(PAGES)
        secrets = self._secrets(merchant)
        began = len(merchant.events)
        if merchant.last in [merchant.cursors.get(other) for other in others]:
            self.foreign += 1
            merchant.pull_by_last(server, page, secrets)
        pulled = merchant.pull(server, page, secrets)
        self.pages += pulled is not None
        if pulled and others and self.random.random() < SWEPT:
            merchant.sweep(began, others, secrets)

    def _secrets(self, merchant):
        return self.receiver.secrets[merchant.signer][:]

    def finish(self, committed):
        """Pulls what is left, and says by name what must be empty and isn't."""
        self.join()
        if self.error is not None:
            raise self.error
        found = defaultdict(list)
        self.crossed = int(self.truth.must(CROSSED, 300)[0])
        for merchant in self.merchants:
            for server in self.servers:
                while merchant.pull(server, 1000, self._secrets(merchant), 300):
                    pass
            wanted = merchant.wanted(committed)
            pulled = set(merchant.events)
            found["not pulled"] += sorted(wanted - pulled)
            found["pulled anyway"] += sorted(pulled - wanted)
            found["pulled twice"] += [
                (merchant.org, *one) for one in Counter(merchant.webhook_ids).items()
                if one[1] > 1]
            found["pulled late"] += merchant.out_of_order()
            found["pulled ahead"] += merchant.ahead()
            found["bad body"] += [body for body, is_its in merchant.bodies
                                  if not is_its or not is_signed(body, self._secrets(merchant))]
        return found

    def lines(self):
        """The comparison for the reader."""
        lines = [f"pulled      {sum(len(m.events) for m in self.merchants)} events in"
                 f" {self.pages} pages by {len(self.merchants)} merchants;"
                 f" {self.crossed} came after one of a later transaction"]
        if len(self.servers) > 1:
            lines.append(f"            {self.foreign} times by another node's cursor; after"
                         f" {sum(len(m.swept) for m in self.merchants)} pages by all others' too")
        return lines
