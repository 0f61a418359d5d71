"""
bench/driver/machine.py
    The machine: which core runs what, what the kernel says of a process, and
    programs that are started and ended.

Nothing here waits without a limit, and nothing that fails is passed over: a
bench that goes on after an error prints numbers of something else.
"""

import os
import platform
import re
import resource
import signal
import subprocess
import time
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """Something did not work; the message is for the reader of the bench."""


# The sender (PostgreSQL, plaincurl, Node) has one core, and all that plays the
# outside world another, where there are two.
_CORES = sorted(os.sched_getaffinity(0))
SENDER_CORES = {_CORES[0]}
WORLD_CORES = {_CORES[1]} if len(_CORES) > 1 else {_CORES[0]}
ALL_CORES = set(_CORES)


def wait_until(what, condition, seconds, pause=0.02):
    """Waits for condition() to be true, and returns what it returned."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise BenchError(f"waited {seconds:.0f} seconds for {what}")
        time.sleep(pause)


class Program:
    """A program that runs beside us, on given cores."""

    def __init__(self, name, arguments, cores, env=None):
        self.name = name
        self.process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
            env={**os.environ, **(env or {})},
            preexec_fn=lambda: os.sched_setaffinity(0, cores))

    def first_line(self):
        """The first line it prints, which says that it is ready."""
        line = self.process.stdout.readline()
        if not line:
            raise BenchError(f"{self.name}: {self.process.stderr.read()}")
        return line

    def check_alive(self):
        if self.process.poll() is not None:
            raise BenchError(f"{self.name} ended: {self.process.stderr.read()}")

    def finish(self, seconds):
        """Waits for its end, and returns what it printed."""
        try:
            out, err = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as late:
            self.end()
            raise BenchError(f"{self.name} took over {seconds:.0f} s") from late
        if self.process.returncode != 0:
            raise BenchError(f"{self.name}: {err.strip()}")
        return out

    def tell_to_stop(self):
        self.process.send_signal(signal.SIGTERM)

    def end(self):
        """Ends it, whatever it does."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


def run(name, arguments, cores, seconds, env=None):
    """Runs a program to its end, and returns what it printed."""
    return Program(name, arguments, cores, env).finish(seconds)


def _proc(pid, name):
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except FileNotFoundError as gone:
        raise BenchError(f"process {pid} is gone") from gone


def _stat(pid):
    """The fields of /proc/PID/stat from the state on."""
    return _proc(pid, "stat").rpartition(")")[2].split()


def cpu_seconds(pid):
    """CPU that a process has had, all its threads."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def status_number(pid, name):
    """A number from /proc/PID/status, such as RssAnon (kB)."""
    return int(re.search(rf"^{name}:\s*(\d+)", _proc(pid, "status"),
                         re.M).group(1))


def _children(pid):
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if int(_stat(entry.name)[1]) == pid:
                yield int(entry.name)
        except BenchError:
            pass                # it ended while we were looking


def move_to_cores(pid, cores):
    """Moves a process and its children; what they start later follows."""
    for each in [pid, *_children(pid)]:
        os.sched_setaffinity(each, cores)


def cpu_times():
    """The machine's CPU so far, in ticks: (all, idle, taken by the hypervisor)."""
    fields = [int(f) for f in
              Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(fields), fields[3] + fields[4], fields[7]


def busy_now(seconds=1.0):
    """How busy the machine is with other things, 0 to 1, before we start."""
    before = cpu_times()
    time.sleep(seconds)
    after = cpu_times()
    return 1 - (after[1] - before[1]) / max(after[0] - before[0], 1)


def stolen_since(before):
    """What part of the machine the hypervisor has taken since cpu_times()."""
    after = cpu_times()
    return (after[2] - before[2]) / max(after[0] - before[0], 1)


def most_files():
    """How many files a process of ours may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def describe():
    """The machine in a line."""
    cpu = re.search(r"^model name\s*:\s*(.+)$",
                    Path("/proc/cpuinfo").read_text(), re.M)
    memory = re.search(r"^MemTotal:\s*(\d+)",
                       Path("/proc/meminfo").read_text(), re.M)
    return (f"{cpu.group(1) if cpu else platform.machine()}, "
            f"{len(ALL_CORES)} cores, "
            f"{int(memory.group(1)) / 2**20:.0f} GB, "
            f"Linux {platform.release()}")
