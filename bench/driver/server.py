"""
bench/driver/server.py
    A PostgreSQL server of the bench's own, and databases in it.

The settings are those that kgwebhook is shipped with, except for what lets it call
the loopback interface.  PostgreSQL's are its own too, durable ones; only
checkpoints are kept from falling into one run and not into another.

Every run has a database to itself, so that none finds another's dead rows,
full log or warmed worker.  The database takes its worker with it.
"""

import os
import select
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from . import machine
from .machine import BenchError, wait_until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
DATABASE = "bench"

CONFIGURATION = """
shared_preload_libraries = 'kgwebhook'
listen_addresses = ''
unix_socket_directories = '{directory}'
max_connections = 50

# like any server's that has work to do; all that makes it durable is on
shared_buffers = 512MB
max_wal_size = 8GB
min_wal_size = 8GB
checkpoint_timeout = 1h

# the receivers are on this machine
kgwebhook.allow_http = on
kgwebhook.allowed_networks = '127.0.0.0/8'
kgwebhook.ca_file = '{ca_file}'
"""

# What A1's sample has in a payment intent, and as long.
FILL = """
INSERT INTO {table} (payment_intent_id, status, payment_chain_id,
    symbol, fiat_amount, fiat_currency, crypto_amount, received_crypto_amount,
    payment_tx_hash, order_data, callback_url)
SELECT 'pi_' || lpad((i + {first})::text, 12, '0'), 'pending', '56',
       'USDT', '300.0', 'USD', '300.0', '300.0',
       '0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060',
       '{{"order": "2026-000123", "region": "eu"}}',
       (ARRAY['{urls}'])[1 + i % {nurls}]
  FROM generate_series(0, {count} - 1) AS i
"""


class Session:
    """
    A psql that stays connected, so that to ask costs a round trip only.

    An error of SQL or of psql, and an answer that takes too long, raise.
    """

    END = "--end-of-answer--"

    def __init__(self, psql, directory, database):
        self._process = subprocess.Popen(
            [psql, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1",
             "-h", directory, "-U", "postgres", "-d", database],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: os.sched_setaffinity(0, machine.WORLD_CORES))
        self._unread = b""

    def __call__(self, sql, seconds=60):
        """Runs SQL and returns the lines it gave."""
        try:
            self._process.stdin.write(f"{sql};\n\\echo {self.END}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError as broken:
            raise BenchError(f"psql is gone, before: {sql}") from broken
        lines = []
        deadline = time.monotonic() + seconds
        while True:
            line = self._line(deadline, sql)
            if line == self.END:
                return lines
            lines.append(line)

    def number(self, sql, seconds=60):
        """Runs SQL that gives one number."""
        return int(self(sql, seconds)[-1])

    def _line(self, deadline, sql):
        stdout = self._process.stdout.fileno()
        while b"\n" not in self._unread:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([stdout], [], [], left)[0]:
                raise BenchError(f"psql took too long over: {sql[:1000]}")
            got = os.read(stdout, 65536)
            if not got:
                raise BenchError(f"psql failed: {self._unread.decode()}{sql}")
            self._unread += got
            if b"ERROR:" in self._unread or b"FATAL:" in self._unread:
                raise BenchError(f"{self._unread.decode().strip()}\nin: {sql}")
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    def close(self):
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


class Server:
    def __init__(self, bindir, directory, ca_file, settings="", env=None):
        self.bindir = Path(bindir)
        self._env = {**os.environ, **(env or {})}
        self.directory = Path(directory)
        self.data = self.directory / "data"
        self.log = self.directory / "server.log"
        self.program("initdb", "-D", self.data, "-U", "postgres", "-A", "trust",
                     "--no-locale", "--encoding=UTF8")
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(CONFIGURATION.format(directory=directory,
                                            ca_file=ca_file) + settings)
        self._pg_ctl("start", "-l", self.log)
        self.pid = int((self.data / "postmaster.pid").read_text().split()[0])
        self.admin = self.session("postgres")
        self._warm_up()

    def _warm_up(self):
        """
        Touches all of shared_buffers, and leaves WAL files that are written over
        and not created, as they are where a server has run for a day.
        """
        self.admin("CREATE TABLE warm AS SELECT repeat(md5(i::text), 31) AS"
                   " filling FROM generate_series(1, 1000000) AS i", 300)
        self.admin("DROP TABLE warm")
        self.admin("CHECKPOINT", 300)

    def program(self, name, *arguments, seconds=120):
        """Runs one of PostgreSQL's programs, on the sender's core."""
        return machine.run(name, [self.bindir / name, *map(str, arguments)],
                           machine.SENDER_CORES, seconds)

    def _pg_ctl(self, action, *options):
        # Not by way of a pipe, which the server would inherit and keep open.
        with open(self.directory / "pg_ctl.log", "a", encoding="utf-8") as log:
            done = subprocess.run(
                [self.bindir / "pg_ctl", "-D", self.data, "-w", "-s", *options,
                 action], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self._env,
                preexec_fn=lambda: os.sched_setaffinity(
                    0, machine.SENDER_CORES),
                timeout=120, check=False)
        if done.returncode != 0:
            raise BenchError(f"the server does not {action}:\n{self.log_end()}")

    def restart(self, settings):
        """With these settings besides."""
        for name, value in settings.items():
            self.set(name, value)
        self.admin.close()
        self._pg_ctl("restart", "-m", "fast", "-l", self.log)
        self.pid = int((self.data / "postmaster.pid").read_text().split()[0])
        self.admin = self.session("postgres")

    def stop(self):
        self.admin.close()
        self._pg_ctl("stop", "-m", "fast")

    def log_end(self):
        """The last lines of the server's log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text().splitlines()[-20:])

    def session(self, database=DATABASE):
        return Session(self.bindir / "psql", self.directory, database)

    def set(self, name, value):
        self.admin(f"ALTER SYSTEM SET {name} = {value}")
        self.admin("SELECT pg_reload_conf()")

    @contextmanager
    def database(self, name=DATABASE):
        """A database with the extension, a secret and a table of intents."""
        self.set("kgwebhook.enabled", "on")
        self.admin(f"CREATE DATABASE {name}")
        try:
            database = Database(self, name)
            try:
                yield database
            finally:
                database.sql.close()
        finally:
            self.admin(f"DROP DATABASE {name} WITH (FORCE)", 300)


class Database:
    def __init__(self, server, name):
        self.server = server
        self.sql = server.session(name)
        self.sql("SET client_min_messages = warning")
        self.sql("CREATE EXTENSION kgwebhook CASCADE")
        self.sql(f"SELECT kg_set_secret('default', '{SECRET}')")
        self.sql("SELECT kg_create_payment_intents()")
        self.worker = wait_until("a worker", lambda: self.workers(1), 30)[0]
        self._filled = 0

    def workers(self, least):
        """The process ids of its workers, when there are so many; else None."""
        pids = self.sql("SELECT pid FROM pg_stat_activity WHERE datname ="
                        " current_database() AND backend_type ="
                        " 'kgwebhook worker'")
        return [int(pid) for pid in pids] if len(pids) >= least else None

    def _worker_state(self):
        return self.sql("SELECT worker_state FROM kgwebhook.worker_stats()")[0]

    def disable(self):
        """Keeps the worker from delivering, and waits until it knows."""
        self.server.set("kgwebhook.enabled", "off")
        wait_until("the worker to stop delivering",
                   lambda: self._worker_state() == "disabled", 30)

    def enable(self):
        self.server.set("kgwebhook.enabled", "on")

    def fill(self, count, urls, vacuum=True, table="payment_intents"):
        """
        Creates intents, each of which is an event, by turns to one of the urls.
        Their numbers go on from those of the last call, the first's from 1.
        """
        self.sql(FILL.format(table=table, first=self._filled + 1, count=count,
                             urls="','".join(urls), nurls=len(urls)),
                 seconds=60 + count / 1000)
        self._filled += count
        if vacuum:
            self.sql("VACUUM (ANALYZE) payment_intents, kgwebhook.queue",
                     seconds=600)

    def queue_is_empty(self):
        return self.sql("SELECT NOT EXISTS (SELECT FROM kgwebhook.queue)") == ["t"]

    def last_attempt(self):
        """The number of the last attempt that was logged."""
        return self.sql.number("SELECT CASE WHEN is_called THEN last_value ELSE 0 END"
                               " FROM kgwebhook.attempt_id_seq")

    def acknowledged(self, after):
        """How many deliveries were acknowledged and logged after an attempt."""
        return self.sql.number("SELECT count(*) FROM kgwebhook.delivery_log"
                               " WHERE outcome = 'acknowledged' AND final"
                               " AND request_body IS NOT NULL"
                               f" AND attempt_id > {after}", seconds=300)
