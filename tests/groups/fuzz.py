"""fuzz: every cargo-fuzz target of the project for a while each. Not in CI: it needs a sanitizer build.

A finding is kept beside the cache and named in the failure, with the command that runs it alone.
"""

import os
import re
import shutil

import common
from common import CACHE, ROOT, check

SECONDS = int(os.environ.get("TESTS_FUZZ_SECONDS", "60"))
FOLDER = ROOT / "tests" / "fuzz"


def run(group):
    common.need_packages(**{"g++": "/usr/bin/g++"})  # libFuzzer is C++
    if not shutil.which("cargo-fuzz"):
        common.need_cargo_tool("cargo-fuzz", "0.13.1")
    # RUSTC_BOOTSTRAP: sanitizers are unstable, and there may be no nightly
    env = {"RUSTC_BOOTSTRAP": "1", "PATH": f"{CACHE}/cargo/bin:{os.environ['PATH']}", "CARGO_TARGET_DIR": str(CACHE / "fuzz-target")}
    _, listed = common.run(["cargo", "fuzz", "list", "--fuzz-dir", FOLDER], 300, env=env)
    targets = [line.strip() for line in listed.splitlines() if re.fullmatch(r"\w+", line.strip())]
    check(targets, "no fuzz target")
    common.say(f"  ...   building {len(targets)} targets")
    common.run(["cargo", "fuzz", "build", "--fuzz-dir", FOLDER], 3600, env=env)
    for target in targets:
        if group.options.only in target:
            one(group, target, env)


def one(group, target, env):
    with group.case(f"fuzz {target}") as note:
        corpus, found = CACHE / "fuzz-corpus" / target, CACHE / "fuzz-found"
        corpus.mkdir(parents=True, exist_ok=True)
        found.mkdir(exist_ok=True)
        command = ["cargo", "fuzz", "run", "--fuzz-dir", FOLDER, target, corpus, "--", f"-max_total_time={SECONDS}",
                   "-rss_limit_mb=4096", f"-seed={group.options.seed}", f"-artifact_prefix={found}/{target}-"]
        _, output = common.run(command, SECONDS + 600, env=env)
        done = re.search(r"#(\d+)\s+DONE\s+cov: (\d+)", output)
        check(done, f"no end of the run:\n{common.tail(output)}")
        check(int(done[1]) > 1000 * SECONDS // 60, f"only {done[1]} inputs in {SECONDS} s")
        note.append(f"seed {group.options.seed}, {int(done[1]):,} inputs, coverage {done[2]}")
