"""fuzz: every cargo-fuzz target of the project for a while each. Not in CI: it needs a sanitizer build."""

import os
import shutil

import common
from common import CACHE, ROOT, Skip, check

SECONDS = int(os.environ.get("TESTS_FUZZ_SECONDS", "60"))


def run(group):
    folder = ROOT / "tests" / "fuzz"
    if not (folder / "Cargo.toml").exists():
        raise Skip("there is no tests/fuzz yet")
    if not shutil.which("cargo-fuzz"):
        common.need_cargo_tool("cargo-fuzz", "0.13.1")
    env = {"RUSTC_BOOTSTRAP": "1", "PATH": f"{CACHE}/cargo/bin:{os.environ['PATH']}", "CARGO_TARGET_DIR": str(CACHE / "fuzz-target")}
    _, listed = common.run(["cargo", "fuzz", "list", "--fuzz-dir", folder], 300, env=env)
    targets = [line.strip() for line in listed.splitlines() if line.strip() and " " not in line.strip()]
    check(targets, "no fuzz target")
    for target in targets:
        with group.case(f"fuzz {target}"):
            command = ["cargo", "fuzz", "run", "--fuzz-dir", folder, target, "--", f"-max_total_time={SECONDS}", "-rss_limit_mb=4096"]
            common.run(command, SECONDS + 1800, env=env)
