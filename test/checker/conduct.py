"""
test/checker/conduct.py
    How deliveries were treated on their way: by the log, and by the clock.

    superseded  without a refusal: what was never answered holds nobody up, and must
                not be passed by; nor must it without a newer status of its own
                object, with another attempt since that got no answer, or earlier
                than max_hold after its first refusal.  What waited for a paused
                subscription may be, once a newer one was acknowledged at its URL
    early       an attempt before the schedule's delay, or before Retry-After
    late        in the calms, a delivery waited longer than LATE at an endpoint that is
                healthy, whatever fails beside it; longer by as much as others slowed
                the machine down (load.py)

Breakers can't be seen in the log, so that the times are lower bounds.  What waits
when a breaker closes is due at once, ahead of its time, which it keeps if it fails
then; so where one may have closed, an attempt can't be early.  Nor can the last word
before a delivery is superseded, except for Retry-After.  What died with a kept
connection says nothing: it goes again at once, and takes no step of the schedule.
"""

from bisect import bisect_left
from collections import defaultdict

from server import JITTER, MAX_HOLD, SCHEDULE
from comparison import deliveries
from world import RETRY_AFTER, destination_of, is_apart, is_good, manner_of, version_of

# Seconds.  Loaded machines of two cores take one or two; a failing neighbor costs minutes.
LATE = 6

# Clocks are read at different moments, and times are rounded.  A worker reckons holds
# by the time at which its turn began, which on a loaded machine is a while ago.
SLACK = 0.05
TURN = 0.5

# How long the answer that a record promises may be under way.
ANSWER = 5


class Attempt:
    """A row of the log."""

    def __init__(self, outcome, status, error, began, took):
        self.superseded = outcome == "superseded"
        self.overtaken = self.superseded and error.startswith("a newer status")
        self.made = not self.superseded and not error.startswith("not tried")
        self.dropped = status == "" and error.startswith("the kept-alive")
        self.answered = status != ""
        self.limited = status in ("429", "503")
        self.began = float(began)
        self.ended = self.began + float(took or 0) / 1000


def read_log(server):
    """The attempts of each delivery, in their order."""
    found = defaultdict(list)
    for key, *columns in deliveries(
            server, "delivery_log", ", outcome, response_status, left(error, 20),"
            " extract(epoch FROM started_at), duration_ms", "attempt_id"):
        found[key].append(Attempt(*columns))
    return found


def ends_unanswered(log):
    """When attempts ended without an answer, by destination, in order."""
    found = defaultdict(list)
    for key, attempts in log.items():
        found[destination_of(key[4])].extend(
            attempt.ended for attempt in attempts if attempt.made and not attempt.answered)
    for times in found.values():
        times.sort()
    return found


def had_held(attempts, this):
    """Whether a hold may have been over when this attempt began."""
    refused = [attempt for attempt in attempts if attempt.answered]
    return bool(refused) and this.began - refused[0].ended >= MAX_HOLD - TURN


def line_of(key):
    """An object's own deliveries to a host are in one line, wherever there they go."""
    kind, org, object_id, _, endpoint = key
    return kind, org, object_id, endpoint if is_apart(endpoint) else destination_of(endpoint)


def within(times, span):
    """Whether one of these, in order, is within the span."""
    at = bisect_left(times, span[0])
    return at < len(times) and times[at] <= span[1]


def overlap(begin, end, spans):
    """How much of a time is within spans that don't overlap each other."""
    return sum(max(0, min(end, until) - max(begin, since)) for since, until in spans)


def without(spans, holes):
    """Spans without what is excused."""
    for since, until in holes:
        spans = [part for a, b in spans
                 for part in ((a, min(b, since)), (max(a, until), b)) if part[0] < part[1]]
    return spans


class Conduct:
    """What the log and the records say of each delivery's way."""

    def __init__(self, server, comparison, calms, excused, load):
        self.log = read_log(server)
        self.newest = defaultdict(int)
        self.held_from = {}
        for key in comparison.committed:
            line, version = line_of(key), version_of(key[3])
            self.newest[line] = max(self.newest[line], version)
            if not is_good(key[4]) or comparison.is_down(key[4]):
                self.held_from[line] = min(version, self.held_from.get(line, version))
        self.acknowledged = defaultdict(list)
        self.answers = defaultdict(list)
        self.first = {}
        self.got = defaultdict(list)
        for record in comparison.records:
            at = record["t"] / 1000
            destination = destination_of(record["key"][4])
            if record["answer"] != 0:
                self.answers[destination].append(at)
            if record["answer"] == 200:
                self.acknowledged[destination].append(at)
                self.first.setdefault(record["key"], at)
                kind, org, object_id, status, endpoint = record["key"]
                self.got[kind, org, object_id, endpoint].append((at, version_of(status)))
        self.unanswered = ends_unanswered(self.log)
        self.calms = calms
        self.slower = [load.factor(since, until) for since, until in calms]
        self.wrongly_superseded = self._superseded()
        self.early = self._early()
        self.waits = sorted(self._waits(comparison, excused))

    def _superseded(self):
        found = []
        for key, attempts in self.log.items():
            if attempts[-1].superseded:
                why = self._wrong(key, attempts)
                if why:
                    found.append((*key, why))
        return found

    def _wrong(self, key, attempts):
        """Why a delivery should not have been superseded, or None."""
        kind, org, object_id, status, endpoint = key
        if attempts[-1].overtaken:
            if any(at <= attempts[-1].began + ANSWER and version > version_of(status)
                   for at, version in self.got[kind, org, object_id, endpoint]):
                return None
            return "nothing newer was acknowledged there"
        made = [attempt for attempt in attempts if attempt.made and not attempt.dropped]
        refused = [attempt for attempt in made if attempt.answered]
        if not refused:
            return f"nothing was refused in {len(made)} attempts"
        if not made[-1].answered:
            return "its last attempt was not answered"
        held = attempts[-1].began - refused[0].ended
        if held < MAX_HOLD - TURN:
            return f"held for {held:.2f} s only"
        if self.newest[line_of(key)] <= version_of(status):
            return "there is nothing newer of its object"
        return None

    def _early(self):
        found = []
        for key, attempts in self.log.items():
            limit = RETRY_AFTER.get(manner_of(key[4]), 0)
            due = 0     # of the attempt before, if it may have been ahead of it
            step = 0
            made = [attempt for attempt in attempts if attempt.made]
            for number, (last, this) in enumerate(zip(made, made[1:])):
                # a date counts from when the receiver looked at its clock
                wished = last.began + limit if last.limited else 0
                least = max(wished, last.ended + (1 - JITTER) * SCHEDULE[
                    min(step, len(SCHEDULE) - 1)])
                if last.dropped:
                    due = last.ended
                elif due:
                    due = min(least, max(due, wished))
                else:
                    due = least
                    step += 1
                if self._released(key, last, this):
                    continue
                if had_held(made[:number + 1], this):
                    due = min(due, max(wished, last.ended))
                if this.began < due - SLACK:
                    found.append((*key, f"attempt {number + 2} after"
                                  f" {this.began - last.ended:.3f} s,"
                                  f" not {due - last.ended:.3f}"))
                due = 0
        return found

    def _released(self, key, last, this):
        """Whether a breaker may have closed in the meantime.

        An acknowledgement closes its endpoint's, and shows that the destination is
        there; so does any answer, where one could not be reached before.
        """
        destination = destination_of(key[4])
        span = last.ended - ANSWER, this.began + SLACK
        return within(self.acknowledged[destination], span) or (
            within(self.answers[destination], span)
            and within(self.unanswered[destination], span))

    def _waits(self, comparison, excused):
        """How long each delivery to an endpoint that is healthy waited in the calms."""
        spans = {}
        for key, at in comparison.committed.items():
            if not is_good(key[4]) or comparison.is_down(key[4]) or not at:
                continue
            # what was never answered is never given up for something newer of its object
            if version_of(key[3]) > self.held_from.get(line_of(key), float("inf")):
                continue
            destination = destination_of(key[4])
            if destination not in spans:
                spans[destination] = without(self.calms, [
                    hole[1:] for hole in excused if hole[0] == destination])
            end = self._end(key)
            yield overlap(at, end, spans[destination]), self._limit(at, end), key

    def _limit(self, began, ended):
        """How long a delivery may take on this machine, as it was then."""
        return LATE * max((slower for slower, (since, until) in zip(self.slower, self.calms)
                           if began < until and ended > since), default=1)

    def _end(self, key):
        """When a delivery arrived, or was superseded; else never."""
        last = self.log[key][-1] if key in self.log else None
        passed_by = last.began if last and last.superseded else float("inf")
        return self.first.get(key, passed_by)

    def faults(self):
        """What must be empty and isn't, by name."""
        late = [(*key, f"{wait:.1f} s of {limit:.1f}")
                for wait, limit, key in self.waits if wait > limit]
        must = {"wrongly superseded": self.wrongly_superseded, "early": self.early,
                "late": late}
        return {name: sorted(what) for name, what in must.items() if what}

    def lines(self):
        """The comparison for the reader."""
        waits = [wait for wait, *_ in self.waits] or [0]
        late = sum(wait > limit for wait, limit, _ in self.waits)
        return [
            f"superseded  without a refusal: {len(self.wrongly_superseded) or '∅'}",
            f"early       {len(self.early) or '∅'}",
            f"late        {late or '∅'} (healthy endpoints in the calms: p99"
            f" {waits[len(waits) * 99 // 100]:.2f} s, {waits[-1]:.2f} s at most;"
            f" others slowed the machine down by {max(self.slower, default=1):.1f} at most)",
        ]
