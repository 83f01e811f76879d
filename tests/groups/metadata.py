"""metadata: the shared store on a real PostgreSQL: the conformance suite, round trips, lost answers, trouble, two gateways.

The Rust tests start servers of their own from a cluster that is made here once; then whole gateways serve a share whose names
are in a database, with the laboratory's NFS client in front.
"""

import time

import cargo
import common
import gateway
import postgres
from common import CI, check
from s3_scene import Load, cold_again, drained, make_tree


def settings(database):
    return {
        "metadata": {"postgres": {"url": database.url, "tls": "off"}},
        "flush": {"after": "1s"},
        "pack": {"size": "1MiB"},
    }


def served(group, template, programs):
    """Names in the database, bytes in a directory: everything is there after the local cache is forgotten."""
    with group.case("a tree with its names in postgres") as note, postgres.cluster(template, programs) as database:
        with gateway.running("names", settings(database)) as server:
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
        with gateway.running("killed", settings(database)) as server:
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


def health(server, store):
    return next(row["health"] for row in server.rest("GET", "/metadata-stores") if row["name"] == store)


def gateway_killed(group, template, programs):
    """The gateway dies under load and comes back: its share is its own at once, and nothing acknowledged is lost."""
    with group.case("the gateway killed under load") as note, postgres.cluster(template, programs) as database:
        with gateway.running("crash", settings(database)) as server:
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
        with gateway.running("first", settings(database)) as first, gateway.running("second", settings(database)) as other:
            first.share("shared", metadata="postgres")
            try:
                other.share("shared", metadata="postgres")
                check(False, "the share was served twice")
            except gateway.Refused as refused:
                note.append(str(refused)[:120])
                check("of gateway" in str(refused) and "share adopt" in str(refused), f"no clear cause: {refused}")
            load = Load(first, "shared", make_tree(first.folder, files=50))
            note.append(load.finish())


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
        for case in (served, killed, gateway_killed, second):
            if only in case.__name__:
                case(group, template, programs)
