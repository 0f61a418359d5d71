"""
bench/driver/pgbench.py
    Clients that commit one-row changes as fast as they can, or at a given rate.
"""

import re
from dataclasses import dataclass

from . import machine
from .machine import BenchError

CLIENTS = 4


@dataclass
class Committed:
    rate: float         # a second
    latency: float      # milliseconds from beginning to commit


def pgbench(server, script, seconds, synchronous_commit="on", rate=None,
            transactions=None):
    """
    Runs a script on the database of the run, on all cores: so many seconds, or so
    many transactions of each client.
    """
    limit = ["-t", str(transactions)] if transactions else ["-T", str(seconds)]
    output = machine.run(
        "pgbench",
        [server.bindir / "pgbench", "-n", "-M", "prepared", "-c", str(CLIENTS),
         "-j", "2", *limit, *(["-R", str(rate)] if rate else []), "-f", script,
         "-h", server.directory, "-U", "postgres", "bench"],
        machine.ALL_CORES, seconds + 120,
        {"PGOPTIONS": f"-c synchronous_commit={synchronous_commit}"})
    found = {name: float(number) for name, number in re.findall(
        r"^(tps|latency average|rate limit schedule lag: avg)[ =]+([0-9.]+)",
        output, re.M)}
    if "tps" not in found:
        raise BenchError(f"pgbench says no rate: {output}")
    return Committed(found["tps"], found["latency average"]
                     - found.get("rate limit schedule lag: avg", 0))
