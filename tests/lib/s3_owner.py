"""Cases of group s3 about whose objects are whose: strays, two gateways on one prefix, a copy of the box."""

import shutil
import time

import common
import gateway
import nfs3
from common import check
from s3_scene import Load, cold_again, drained, make_tree, scene

# A cleaner in a hurry: what is a day and hours in life is seconds here.
HASTY = {"pack": {"size": "1MiB", "delete_after": "2s", "sweep_every": "1s", "owner_settle": "1s"}}


def packs(bucket):
    return {key for key in bucket.objects() if "/packs/" in key}


def strays(group, store):
    """Objects that no row knows are swept, dead packs too; live ones and what is not ours stay."""
    with group.case("strays and dead packs are swept") as note, scene(store, "strays", HASTY) as (server, proxy, bucket, tree):
        proxy.tell("fail 20 500 InternalError")
        load = Load(server, "strays", tree)
        load.finish()
        for number in range(3):  # overwritten: the packs of before die
            load = Load(server, "strays", make_tree(server.folder / f"again-{number}", seed=7 + number), mode="--send-only")
            load.finish()
            drained(server, "strays")
        proxy.tell("clear")
        share = next(key for key in packs(bucket)).split("/packs/")[0]
        alien = [f"{share}/packs/ab/{0xab << 120 | 0x5eed << 8 | number:032x}" for number in range(5)]
        kept = [f"{share}/packs/ab/not-a-pack", f"{share}-other/packs/ab/{0xab << 120:032x}", "readme.txt"]
        for key in alien + kept:
            bucket.put(key, b"stray")
        common.wait_for(lambda: not set(alien) & packs(bucket), 60, "the strays to be swept", pause=0.5)
        live = server.status("strays")["uploads"]
        common.wait_for(lambda: len(packs(bucket)) < 0.6 * live, 60, "dead packs to be deleted", pause=0.5)
        missing = set(kept) - set(bucket.objects())
        check(not missing, f"deleted what is not ours: {missing}")
        note.append(f"{live} packs uploaded, {len(packs(bucket))} left")
        note.append(cold_again(server, load))


def two_gateways(group, store):
    """Two gateways on one bucket and prefix, written to at once, each sweeping: neither harms the other."""
    settings = {"flush": {"after": "1s"}, "journal": {"size": "256MiB"}, "warm": {"size": "256MiB"}, **HASTY}
    with group.case("two gateways on one prefix") as note:
        bucket = store.bucket("shared")
        with gateway.running("one", settings) as one, gateway.running("two", settings) as two:
            servers, loads = (one, two), []
            for server in servers:
                server.share("shared", gateway.s3_store(bucket, prefix="both"))
            for turn in range(2):
                loads = [Load(server, "shared", make_tree(server.folder / f"tree-{turn}", seed=10 * turn + number))
                         for number, server in enumerate(servers)]
                note[:] = [load.finish() for load in loads]
                for server in servers:
                    server.flush("shared")
            before = sum(server.status("shared")["uploads"] for server in servers)
            common.wait_for(lambda: len(packs(bucket)) < 0.9 * before, 60, "dead packs to be deleted", pause=0.5)
            time.sleep(3)
            for server, load in zip(servers, loads):
                cold_again(server, load)


def copied_box(group, store):
    """A copy of the data folder is started beside the original: nothing of the original is deleted, whatever the copy does."""
    with group.case("a copy of the box") as note, scene(store, "copied", HASTY) as (server, _, bucket, tree):
        load = Load(server, "copied", tree)
        load.finish()
        server.flush("copied")
        check(server.stop() == 0, "no clean stop")
        with common.temp_folder("copy") as folder:
            copy = gateway.Gateway(folder, server.settings)
            for section, port in (("nfs", copy.nfs_port), ("control", copy.rest_port), ("metrics", copy.metrics_port)):
                copy.settings[section] = {**copy.settings[section], "listen": f"127.0.0.1:{port}"}
            shutil.copytree(server.data, copy.data, symlinks=True)
            copy.write_config()
            server.start()
            more = Load(server, "copied", make_tree(server.folder / "more", seed=3), "more")
            more.finish()
            server.flush("copied")
            try:
                note.append(start_copy(copy))
                time.sleep(6)  # some sweeps of both, hasty as they are
            finally:
                copy.stop()
            common.wait_for(lambda: server.status("copied")["dirty_bytes"] == 0, 60, "the original to be clean")
            server.kill()
            server.forget_local()
            server.start()
            load.verify()
            more.verify()
            note.append(f"{len(packs(bucket))} packs")


def start_copy(copy):
    """Starts the copy and removes what it serves, if it does; tells what it did."""
    try:
        copy.start()
        copy.login()
        client = nfs3.Client(copy.nfs_port, "copied")
        names = [nfs3.status_of(lambda: client.lookup("tree")), nfs3.status_of(lambda: client.write(client.create("x"), 0, b"x"))]
    except common.Failed as refused:
        return f"the copy is refused: {str(refused).splitlines()[-1].strip(' |')[:160]}"
    return f"the copy serves: {names}"


CASES = [strays, two_gateways, copied_box]
