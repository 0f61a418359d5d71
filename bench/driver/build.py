"""
bench/driver/build.py
    The extension and the bench's own programs, built and installed in the scratch
    folder.
"""

import os
import subprocess

from .machine import BenchError
from .peers import BENCH


def build():
    """Builds the extension and our programs; returns the server's bindir."""
    for command in (["make", "-s"], ["make", "-s", "-C", BENCH]):
        done = subprocess.run(command, capture_output=True, text=True,
                              timeout=600, check=False)
        if done.returncode != 0:
            raise BenchError(f"the build failed:\n{done.stdout}{done.stderr}")
    stage = subprocess.run(
        ["scripts/stage.sh", f"{os.environ['KGW_SCRATCH']}/stage"],
        capture_output=True, text=True, timeout=600, check=False)
    if stage.returncode != 0:
        raise BenchError(f"can't install:\n{stage.stdout}{stage.stderr}")
    return stage.stdout.strip()
