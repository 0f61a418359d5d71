"""
bench/soak/traffic.py
    The clients: payments that are made and paid, at a given rate, and a probe.

pgbench makes payments and pays them, with pauses at random between, for as long as the
run lasts.  The probe is bench/commit.c, which pays one payment every so often and
says when it sent COMMIT; what its receiver notes less that is the latency.
"""

import os

from driver import machine
from driver.machine import Program
from driver.peers import BUILD
from driver.runs import percentile

PROBE_EVERY_MS = 100

# How many payments back one that is paid may lie, and one that is archived has to.
OPEN_FOR = 2000

MAKE = """\\set receiver random(1, 1000)
\\set size random(1, 1000)
INSERT INTO payment_intents (payment_intent_id, org_id, status, payment_chain_id,
    symbol, fiat_amount, fiat_currency, crypto_amount, order_data, callback_url)
SELECT 'pi_' || lpad(n::text, 12, '0'),
       CASE WHEN n % 10 = 0 THEN 'm1' ELSE 'default' END, 'pending', '56', 'USDT',
       '300.0', 'USD', '300.0', soak_order(:size), soak_url(:receiver, n)
  FROM nextval('soak_id') AS n;
"""

PAY = f"""\\set back random(1, {OPEN_FOR})
UPDATE payment_intents SET status = 'success'
 WHERE payment_intent_id =
       'pi_' || lpad(((SELECT last_value FROM soak_id) - :back)::text, 12, '0')
   AND status = 'pending';
"""


def payments(world, seconds, rate):
    """Starts pgbench: so many transactions a second, half of which pay."""
    scripts = []
    for name, text in (("make", MAKE), ("pay", PAY)):
        path = world.directory / f"{name}.sql"
        path.write_text(text)
        scripts += ["-f", f"{path}@1"]
    return Program(
        "pgbench",
        [world.server.bindir / "pgbench", "-n", "-M", "prepared", "-c", "4",
         "-j", "1", "-T", str(round(seconds)), "-R", str(rate), *scripts,
         "-h", world.server.directory, "-U", "postgres", "bench"],
        machine.WORLD_CORES)


class Probe:
    """commit.c, and the latencies of what it has committed."""

    def __init__(self, server, count):
        self._program = Program(
            "commit", [BUILD / "commit", "--connection",
                       f"host={server.directory} user=postgres dbname=bench",
                       "--count", str(count), "--interval", str(PROBE_EVERY_MS),
                       "--at-once"], machine.WORLD_CORES)
        self._out = self._program.process.stdout.fileno()
        os.set_blocking(self._out, False)
        self._unread = b""
        self._sent = {}
        self._arrived = {}

    def _read(self):
        while True:
            try:
                got = os.read(self._out, 65536)
            except BlockingIOError:
                return
            if not got:
                return
            self._unread += got
            *lines, self._unread = self._unread.split(b"\n")
            for line in lines:
                number, moment = line.split()
                self._sent[int(number)] = int(moment)

    def arrived(self, number, moment):
        self._arrived.setdefault(number, moment)

    def latencies(self):
        """(p50, p99) in ms of what has arrived since the last call, or None."""
        self._read()
        known = [number for number in self._sent if number in self._arrived]
        waits = [(self._arrived.pop(number) - self._sent.pop(number)) / 1000
                 for number in known]
        if not waits:
            return None, None
        return percentile(waits, 50), percentile(waits, 99)

    def check_alive(self):
        self._program.check_alive()

    def stop(self):
        """Has it end after its next commit."""
        if self._program.process.poll() is None:
            self._program.tell_to_stop()
            self._program.process.wait(60)

    def end(self):
        self._program.end()
