"""The dispatcher behind tests/run: picks groups, runs each from its own file, adds up.

Exit code: 0 when nothing failed; 1 when something failed, or, in CI, when a group was skipped as a whole; 2 for a mistake
on the command line.
"""

import argparse
import importlib.util
import os
import signal
import sys
import time

import common

ORDER = ["lint", "unit", "model", "crash", "metadata", "control", "fence", "s3", "mount", "readme", "posix", "hostile", "scale", "bench",
         "fuzz"]
NOT_BY_DEFAULT = {"fuzz"}


def arguments():
    parser = argparse.ArgumentParser(prog="tests/run", description="Runs the project's tests by group.")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"one of {', '.join(ORDER)}; none: all but fuzz")
    parser.add_argument("--gate", action="store_true", help="bench: apply the bars, not only the validity checks")
    parser.add_argument("--reference", action="store_true", help="posix: record the reference list anew")
    parser.add_argument("--only", default="", help="run only the cases whose name has this text (where a group has cases)")
    parser.add_argument("--seed", type=int, default=None, help="the seed of random histories; printed when not given")
    parser.add_argument("--list", action="store_true", help="list the groups and end")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.groups if name not in ORDER]
    if unknown:
        parser.error(f"no group {', '.join(unknown)}; there are {', '.join(ORDER)}")
    return chosen


def load(name):
    spec = importlib.util.spec_from_file_location(f"group_{name}", common.TESTS / "groups" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_group(name, options):
    """Runs one group and tells whether it is good; whatever it throws is a failure of it, never of the run."""
    common.say(f"=== {name}")
    group = common.Group(name, options)
    try:
        load(name).run(group)
    except common.Skip as reason:
        group.skipped(name, reason)
        if common.CI:
            group.failed(name, "a whole group may not be skipped in CI")
    except common.Budget as why:
        group.failed(name, why)
    except common.Failed as why:
        group.failed(name, why)
    except Exception as error:
        group.failed(name, f"{type(error).__name__}: {error}")
    finally:
        common.end_all()
    good = group.finish()
    if common.CI and not group.counts["passed"]:
        good = False
    return good, time.monotonic() - group.started


def main():
    options = arguments()
    if options.list:
        for name in ORDER:
            common.say(name)
        return 0
    if options.seed is None:
        options.seed = int.from_bytes(os.urandom(4), "big")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    common.CACHE.mkdir(parents=True, exist_ok=True)
    budget = os.environ.get("TESTS_BUDGET_MINUTES")
    if budget:
        common.set_budget(float(budget))
    groups = options.groups or [name for name in ORDER if name not in NOT_BY_DEFAULT]
    common.say(f"seed {options.seed}")
    results = [(name, *run_group(name, options)) for name in groups]
    common.say("=== minutes")
    for name, good, seconds in results:
        common.say(f"  {name:8} {seconds / 60:6.1f}  {'good' if good else 'FAILED'}")
    common.say(f"  {'all':8} {sum(row[2] for row in results) / 60:6.1f}")
    return 0 if all(row[1] for row in results) else 1


if __name__ == "__main__":
    sys.exit(main())
