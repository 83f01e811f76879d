"""Building and running the workspace's Rust code, and honest counts of its tests."""

import json
import os
import pathlib
import re
import shutil

from common import CI, ROOT, Failed, check, run, say, tail

# Which Rust tests belong to which group, as nextest filter sets; the one place to look.
FILTERS = {
    "unit": "not (package(dfs-tests) or package(dfs-lab) or ((package(dfs-store) or package(dfs-control)) and test(/postgres::live::/)))",
    "model": "package(dfs-tests) and test(/^model::/)",
    "crash": "package(dfs-tests) and test(/^(sim|crash)::/)",
    "crash-replay": "package(dfs-tests) and test(/cut_at_any_step/)",
    "tidy": "package(dfs-lab)",
    "s3": "package(dfs-cold) and test(/::s3_/)",
    "metadata": "package(dfs-store) and test(/^postgres::live::/)",
    "control": "package(dfs-control) and test(/postgres::live::/)",
}

# The same for plain `cargo test`, where nextest is not installed: package arguments, name filters, and what is skipped.
PLAIN = {
    "unit": (["--workspace", "--exclude", "dfs-tests", "--exclude", "dfs-lab"], [], "postgres::live::"),
    "model": (["-p", "dfs-tests"], ["model::"], None),
    "crash": (["-p", "dfs-tests"], ["sim::", "crash::"], None),
    "crash-replay": (["-p", "dfs-tests"], ["cut_at_any_step"], None),
    "tidy": (["-p", "dfs-lab"], [], None),
    "metadata": (["-p", "dfs-store"], ["postgres::live::"], None),
    "control": (["-p", "dfs-control"], ["postgres::live::"], None),
    "s3": (["-p", "dfs-cold"], ["::s3_"], None),
}


def target_dir():
    """Where cargo builds: CARGO_TARGET_DIR, else the cache in CI, else ./target."""
    chosen = os.environ.get("CARGO_TARGET_DIR")
    if chosen:
        return pathlib.Path(chosen)
    return pathlib.Path.home() / ".cache" / "dfs-target" if CI else ROOT / "target"


def environment():
    return {"CARGO_TARGET_DIR": str(target_dir()), "CARGO_TERM_COLOR": "never", "NO_COLOR": "1", "RUST_BACKTRACE": "0"}


def cargo(*arguments, timeout=3600, good=(0,), env=None):
    """Runs cargo with the project's target folder and returns (status, output)."""
    check(shutil.which("cargo"), "cargo is not installed: see https://rustup.rs, Rust 1.95 or newer")
    return run(["cargo", *arguments], timeout, good, env={**environment(), **(env or {})})


PROGRAMS = ("dfs-server", "dfsctl", "dfs-lab", "dfs-fill")
_BUILT = set()


def binary(package, name=None):
    """The path of a program of the workspace, built once in a run by the profile that everything here uses.

    TESTS_PREBUILT names a folder of programs to use as they are, for a look at one version while another is written.
    """
    prebuilt = os.environ.get("TESTS_PREBUILT")
    if prebuilt:
        path = pathlib.Path(prebuilt) / (name or package)
        check(path.exists(), f"TESTS_PREBUILT has no {path.name}")
        return path
    if package not in _BUILT:
        say("  ...   building the programs")
        # The whole workspace, as the tests build it: of one package alone, cargo would build the libraries again with its features.
        cargo("build", "--profile", "gate", "--workspace", "--bins")
        _BUILT.update(PROGRAMS)
    path = target_dir() / "gate" / (name or package)
    check(path.exists(), f"{package} built, but {path} is not there")
    return path


def tests(group, key, env=None, timeout=3600):
    """Runs the Rust tests of a key of FILTERS and adds their counts to the group."""
    if shutil.which("cargo-nextest"):
        run_nextest(group, key, env, timeout)
    else:
        run_plain(group, key, env, timeout)


def run_nextest(group, key, env, timeout):
    select = ["--cargo-profile", "gate", "--workspace", "-E", FILTERS[key]]
    status, output = cargo(
        "nextest", "run", *select, "--no-fail-fast", "--no-tests=fail", "--status-level=fail",
        "--final-status-level=slow", "--hide-progress-bar", timeout=timeout, good=None, env=env,
    )
    summary = re.search(r"Summary \[[^\]]*\]\s+(\d+)(?:/\d+)? tests? run: (.*)", output)
    if not summary:
        group.failed(key, f"cargo nextest ended with {status} and no summary:\n{tail(output)}")
        return
    ran = int(summary[1])
    passed = int((re.search(r"(\d+) passed", summary[2]) or [0, 0])[1])
    if passed:
        group.passed(f"{key} tests", f"{passed} passed", passed)
    if ran != passed or status != 0:
        group.failed(f"{key} tests", f"{ran - passed} of {ran} failed:\n{tail(output, 120)}", max(1, ran - passed))
    for name, reason in ignored(select, env):
        group.skipped(name, reason)


def ignored(select, env):
    """The tests of the selection that carry #[ignore], each with the reason in its source."""
    _, output = cargo("nextest", "list", *select, "--message-format", "json", env=env)
    found = json.loads(output[output.index('{"'):].splitlines()[0])
    names = []
    for suite in found["rust-suites"].values():
        for name, case in suite.get("testcases", {}).items():
            status = case["filter-match"]
            if case["ignored"] and (status["status"] == "matches" or status.get("reason") == "ignored"):
                names.append((f"{suite['package-name']} {name}", ignore_reason(suite["cwd"], name)))
    return names


def ignore_reason(folder, test):
    function = test.rsplit("::", 1)[-1]
    pattern = re.compile(r'#\[ignore(?:\s*=\s*"([^"]*)")?\](?:\s*#\[[^\]]*\])*\s*(?:async\s+)?fn\s+' + re.escape(function))
    for source in pathlib.Path(folder).rglob("*.rs"):
        match = pattern.search(source.read_text("utf-8", "replace"))
        if match:
            return match[1] or "no reason given"
    return "no reason found"


def run_plain(group, key, env, timeout):
    packages, names, skipped_name = PLAIN[key]
    rest = ["--", "--skip", skipped_name] if skipped_name else []
    for name in names or [None]:
        filters = [name] if name else []
        status, output = cargo("test", "--profile", "gate", *packages, "--no-fail-fast", "--lib", "--bins", "--tests",
                               *filters, *rest, timeout=timeout, good=None, env=env)
        results = re.findall(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", output, re.M)
        passed, failed, skipped = (sum(int(row[column]) for row in results) for column in range(3))
        if passed:
            group.passed(f"{key} tests", f"{passed} passed", passed)
        if status != 0 or failed or (not passed and not names):
            group.failed(f"{key} tests", f"cargo test ended with {status}:\n{tail(output, 120)}", max(1, failed))
        for line in re.findall(r"^test (\S+) \.\.\. ignored(?:, (.*))?$", output, re.M)[:skipped]:
            group.skipped(line[0], line[1] or "no reason given")


def metadata():
    """What `cargo metadata` says of the workspace and its dependencies."""
    _, output = cargo("metadata", "--format-version", "1", "--locked", good=None)
    start = output.find('{"packages"')
    if start < 0:
        raise Failed(f"cargo metadata failed:\n{tail(output)}")
    return json.loads(output[start:].splitlines()[0])
