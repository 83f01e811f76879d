"""scale: ten million files in ten thousand folders and a million in one, a million through NFS, a million in PostgreSQL.

Asserted: the memory of every process that holds a store, what a start after kill -9 has to read again (and, in the long form,
how long that takes with nothing in the page cache), and that every name is there. Printed: rates and latencies. CI makes a tenth.
"""

import re
import subprocess
import time

import cargo
import common
import gateway
import loads
import postgres
from common import CI, check
from loads import Loads

PART = 10 if CI else 1
FILES, SINGLE = 10_000_000 // PART, 1_000_000 // PART
OVER_NFS, IN_POSTGRES = 1_000_000 // PART, 1_000_000 // PART
FOLDERS = FILES // 1000
SAMPLE = 200_000 // PART
RSS_MAX = 1 << 30
RESTART_MAX_SECONDS = 5.0
# the store's memtables: one that is being written, one that fills meanwhile; and the last record
REPLAY_BYTES_MAX = (64 << 20) + (1 << 20)


def filled(server, folder):
    """Fills the share's store through `MetadataStore`, and kills the process that did it; returns its lines of figures."""
    command = [cargo.binary("dfs-fill"), folder, "--share", "scale", "--files", str(FILES), "--single", str(SINGLE)]
    process = common.spawn(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    lines = []
    for line in process.stdout:
        lines.append(line.decode().strip())
        if lines[-1] == "filled":
            break
    common.end(process)
    check(lines and lines[-1] == "filled", f"dfs-fill ended with {process.returncode}: {lines}")
    return [dict(pair.split("=") for pair in line.split()) for line in lines[:-1]]


def replayed(server, logged):
    """What the last start read of the name log above the checkpoints, as (records, bytes)."""
    found = re.findall(r"name log read above the checkpoint.*?records=(\d+) bytes=(\d+)", server.log()[logged:])
    check(found, "the start does not tell what it read of the name log")
    return sum(int(records) for records, _ in found), max(int(size) for _, size in found)


def restart(server, note):
    """Starts a killed gateway cold and judges what it had to do."""
    logged = len(server.log())
    seconds = loads.started_cold(server)
    records, size = replayed(server, logged)
    note.append(f"start after kill -9 {seconds:.2f} s, {records:,} records read again ({size >> 20} MiB of rows)")
    check(size <= REPLAY_BYTES_MAX, f"more than the memtables may hold was read again: {note[-1]}")
    check(CI or seconds <= RESTART_MAX_SECONDS, f"later than {RESTART_MAX_SECONDS} s: {note[-1]}")


def memory(server, note):
    most = server.rss(most=True)
    note.append(f"{most >> 20} MiB at the most")
    check(most <= RSS_MAX, f"more than {RSS_MAX >> 20} MiB: {note[-1]}")


def shown(figures, what):
    return f"{what} {figures['rate']:,.0f}/s, p99 {figures['p99_us']:.0f} us"


def inodes(server, share):
    return server.rest("GET", f"/shares/{share}")["inodes"]


def embedded(group):
    with gateway.running("scale") as server:
        server.share("scale", durability="relaxed")
        check(server.stop() == 0, "no clean stop")
        with group.case(f"{FILES:,} files in {FOLDERS:,} folders and {SINGLE:,} in one") as note:
            for row in filled(server, server.data / "metadata-meta-scale"):
                note.append(f"{row['what']}: {float(row['rate']):,.0f} creates/s, {int(row['resident']) >> 20} MiB")
                check(int(row["resident"]) <= RSS_MAX, f"the store's process needs more than {RSS_MAX >> 20} MiB: {note[-1]}")
            restart(server, note)
            held = inodes(server, "scale")
            check(held == FILES + FOLDERS + SINGLE + 2, f"{held:,} inodes after the kill")
        with group.case("look-ups, and the listing of the one folder") as note:
            scale = Loads(server, "/scale")
            note.append(shown(loads.look_up(scale, FILES, SAMPLE), "look-ups"))
            listed = scale.load("list", file="single")
            check(listed["operations"] == SINGLE, f"{listed['operations']:.0f} of {SINGLE} entries listed")
            note.append(f"{SINGLE:,} entries in {listed['seconds']:.1f} s, p99 of a page {listed['p99_us'] / 1000:.1f} ms")
            memory(server, note)
        with group.case("killed while files are made in it") as note:
            writing = common.spawn(scale.command("files", connections=4, depth=16, count=1_000_000, file="more", size=1))
            time.sleep(3)
            check(writing.poll() is None, "the writer was done before the kill")
            server.kill()
            common.end(writing)
            restart(server, note)
            held = inodes(server, "scale")
            note.append(f"{held - FILES - FOLDERS - SINGLE - 2:,} more")
            check(held > FILES + FOLDERS + SINGLE + 2, "nothing was made before the kill")
            memory(server, note)


def over_nfs(group):
    with gateway.running("nfs") as server, group.case(f"{OVER_NFS:,} files through NFS") as note:
        server.share("scale", durability="relaxed")
        scale = Loads(server, "/scale")
        note.append(shown(loads.make_files(scale, OVER_NFS), "made"))
        memory(server, note)
        server.kill()
        restart(server, note)
        note.append(shown(loads.look_up(scale, OVER_NFS, SAMPLE), "look-ups"))
        held = inodes(server, "scale")
        check(held == OVER_NFS + 4 * -(-OVER_NFS // 4000) + 1, f"{held:,} inodes after the kill")
        memory(server, note)


def in_postgres(group):
    postgres.need_root()
    programs = postgres.programs()
    with common.temp_folder("scale") as folder, group.case(f"{IN_POSTGRES:,} files, their names in PostgreSQL") as note:
        template = postgres.make_template(folder, programs)
        with postgres.cluster(template, programs) as database:
            settings = {"metadata": {"postgres": {"url": database.url, "tls": "off"}}}
            with gateway.running("names", settings) as server:
                server.share("scale", metadata="postgres", durability="relaxed")
                scale = Loads(server, "/scale")
                note.append(shown(loads.make_files(scale, IN_POSTGRES), "made"))
                memory(server, note)
                server.kill()
                seconds = loads.started_cold(server)
                note.append(f"start after kill -9 {seconds:.2f} s")
                check(CI or seconds <= RESTART_MAX_SECONDS, f"later than {RESTART_MAX_SECONDS} s: {note[-1]}")
                note.append(shown(loads.look_up(scale, IN_POSTGRES, SAMPLE), "look-ups"))
                held = inodes(server, "scale")
                check(held == IN_POSTGRES + 4 * -(-IN_POSTGRES // 4000) + 1, f"{held:,} inodes after the kill")
                memory(server, note)


CASES = {"embedded": embedded, "nfs": over_nfs, "postgres": in_postgres}


def run(group):
    wanted = [name for name in CASES if group.options.only in name]
    check(wanted, f"no case like {group.options.only!r}; there are {', '.join(CASES)}")
    for name in wanted:
        CASES[name](group)
