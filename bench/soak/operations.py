"""
bench/soak/operations.py
    What people and cron jobs do in the meantime: one thing every seven seconds, in
    turn, and once a day what belongs to a day.

Also the archive: payments that change no more leave their table, as dead letters leave
theirs, so that what grows is ours; the ledger keeps count of both.
"""

from .traffic import OPEN_FOR
from .world import SHARES

EVERY_SECONDS = 7
COPIED = 300

COPY = ("COPY payment_intents (payment_intent_id, status, symbol, fiat_amount,"
        " fiat_currency, order_data, callback_url) FROM STDIN;\n{}\n\\.\nSELECT 1")

ARCHIVE = """
WITH gone AS (DELETE FROM payment_intents WHERE payment_intent_id > '{first}'
                 AND payment_intent_id <= '{last}'
              RETURNING payment_intent_id, status, org_id)
SELECT concat_ws(' ', payment_intent_id, status, org_id) FROM gone
"""

# A dead letter's status is the end of its event's name.
DEAD = """
WITH gone AS (DELETE FROM kgwebhook.dead_letter
              RETURNING object_id, event, subscription_id)
SELECT concat_ws(' ', object_id, split_part(event, '.', 2),
                 subscription_id IS NOT NULL) FROM gone
"""

SUPERSEDED = """
SELECT concat_ws(' ', object_id, split_part(event, '.', 2),
                 subscription_id IS NOT NULL, attempt_id)
  FROM kgwebhook.delivery_log WHERE outcome = 'superseded' AND attempt_id > {after}
 ORDER BY attempt_id
"""


def padded(number):
    return f"pi_{number:012d}"


class Operations:
    def __init__(self, world, database, ledger, probes):
        self._world = world
        self._sql = database.sql
        self._ledger = ledger
        self._probes = probes
        self._superseded = 0            # the last attempt that was seen
        self.done = {}                  # what, and how often
        self._slow = world.destination("slow")
        self._hook = self._sql.number(
            f"SELECT kg_subscribe('m1', '{world.urls('hook')[0]}',"
            " '{payment_intent.success}')")
        self._cycle = [
            ("COPY of 300 payments", self._copy),
            ("destination paused", f"SELECT kg_pause('{self._slow}')"),
            ("page and status read",
             "SELECT count(*) FROM kg_status(); SELECT length(kg_dashboard())"),
            ("destination resumed", f"SELECT kg_resume('{self._slow}')"),
            ("archive", self.archive),
            ("subscription paused", f"SELECT kg_pause_subscription({self._hook})"),
            ("secret rotated",
             "SELECT kg_rotate_secret('m1', '1 second', '1 second')"),
            ("subscription resumed", f"SELECT kg_resume_subscription({self._hook})"),
            ("configuration reloaded", "SELECT pg_reload_conf()"),
            ("subscription made and removed", "SELECT kg_unsubscribe(kg_subscribe("
             "'m1', 'https://m1.example/hooks', '{payment_intent.expired}'))"),
        ]

    def _do(self, what, how):
        self.done[what] = self.done.get(what, 0) + 1
        if callable(how):
            how()
        else:
            self._sql(how)

    def next(self, number):
        """The operation that the nth turn has."""
        self._do(*self._cycle[number % len(self._cycle)])

    def next_day(self):
        """
        The clock goes on by a day.  The organization's secret is replaced during the
        next one, and kg_purge() runs as pg_cron would run it.
        """
        self._world.clock.next_day()
        self._do("day changed", "SELECT kg_rotate_secret('default', '12 hours', '6 hours')")
        self._sql("SELECT kg_purge()")

    def resume(self):
        """Nothing is paused after this."""
        self._sql("SELECT kg_resume()")
        self._sql(f"SELECT kg_resume_subscription({self._hook})")

    def _copy(self):
        groups = [group for group, share in SHARES.items()
                  for _ in range(share * COPIED // 1000)]
        numbers = self._sql(f"SELECT nextval('soak_id') FROM generate_series(1, {len(groups)})")
        lines = []
        for number, group in zip(numbers, groups):
            urls = self._world.urls(group)
            lines.append("\t".join((padded(int(number)), "pending", "USDT", "300.0",
                                    "USD", '{"region": "eu"}',
                                    urls[int(number) % len(urls)])))
        self._sql(COPY.format("\n".join(lines)))

    def archive(self, everything=False):
        """Takes what is over out of the tables and into the ledger."""
        last = self._sql.number("SELECT last_value FROM soak_id")
        first, last = (0, last) if everything else (self._probes,
                                                    last - 3 * OPEN_FOR)
        for line in self._sql(ARCHIVE.format(first=padded(first), last=padded(max(first, last)))):
            self._ledger.add_payment(*line.split())
        for line in self._sql(DEAD):
            payment, status, subscribed = line.split()
            self._ledger.add_settled(payment, status, subscribed == "t")
        for line in self._sql(SUPERSEDED.format(after=self._superseded)):
            payment, status, subscribed, attempt = line.split()
            self._ledger.add_settled(payment, status, subscribed == "t")
            self._superseded = int(attempt)
