"""Guests: commands inside a real Linux kernel, through tests/guest."""

import subprocess

import common
from common import TESTS, Failed, Skip, tail

HOST = "10.0.2.2"


def ready():
    """Installs what guests need; skips the case where this machine cannot have them."""
    import os

    if os.geteuid() != 0:
        raise Skip("guests need root: they see the machine's whole root file system")
    common.retry(lambda: common.run([TESTS / "guest", "--install"], 1200))


def command_line(command, timeout, mem, disk, writable, net):
    line = [TESTS / "guest", "--timeout", str(int(timeout)), "--mem", str(mem)]
    if disk:
        line += ["--disk", str(disk)]
    if not net:
        line.append("--no-net")
    for folder in writable:
        line += ["--rw", folder]
    return [*line, "-c", command]


def run(command, timeout=600, good=(0,), mem=1024, disk=0, writable=(), net=True):
    """Runs shell text in a fresh guest and returns (status, output). 124 is a timeout, 125 the machinery."""
    limit = common.time_left(timeout)
    status, output = common.run(command_line(command, limit, mem, disk, writable, net), limit + 30, good=None)
    if good is not None and status not in good:
        raise Failed(f"in the guest, status {status}:\n{tail(output)}")
    return status, output


def start(command, timeout=900, mem=1024, disk=0, writable=(), log=subprocess.PIPE):
    """Starts shell text in a fresh guest and returns the process; `common.end` ends it."""
    return common.spawn(command_line(command, common.time_left(timeout), mem, disk, writable, True), stdout=log)


def mount(port, share, at="/mnt/share", options="hard"):
    """Shell text that mounts a share of the host's loopback, version 3."""
    chosen = f"vers=3,proto=tcp,mountproto=tcp,port={port},mountport={port},nolock,{options}"
    return f"mkdir -p {at} && timeout 120 mount -t nfs -o {chosen} {HOST}:/{share} {at}"
