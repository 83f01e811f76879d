"""unit: every crate's own tests."""

import cargo


def run(group):
    cargo.tests(group, "unit")
