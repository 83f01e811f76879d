"""crash: random histories over a simulated disk, cut at any step. 500 seeds in CI, 10,000 otherwise."""

import os

import cargo
from common import CI


def run(group):
    seeds = os.environ.get("TESTS_SEEDS") or ("500" if CI else "10000")
    cargo.tests(group, "crash", env={"TESTS_SEEDS": seeds, "TESTS_SEED": str(group.options.seed)}, timeout=7200)
