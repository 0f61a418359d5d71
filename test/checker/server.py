"""
test/checker/server.py
    The server that is broken, and the receivers: started, stopped and killed.

Only processes that this file started are ever signalled, by their ids, and the
ids of a server's children are read from the server itself or from /proc.

The checker adopts what is orphaned: a postmaster that was killed and that nobody
reaps would still count as running, and its successor refuse to start.
"""

import ctypes
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

# fsync is for power failures; what is killed here leaves the kernel alone.  The
# WAL writer sleeps long, so that an asynchronous commit is lost in a crash
# unless someone flushes it.
CONFIGURATION = """
shared_preload_libraries = 'kgwebhook'
listen_addresses = ''
unix_socket_directories = '{directory}'
max_connections = 40
max_prepared_transactions = 20
fsync = off
wal_writer_delay = '5s'
checkpoint_timeout = '30s'
max_wal_size = '64MB'
autovacuum_naptime = '3s'
track_commit_timestamp = on
deadlock_timeout = '200ms'
log_line_prefix = '%m [%p] %b %q%a '
log_checkpoints = off
kgwebhook.allow_http = on
kgwebhook.allowed_networks = '127.0.0.0/8'
kgwebhook.max_in_flight = {in_flight}
kgwebhook.max_in_flight_per_destination = 16
kgwebhook.connect_timeout = '1s'
kgwebhook.request_timeout = '2s'
kgwebhook.max_hold = '{max_hold}s'
kgwebhook.retry_schedule = '{schedule}'
"""

IN_FLIGHT = 48

# Long enough that what is given up is the exception: the faults are short.
SCHEDULE = [0.1, 0.3, 0.6] + [1] * 6 + [2] * 20 + [5] * 20

# The shortest that is ever set, and the most that a delay is ever shortened by.
MAX_HOLD = 4
JITTER = 0.5


class CheckerError(Exception):
    """The checker itself can't go on: nothing is said of the server."""


PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """Makes this process the parent of those that lose theirs."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def has_left(pid):
    """Whether a process has ended; one that was orphaned is reaped."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return not Path(f"/proc/{pid}").exists()


def wait_until(what, condition, seconds=60):
    """Waits for a state; raises when it doesn't come."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise CheckerError(f"waited {seconds} s for {what}")
        time.sleep(0.02)


def children_of(pid):
    """The processes that this one has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text(encoding="utf-8")
        except OSError:
            continue
        if int(stat.rpartition(")")[2].split()[1]) == pid:
            found.append(int(entry.name))
    return found


def signal_process(pid, number):
    """Signals a process of ours; False when it is gone."""
    try:
        os.kill(pid, number)
        return True
    except ProcessLookupError:
        return False


class Server:
    """A server of the checker's own, with the extension in its database."""

    def __init__(self, bindir, directory, more=""):
        self.bindir = Path(bindir)
        self.directory = Path(directory)
        self.data = self.directory / "data"
        self.log = self.directory / "server.log"
        self.workers = 1
        self._run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust",
                  "-N", "--no-locale", "--encoding=UTF8")
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(CONFIGURATION.format(directory=self.directory,
                                            in_flight=IN_FLIGHT,
                                            max_hold=MAX_HOLD,
                                            schedule=",".join(
                                                f"{s * 1000:.0f}ms" for s in SCHEDULE)) + more)

    def _run(self, program, *arguments, seconds=120):
        # Output goes to a file: a pipe would be inherited by the server.
        with open(self.directory / "programs.log", "a+b") as out:
            done = subprocess.run(
                [self.bindir / program, *map(str, arguments)], check=False,
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                timeout=seconds)
        return done.returncode

    def psql(self, *options, database="postgres"):
        """The command line of psql for this server."""
        return [str(self.bindir / "psql"), "-X", "-q", "-A", "-t",
                "-v", "ON_ERROR_STOP=1", "-h", str(self.directory),
                "-U", "postgres", "-d", database, *options]

    def sql(self, query, seconds=60, database="postgres"):
        """Runs SQL; the lines it gave, or None when it failed."""
        done = subprocess.run(self.psql("-c", query, database=database), check=False,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=seconds)
        if done.returncode != 0:
            return None
        return done.stdout.decode().splitlines()

    def must(self, query, seconds=60, database="postgres"):
        """Runs SQL that has to succeed."""
        lines = self.sql(query, seconds, database)
        if lines is None:
            raise CheckerError(f"this failed: {query}")
        return lines

    def postmaster(self):
        """Its process id."""
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def start(self, *settings):
        """Starts it; after a kill the memory of the former may be in use yet."""
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            for setting in [f"kgwebhook.workers = {self.workers}", *settings]:
                conf.write(f"{setting}\n")
        wait_until("the server to start", lambda: self._run(
            "pg_ctl", "-D", self.data, "-l", self.log, "-s", "-w", "start") == 0)
        self.wait_until_up()

    def wait_until_up(self):
        """Waits until it takes connections again."""
        wait_until("the server to answer", lambda: self.sql("SELECT 1"), 120)

    def stop(self, mode):
        """Stops it; returns how long that took, in seconds."""
        postmaster = self.postmaster()
        began = time.monotonic()
        if self._run("pg_ctl", "-D", self.data, "-s", "-w", "-t", "60",
                     "-m", mode, "stop") != 0:
            raise CheckerError(f"the server did not stop ({mode})")
        took = time.monotonic() - began
        wait_until("the postmaster to leave", lambda: has_left(postmaster))
        return took

    def kill(self):
        """Kills the postmaster and waits until its orphans have left."""
        postmaster = self.postmaster()
        orphans = children_of(postmaster)
        signal_process(postmaster, signal.SIGKILL)
        for pid in [postmaster, *orphans]:
            wait_until("orphans of the postmaster to leave",
                       lambda pid=pid: has_left(pid))

    def pids(self, backend_type):
        """Process ids by pg_stat_activity's backend_type."""
        lines = self.sql("SELECT pid FROM pg_stat_activity WHERE backend_type"
                         f" = '{backend_type}' AND pid <> pg_backend_pid()")
        return [int(line) for line in lines or []]


class Receiver:
    """One receiver process, which comes back to the same port."""

    def __init__(self, directory, name, secrets):
        self.secrets = {org: [secret] for org, secret in secrets.items()}
        self.consenting = set()
        self.record = Path(directory) / f"{name}.record"
        self._program = Path(__file__).with_name("receiver.mjs")
        self._log = Path(directory) / f"{name}.log"
        self._lock = threading.Lock()
        self._process = None
        self.port = 0
        self.start()

    @property
    def destination(self):
        """What it is called by."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self):
        """What the URLs of its endpoints begin with."""
        return f"{self.destination}/"

    def start(self):
        """Starts it, unless it runs."""
        with self._lock:
            if self._process is not None:
                return
            with open(self._log, "ab") as log:
                self._process = subprocess.Popen(
                    ["node", str(self._program), "--record", str(self.record),
                     "--port", str(self.port), *(
                         f"--secret={org}={secret}" for org, known in
                         self.secrets.items() for secret in known),
                     *(f"--consent={name}" for name in self.consenting)],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
            line = self._process.stdout.readline()
            if not line:
                raise CheckerError(f"no receiver; see {self._log}")
            self.port = int(line)

    def kill(self):
        """Kills it, if it runs: connections are refused from now on."""
        with self._lock:
            if self._process is None:
                return
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()
            self._process = None

    def learn(self, signer, secret):
        """Another secret that an organization, or an endpoint's path, signs with."""
        known = self.secrets.setdefault(signer, [])
        if secret and secret not in known:
            known.append(secret)
            self.tell(f"secret {signer}={secret}")

    def consent(self, name, does):
        """Whether the endpoint of that path answers challenges from now on."""
        if does:
            self.consenting.add(name)
        else:
            self.consenting.discard(name)
        self.tell(f"{'consent' if does else 'doubt'} {name}")

    def tell(self, word):
        """A line for it: how to answer from now on, or a secret."""
        with self._lock:
            if self._process is not None:
                self._process.stdin.write(f"{word}\n".encode())
                self._process.stdin.flush()

    def signal(self, number):
        """Stops it with its sockets open, or lets it go on."""
        with self._lock:
            if self._process is not None:
                self._process.send_signal(number)

    def heal(self, word="ok"):
        """Whatever was done to it is over."""
        self.signal(signal.SIGCONT)
        self.start()
        self.tell(word)
