"""fence: two gateways, one database, one bucket: who serves a share, and that nobody else says or changes anything about it.

Real processes, a real PostgreSQL, a real S3 server. The owner of a share is paused, killed, told to hand over, left for good; the
database's primary dies and its standby is promoted. What was acknowledged is compared byte by byte each time.
"""

import hashlib
import random
import signal
import struct
import time

import common
import fence_scene
import gateway
import nfs3
import postgres
from common import CI, check
from fence_scene import LEASE, Traffic, adopt, agree, lost_line, pair, serves, state

# Clients that write at the same time.
WRITERS = 3 if CI else 6


def read_back(server, share, files):
    """Compares every file with what was acknowledged."""
    client = nfs3.Client(server.nfs_port, share)
    for name, data in files.items():
        found = client.read_all(client.lookup(name))
        check(found == data, f"{name}: {len(found)} bytes {hashlib.sha256(found).hexdigest()[:8]}, not what was acknowledged")
    client.close()
    return len(files)


def late_calls(client, file):
    """Requests that wait in a paused gateway's sockets: writes, names and reads."""
    handle = nfs3.opaque(file)
    late = b"LATE" * 4096
    client.send(nfs3.NFS, 7, handle + struct.pack(">QII", 0, len(late), nfs3.FILE_SYNC) + nfs3.opaque(late))
    client.send(nfs3.NFS, 8, nfs3.opaque(client.root) + nfs3.opaque(b"late-name") + struct.pack(">IIIIIIII", 0, 1, 0o644, 0, 0, 0, 0, 0))
    client.send(nfs3.NFS, 12, nfs3.opaque(client.root) + nfs3.opaque(b"kept"))
    client.send(nfs3.NFS, 6, handle + struct.pack(">QI", 0, 65536))
    client.send(nfs3.NFS, 21, handle + struct.pack(">QI", 0, 0))


def paused(group, scene):
    """The owner is paused, the other takes over after the lease, the first is resumed: none of its late writes lands, none of its
    replies leaves, metadata and bucket agree."""
    with group.case("the owner is paused, taken over, resumed") as note, pair(scene, "paused") as (one, other, bucket, database):
        one.share("own")  # embedded, on the same gateway: served through all of it
        one.share("docs", gateway.s3_store(bucket), metadata="postgres", durability="remote")
        other_state = adopt(other, "docs", gateway.s3_store(bucket))
        check(other_state.startswith("standby: served by gateway"), f"the second says: {other_state}")
        setup = nfs3.Client(one.nfs_port, "docs")
        target, kept = setup.create("target"), setup.create("kept")
        setup.write(target, 0, b"before " * 3000)
        setup.write(kept, 0, b"kept")
        lates = [nfs3.Client(one.nfs_port, "docs", 30) for _ in range(4)]
        traffic = Traffic(one.nfs_port, "docs", WRITERS, target)
        time.sleep(2)
        acked = len(traffic.files)
        check(acked > 10, f"only {acked} files were acknowledged before the pause")

        one.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        traffic.settle()
        for client in lates:
            late_calls(client, target)
        serves(other, "docs", 4 * LEASE + 10)
        took = time.monotonic() - began
        check(took > LEASE / 2, f"taken over after {took:.1f} s, while the lease lasts")
        note.append(f"taken over {took:.1f} s after the pause, with a lease of {LEASE} s")
        note.append(f"{read_back(other, 'docs', traffic.files)} acknowledged files are there")
        client = nfs3.Client(other.nfs_port, "docs")
        mine = {"target": b"the new owner's " * 2000, "new": b"new"}
        for name, data in mine.items():
            handle = client.create(name)
            client.write(handle, 0, data)
        mine["target"] += (b"before " * 3000)[len(mine["target"]):]
        check(client.read_all(client.lookup("target")) == mine["target"], "the new owner does not see its own write")

        traffic.arm()
        one.process.send_signal(signal.SIGCONT)
        said = [fence_scene.rest_of(client) for client in lates]
        check(not any(said), f"the first said {sum(map(len, said))} bytes after it was taken over")
        late = traffic.finish()
        check(not late, f"replies of the first arrived after it was taken over: {late[:3]}")
        words = common.wait_for(lambda: lost_line(one, "docs"), 30, "the first to tell that it was taken over")
        note.append(words[:110])
        fence_scene.login(one)
        shown = one.ctl("tier", "status")[1]
        check("taken over by gateway" in shown, f"dfsctl tier status does not tell: {shown}")
        fence_scene.login(other)
        shown = other.ctl("share", "show", "docs")[1]
        check("stranded journals" in shown, f"dfsctl share show does not tell of the journal left behind: {shown}")
        own = nfs3.Client(one.nfs_port, "own")
        own.write(own.create("still"), 0, b"served")

        everything = {**traffic.files, **mine, "kept": b"kept"}
        note.append(f"{read_back(other, 'docs', everything)} files as the new owner has them")
        check(nfs3.status_of(lambda: client.lookup("late-name")) == nfs3.NOENT, "a late name landed")
        note.append(agree(database, bucket, other))
        check(other.stop() == 0, "the second did not stop in order")
        serves(one, "docs", 3 * LEASE + 10)
        note.append(f"handed back: {read_back(one, 'docs', everything)} files at the first again")
        check("stranded journals" not in one.ctl("share", "show", "docs")[1], "its journal is called stranded though it has the share")
        check(nfs3.status_of(lambda: nfs3.Client(one.nfs_port, "docs").lookup("late-name")) == nfs3.NOENT, "a late name came back")


def local_share(group, scene):
    """A local share goes with its journal, by a clean hand-over, or by the command that names what is lost."""
    with group.case("a local share: journal, hand-over, abandoning") as note, pair(scene, "local") as (one, other, bucket, _):
        one.share("docs", gateway.s3_store(bucket), metadata="postgres", durability="local")
        adopt(other, "docs", gateway.s3_store(bucket))
        dice = random.Random(scene.seed)
        files = {f"f{number}": dice.randbytes(dice.randrange(1, 50_000)) for number in range(20)}
        fence_scene.write_all(one, "docs", files)
        one.kill()
        time.sleep(LEASE + 2)
        shown = state(other, "docs")
        check("its journal is in the data folder of gateway" in shown and "share abandon" in shown, f"the second says: {shown}")
        one.start()
        serves(one, "docs", 20)
        note.append(f"back with its journal: {read_back(one, 'docs', files)} files")

        fence_scene.login(one)
        one.ctl("share", "release", "docs")
        serves(other, "docs", 10)
        check(state(one, "docs").startswith("handed over"), f"the first says: {state(one, 'docs')}")
        note.append(f"handed over by command: {read_back(other, 'docs', files)} files")
        check(other.stop() == 0, "the second did not stop in order")
        one.ctl("share", "open", "docs")
        serves(one, "docs", 10)
        note.append(f"handed over by a stop: {read_back(one, 'docs', files)} files")

        other.start()
        one.stop()
        serves(other, "docs", 3 * LEASE + 10)
        one.write_config(flush={"after": "600s"})
        one.start()
        fence_scene.login(other)
        other.ctl("share", "release", "docs")
        serves(one, "docs", 10)
        lost = {"lost": dice.randbytes(70_000)}
        fence_scene.write_all(one, "docs", lost)
        time.sleep(LEASE + 1)  # until the owner row knows
        one.kill()
        other.ctl("share", "open", "docs", good=(0, 5))
        asked = common.wait_for(lambda: fence_scene.abandon_refused(other, "docs", 70_000), 3 * LEASE + 10, "what would be lost")
        note.append(asked[:150])
        other.ctl("share", "abandon", "docs", "--yes")
        serves(other, "docs", 10)
        read_back(other, "docs", files)
        check(nfs3.Client(other.nfs_port, "docs").size(nfs3.Client(other.nfs_port, "docs").lookup("lost")) == 0, "what was given up is there")
        one.start()
        check(state(one, "docs").startswith("standby: served by gateway"), f"the abandoned one says: {state(one, 'docs')}")


def strangers(group, scene):
    """What a second gateway is told when it does it wrong, and when a share is deleted under it."""
    with group.case("mistakes with shares of another gateway") as note, pair(scene, "mistakes") as (one, other, bucket, _):
        one.share("docs", gateway.s3_store(bucket), metadata="postgres", durability="remote", clients=["127.0.0.0/8"])
        refusals = fence_scene.refusals(other, bucket, scene.store.bucket("empty"))
        note.extend(refusals)
        adopt(other, "docs", gateway.s3_store(bucket), stores=False)
        row = next(share for share in other.rest("GET", "/shares") if share["name"] == "docs")
        check((row["durability"], row["clients"]) == ("remote", ["127.0.0.0/8"]), f"settings did not come along: {row}")
        refused = fence_scene.refusal(other, "DELETE", "/shares/docs")
        check("delete it there" in refused, f"a standby deletes: {refused}")
        check(other.rest("GET", "/health")["status"] == "ok", "a standby is called a failure")
        one.rest("DELETE", "/shares/docs")
        told = common.wait_for(lambda: "not in metadata store" in state(other, "docs") and state(other, "docs"), 20, "the deletion to be told")
        note.append(told[:80])
        other.rest("DELETE", "/shares/docs")
        refused = fence_scene.refusal(one, "POST", "/shares", {
            "name": "r", "metadata": "meta-own", "cold": "cold-own", "durability": "remote"}, own=True)
        check("Postgres" in refused, f"remote with embedded names: {refused}")


def promoted(group, scene):
    """The database's primary dies and its synchronous standby is promoted: clients wait, see no error, lose nothing."""
    with group.case("the database's standby is promoted") as note, fence_scene.replicated(scene) as (primary, standby):
        url = f"postgres://postgres@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/postgres"
        bucket = scene.store.bucket("promoted")
        with gateway.running("promoted", fence_scene.settings(url)) as server:
            server.share("docs", gateway.s3_store(bucket), metadata="postgres", durability="remote")
            traffic = Traffic(server.nfs_port, "docs", WRITERS, reconnect=True)
            time.sleep(1.5)
            before = len(traffic.files)
            primary.kill()
            time.sleep(1)
            standby.promote()
            began = time.monotonic()
            common.wait_for(lambda: len(traffic.files) > before + 2 * WRITERS, 60, "clients to go on by themselves")
            note.append(f"{before} files before; clients went on {time.monotonic() - began:.1f} s after the promotion")
            time.sleep(0.5)
            errors = traffic.stop()
            check(not errors, f"clients saw errors: {errors[:3]}")
            note.append(f"{read_back(server, 'docs', traffic.files)} files are there")
            rows = int(standby.query("SELECT count(*) FROM dfs.tree WHERE share = 'docs' AND kind = 'file'"))
            check(rows >= len(traffic.files), f"the promoted database has {rows} files")


def run(group):
    postgres.need_root()
    with fence_scene.scene(group) as scene:
        for case in (paused, local_share, strangers, promoted):
            if group.options.only in case.__name__:
                case(group, scene)
