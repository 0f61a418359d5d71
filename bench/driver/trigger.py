"""
bench/driver/trigger.py
    What the trigger costs a client: one-row changes of the same table twice, watched
    and bare.

Delivery is off: what the worker does is not the trigger's cost.  Clients and server have
all cores, as the users of a database have.  Each run begins with an empty queue and
without dead rows.
"""

from contextlib import contextmanager

from . import machine
from .machine import BenchError
from .pgbench import pgbench
from .runs import Sample

ROWS = 10000

UPDATE = """UPDATE {table} SET status =
    CASE status WHEN 'pending' THEN 'success' ELSE 'pending' END
 WHERE payment_intent_id = 'pi_' || lpad((:id)::text, 12, '0');
"""

# Ten receivers of an organization: three get each change; four ask for other events,
# and three for other payments.
SUBSCRIPTIONS = [
    ("*", None), ("payment_intent.*", None),
    ("payment_intent.pending,payment_intent.success", None),
    ("payout.*", None), ("*.refunded", None), ("payment_intent.expired", None),
    ("transfer.completed", None),
    ("*", '{"fiat_currency": "EUR"}'), ("payment_intent.*", '{"symbol": "BTC"}'),
    ("*.success,*.pending", '{"symbol": ["USDC", "DAI"]}'),
]
MATCHING = 3

TABLES = 3


@contextmanager
def _clients(bench):
    """A database for clients to change rows in, which nobody delivers from."""
    machine.move_to_cores(bench.server.pid, machine.ALL_CORES)
    try:
        with bench.server.database() as database:
            database.disable()
            yield database
    finally:
        machine.move_to_cores(bench.server.pid, machine.SENDER_CORES)


def _make(database, *tables):
    for table in tables:
        database.sql(f"CREATE TABLE {table} (LIKE payment_intents INCLUDING ALL)")
        database.sql(f"""
            INSERT INTO {table} (payment_intent_id, status, fiat_amount,
                fiat_currency, crypto_amount, symbol, callback_url)
            SELECT 'pi_' || lpad(i::text, 12, '0'), 'pending', '300.0',
                'USD', '300.0', 'USDT', 'https://127.0.0.1/webhooks'
              FROM generate_series(1, {ROWS}) AS i""")


def _rate(bench, database, tables, synchronous_commit):
    """Transactions a second, each of which changes a row of each table."""
    database.sql("TRUNCATE kgwebhook.queue")
    database.sql(f"VACUUM {', '.join(tables)}")
    script = bench.directory / f"{tables[0]}.sql"
    changes = "".join(UPDATE.format(table=table) for table in tables)
    if len(tables) > 1:
        changes = f"BEGIN;\n{changes}COMMIT;\n"
    script.write_text(f"\\set id random(1, {ROWS})\n{changes}")
    return pgbench(bench.server, script, max(1, round(8 * bench.scale)),
                   synchronous_commit).rate


def _compare(bench, database, row, bare, watched, events):
    """Both settings, bare and watched one after the other; so many rows an event."""
    for setting in ("on", "off"):
        without = _rate(bench, database, bare, setting)
        rate = _rate(bench, database, watched, setting)
        queued, objects = map(int, database.sql(
            "SELECT count(*) || ' ' || count(DISTINCT webhook_id)"
            " FROM kgwebhook.queue")[0].split())
        if not objects or queued != events * objects:
            raise BenchError(f"the trigger put {queued} rows into the queue for"
                             f" {objects} events")
        yield Sample((row, setting), rate / without, rate, without)


def trigger(bench, _wanted):
    with _clients(bench) as database:
        _make(database, "bare", "watched")
        database.sql("SELECT kg_watch('watched')")
        yield from _compare(bench, database, "trigger", ["bare"], ["watched"], 1)


def trigger_subscriptions(bench, _wanted):
    """Each change is an event for its own URL and for three subscriptions of ten."""
    with _clients(bench) as database:
        _make(database, "bare", "watched")
        database.sql("SELECT kg_watch('watched')")
        for number, (events, matches) in enumerate(SUBSCRIPTIONS):
            matches = f"'{matches}'" if matches else "NULL"
            database.sql("SELECT kg_subscribe('default',"
                         f" 'https://127.0.0.1/hooks/{number}', '{{{events}}}',"
                         f" filter => {matches})")
        yield from _compare(bench, database, "trigger_subscriptions", ["bare"],
                            ["watched"], 1 + MATCHING)


def trigger_tables(bench, _wanted):
    """A row of each of three tables in one transaction, each table watched."""
    bare = [f"bare{n}" for n in range(TABLES)]
    watched = [f"watched{n}" for n in range(TABLES)]
    with _clients(bench) as database:
        _make(database, *bare, *watched)
        for number, table in enumerate(watched):
            database.sql(f"SELECT kg_watch('{table}', 'kind{number}')")
        yield from _compare(bench, database, "trigger_tables", bare, watched, 1)
