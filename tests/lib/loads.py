"""The load generator in front of one gateway, and a share with very many files: made, killed, started again, looked at."""

import os
import pathlib
import time

import cargo
import common
from common import check

TICK = os.sysconf("SC_CLK_TCK")


def cpu(server):
    """The processor seconds that the gateway has used."""
    fields = pathlib.Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


class Loads:
    """Runs loads against a gateway's export; `seconds` is for those without an end of their own."""

    def __init__(self, server, export, seconds=3):
        self.server, self.export, self.seconds, self.lab = server, export, seconds, cargo.binary("dfs-lab")

    def command(self, work, **settings):
        export = settings.pop("export", self.export)
        flags = {"server": f"127.0.0.1:{self.server.nfs_port}", "export": export, "seconds": self.seconds, **settings}
        return [self.lab, "load", work, *(part for name, value in flags.items() for part in (f"--{name}", str(value)))]

    def load(self, work, timeout=900, **settings):
        """Runs one load; returns its figures and the processor seconds of both sides."""
        limit = work.startswith("limit")
        before = 0.0 if limit else cpu(self.server)
        _, output = common.run(self.command(work, **settings), timeout)
        figures = {name: float(value) for name, value in (pair.split("=") for pair in output.split())}
        figures["cpu_server"] = 0.0 if limit else cpu(self.server) - before
        return figures


def seconds_of(figures):
    return f"server {figures['cpu_server']:.2f} s, load {figures['cpu']:.2f} s"


def drop_caches():
    if os.geteuid() == 0:
        common.run(["sync"], 120)
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3\n")


def started_cold(server, wait=300):
    """Starts a gateway that was killed, with nothing of it in the page cache; returns the seconds that took."""
    drop_caches()
    began = time.monotonic()
    server.start(wait)
    return time.monotonic() - began


def make_files(loads, files, depth=16, timeout=3600):
    """So many files of a byte, through NFS, in folders of a thousand."""
    return loads.load("files", connections=4, depth=depth, count=files, file="many", size=1, timeout=timeout)


def look_up(loads, files, sample=0, timeout=3600):
    """Look-ups of the files in a scattered order: of each, or of so many."""
    found = loads.load("lookup", connections=4, depth=4, count=files, sample=sample, file="many", timeout=timeout)
    wanted = sample or files
    check(found["operations"] == wanted, f"{found['operations']:.0f} of {wanted} found")
    return found
