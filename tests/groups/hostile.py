"""hostile: damaged records by the hundred thousand. No panic, bounded memory, and others are served meanwhile."""

import re
import threading
import time

import cargo
import common
import gateway
from common import CI, check

RECORDS = 5_000 if CI else 100_000
# what may be added to the idle memory: the permits for requests under way, and 64 MiB
PERMIT_BYTES = 64 << 20
ALLOWED_BYTES = PERMIT_BYTES + (64 << 20)
BYSTANDER_P99_MS = 1000.0


class Watch(threading.Thread):
    """Keeps the largest resident memory of the gateway."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.most, self.over = server, 0, False

    def run(self):
        while not self.over:
            try:
                self.most = max(self.most, self.server.rss())
            except (OSError, common.Failed):
                return
            time.sleep(0.05)


def rows(output):
    """The lines of the attack as {procedure: {field: number}}."""
    found = {}
    for line in output.splitlines():
        pairs = dict(re.findall(r"(\w+)=(\S+)", line))
        name = pairs.pop("procedure", line.split(" ")[0])
        found[name] = {key: float(value) for key, value in pairs.items() if re.fullmatch(r"[\d.]+", value)}
    return found


def run(group):
    lab = cargo.binary("dfs-lab")
    portmap = common.free_port()
    settings = {
        "nfs": {"request_memory": PERMIT_BYTES},
        "portmap": {"enabled": True, "listen": f"127.0.0.1:{portmap}"},
    }
    with gateway.running("hostile", settings) as server:
        server.share("hostile", durability="relaxed")
        # a gateway that has served nothing yet is smaller than an idle one
        common.run([lab, "hostile", "--server", f"127.0.0.1:{server.nfs_port}", "--export", "/hostile", "--records", "200"], 300)
        time.sleep(1)
        idle = server.rss()
        watch = Watch(server)
        watch.start()
        command = [lab, "hostile", "--server", f"127.0.0.1:{server.nfs_port}", "--portmap", f"udp:127.0.0.1:{portmap}",
                   "--export", "/hostile", "--records", str(RECORDS), "--seed", str(group.options.seed)]
        status, output = common.run(command, 3600, good=None)
        watch.over = True
        watch.join()
        found = rows(output)
        judge(group, server, status, output, found)
        with group.case("memory stays within idle, permits and 64 MiB") as note:
            note.append(f"idle {idle >> 20} MiB, most {watch.most >> 20} MiB, allowed {(idle + ALLOWED_BYTES) >> 20} MiB")
            check(watch.most <= idle + ALLOWED_BYTES, f"{note[0]}")


def judge(group, server, status, output, found):
    with group.case("the gateway lives and serves after it") as note:
        note.append(f"seed {group.options.seed}, {RECORDS} records for each procedure")
        check(status == 0, f"the attack ended with {status}:\n{common.tail(output)}")
        check(server.process.poll() is None, f"the gateway ended with {server.process.returncode}")
        check("panicked" not in server.log(), f"a panic:\n{common.tail(server.log())}")
    with group.case("every procedure got its records, most past the header") as note:
        procedures = {name: row for name, row in found.items() if "/" in name}
        check(len(procedures) == 34, f"{len(procedures)} of 22 + 6 + 6 procedures")
        few = [name for name, row in procedures.items() if row["sent"] < RECORDS or row["reached"] < 0.5 * row["sent"]]
        check(not few, f"too few for {few}")
        total = found["total"]
        note.append(f"{total['sent']:.0f} sent, {total['reached'] / total['sent']:.0%} past the header")
        check(total["answered"] > 0.2 * total["sent"], f"only {total['answered']:.0f} answered: {total}")
        check(total["silent"] == 0, f"{total['silent']:.0f} records got neither an answer nor a close in 5 s")
    with group.case("a bystander's GETATTR keeps p99 below a second") as note:
        row = found["bystander"]
        note.append(f"p99 {row['p99_ms']:.1f} ms, most {row['max_ms']:.0f} ms of {row['calls']:.0f} calls")
        check(row["calls"] >= 100 and row["p99_ms"] < BYSTANDER_P99_MS, note[0])
