"""
bench/soak/samples.py
    What is looked at every ten seconds: the worker, the tables, the probe, the machine.

Each sample is a line of samples.csv as soon as it is taken, so that a run that is cut
off has told what it knew.
"""

import csv
import os
import time

from driver import machine

EVERY_SECONDS = 10

SQL = """
SELECT concat_ws(' ',
    (SELECT count(*) FROM kgwebhook.queue),
    pg_table_size('kgwebhook.queue'), pg_indexes_size('kgwebhook.queue'),
    log.bytes, log.index_bytes, log.days,
    pg_total_relation_size('kgwebhook.dead_letter'), others.bytes,
    (SELECT n_dead_tup FROM pg_stat_user_tables WHERE relid = 'kgwebhook.queue'::regclass),
    (SELECT acknowledged + rejected + timed_out + unreachable + superseded
       FROM kgwebhook.worker_stats()))
  FROM (SELECT coalesce(sum(pg_table_size(inhrelid)), 0) AS bytes,
               coalesce(sum(pg_indexes_size(inhrelid)), 0) AS index_bytes,
               count(*) AS days
          FROM pg_inherits WHERE inhparent = 'kgwebhook.delivery_log'::regclass) log,
       (SELECT sum(pg_total_relation_size(oid)) AS bytes FROM pg_class
         WHERE relnamespace = 'kgwebhook'::regnamespace AND relkind = 'r'
           AND relname NOT IN ('queue', 'dead_letter')
           AND relname !~ '^delivery_log') others
"""

OF_TABLES = ["waiting", "queue_bytes", "queue_index_bytes", "log_bytes",
             "log_index_bytes", "partitions", "dead_letter_bytes", "other_bytes",
             "dead_tuples", "attempts"]

COLUMNS = ["seconds", "day", "worker", "memory_kb", "descriptors", "threads",
           *OF_TABLES, "attempts_per_second", "cpu_us", "p50_ms", "p99_ms",
           "acknowledged", "refused", "machine_busy", "stolen"]


class Sampler:
    def __init__(self, world, database, probe, ledger, path):
        self._world, self._database = world, database
        self._probe, self._ledger = probe, ledger
        self._sql = world.server.session()
        self._file = open(path, "w", encoding="utf-8", newline="")
        self._csv = csv.DictWriter(self._file, COLUMNS)
        self._csv.writeheader()
        self._start = time.monotonic()
        self._last = None               # moment, worker, its CPU, attempts, the machine
        self.samples = []

    def take_arrivals(self):
        for group, number, letter, acknowledged, moment in self._world.take():
            self._ledger.add_arrival(group, number, letter, acknowledged)
            if group == "probe" and letter == "s":
                self._probe.arrived(number, moment)

    def sample(self):
        """One sample; a worker that has ended is an error, for it never should."""
        worker = self._database.worker
        tables = [int(field) for field in self._sql(SQL)[0].split()]
        self.take_arrivals()
        p50, p99 = self._probe.latencies()
        now = time.monotonic()
        new = {"seconds": round(now - self._start, 1), "day": self._world.clock.days,
               "worker": worker,
               "memory_kb": machine.status_number(worker, "RssAnon"),
               "descriptors": len(os.listdir(f"/proc/{worker}/fd")),
               "threads": machine.status_number(worker, "Threads"),
               **dict(zip(OF_TABLES, tables)), "p50_ms": p50, "p99_ms": p99,
               "acknowledged": self._ledger.acknowledged_so_far(),
               "refused": self._ledger.refused}
        self._add_rates(new, now, machine.cpu_seconds(worker), machine.cpu_times())
        self._csv.writerow(new)
        self._file.flush()
        return new

    def _add_rates(self, new, now, cpu, times):
        """What is only known of the time since the last sample."""
        if self._last:
            moment, had, attempts, before = self._last
            made = new["attempts"] - attempts
            part = max(times[0] - before[0], 1)
            new["attempts_per_second"] = round(made / (now - moment), 1)
            new["cpu_us"] = round((cpu - had) / max(made, 1) * 1e6)
            new["machine_busy"] = round(1 - (times[1] - before[1]) / part, 3)
            new["stolen"] = round((times[2] - before[2]) / part, 3)
            self.samples.append(new)
        self._last = now, cpu, new["attempts"], times

    def close(self):
        self._file.close()
        self._sql.close()
