"""
test/checker/terms.py
    Whether the terms of endpoints were kept: by the records, and by the log.

    too fast    more requests to an endpoint with a rate limit than it allows, in any
                span: by the log, which has the moments at which a worker sent, and by
                the records, where requests pile up in a receiver that stands still
    unasked     an event to an endpoint that has not consented since it was asked
    wrong secret  a body that was signed with a secret before it was to be used, or after
                its successor was, by the body's own second

Over delivery nodes, what was decided on one of them counts once all have heard of it.

That such an endpoint gets all that is for it in the end, only that, and signed with
one of its own secrets is a matter of the comparison, as with any other.
"""

from collections import defaultdict

# Seconds.  A worker on a loaded machine writes down when its turn began, not when it
# sent; a receiver that stood still takes what came in the meantime all at once.  The same
# covers what an endpoint gets beyond its rate when another node begins to serve it.
TURN = 0.5
STILL = 6
SECOND = 2


def most_beyond(times, rate):
    """By how much a bucket that is emptied at this rate overflows at most.

    A limit allows at once a tenth of a second's worth, or one.
    """
    bucket = max(1, rate / 10)
    level = 0
    last = 0
    most = 0
    for at in sorted(times):
        level = max(0, level - rate * (at - last)) + 1
        last = at
        most = max(most, level - bucket)
    return most


class Terms:
    """What endpoints with terms of their own got, and when."""

    def __init__(self, comparison, log, world, faults, secrets, unlimited):
        self.too_fast = []
        self.unasked = []
        self.wrong_secret = []
        self.rotated = len(faults.activates)
        self.sent = 0
        self.consents = 0
        arrived = defaultdict(list)
        for record in comparison.records:
            arrived[record["path"].lstrip("/")].append(record)
        for it in world.numbers("rated").values():
            self._judge_rate(it, log, arrived[it.name], unlimited)
        for it in world.numbers("consent").values():
            self._judge_consent(it, comparison.challenges, arrived[it.name], faults.asked)
        for record in comparison.records:
            self._judge_secret(record, secrets.get(record["signer"], []), faults)

    def _judge_rate(self, it, log, records, unlimited):
        sent = [attempt.began for key, attempts in log.items() if key[4] == it.url
                for attempt in attempts if attempt.made and attempt.began < unlimited]
        arrived = [record["t"] / 1000 for record in records if record["t"] / 1000 < unlimited]
        self.sent += len(arrived)
        for what, times, slack in ("sent", sent, TURN), ("arrived", arrived, STILL):
            beyond = most_beyond(times, it.rate)
            if beyond > it.rate * slack:
                self.too_fast.append((it.url, f"{beyond:.1f} beyond its rate {what} at once"))

    def _judge_consent(self, it, challenges, records, asked):
        consents = [c["t"] / 1000 for c in challenges
                    if c["consents"] and c["path"] == f"/{it.name}"]
        self.consents += len(consents)
        asked = [moment for name, moment in asked if name == it.name]
        for record in records:
            at = record["t"] / 1000
            since = max((then for then, heard in asked if heard <= at - STILL), default=0)
            if not any(since <= consent <= at for consent in consents):
                self.unasked.append((*record["key"], f"{at - since:.1f} s after it was asked"))

    def _judge_secret(self, record, secrets, faults):
        signer, number, at = record["signer"], record["secret"], record["stamp"]
        if number < 0:
            return
        since, until = 0, float("inf")
        if number > 0:
            since = faults.activates.get((signer, secrets[number]), since)
        if number + 1 < len(secrets):
            successor = signer, secrets[number + 1]
            if successor in faults.activates:
                until = max(faults.activates[successor], faults.rotated[successor][1])
        if not since - SECOND <= at <= until + SECOND:
            self.wrong_secret.append((*record["key"], f"secret {number} at {at}"))

    def faults(self):
        """What must be empty and isn't, by name."""
        return {"too fast": self.too_fast, "unasked": self.unasked,
                "wrong secret": self.wrong_secret}

    def lines(self):
        """The comparison for the reader."""
        return [
            f"terms       {self.sent} requests at a limited rate, too fast:"
            f" {len(self.too_fast) or '∅'}; {self.consents} challenges answered,"
            f" without consent: {len(self.unasked) or '∅'}; {self.rotated} rotations,"
            f" wrong secret: {len(self.wrong_secret) or '∅'}",
        ]
