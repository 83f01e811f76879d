"""crash: random histories over a simulated disk, cut at any step (500 seeds in CI, 10,000 otherwise), and every rule of the
journal protocol dropped alone, which must be noticed. TESTS_SEEDS=1 with --seed replays one history."""

import os

import cargo
from common import CI


def run(group):
    seeds = os.environ.get("TESTS_SEEDS") or ("500" if CI else "10000")
    key = "crash" if seeds != "1" else "crash-replay"
    cargo.tests(group, key, env={"TESTS_SEEDS": seeds, "TESTS_SEED": str(group.options.seed)}, timeout=7200)
