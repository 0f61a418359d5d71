"""
bench/soak/world.py
    What the soak runs in: a server whose clock can be moved, receivers of every
    temper, and a table of payments.

The clock is that of test/preload/shifted_clock.c, which adds to the time of day what
a file says.  So a run of an hour has a dozen days, the log's partitions come and go,
and secrets are rotated by the day; what is measured in monotonic time, such as a
timeout, takes as long as it does.  Receivers and clients have the true clock.
"""

import struct
import subprocess
from pathlib import Path

from driver import machine
from driver.machine import BenchError
from driver.peers import BENCH, Certificates, Receiver
from driver.server import SECRET, Server

DAYS = 12               # that a run has
KEPT_DAYS = 3           # of the log

# Of 1,000 payments, so many go to each group of ports.
SHARES = {"fast": 500, "slow": 150, "tls": 160, "closing": 60, "flaky": 100,
          "failing": 20, "silent": 10}

# The probe's rows are events, too: not so many at a time that the queue's indexes, which
# keep the room they have taken, have more of it than the run needs.
AT_ONCE = 1000

SETTINGS = f"""
checkpoint_timeout = 5min
autovacuum_naptime = 10s
log_line_prefix = '%m [%p] %b '

kgwebhook.log_retention = '{KEPT_DAYS} days'
kgwebhook.retry_schedule = '2s,5s,10s'
kgwebhook.request_timeout = '5s'
"""

SCHEMA = """
CREATE SEQUENCE soak_id START {first};
CREATE TABLE soak_receiver (upto int PRIMARY KEY, urls text[]);
INSERT INTO soak_receiver VALUES {receivers};
CREATE FUNCTION soak_url(part int, n int8) RETURNS text STABLE LANGUAGE sql AS
  $$ SELECT urls[1 + n % cardinality(urls)] FROM soak_receiver
      WHERE part <= upto ORDER BY upto LIMIT 1 $$;
-- of 1,000: 900 small ones, 80 of 2 kB, 16 of 20 kB, and 4 of nearly 100 kB, which
-- no compression makes smaller than a half
CREATE FUNCTION soak_order(part int) RETURNS jsonb VOLATILE LANGUAGE sql AS
  $$ SELECT jsonb_build_object('region', 'eu', 'lines',
                               coalesce(string_agg(md5(random()::text), ''), ''))
       FROM generate_series(1, CASE WHEN part <= 900 THEN 0 WHEN part <= 980 THEN 64
                                    WHEN part <= 996 THEN 625 ELSE 3000 END) $$;
SELECT kg_set_secret('m1', '{secret}')
"""


class Clock:
    """How many seconds the server is ahead, in a file that it has mapped."""

    def __init__(self, path):
        self.path = Path(path)
        self.days = 0
        self.path.write_bytes(struct.pack("q", 0))

    def next_day(self):
        self.days += 1
        with open(self.path, "r+b") as file:
            file.write(struct.pack("q", self.days * 86400))


def build_clock(directory):
    """Compiles the library that moves the clock; returns its path."""
    library = Path(directory) / "shifted_clock.so"
    done = subprocess.run(
        ["gcc", "-shared", "-fPIC", "-O2", "-o", library,
         BENCH.parent / "test/preload/shifted_clock.c"],
        capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise BenchError(f"the clock does not compile: {done.stderr}")
    return library


class World:
    """All that runs beside the driver."""

    def __init__(self, bindir, directory):
        certificates = Certificates(directory)
        self.directory = Path(directory)
        self.clock = Clock(self.directory / "clock")
        self.server = self.http = self.tls = None
        try:
            self.http = Receiver(probe="1:now", fast="2:now", slow="4:200",
                                 flaky="2:refuse3", failing="1:refuse1",
                                 silent="1:never", hook="1:now")
            self.tls = Receiver(certificates, tls="4:now", closing="2:close")
            self.server = Server(
                bindir, directory, certificates.authority, SETTINGS,
                {"LD_PRELOAD": str(build_clock(directory)),
                 "KGW_CLOCK_STEPS": str(self.clock.path)})
        except BenchError:
            self.stop()
            raise

    def urls(self, group):
        return (self.tls if group in ("tls", "closing") else self.http).urls(group)

    def destination(self, group):
        """That of a group's first port."""
        return self.urls(group)[0].rpartition("/")[0]

    def prepare(self, database, probes):
        """Tables, and the rows that the probe will change; none waits after that."""
        upto, receivers = 0, []
        for group, share in SHARES.items():
            upto += share
            receivers.append(f"({upto}, ARRAY{self.urls(group)})")
        database.sql(SCHEMA.format(first=probes + 10000, secret=SECRET,
                                   receivers=", ".join(receivers)))
        for first in range(0, probes, AT_ONCE):
            database.fill(min(AT_ONCE, probes - first), self.urls("probe"))
            machine.wait_until("the probe's rows", database.queue_is_empty, 60)

    def take(self):
        """What has arrived since the last call."""
        return self.http.take() + self.tls.take()

    def stop(self):
        for each in (self.http, self.tls):
            if each:
                each.end()
        if self.server:
            self.server.stop()
