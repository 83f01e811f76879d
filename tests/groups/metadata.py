"""metadata: the shared store on a real PostgreSQL: the conformance suite, round trips, lost answers, trouble, two gateways.

The Rust tests start servers of their own from a cluster that is made here once; then whole gateways serve a share whose names
are in a database, with the laboratory's NFS client in front.
"""

import os
import time

import cargo
import common
import gateway
import nfs3
import postgres
import s3
from common import CI, check
from s3_owner import HASTY
from s3_scene import Load, cold_again, drained, make_tree


def served(group, template, programs):
    """Names in the database, bytes in a directory: everything is there after the local cache is forgotten."""
    with group.case("a tree with its names in postgres") as note, postgres.cluster(template, programs) as database:
        with gateway.running("names", postgres.settings(database)) as server:
            server.share("names", metadata="postgres")
            load = Load(server, "names", make_tree(server.folder, files=300))
            note.append(load.finish())
            drained(server, "names")
            rows = int(database.query("SELECT count(*) FROM dfs.tree WHERE share = 'names' AND kind = 'file'"))
            check(rows == 300, f"the database shows {rows} files")
            note.append(cold_again(server, load))


def killed(group, template, programs):
    """The database dies under load, twice; clients wait and see no error; everything is there."""
    with group.case("postgres killed under load") as note, postgres.cluster(template, programs) as database:
        with gateway.running("killed", postgres.settings(database)) as server:
            server.share("killed", metadata="postgres")
            load = Load(server, "killed", make_tree(server.folder, files=6000, size=15_000))
            for _ in range(2):
                time.sleep(0.5)
                check(load.process.poll() is None, "the writer was done before the kill")
                database.kill()
                time.sleep(1 if CI else 15)
                database.start()
            note.append(load.finish())
            drained(server, "killed")
            common.wait_for(lambda: health(server, "meta-killed") == "up", 30, "a healthy store once the database is back")
            note.append(cold_again(server, load))


def walked(group, template, programs):
    """A tree is walked again and again with the database 2 ms away: at most a tenth of the calls reach it."""
    with group.case("a walk is served from memory") as note, postgres.cluster(template, programs) as database:
        with s3.proxy(database.port, raw=True, seed=group.options.seed) as proxy:
            proxy.tell("latency 1")  # each way
            with gateway.running("walked", postgres.settings(database, proxy.port)) as server:
                server.share("walked", metadata="postgres")
                files, rounds = 400, 10
                client = nfs3.Client(server.nfs_port, "walked")
                for nth in range(files):
                    client.create(f"f{nth}")
                begun = transactions(database)
                time.sleep(2)
                idle = (transactions(database) - begun) / 2
                begun, at = transactions(database), time.monotonic()
                for _ in range(rounds):
                    for nth in range(files):
                        check(client.size(client.lookup(f"f{nth}")) == 0, "a file has another size")
                took = time.monotonic() - at
                time.sleep(1.5)  # the database counts with a second's delay
                calls = 2 * files * rounds
                asked = transactions(database) - begun - idle * (took + 1.5)
                note.append(f"{calls} LOOKUP and GETATTR in {took:.1f} s; {max(0, asked):.0f} reached the database; idle {idle:.1f} a second")
                check(asked <= calls / 10, f"{asked:.0f} of {calls} calls reached the database")


def transactions(database):
    time.sleep(1.2)
    return int(database.query("SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database"))


def health(server, store):
    return next(row["health"] for row in server.rest("GET", "/metadata-stores") if row["name"] == store)


def gateway_killed(group, template, programs):
    """The gateway dies under load and comes back: its share is its own at once, and nothing acknowledged is lost."""
    with group.case("the gateway killed under load") as note, postgres.cluster(template, programs) as database:
        with gateway.running("crash", postgres.settings(database)) as server:
            server.share("crash", metadata="postgres")
            load = Load(server, "crash", make_tree(server.folder, files=6000, size=15_000))
            time.sleep(0.5)
            check(load.process.poll() is None, "the writer was done before the kill")
            server.kill()
            server.start()
            note.append(load.finish())
            drained(server, "crash")
            note.append(cold_again(server, load))


def second(group, template, programs):
    """A second gateway on the same database is refused the share, by name, and the first serves on."""
    with group.case("a second gateway is refused") as note, postgres.cluster(template, programs) as database:
        with gateway.running("first", postgres.settings(database)) as first, gateway.running("second", postgres.settings(database)) as other:
            first.share("shared", metadata="postgres")
            try:
                other.share("shared", metadata="postgres")
                check(False, "the share was served twice")
            except gateway.Refused as refused:
                note.append(str(refused)[:120])
                check("of gateway" in str(refused) and "share adopt" in str(refused), f"no clear cause: {refused}")
            load = Load(first, "shared", make_tree(first.folder, files=50))
            note.append(load.finish())


def snapshots(group, template, programs):
    """Snapshots over the wire: browsed after change, removal and kill -9, restored, cloned; names embedded and in the database."""
    with group.case("snapshots are browsed, restored and cloned") as note, postgres.cluster(template, programs) as database:
        with gateway.running("past", postgres.settings(database)) as server:
            for kind in ("embedded", "postgres"):
                note.append(snapshots_of(server, kind))


def same(client, wanted, *folder):
    """Every file in the folder has these bytes."""
    for name, data in wanted.items():
        check(client.read_all(client.walk(*folder, name)) == data, f"{name} in {folder or 'the share'} has other bytes")


def snapshots_of(server, kind):
    share, files = f"past-{kind}", 24 if CI else 200
    server.share(share, metadata=kind)
    old = {f"f{nth}": os.urandom(40_000 + nth * 997) for nth in range(files)}
    client = nfs3.Client(server.nfs_port, share)
    for name, data in old.items():
        client.write(client.create(name), 0, data)
    server.ctl("snapshot", "create", share, "mon")
    new = dict(old)
    for nth, name in enumerate(old):
        if nth % 3 == 0:
            client.remove(name)
            del new[name]
        elif nth % 3 == 1:
            new[name] = os.urandom(len(old[name]))
            client.write(client.lookup(name), 0, new[name])
    server.flush(share)
    server.kill()
    server.start()
    client = nfs3.Client(server.nfs_port, share)

    same(client, old, ".snapshots", "mon")
    same(client, new)
    try:
        client.write(client.walk(".snapshots", "mon", "f1"), 0, b"no")
        check(False, "a snapshot was written to")
    except nfs3.Status as refused:
        check(refused.status == 30, f"a write to a snapshot is answered with {refused.status}, not ROFS")
    server.ctl("snapshot", "restore", share, "mon", "f0", "--to", "f0-then")
    server.ctl("file", "clone", share, "f2", "f2-clone")
    new |= {"f0-then": old["f0"], "f2-clone": old["f2"]}
    same(client, new)
    _, said = server.ctl("snapshot", "restore", share, "mon", "--whole-share")
    same(client, old)
    before = said.split("'")[1]
    same(client, new, ".snapshots", before)
    server.ctl("snapshot", "delete", share, "mon")
    server.kill()
    server.start()
    client = nfs3.Client(server.nfs_port, share)
    same(client, old)
    same(client, new, ".snapshots", before)
    return f"{kind}: {files} files, {said.strip()}"


def cleaned(group, template, programs):
    """The cleaner deletes the packs that are dead and no others: what a snapshot or a clone holds stays until that goes too."""
    with group.case("the cleaner spares what snapshots and clones hold") as note, \
            postgres.cluster(template, programs) as database:
        with gateway.running("cleaned", {**postgres.settings(database), "flush": {"after": "1s"}, **HASTY}) as server:
            for kind in ("embedded", "postgres"):
                note.append(cleaned_of(server, kind))


def cleaned_of(server, kind):
    share = f"cleaned-{kind}"
    server.share(share, metadata=kind)
    client = nfs3.Client(server.nfs_port, share)

    def packs():
        cold = server.folder / f"cold-{share}"
        return {path.relative_to(cold) for path in cold.rglob("packs/*/*")}

    def written():
        """Every file with bytes of its own, over what it had."""
        round_ = {f"f{nth}": os.urandom(90_000 + nth * 997) for nth in range(40)}
        for name, data in round_.items():
            client.write(client.create(name), 0, data)
        server.flush(share)
        return round_

    def gone(some, what):
        common.wait_for(lambda: not some & packs(), 90, what, pause=0.5)

    def from_cold():
        server.kill()
        server.forget_local()
        server.start()
        return nfs3.Client(server.nfs_port, share)

    old = written()
    first = packs()
    server.ctl("snapshot", "create", share, "mon")
    server.ctl("file", "clone", share, "f7", "f7-clone")
    written()
    second = packs() - first
    new = {**written(), "f7-clone": old["f7"]}
    check(first and second, f"nothing was packed: {len(first)} and then {len(second)} packs")
    gone(second, "packs that nothing holds to be deleted")
    check(first <= packs(), f"{len(first - packs())} of {len(first)} packs that a snapshot holds are deleted")
    client = from_cold()
    same(client, old, ".snapshots", "mon")
    same(client, new)
    server.ctl("snapshot", "delete", share, "mon")
    common.wait_for(lambda: len(first & packs()) <= 2, 90, "packs that only the snapshot held to be deleted", pause=0.5)
    client = from_cold()
    same(client, new)
    client.remove("f7-clone")
    del new["f7-clone"]
    gone(first, "the clone's packs to be deleted")
    client = from_cold()
    same(client, new)
    return f"{kind}: {len(first)} packs held, {len(second)} deleted beside them, {len(packs())} left"


def run(group):
    postgres.need_root()
    programs = postgres.programs()
    with common.temp_folder("metadata") as folder:
        template = postgres.make_template(folder, programs)
        environment = {
            "DFS_TESTS_POSTGRES_BIN": str(programs),
            "DFS_TESTS_POSTGRES_TEMPLATE": str(template),
            "TESTS_SEED": str(group.options.seed),
            "TESTS_SHORT": "1" if CI else "0",
        }
        only = group.options.only
        if not only:
            cargo.tests(group, "metadata", env=environment)
        for case in (served, killed, gateway_killed, second, snapshots, cleaned, walked):
            if only in case.__name__:
                case(group, template, programs)
