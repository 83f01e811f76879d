"""readme: the commands of README.md, run as its reader would.

Every fenced block whose language is `sh` is run, in the order of the page, and each command must end well:

- ```sh       in the project's folder, with a home folder and a network of its own (the ports on the page are free there);
- ```sh root  by the administrator of a fresh machine: all such blocks in one guest, at a terminal that answers the prompts.

`tests/run` itself is what runs this. Nothing may be left behind in the project's folder.
"""

import os
import pathlib
import re

import cargo
import common
import guest
from common import ROOT, TESTS, Skip, check

SELF = "tests/run"


def blocks(text):
    """The shell blocks of a page, as (place, text)."""
    found = re.findall(r"^```sh(?: (\w+))?\n(.*?)^```$", text, re.M | re.S)
    return [(place or "project", block) for place, block in found]


def commands(block):
    """What a reader would type, without the remarks."""
    lines = (re.sub(r"\s+# .*", "", line).strip() for line in block.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def project_files():
    return common.run(["git", "status", "--porcelain", "--untracked-files=all", "--ignored"])[1]


def in_project(group, home, block):
    """Runs a block in the project's folder, and ends what it started."""
    typed = commands(block)
    with group.case("; ".join(typed)) as note:
        if typed == [SELF]:
            note.append("is what runs this")
            return
        if os.geteuid() != 0:
            raise Skip("a network of its own needs root")
        rust = {name: os.environ.get(name) or str(pathlib.Path.home() / folder)
                for name, folder in (("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup"))}
        env = {**cargo.environment(), **rust, "HOME": str(home)}
        # What is fetched from elsewhere is there afterwards: the network below has no way out.
        for package in ("dfs-server", "dfsctl", "dfs-lab"):
            cargo.binary(package, "dfs" if package == "dfs-server" else None)
        # A reader's share lives as long as he likes; here the namespace's end takes it along, after an orderly stop.
        text = f"set -eu\nip link set lo up\n{block}\n{ROOT}/deploy/quickstart --stop\n"
        _, output = common.run(["unshare", "--net", "--pid", "--fork", "--mount-proc", "bash", "-c", text], 2400, env=env)
        check(output.count("read back and compared") >= 2, f"no proof of a round trip:\n{common.tail(output)}")


def on_a_machine(group, blocks_of_root):
    """Runs the administrator's blocks one after the other in one guest."""
    typed = [command for block in blocks_of_root for command in commands(block)]
    folder = cargo.binary("dfs-server", "dfs").parent
    cargo.binary("dfsctl")
    with common.temp_folder("readme") as scratch, group.case(f"an administrator's {len(typed)} commands") as note:
        script = scratch / "script"
        script.write_text("set -e\n" + "".join(f"printf '$ %s\\n' {quote(line)}\n{line}\n" for line in typed))
        # the page's gateway is reached by its name, and has a disk for its data
        text = (f"set -e; echo '192.0.2.1 gateway' >>/etc/hosts; mkfs.ext4 -q -F /dev/ubda; mkdir -p /var/lib/dfs; "
                f"mount /dev/ubda /var/lib/dfs; export PATH={folder}:$PATH; python3 -B {TESTS}/lib/terminal.py {script}")
        _, output = guest.run(text, 900, mem=2048, disk=8192, net=False)
        shown = re.findall(r"^\$ (.*?)\r?$", output, re.M)
        check(shown == typed, f"not every command was run: {shown}\n{common.tail(output)}")
        note.append(", ".join(dict.fromkeys(" ".join(line.split()[:2]) for line in typed)))


def quote(text):
    return "'" + text.replace("'", "'\\''") + "'"


def run(group):
    found = blocks((ROOT / "README.md").read_text())
    check(any(SELF in block for _, block in found), f"README.md does not tell of {SELF}")
    before = project_files()
    with common.temp_folder("home") as home:
        for place, block in found:
            if place == "project":
                in_project(group, home, block)
    roots = [block for place, block in found if place == "root"]
    check(roots and len(roots) + sum(place == "project" for place, _ in found) == len(found), "a block of README.md has no known place")
    guest.ready()
    on_a_machine(group, roots)
    with group.case("the project's folder is as it was"):
        after = project_files()
        check(after == before, f"left behind:\n{after}")
