"""s3: trouble of the object store and of the disk, under load, in front of a real S3 server.

Each case writes through NFSv3 with a client that takes no error for an answer, makes the trouble, ends it, and then has
everything read back from the bucket by a gateway that has lost its cache.
"""

import contextlib
import random
import re
import subprocess
import time

import cargo
import common
import gateway
import s3
from common import CI, check

CUT_SECONDS = 15 if CI else 60


class Load:
    """A tree copied over NFS in the background by the laboratory's client: any NFS error ends it with status 2."""

    def __init__(self, server, export, folder, name):
        self.lab = cargo.binary("dfs-lab")
        self.command = [self.lab, "copy", "--server", f"127.0.0.1:{server.nfs_port}", "--export", f"/{export}", "--name", name, folder]
        self.process = common.spawn(self.command, stdout=subprocess.PIPE)

    def finish(self, timeout=600):
        output, _ = self.process.communicate(timeout=common.time_left(timeout))
        text = output.decode(errors="replace")
        common.end(self.process)
        check(self.process.returncode == 0, f"a client saw an error: {text.strip()}")
        return re.sub(r"\s+", " ", text.strip())

    def verify(self, timeout=600):
        """Reads everything back and compares with the source."""
        return common.run([*self.command, "--verify-only"], timeout)[1].strip()


def make_tree(folder, files=300, size=150_000, seed=1):
    """Files that do not compress, of all sizes around `size`."""
    dice = random.Random(seed)
    source = folder / "source"
    for number in range(files):
        place = source / f"d{number % 7}" / f"f{number}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(dice.randbytes(dice.randrange(2 * size)))
    return source


def drained(server, share, wait=300):
    """Waits until nothing is dirty, without asking for a flush: trouble that is over must heal by itself."""
    common.wait_for(lambda: server.status(share)["dirty_bytes"] == 0, wait, "everything to drain", pause=0.3)


@contextlib.contextmanager
def scene(store, name, settings=None, **share):
    """A gateway on a bucket behind a proxy, and a tree to write."""
    bucket = store.bucket(name)
    settings = {"flush": {"after": "1s"}, **(settings or {})}
    with s3.proxy(store.port) as proxy, gateway.running(name, settings) as server:
        server.share(name, gateway.s3_store(bucket, proxy.port), **share)
        yield server, proxy, bucket, make_tree(server.folder)


def cold_again(server, load):
    """Stops, forgets the cache, starts, and compares everything with the source."""
    check(server.stop() == 0, "no clean stop")
    server.forget_local()
    server.start()
    return load.verify()


def trouble(group, store, name, orders, hold=0.0, verify_under=False):
    """The common case: tell the proxy, write, hold, mend, drain, read back from the bucket."""
    with group.case(name.replace("-", " ")) as note, scene(store, name) as (server, proxy, _, tree):
        for order in orders:
            proxy.tell(order)
        load = Load(server, name, tree, "tree")
        time.sleep(hold)
        note.append(load.finish())
        if hold or not verify_under:
            proxy.tell("clear")
        drained(server, name)
        if verify_under:
            for order in orders:
                proxy.tell(order)
        cold_again(server, load)
        stats = proxy.stats()
        note.append(f"{stats['refused']} requests refused, {stats['damaged']} bodies damaged")
        if any(order.startswith("fail") for order in orders):
            check(stats["refused"] > 0, "the trouble never happened")
        if any(order.startswith(("corrupt", "partial")) for order in orders):
            check(stats["damaged"] > 0, "no body was damaged")


def denied(group, store):
    """Access denied for good: no data is lost, the cause is told, reads go on, and all drains when it is allowed again."""
    with group.case("access denied, then allowed") as note, scene(store, "denied") as (server, proxy, _, tree):
        proxy.tell("fail 100 403 AccessDenied")
        load = Load(server, "denied", tree, "tree")
        note.append(load.finish())
        common.wait_for(lambda: server.status("denied")["last_error"], 60, "the cause in the status")
        cause = server.status("denied")
        check("denied" in f"{cause['cold']} {cause['last_error']}".lower(), f"no clear cause: {cause}")
        check(cause["dirty_bytes"] > 0, "dirty data is gone though nothing could be stored")
        load.verify()
        proxy.tell("clear")
        drained(server, "denied")
        cold_again(server, load)


def killed_in_an_outage(group, store):
    """Cut off, written to, killed, started again, mended: nothing acknowledged is lost."""
    with group.case("an outage and a kill together") as note, scene(store, "outage") as (server, proxy, _, tree):
        proxy.tell("cut")
        load = Load(server, "outage", tree, "tree")
        note.append(load.finish())
        server.kill()
        server.start()
        load.verify()
        proxy.tell("mend")
        proxy.tell("reset")
        drained(server, "outage")
        cold_again(server, load)


def two_gateways(group, store):
    """Two gateways on one bucket and prefix, written to at once: neither harms the other."""
    with group.case("two gateways on one prefix") as note:
        bucket = store.bucket("shared")
        with gateway.running("one", {"flush": {"after": "1s"}}) as one, gateway.running("two", {"flush": {"after": "1s"}}) as two:
            loads = []
            for number, server in enumerate((one, two)):
                server.share("shared", gateway.s3_store(bucket, prefix="both"))
                loads.append(Load(server, "shared", make_tree(server.folder, seed=number), "tree"))
            for load in loads:
                note.append(load.finish())
            for server, load in zip((one, two), loads):
                server.flush("shared")
                cold_again(server, load)


def full_log(group, store):
    """More is written than the log holds while the store is cut off: writers wait, none fails, and all drains after."""
    settings = {"journal": {"size": "64MiB", "segment": "4MiB"}}
    with group.case("the log is full while the store is away") as note, scene(store, "full", settings) as (server, proxy, _, _tree):
        tree = make_tree(server.folder / "big", files=600, size=200_000)
        proxy.tell("cut")
        load = Load(server, "full", tree, "tree")
        time.sleep(CUT_SECONDS)
        check(load.process.poll() is None, "writers did not wait: more was taken than the log can hold, or an error was given")
        occupancy = server.rest("GET", "/tier/status")["occupancy"]
        note.append(f"occupancy {occupancy:.0%}")
        check(occupancy > 0.8, f"the log is not full: {occupancy}")
        proxy.tell("mend")
        proxy.tell("reset")
        note.append(load.finish())
        drained(server, "full")
        cold_again(server, load)


def overwritten(group, store):
    """One file overwritten for ever beside 1,000 cold ones: the log does not fill up behind them."""
    with group.case("one file overwritten for ever") as note, scene(store, "hotspot", {"journal": {"size": "256MiB"}}) as (server, _, _b, _t):
        load = Load(server, "hotspot", make_tree(server.folder / "cold", files=1000, size=4000), "tree")
        load.finish()
        writing = [load.lab, "load", "durable", "--server", f"127.0.0.1:{server.nfs_port}", "--export", "/hotspot",
                   "--connections", "1", "--depth", "4", "--size", "65536", "--seconds", str(20 if CI else 60)]
        process = common.spawn(writing, stdout=subprocess.PIPE)
        most = 0.0
        while process.poll() is None:
            most = max(most, server.rest("GET", "/tier/status")["occupancy"])
            time.sleep(0.2)
        check(process.returncode == 0, f"the writer failed: {process.stdout.read().decode()}")
        note.append(f"occupancy at most {most:.0%}; {process.stdout.read().decode().strip()}")
        check(most < 0.6, note[0])
        load.verify()


def run(group):
    only = group.options.only
    plain = [
        ("errors-of-20-percent", ["fail 20 500 InternalError"], 0.0, False),
        ("throttling", ["fail 40 503 SlowDown"], 0.0, False),
        ("latency-of-200-ms", ["latency 200"], 0.0, False),
        ("a-cut-under-write-load", ["cut"], CUT_SECONDS, False),
        ("wrong-bytes", ["corrupt 10"], 0.0, True),
        ("partial-bodies", ["partial 20"], 0.0, True),
        ("bucket-gone-for-a-while", ["fail 100 404 NoSuchBucket"], 3.0, False),
    ]
    with s3.store() as store:
        for name, orders, hold, under in plain:
            if only in name:
                trouble(group, store, name, orders, hold, under)
        for case in (denied, killed_in_an_outage, two_gateways, full_log, overwritten):
            if only in case.__name__:
                case(group, store)
