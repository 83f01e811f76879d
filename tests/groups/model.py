"""model: the in-memory reference against the engine, and the claim table against brute force, on random histories."""

import cargo
from common import CI


def run(group):
    cargo.tests(group, "model", env={"TESTS_SEED": str(group.options.seed), "TESTS_SHORT": "1" if CI else "0"})
