"""s3: trouble of the object store and of the disk, under load, in front of a real S3 server.

Each case writes through NFSv3 with a client that takes no error for an answer (it waits and connects again, as a hard mount
does), makes the trouble, ends it, and then has everything read back from the bucket by a gateway that has lost its cache.
The cases about the disk are in lib/s3_disk.py, those about who owns what in the bucket in lib/s3_owner.py.
"""

import time

import cargo
import common
import gateway
import nfs3
import s3
import s3_disk
import s3_owner
from common import CI, check
from s3_scene import CUT_SECONDS, Load, cold_again, drained, make_tree, scene


def trouble(group, store, name, orders):
    """The common case: write, drain, and read back from the bucket by a gateway without a cache, all of it under the trouble."""
    with group.case(name.replace("-", " ")) as note, scene(store, name) as (server, proxy, _, tree):
        proxy.tell(orders)
        load = Load(server, name, tree)
        note.append(load.finish())
        drained(server, name)
        note.append(cold_again(server, load))
        stats = proxy.stats()
        note.append(f"{stats['gets']} GETs, {stats['puts']} PUTs, {stats['refused']} refused, {stats['damaged']} bodies damaged")
        check(stats["puts"] > 20 and stats["gets"] > 20, f"hardly any request went out: {note[-1]}")
        if orders.startswith("fail"):
            check(stats["refused"] > 5, f"the trouble hardly happened: {note[-1]}")
        if orders.startswith(("corrupt", "partial")):
            check(stats["damaged"] > 0, f"no body was damaged: {note[-1]}")


def cut_under_load(group, store):
    """The cable is cut while clients write, and they write on; what is local is read; all drains after."""
    with group.case("a cut under write load") as note, scene(store, "cut") as (server, proxy, _, tree):
        loads = [Load(server, "cut", tree, "before", mode="--send-only")]
        time.sleep(0.5)
        proxy.tell("cut")
        end = time.monotonic() + CUT_SECONDS
        loads[0].finish()
        before = proxy.stats()["put_bytes"]
        while len(loads) < (4 if CI else 10):
            loads.append(Load(server, "cut", tree, f"during-{len(loads)}"))
            note[:] = [loads[-1].finish()]
        time.sleep(max(0.0, end - time.monotonic()))
        check(proxy.stats()["put_bytes"] == before, "the cable was not cut")
        state = server.status("cut")
        note.append(f"{len(loads)} trees, {state['dirty_bytes'] >> 20} MiB dirty, cold '{state['cold'][:70]}'")
        sent = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())
        check(state["dirty_bytes"] > (len(loads) - 1) * sent * 0.95, f"what could not be uploaded is not dirty: {state}")
        check(CI or state["cold"] != "up", "a cut of a minute is not seen in the status")
        proxy.tell("mend")
        drained(server, "cut")
        note.append(f"{cold_again(server, *loads)}")


def bucket_gone(group, store):
    """The bucket is gone for a while: told as such, and healed by itself."""
    with group.case("bucket gone for a while") as note, scene(store, "gone") as (server, proxy, _, tree):
        proxy.tell("fail 100 404 NoSuchBucket")
        load = Load(server, "gone", tree)
        note.append(load.finish())
        common.wait_for(lambda: "bucket" in str(server.status("gone").get("last_error")).lower(), 60, "the cause in the status")
        check(server.status("gone")["dirty_bytes"] > 0, "dirty data is gone though nothing could be stored")
        proxy.tell("clear")
        drained(server, "gone")
        cold_again(server, load)


def denied(group, store):
    """Access denied for good: writes stop at 90 % with no space, the cause is told, reads and deletes go on, nothing is lost."""
    settings = {"journal": {"size": "32MiB", "segment": "2MiB"}}
    with group.case("access denied, then allowed") as note, scene(store, "denied", settings) as (server, proxy, _, _t):
        client = nfs3.Client(server.nfs_port, "denied")
        client.create("doomed")
        proxy.tell("fail 100 403 AccessDenied")
        pieces, status = {}, nfs3.OK
        for number in range(400):
            piece = number.to_bytes(4, "big") * (1 << 16)
            handle = client.create(f"f{number}")
            status = common.wait_for(lambda: 1 + settled(client, handle, piece), 60, "an answer other than later") - 1
            if status:
                break
            pieces[f"f{number}"] = piece
        check(status == nfs3.NOSPC, f"the last write ended with {status}")
        occupancy = server.rest("GET", "/tier/status")["occupancy"]
        note.append(f"{len(pieces)} files of 256 KiB until NOSPC, occupancy {occupancy:.0%}")
        check(occupancy >= 0.85, f"refused long before the log was full: {occupancy}")
        cause = server.status("denied")
        check("denied" in f"{cause['cold']} {cause.get('last_error')}".lower(), f"no clear cause: {cause}")
        check("put right" in server.log(), "the log does not tell the cause")
        everything(client, pieces)
        client.remove("doomed")
        proxy.tell("clear")
        drained(server, "denied")
        client.write(client.lookup(f"f{len(pieces)}"), 0, b"again")
        pieces[f"f{len(pieces)}"] = b"again"
        drained(server, "denied")
        cold_again(server)
        everything(nfs3.Client(server.nfs_port, "denied"), pieces)


def deletes_denied(group, store):
    """Deletes alone are denied: nothing but the cleaner suffers, the cause is told, and it catches up when they are allowed."""
    with group.case("deletes denied, then allowed") as note, scene(store, "undeleted", s3_owner.HASTY) as (server, proxy, bucket, tree):
        proxy.tell("fail 100 403 AccessDenied POST")  # the batch delete; puts, gets and lists are other methods
        for seed in range(3):
            load = Load(server, "undeleted", make_tree(server.folder / f"tree-{seed}", seed=seed), mode="--send-only")
            load.finish()
            drained(server, "undeleted")
        common.wait_for(lambda: "AccessDenied" in str(server.status("undeleted").get("last_error")), 60, "the cause in the status")
        state = server.status("undeleted")
        check(state["cold"] == "up", f"the store counts as unusable: {state['cold']}")
        kept = len(s3_owner.packs(bucket))
        check(kept >= 0.9 * state["uploads"], f"{kept} packs left of {state['uploads']}, though nothing may be deleted")
        proxy.tell("clear")
        common.wait_for(lambda: len(s3_owner.packs(bucket)) < 0.6 * kept, 60, "dead packs to be deleted", pause=0.5)
        note.append(f"{kept} packs, {len(s3_owner.packs(bucket))} when deletes were allowed")
        note.append(cold_again(server, load))


def settled(client, handle, piece):
    """The status of a write, or -1 while the server says "later"."""
    status = nfs3.status_of(lambda: client.write(handle, 0, piece, nfs3.UNSTABLE))
    return -1 if status == nfs3.JUKEBOX else status


def everything(client, pieces):
    for name, piece in pieces.items():
        found = client.read_all(client.lookup(name))
        check(found == piece, f"{name}: {len(found)} bytes {found[:8]!r} instead of {len(piece)} bytes {piece[:8]!r}")


def killed_in_an_outage(group, store):
    """Cut off, written to, killed under the writers twice, mended: they end without an error, nothing is lost."""
    with group.case("an outage and kills together") as note, scene(store, "outage") as (server, proxy, _, _t):
        tree = make_tree(server.folder / "big", files=12_000, size=5_000)
        proxy.tell("cut")
        load = Load(server, "outage", tree, mode="--send-only")
        for _ in range(2):
            time.sleep(0.3)
            check(load.process.poll() is None, "the writer was done before the kill")
            server.kill()
            server.start()
        note.append(load.finish())
        check("connections lost" in note[0], "no kill was noticed")
        load.verify()
        proxy.tell("mend")
        proxy.tell("reset")
        drained(server, "outage")
        note.append(cold_again(server, load))


def stopped_in_an_outage(group, store):
    """A stop and a start while the store is away hang on nothing, and what is local is served meanwhile."""
    with group.case("stop and start in an outage") as note, scene(store, "stopped") as (server, proxy, _, tree):
        proxy.tell("cut")
        load = Load(server, "stopped", tree)
        load.finish()
        time.sleep(2)  # the flusher has begun: uploads are under way
        began = time.monotonic()
        check(server.stop() == 0, "no clean stop")
        stopped = time.monotonic()
        server.start()
        served = time.monotonic()
        load.verify()
        note.append(f"stopped in {stopped - began:.1f} s, served again after {served - stopped:.1f} s")
        check(stopped - began < 20 and served - stopped < 20, note[0])
        proxy.tell("mend")
        proxy.tell("reset")
        drained(server, "stopped")
        cold_again(server, load)


def full_log(group, store):
    """More is written than the log holds while the store is cut off: writers wait, none fails, and all drains after."""
    settings = {"journal": {"size": "32MiB", "segment": "2MiB"}}
    with group.case("the log is full while the store is away") as note, scene(store, "full", settings) as (server, proxy, _, _tree):
        tree = make_tree(server.folder / "big", files=400, size=200_000)
        proxy.tell("cut")
        load = Load(server, "full", tree)
        occupancy = lambda: server.rest("GET", "/tier/status")["occupancy"]
        common.wait_for(lambda: occupancy() > 0.85, 120, "the log to fill")
        time.sleep(CUT_SECONDS)
        check(load.process.poll() is None, "writers did not wait: more was taken than the log can hold, or an error was given")
        note.append(f"occupancy {occupancy():.0%} after {CUT_SECONDS} s")
        check(0.85 < occupancy() <= 1, note[0])
        proxy.tell("mend")
        proxy.tell("reset")
        note.append(load.finish())
        drained(server, "full")
        cold_again(server, load)


def overwritten(group, store):
    """One file overwritten for ever beside 1,000 cold ones: the log does not fill up behind them."""
    settings = {"journal": {"size": "512MiB"}, "pack": {"size": "8MiB"}}
    with group.case("one file overwritten for ever") as note, scene(store, "hotspot", settings) as (server, _, _b, _t):
        load = Load(server, "hotspot", make_tree(server.folder / "cold", files=1000, size=4000))
        load.finish()
        # several times what the log holds: behind a file that is not flushed it would be full
        writer = s3_disk.Overwriter(server, "hotspot", 256 << 10, (1 if CI else 8) << 30)
        most = 0.0
        while not writer.done():
            most = max(most, server.rest("GET", "/tier/status")["occupancy"])
            time.sleep(0.1)
        note.append(f"{writer.finish() >> 20} MiB written, occupancy at most {most:.0%}")
        check(most < 0.6, note[0])
        drained(server, "hotspot")
        cold_again(server, load)
        writer.verify(nfs3.Client(server.nfs_port, "hotspot"))


def rotten(group, store):
    """A pack damaged, cut short or deleted in the bucket: an error with its name, never wrong bytes; put back, all is well."""
    with group.case("a damaged pack in the bucket") as note, scene(store, "rotten") as (server, _, bucket, _t):
        client = nfs3.Client(server.nfs_port, "rotten")
        good, bad = b"good " * 60_000, bytes(range(256)) * 1200
        client.write(client.create("good"), 0, good)
        drained(server, "rotten")
        others = set(bucket.objects())
        client.write(client.create("bad"), 0, bad)
        drained(server, "rotten")
        (key,) = set(bucket.objects()) - others
        whole = bucket.get(key)
        flipped = bytes(byte ^ 0x10 for byte in whole[:len(whole) // 2]) + whole[len(whole) // 2:]
        for what, harm in (("flipped", lambda: bucket.put(key, flipped)), ("short", lambda: bucket.put(key, whole[:100])),
                           ("deleted", lambda: bucket.delete(key))):
            harm()
            cold_again(server)
            client = nfs3.Client(server.nfs_port, "rotten")
            status = nfs3.status_of(lambda: client.read_all(client.lookup("bad")))
            check(status == nfs3.IO, f"{what}: read of a damaged pack ended with {status}")
            check(key.rsplit("/", 1)[-1] in server.log(), f"{what}: the log does not name the pack")
            check(client.read_all(client.lookup("good")) == good, f"{what}: a good file does not read")
            bucket.put(key, whole)
            check(client.read_all(client.lookup("bad")) == bad, f"{what}: put back, and it does not read")
        note.append("flipped, cut short and deleted, each told and healed")


def conformance(group, store):
    """The cold store's own suite against this server; the proxy only counts, for a suite that finds no store passes too."""
    bucket = store.bucket("conformance")
    with s3.proxy(store.port) as proxy:
        env = {"DFS_TEST_S3_ENDPOINT": f"http://127.0.0.1:{proxy.port}", "DFS_TEST_S3_BUCKET": bucket.name,
               "DFS_TEST_S3_KEY": bucket.access, "DFS_TEST_S3_SECRET": bucket.secret}
        cargo.tests(group, "s3", env=env, timeout=1800)
        with group.case("the suite of the S3 cold store asked this server") as note:
            stats = proxy.stats()
            note.append(f"{stats['puts']} PUTs, {stats['gets']} GETs")
            check(stats["puts"] > 20 and stats["gets"] > 20, f"the suite asked hardly anything: {note[0]}")


def run(group):
    only = group.options.only
    plain = [
        ("errors-of-20-percent", "fail 20 500 InternalError"),
        ("throttling", "fail 40 503 SlowDown"),
        ("latency-of-200-ms", "latency 200"),
        ("wrong-bytes", "corrupt 8"),
        ("partial-bodies", "partial 20"),
    ]
    cases = [cut_under_load, bucket_gone, denied, deletes_denied, killed_in_an_outage, stopped_in_an_outage, full_log, overwritten, rotten,
             *s3_owner.CASES, *s3_disk.CASES, conformance]
    with s3.store(group.options.seed) as store:
        for name, orders in plain:
            if only in name:
                trouble(group, store, name, orders)
        for case in cases:
            if only in case.__name__:
                case(group, store)
