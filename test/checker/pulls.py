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
        self.cursor = "NULL"
        self.first = None           # the first cursor that it was given
        self.events = []            # (kind, org, id, status), in the order in which they came
        self.webhook_ids = []
        self.bodies = []            # those whose secret is not known yet, or never

    def pull(self, server, page, secrets, seconds=20):
        """One page; how many events it had, or None when there was no answer."""
        lines = server.sql(
            "SELECT json_build_array(cursor, webhook_id, event, object_id, body) FROM"
            f" kg_events_since('{self.org}', {self.cursor}, {page}, {self.number})", seconds)
        if lines is None:
            return None
        for line in lines:
            self._take(*json.loads(line), secrets)
        return len(lines)

    def _take(self, cursor, webhook_id, event, object_id, body, secrets):
        kind, status = split_event(event)
        content = json.loads(body)
        self.cursor = f"'{cursor}'"
        self.first = self.first or self.cursor
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
        """Events that came after a newer one of their object."""
        newest = defaultdict(int)
        late = []
        for event in self.events:
            version = version_of(event[3])
            if version < newest[event[:3]]:
                late.append(event)
            newest[event[:3]] = max(newest[event[:3]], version)
        return late


class Pulls(threading.Thread):
    """All of them, one after the other."""

    def __init__(self, server, shared, receiver, seed):
        super().__init__(daemon=True)
        self.server = server
        self.shared = shared
        self.receiver = receiver        # whose secrets are those of all
        self.random = random.Random(f"{seed} pulls")
        self.merchants = [Merchant(org, "NULL", None) for org in ORGS] + [
            Merchant(it.org, number, (it.url, it.name))
            for number, it in shared.world.numbers("sealed").items()]
        self.pages = 0
        self.crossed = 0
        self.error = None

    def run(self):
        while not self.shared.over.wait(EVERY):
            for merchant in self.merchants:
                try:
                    pulled = merchant.pull(self.server, self.random.choice(PAGES),
                                           self._secrets(merchant))
                except subprocess.TimeoutExpired:
                    continue
                except Exception as error:      # not to be taken for a merchant without news
                    self.error = error
                    return
                self.pages += pulled is not None

    def _secrets(self, merchant):
        return self.receiver.secrets[merchant.signer][:]

    def finish(self, committed):
        """Pulls what is left, and says by name what must be empty and isn't."""
        self.join()
        if self.error is not None:
            raise self.error
        found = defaultdict(list)
        self.crossed = int(self.server.must(CROSSED, 300)[0])
        for merchant in self.merchants:
            while merchant.pull(self.server, 1000, self._secrets(merchant), 300):
                pass
            wanted = merchant.wanted(committed)
            pulled = set(merchant.events)
            found["not pulled"] += sorted(wanted - pulled)
            found["pulled anyway"] += sorted(pulled - wanted)
            found["pulled twice"] += [
                (merchant.org, *one) for one in Counter(merchant.webhook_ids).items()
                if one[1] > 1]
            found["pulled late"] += merchant.out_of_order()
            found["bad body"] += [body for body, is_its in merchant.bodies
                                  if not is_its or not is_signed(body, self._secrets(merchant))]
        return found

    def lines(self):
        """The comparison for the reader."""
        return [f"pulled      {sum(len(m.events) for m in self.merchants)} events in"
                f" {self.pages} pages by {len(self.merchants)} merchants;"
                f" {self.crossed} came after one of a later transaction"]
