"""lint: formatting, clippy, tidy rules, shell and Python syntax, and the flags of committed scripts."""

import cargo
import common
from common import ROOT, check, need_packages


def scripts():
    """Every shell script of the project, by its first line."""
    _, listed = common.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"])
    found = []
    for name in listed.splitlines():
        path = ROOT / name
        if path.is_file():
            with open(path, "rb") as file:
                if file.readline(64).split() in ([b"#!/bin/bash"], [b"#!/bin/sh"]):
                    found.append(name)
    return found


def run_group_case(group, name, action):
    with group.case(name) as note:
        result = action()
        if result:
            note.append(result)


def shellcheck():
    need_packages(shellcheck="/usr/bin/shellcheck")
    names = scripts()
    check(names, "found no shell script")
    common.run(["shellcheck", "--severity=warning", *names])
    return f"{len(names)} scripts"


def python_syntax():
    names = [str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("*.py")]
    program = "import ast,sys\nfor name in sys.argv[1:]: ast.parse(open(name).read(), name)"
    common.run(["python3", "-c", program, *names])
    return f"{len(names)} files"


def clippy():
    cargo.cargo("clippy", "--profile", "gate", "--workspace", "--all-targets", "--", "-D", "warnings")


def format_check():
    cargo.cargo("fmt", "--all", "--", "--check")


def run(group):
    run_group_case(group, "cargo fmt", format_check)
    run_group_case(group, "shellcheck", shellcheck)
    run_group_case(group, "python syntax", python_syntax)
    run_group_case(group, "clippy", clippy)
    cargo.tests(group, "tidy")
