#!/usr/bin/env bash
#-------------------------------------------------------------------------
#
# bench/soak/soak.sh [ARGUMENT...]
#	  Runs the soak, with these arguments, in the scratch folder that
#	  scripts/in-scratch.sh made.
#
#-------------------------------------------------------------------------
set -euo pipefail

PYTHONPATH=bench exec python3 -m soak "$@"
