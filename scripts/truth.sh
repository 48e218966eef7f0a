#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every way to end, again and again under load, in both observers: how often is each member of the record right?
#
#   truth.sh [WAY...]    RUNS=1000 of each way        OBSERVERS="bpf fallback"     BUILD=build
#
# 1,000 runs of all ways take about 45 minutes for each observer on two processors. Writes BUILD/truth.json.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(id -u)" -ne 0 ]; then
	echo "truth.sh: needs root for control groups and eBPF (sudo make truth)" >&2
	exit 1
fi
export BUILD=${BUILD:-build} PYTHONPATH=$PWD/tests/lib PYTHONDONTWRITEBYTECODE=1
exec python3 tests/lib/truth.py "$@"
