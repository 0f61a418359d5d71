"""
test/checker/load.py
    How long the workers and the receivers had to wait for a processor.

The kernel counts for each process how long it ran and how long it could have run
and had to wait (/proc/PID/schedstat).  What a delivery waits for is work of these
processes; so where each second of it takes eight, a delivery takes as much longer,
and what fails beside it is not the reason.  "late" (conduct.py) is judged by that.
"""

import os
import threading
import time
from pathlib import Path

from server import children_of

# Seconds between two looks.
EVERY = 1

# So many times longer all takes where only the checker uses two cores.
OURS = 2

# Those whose work a delivery waits for, by how their command lines begin.
COMMANDS = ("postgres: kgwebhook worker", "node\0")


def times_of(pid):
    """How long a process has run and has waited, seconds; nothing when it is gone."""
    try:
        ran, waited, _ = Path(f"/proc/{pid}/schedstat").read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return None
    return int(ran) / 1e9, int(waited) / 1e9


def is_of_the_way(pid):
    """Whether a process is one that deliveries wait for."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").startswith(COMMANDS)
    except OSError:
        return False


class Load(threading.Thread):
    """How much longer things took because others wanted the processors, and when."""

    def __init__(self, server, over):
        super().__init__(daemon=True)
        self.server = server
        self.over = over
        self.samples = []       # when, ran, waited

    def run(self):
        before = {}
        while not self.over.wait(EVERY):
            now = {pid: times for pid in self._ours()
                   if (times := times_of(pid)) is not None}
            spent = [(ran - before[pid][0], waited - before[pid][1])
                     for pid, (ran, waited) in now.items() if pid in before]
            self.samples.append((time.time(), sum(ran for ran, _ in spent),
                                 sum(waited for _, waited in spent)))
            before = now

    def _ours(self):
        """The workers and the receivers."""
        try:
            everyone = children_of(self.server.postmaster()) + children_of(os.getpid())
        except (OSError, ValueError, IndexError):
            return []           # it is being restarted
        return [pid for pid in everyone if is_of_the_way(pid)]

    def factor(self, since, until):
        """By how much others slowed us down between two moments; at least 1."""
        found = [sample for sample in self.samples if since <= sample[0] <= until]
        ran = sum(ran for _, ran, _ in found)
        waited = sum(waited for *_, waited in found)
        return max(1, (ran + waited) / ran / OURS) if ran > 0 else 1
