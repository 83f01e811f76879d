"""What every group uses: counting of outcomes, commands with a time limit, caches, installing, free ports, cleanup.

A group's file under tests/groups/ has one function `run(group)`. It reports each case by `group.passed`, `group.failed` or
`group.skipped`, or wraps it in `with group.case(name):`, which turns an exception into a failure. Processes that outlive
a call are started by `spawn`, which ends them, by their own process group, when the run ends for whatever reason.
"""

import atexit
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
CACHE = pathlib.Path(os.environ.get("DFS_TESTS_CACHE") or pathlib.Path.home() / ".cache" / "dfs-tests")
CI = os.environ.get("CI") == "true"


class Skip(Exception):
    """Raised inside a case that cannot run here; the text is the reason."""


class Failed(Exception):
    """Raised inside a case whose check did not hold."""


class Budget(Exception):
    """Raised where the run's budget of wall time is used up."""


class Group:
    """Counts the outcomes of one group and prints its last line."""

    def __init__(self, name, options):
        self.name = name
        self.options = options
        self.counts = {"passed": 0, "failed": 0, "skipped": 0}
        self.started = time.monotonic()

    def passed(self, case, note="", count=1):
        self.counts["passed"] += count
        say(f"  ok    {case}{': ' + note if note else ''}")

    def failed(self, case, why, count=1):
        self.counts["failed"] += count
        say(f"  FAIL  {case}: {why}")

    def skipped(self, case, why, count=1):
        self.counts["skipped"] += count
        say(f"  skip  {case}: {why}")

    @contextlib.contextmanager
    def case(self, name):
        """Counts the body as one case; what it returns by `note.append(text)` is printed beside the name."""
        note = []
        began = time.monotonic()
        try:
            yield note
        except Skip as reason:
            self.skipped(name, reason)
        except Budget:
            self.failed(name, "the run's time was used up")
            raise
        except Failed as why:
            self.failed(name, why)
        except subprocess.TimeoutExpired as late:
            self.failed(name, f"not done after {late.timeout:.0f} s: {short_command(late.cmd)}")
        except Exception as error:  # a broken case must not hide the ones after it
            self.failed(name, f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=-4)}")
        else:
            self.passed(name, "; ".join([*note, f"{time.monotonic() - began:.1f} s"]))

    def finish(self):
        """Prints the minutes and the one last line; tells whether the group is good."""
        counts = self.counts
        if not counts["passed"] and not counts["failed"] and not counts["skipped"]:
            self.failed(self.name, "the group ran nothing")
        say(f"{self.name}: {(time.monotonic() - self.started) / 60:.1f} minutes")
        say(f"{self.name}: {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
        return counts["failed"] == 0


def say(text):
    print(text, flush=True)


def check(condition, why):
    """Fails the case with `why` unless the condition holds."""
    if not condition:
        raise Failed(why)


def short_command(command):
    text = command if isinstance(command, str) else " ".join(map(str, command))
    return text if len(text) < 160 else text[:157] + "..."


# --- wall time ---------------------------------------------------------------------------------------------------------

_BUDGET_END = None


def set_budget(minutes):
    global _BUDGET_END
    _BUDGET_END = time.monotonic() + 60 * minutes


def time_left(wanted):
    """The seconds a command may take: what it wants, or what the run's budget still gives."""
    if _BUDGET_END is None:
        return wanted
    left = _BUDGET_END - time.monotonic()
    if left <= 0:
        raise Budget("the run's time was used up")
    return min(wanted, left)


def wait_for(condition, seconds, what, pause=0.1):
    """Polls until the condition holds and returns its value; fails the case after that many seconds."""
    end = time.monotonic() + time_left(seconds)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"waited {seconds} s for {what}")
        time.sleep(pause)


# --- commands ----------------------------------------------------------------------------------------------------------

_CHILDREN = []


def run(command, timeout=600, good=(0,), cwd=ROOT, env=None, stdin=None, quiet=True):
    """Runs a command to its end and returns (status, joined output). A status outside `good` fails the case."""
    process = spawn(command, cwd=cwd, env=env, stdin=stdin, stdout=subprocess.PIPE if quiet else None)
    try:
        output, _ = process.communicate(timeout=time_left(timeout))
    except subprocess.TimeoutExpired:
        end(process)
        raise
    finally:
        if process in _CHILDREN:
            _CHILDREN.remove(process)
    text = (output or b"").decode("utf-8", "replace")
    if good is not None and process.returncode not in good:
        raise Failed(f"`{short_command(command)}` ended with {process.returncode}:\n{tail(text)}")
    return process.returncode, text


def spawn(command, cwd=ROOT, env=None, stdin=subprocess.DEVNULL, stdout=None, stderr=subprocess.STDOUT):
    """Starts a command in its own process group; it is ended with the run at the latest."""
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=stdin if stdin is not None else subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr if stdout is not None else None,
        start_new_session=True,
    )
    _CHILDREN.append(process)
    return process


def end(process, gentle=False, wait=20):
    """Ends a spawned command with its process group: TERM first where gentle, then KILL."""
    if process.poll() is None and gentle:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    if process in _CHILDREN:
        _CHILDREN.remove(process)


@atexit.register
def end_all():
    for process in list(_CHILDREN):
        end(process, gentle=True, wait=3)


def tail(text, lines=40):
    kept = text.rstrip().splitlines()[-lines:]
    return "\n".join("    | " + line for line in kept)


# --- folders, ports ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def temp_folder(name):
    """A folder of its own, gone afterwards; kept where TESTS_KEEP is set."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"dfs-{name}."))
    try:
        yield folder
    finally:
        if os.environ.get("TESTS_KEEP"):
            say(f"  kept  {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def free_port():
    """A TCP port of the loopback that was free a moment ago, outside the range the kernel hands out by itself."""
    for _ in range(200):
        port = 20000 + int.from_bytes(os.urandom(2), "big") % 10000
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Failed("no free port")


def port_open(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


# --- installing --------------------------------------------------------------------------------------------------------


def retry(action, times=3, pause=5):
    """Runs an action that needs the network, again after a failure."""
    for attempt in range(times):
        try:
            return action()
        except (Failed, subprocess.TimeoutExpired, OSError):
            if attempt + 1 == times:
                raise
            time.sleep(pause * (attempt + 1))


def need_packages(**packages):
    """Installs Debian packages, each named with a file that shows its presence: need_packages(strace='/usr/bin/strace')."""
    names = [name.replace("_", "-") for name, file in packages.items() if not pathlib.Path(file).exists()]
    if not names:
        return
    if os.geteuid() != 0:
        raise Skip(f"not root and missing: {' '.join(names)}")
    apt = ["apt-get", "-o", "DPkg::Lock::Timeout=900"]
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}

    def install():
        status, _ = run([*apt, "install", "-y", "--no-install-recommends", *names], 900, good=None, env=quiet)
        if status != 0:
            run([*apt, "update"], 300, good=None, env=quiet)
            run([*apt, "install", "-y", "--no-install-recommends", *names], 900, env=quiet)

    retry(install)


def need_cargo_tool(crate, version):
    """The path of a program from crates.io, built once into the cache. Takes minutes the first time."""
    binary = CACHE / "cargo" / "bin" / crate
    if not binary.exists():
        say(f"  ...   building {crate} {version} (once)")
        clean = {key: value for key, value in os.environ.items() if key != "CARGO_TARGET_DIR"}
        command = ["cargo", "install", "--locked", "--root", CACHE / "cargo", "--version", version, crate]
        retry(lambda: run(["env", "-u", "CARGO_TARGET_DIR", *command], 1800, cwd="/tmp", env=clean))
    return binary


def need_python_package(requirement, program):
    """The path of a program of a Python package, installed once into the cache's virtual environment."""
    venv = CACHE / "venv"
    if not (venv / "bin" / "python3").exists():
        status, _ = run([sys.executable, "-m", "venv", venv], 300, good=None)
        if status != 0:
            need_packages(python3_venv="/nonexistent")
            run(["/usr/bin/python3", "-m", "venv", venv], 300)
    if not (venv / "bin" / program).exists():
        retry(lambda: run([venv / "bin" / "python3", "-m", "pip", "install", "-q", requirement], 900))
    return venv / "bin" / program
