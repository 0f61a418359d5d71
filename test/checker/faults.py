"""
test/checker/faults.py
    What strikes: one function a fault, chosen by the seed.

There are times of storm, when all of them strike, and times of calm, in which only
what a good operator does goes on, and in which every healthy receiver has to be served.

A fault returns when it has struck.  What lasts a while (a failing receiver, a lock)
is left to a timer, so that others strike in the meantime.  A fault that finds nothing
to strike returns False and isn't counted.
"""

import random
import signal
import subprocess
import threading
import time

from server import IN_FLIGHT, JITTER, MAX_HOLD, signal_process, wait_until
from world import ORGS
from writers import pause

TABLES = ["queue", "delivery_log", "dead_letter", "secret", "paused"]

# What a worker may have sent or heard and not yet committed when it ends: its
# requests, as many answers, and a batch of outcomes that a lock has let fill up.
BATCH = 512


class Faults:
    """All that can go wrong, and what it may cost in duplicates."""

    def __init__(self, server, receivers, shared, writers, seed):
        self.server = server
        self.receivers = receivers
        self.shared = shared
        self.writers = writers
        self.random = random.Random(f"{seed} faults")
        self.counts = {}
        self.allowed = 0        # duplicates
        self.longest = {}       # seconds that a stop took, by mode
        self.locks = []
        self.timers = []
        self.excused = []       # destination, from, until: paused in a calm
        self.activates = {}     # signer and secret: from when it signs alone
        self.rotated = {}       # signer and secret: when that was decided
        self.asked = []         # path of an endpoint, and when its consent was asked for
        self.storm = [
            (4, self.kill_worker), (2, self.kill_launcher),
            (3, self.kill_backend), (2, self.kill_postmaster),
            (2, self.stop_immediate), (3, self.stop_fast), (1, self.stop_smart),
            (4, self.terminate_worker), (2, self.terminate_backend),
            (2, self.reload), (1, self.disable),
            (3, self.receiver_restarts), (3, self.receiver_refuses),
            (3, self.receiver_hangs), (3, self.receiver_fails),
            (2, self.receiver_resets), (2, self.receiver_freezes),
            (4, self.lock_table), (3, self.vacuum_full), (1, self.reindex),
            (2, self.lock_row),
            (2, self.pause_destination), (1, self.pause_all),
            (2, self.pause_subscription), (1, self.rotate_secret),
            (2, self.ask_consent), (1, self.purge),
        ]
        self.calm = [
            (2, self.pause_destination), (2, self.rotate_secret),
            (2, self.terminate_client), (1, self.change_jitter), (1, self.purge),
        ]

    def strike(self, menu):
        """One fault at random; its name."""
        weights = [weight for weight, _ in menu]
        while True:
            fault = self.random.choices([f for _, f in menu], weights)[0]
            if fault() is not False:
                self.counts[fault.__name__] = self.counts.get(fault.__name__, 0) + 1
                return fault.__name__

    def _later(self, seconds, act):
        timer = threading.Timer(seconds, act)
        timer.daemon = True
        timer.start()
        self.timers = [t for t in self.timers if t.is_alive()] + [timer]

    def _worker_ends(self):
        """A worker ends half-way: what it knew may be sent once more."""
        self.allowed += 2 * IN_FLIGHT * self.server.workers
        self.locks = [lock for lock in self.locks if lock.poll() is None]
        if self.locks:
            self.allowed += BATCH * self.server.workers

    def _receiver_ends(self):
        """Requests that are recorded, and whose answer the worker won't see."""
        self.allowed += 2 * IN_FLIGHT

    # Processes

    def _kill_one(self, backend_type):
        pids = self.server.pids(backend_type)
        if not pids:
            return False
        self._worker_ends()
        if not signal_process(self.random.choice(pids), signal.SIGKILL):
            return False
        time.sleep(0.05)        # the postmaster needs a moment to notice
        self.server.wait_until_up()
        return True

    def kill_worker(self):
        return self._kill_one("kgwebhook worker")

    def kill_launcher(self):
        return self._kill_one("kgwebhook launcher")

    def kill_backend(self):
        return self._kill_one("client backend")

    def kill_postmaster(self):
        self._worker_ends()
        self.server.kill()
        self._start()

    def _start(self):
        self.server.workers = self.random.choice([1, 1, 2, 3])
        self.server.start()

    def _stop(self, mode):
        self._worker_ends()
        took = self.server.stop(mode)
        self.longest[mode] = max(self.longest.get(mode, 0), took)
        self._start()

    def stop_immediate(self):
        self._stop("immediate")

    def stop_fast(self):
        self._stop("fast")

    def stop_smart(self):
        # it waits for sessions, so there must be none that stays
        pause(self.shared, self.writers)
        for lock in self.locks:
            lock.wait(30)
        self._stop("smart")
        self.shared.running.set()

    def _terminate_one(self, backend_type):
        pids = self.server.pids(backend_type)
        if not pids:
            return False
        self._worker_ends()
        self.server.sql(f"SELECT pg_terminate_backend({self.random.choice(pids)})")
        return True

    def terminate_worker(self):
        return self._terminate_one("kgwebhook worker")

    def terminate_backend(self):
        return self._terminate_one("client backend")

    def terminate_client(self):
        return self.terminate_backend()

    # Settings

    def reload(self):
        setting, value = self.random.choice([
            ("max_in_flight", self.random.choice([4, 16, IN_FLIGHT])),
            ("max_in_flight_per_destination", self.random.choice([1, 4, 16])),
            ("max_hold", f"{MAX_HOLD * self.random.choice([1, 2])}s"),
        ])
        self._set(setting, value)

    def change_jitter(self):
        self._set("retry_jitter", self.random.choice([0, JITTER]))

    def _set(self, setting, value):
        self.server.sql(f"ALTER SYSTEM SET kgwebhook.{setting} = '{value}'")
        self.server.sql("SELECT pg_reload_conf()")

    def _enable(self, word):
        self._set("enabled", word)

    def disable(self):
        self._enable("off")
        self._later(self.random.uniform(0.5, 3), lambda: self._enable("on"))

    # Receivers

    def _one(self):
        return self.random.choice(self.receivers)

    def _ill(self, mode):
        receiver = self._one()
        receiver.tell(mode)
        self._later(self.random.uniform(0.5, 4), receiver.heal)

    def receiver_restarts(self):
        receiver = self._one()
        self._receiver_ends()
        receiver.kill()
        receiver.start()

    def receiver_refuses(self):
        receiver = self._one()
        self._receiver_ends()
        receiver.kill()
        self._later(self.random.uniform(0.5, 4), receiver.heal)

    def receiver_hangs(self):
        self._ill("hang")

    def receiver_fails(self):
        self._ill("fail")

    def receiver_resets(self):
        self._ill("reset")

    def receiver_freezes(self):
        # what it finds on waking it answers, but nobody listens any more
        receiver = self._one()
        self._receiver_ends()
        receiver.signal(signal.SIGSTOP)
        self._later(self.random.uniform(0.5, 4), receiver.heal)

    # Operators

    def _session(self, sql):
        """Runs SQL in a session of its own, and doesn't wait for it."""
        process = subprocess.Popen(
            self.server.psql("-c", "SET statement_timeout = '20s'", "-c", sql),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        self.locks = [lock for lock in self.locks if lock.poll() is None]
        self.locks.append(process)

    def _hold(self, sql):
        seconds = self.random.uniform(0.3, 4)
        self._session(f"BEGIN; {sql}; SELECT pg_sleep({seconds:.1f}); COMMIT")

    def lock_table(self):
        mode = self.random.choice(["ACCESS EXCLUSIVE", "EXCLUSIVE", "SHARE"])
        tables = self.random.sample(TABLES, self.random.choice([1, 1, 2]))
        self._hold("; ".join(
            f"LOCK TABLE kgwebhook.{table} IN {mode} MODE" for table in tables))

    def lock_row(self):
        self._hold("SELECT FROM (SELECT FROM kgwebhook.queue ORDER BY delivery_id"
                   f" LIMIT {self.random.choice([1, 5])} FOR UPDATE) q")

    def vacuum_full(self):
        self._session(f"VACUUM FULL kgwebhook.{self.random.choice(TABLES)}")

    def reindex(self):
        self._session(f"REINDEX TABLE kgwebhook.{self.random.choice(TABLES)}")

    def _pause(self, stop, go_on):
        self.server.sql(f"SELECT {stop}")
        self._later(self.random.uniform(0.5, 3), lambda: self.server.sql(f"SELECT {go_on}"))

    def pause_destination(self):
        destination = self._one().destination
        self.excused.append((destination, time.time(), time.time() + 6))
        self._pause(f"kg_pause('{destination}')", f"kg_resume('{destination}')")

    def pause_all(self):
        self._pause("kg_pause()", "kg_resume()")

    def pause_subscription(self):
        number = self.random.choice(list(self.shared.world.numbers()))
        self._pause(f"kg_pause_subscription({number})", f"kg_resume_subscription({number})")

    def rotate_secret(self):
        # the old one signs while the receivers are told
        signer = self.random.choice(
            [f"'{org}'" for org in ORGS] + list(self.shared.world.numbers("sealed")))
        self.server.sql(f"SELECT kg_rotate_secret({signer}, '10 s', '5 s')")
        self.tell_secrets()

    def tell_secrets(self):
        """Tells the receivers what signs, also where a rotation's answer was lost."""
        names = {str(number): it.name for number, it in self.shared.world.numbers().items()}
        for line in self.server.must(
                "SELECT org_id, subscription_id, extract(epoch FROM activates_at), secret,"
                " next_secret FROM kgwebhook.secret"):
            org, number, at, *secrets = line.split("|")
            signer = names.get(number, org)
            if at:
                self.activates[signer, secrets[-1]] = float(at)
                if (signer, secrets[-1]) not in self.rotated:
                    self.rotated[signer, secrets[-1]] = self._decided()
            for receiver in self.receivers:
                for secret in secrets:
                    receiver.learn(signer, secret)

    def ask_consent(self):
        """An endpoint has to answer a challenge again, and takes its time."""
        number, it = self.random.choice(list(self.shared.world.numbers("consent").items()))
        self._tell_consent(it.name, False)
        if self.server.sql(f"BEGIN; SELECT kg_update_subscription({number}, verify => false);"
                           f" SELECT kg_update_subscription({number}, verify => true); COMMIT") \
                is None:
            return False
        self.asked.append((it.name, self._decided()))
        self._later(self.random.uniform(1, 12), lambda: self._tell_consent(it.name, True))
        return True

    def _decided(self):
        """A moment: when something was decided, and when all who send had heard of it."""
        now = time.time()
        return [now, now]

    def _tell_consent(self, name, does):
        for receiver in self.receivers:
            receiver.consent(name, does)

    def purge(self):
        """Nothing of a run is as old as that, but the log is locked and looked through."""
        self.server.sql("SELECT kg_purge('1 day')")

    # The end

    def heal(self, word="ok"):
        """Everything that lasts is over; "well": also what is always bad."""
        for timer in self.timers:
            timer.cancel()
            timer.join()
        for lock in self.locks:
            lock.wait(60)
        for receiver in self.receivers:
            receiver.heal(word)
        for it in self.shared.world.numbers("consent").values():
            self._tell_consent(it.name, True)
        for setting in ["max_in_flight", "max_in_flight_per_destination",
                        "retry_jitter", "max_hold", "enabled"]:
            self.server.must(f"ALTER SYSTEM RESET kgwebhook.{setting}")
        self.server.must("SELECT pg_reload_conf()")
        self.server.must("DELETE FROM kgwebhook.paused")
        self.server.must("SELECT kg_resume_subscription(subscription_id)"
                         " FROM kgwebhook.subscription")
        wait_until("the workers to run", lambda: len(
            self.server.pids("kgwebhook worker")) == self.server.workers)
