"""
bench/driver/peers.py
    The outside world: receivers, and the senders that kgwebhook is held
    against.
"""

import json
import subprocess
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from . import machine
from .machine import BenchError, Program

BENCH = Path(__file__).resolve().parent.parent
BUILD = BENCH / "build"


class Certificates:
    """A certificate authority of our own, and what it says of 127.0.0.1."""

    def __init__(self, directory):
        directory = Path(directory)
        self.authority = directory / "ca.pem"
        self.certificate = directory / "receiver.pem"
        self.key = directory / "receiver.key"
        self._make(directory)

    def _make(self, directory):
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                   "-nodes"]
        self._openssl("req", "-x509", *new_key, "-days", "30",
                      "-subj", "/CN=bench", "-keyout", directory / "ca.key",
                      "-out", self.authority)
        self._openssl("req", "-x509", *new_key, "-days", "30",
                      "-CA", self.authority, "-CAkey", directory / "ca.key",
                      "-subj", "/CN=127.0.0.1",
                      "-addext", "subjectAltName=IP:127.0.0.1",
                      "-addext", "basicConstraints=critical,CA:FALSE",
                      "-keyout", self.key, "-out", self.certificate)

    @staticmethod
    def _openssl(*arguments):
        done = subprocess.run(["openssl", *map(str, arguments)],
                              capture_output=True, text=True, timeout=60,
                              check=False)
        if done.returncode != 0:
            raise BenchError(f"openssl: {done.stderr}")


class Receiver:
    """bench/receiver.c, with a group of ports for each argument."""

    def __init__(self, certificates=None, **groups):
        arguments = [BUILD / "receiver"]
        self._scheme = "http"
        if certificates:
            self._scheme = "https"
            arguments += ["--certificate", certificates.certificate,
                          "--key", certificates.key]
        arguments += [f"{name}={what}" for name, what in groups.items()]
        self._program = Program("receiver", arguments, machine.WORLD_CORES)
        ports = json.loads(self._program.first_line())
        self._control = f"http://127.0.0.1:{ports['control']}"
        self._ports = ports["groups"]

    def urls(self, group):
        return [f"{self._scheme}://127.0.0.1:{port}/webhooks"
                for port in self._ports[group]]

    def _get(self, path):
        self._program.check_alive()
        with urllib.request.urlopen(self._control + path, timeout=30) as answer:
            return answer.read().decode()

    def reset(self):
        self._get("/reset")

    def group(self, name):
        """What a group had: {"count", "first_us", "last_us"}."""
        return json.loads(self._get("/stats"))["groups"][name]

    def count(self, name):
        return self.group(name)["count"]

    def arrivals(self, name):
        """When each of a group's arrived, in microseconds: {id: moment}."""
        found = {}
        for line in self._get("/arrivals").splitlines():
            group, number, moment = line.split()
            if group == name:
                found.setdefault(int(number), int(moment))
        return found

    def take(self):
        """What has come since the last call: [(group, id, status, 200?, moment)]."""
        lines = (line.split() for line in self._get("/take").splitlines())
        return [(group, int(number), status, acknowledged == "1", int(moment))
                for group, number, status, acknowledged, moment in lines]

    def end(self):
        self._program.end()


def plain_curl(urls, count, ca_file=None, in_flight=25):
    """Runs bench/plaincurl.c; returns what it says of itself."""
    arguments = [BUILD / "plaincurl", "--count", str(count),
                 "--in-flight", str(in_flight)]
    for url in urls:
        arguments += ["--url", url]
    if ca_file:
        arguments += ["--ca-file", ca_file]
    return json.loads(machine.run("plaincurl", arguments, machine.SENDER_CORES,
                                  60 + count / 500))


def commits(server, count):
    """Starts bench/commit.c on the database of the run."""
    return Program("commit", [BUILD / "commit", "--connection",
                              f"host={server.directory} user=postgres"
                              " dbname=bench", "--count", str(count)],
                   machine.WORLD_CORES)


def moments(output):
    """What commit.c printed: {id: moment in microseconds}."""
    return {int(number): int(moment) for number, moment in
            (line.split() for line in output.splitlines())}


@contextmanager
def node_outbox(server):
    """The relay of bench/node-outbox, running on the database of the run."""
    program = Program("node", ["node", BENCH / "node-outbox" / "outbox.mjs"],
                      machine.SENDER_CORES,
                      {"PGHOST": str(server.directory), "PGUSER": "postgres",
                       "PGDATABASE": "bench"})
    try:
        program.first_line()
        yield program
    finally:
        program.end()
