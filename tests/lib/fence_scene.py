"""What the cases of group fence share: two gateways on one database and one bucket, clients that remember what was acknowledged."""

import contextlib
import dataclasses
import os
import pathlib
import threading
import time

import common
import gateway
import nfs3
import postgres
import s3
from common import check

LEASE = 3


@dataclasses.dataclass
class Scene:
    """What all cases stand on."""
    store: s3.Store
    programs: pathlib.Path
    template: pathlib.Path
    seed: int


@contextlib.contextmanager
def scene(group):
    programs = postgres.programs()
    with common.temp_folder("fence") as folder, s3.store(group.options.seed) as store:
        yield Scene(store, programs, postgres.make_template(folder, programs), group.options.seed)


def settings(url):
    """Everything soon: what is seconds and hours in life is seconds here."""
    return {
        "metadata": {"postgres": {"url": url, "tls": "off", "lease": f"{LEASE}s"}},
        "flush": {"after": "1s"},
        "journal": {"size": "128MiB"},
        "warm": {"size": "0"},
        "pack": {"size": "1MiB", "delete_after": "2s", "sweep_every": "1s", "owner_settle": "1s"},
    }


@contextlib.contextmanager
def pair(scene, name):
    """Two gateways on one database, and a bucket."""
    with postgres.cluster(scene.template, scene.programs) as database:
        chosen = settings(database.url)
        with gateway.running(f"{name}-one", chosen) as one, gateway.running(f"{name}-other", chosen) as other:
            one.login()
            other.login()
            try:
                yield one, other, scene.store.bucket(name), database
            except BaseException:
                common.say(f"  log of the second gateway:\n{common.tail(other.log())}")
                raise
            finally:
                for server in (one, other):
                    if server.process.poll() is None:
                        server.process.send_signal(18)  # SIGCONT: a paused one could not be stopped


def state(server, share):
    return server.status(share)["state"]


def serves(server, share, wait):
    """Waits until a gateway serves a share by itself."""
    try:
        common.wait_for(lambda: state(server, share) == "serving", wait, f"{share} to be served", pause=0.05)
    except common.Failed as late:
        raise common.Failed(f"{late}; it is: {state(server, share)}") from late


def adopt(server, name, cold, stores=True):
    """Makes a gateway a standby for a share; returns the state that it tells."""
    if stores:
        server.rest("POST", "/metadata-stores", {"name": f"meta-{name}", "kind": "postgres"})
        server.rest("POST", "/cold-stores", {"name": f"cold-{name}", **cold})
    server.rest("POST", f"/shares/{name}/adopt", {"metadata": f"meta-{name}", "cold": f"cold-{name}"})
    return state(server, name)


def lost_line(server, share):
    told = state(server, share)
    return told if told.startswith("taken over by gateway") else None


def password(server):
    """A file with the administrator's password, open for reading."""
    word = server.folder / "password-again"
    word.write_text(gateway.PASSWORD)
    return open(word, "rb")


def login(server):
    server.ctl("login", "--username", "admin", "--password-stdin", stdin=password(server))


def write_all(server, share, files):
    client = nfs3.Client(server.nfs_port, share)
    for name, data in files.items():
        client.write(client.create(name), 0, data)
    client.close()


def refusal(server, method, path, body=None, own=False):
    """What the control plane says against a request."""
    if own:
        server.share("own")
    try:
        server.rest(method, path, body)
    except gateway.Refused as refused:
        return str(refused)
    raise common.Failed(f"{method} {path} was not refused")


def refusals(other, bucket, empty):
    """Mistakes of an operator, each with a clear sentence."""
    other.rest("POST", "/metadata-stores", {"name": "meta-docs", "kind": "postgres"})
    for name, place in (("cold-docs", bucket), ("cold-empty", empty)):
        other.rest("POST", "/cold-stores", {"name": name, **gateway.s3_store(place)})
    stores = {"metadata": "meta-docs", "cold": "cold-docs"}
    asked = [
        ("POST", "/shares", {"name": "docs", **stores, "durability": "remote"}, "dfsctl share adopt docs"),
        ("POST", "/shares/docs/adopt", {**stores, "cold": "cold-empty"}, "has nothing of the share"),
        ("POST", "/shares/nodocs/adopt", stores, "it has: docs"),
        ("POST", "/shares/docs/adopt", {**stores, "metadata": "nothing"}, "not a metadata store of kind postgres"),
    ]
    told = []
    for method, path, body, wanted in asked:
        said = refusal(other, method, path, body)
        check(wanted in said, f"{method} {path}: '{wanted}' is not in {said}")
        told.append(wanted)
    return [f"{len(told)} refusals name what to change"]


def abandon_refused(server, share, bytes_lost):
    """What `dfsctl share abandon` without --yes says, once the dead gateway's lease has ended."""
    if "share abandon" not in state(server, share):
        return None
    status, said = server.ctl("share", "abandon", share, good=(2,))
    check(f"({bytes_lost} bytes) of 1 files" in said or "bytes) of 1 files" in said, f"the loss is not named: {said}")
    lost = int(said.split("(")[1].split(" bytes")[0])
    check(lost >= bytes_lost, f"{lost} bytes are named as lost, not {bytes_lost}")
    return said.strip()


def rest_of(client):
    """Everything that still comes on a connection until it ends."""
    data = bytearray()
    client.socket.settimeout(30)
    try:
        while piece := client.socket.recv(65536):
            data += piece
    except ConnectionError:
        pass
    except TimeoutError:
        check(data, "a connection of the gateway that was taken over stays open, and says nothing")
    return bytes(data)


class Traffic:
    """Clients that write files and read one, and remember what was acknowledged and when."""

    def __init__(self, port, share, writers, target=None, reconnect=False):
        self.port, self.share, self.reconnect = port, share, reconnect
        self.files, self.late, self.errors = {}, [], []
        self.armed, self.ending = threading.Event(), threading.Event()
        self.answers = 0
        jobs = [(self.write, number) for number in range(writers)]
        if target:
            jobs.append((self.read, target))
        self.threads = [threading.Thread(target=self.run, args=job, daemon=True) for job in jobs]
        for thread in self.threads:
            thread.start()

    def run(self, job, what):
        """Runs a client's calls; one that is cut off begins again where it shall."""
        while not self.ending.is_set():
            try:
                client = nfs3.Client(self.port, self.share, 120)
                while not self.ending.is_set():
                    job(client, what)
            except (OSError, nfs3.Status) as trouble:
                later = isinstance(trouble, OSError) or trouble.status in (nfs3.JUKEBOX, nfs3.IO)
                if not self.reconnect or not later:
                    if self.reconnect:
                        self.errors.append(str(trouble))
                    return
                time.sleep(0.05)

    def answered(self, what):
        self.answers += 1
        if self.armed.is_set():
            self.late.append(what)

    def again(self, what, call):
        """A call until it is not answered with "later"."""
        while True:
            status = nfs3.OK
            try:
                result = call()
            except nfs3.Status as refused:
                status = refused.status
                if status != nfs3.JUKEBOX:
                    raise
            self.answered(what)
            if status == nfs3.OK:
                return result
            time.sleep(0.02)

    def write(self, client, number):
        name = f"w{number}-{time.monotonic_ns()}"
        data = os.urandom(1 + time.monotonic_ns() % 40_000)
        handle = self.again(f"create {name}", lambda: client.create(name))
        self.again(f"write {name}", lambda: client.write(handle, 0, data))
        if not self.armed.is_set():
            self.files[name] = data

    def read(self, client, handle):
        self.again("getattr", lambda: client.size(handle))
        self.again("read", lambda: client.read(handle, 0, 4096))
        time.sleep(0.002)

    def settle(self):
        """Waits until nothing is answered any more: what left before the pause has arrived."""
        while True:
            before = self.answers
            time.sleep(0.3)
            if self.answers == before:
                return

    def arm(self):
        """From now on every answer is one too many."""
        self.armed.set()

    def finish(self):
        """Waits until every connection was ended by the server; returns the answers after `arm`."""
        for thread in self.threads:
            thread.join(40)
        check(not any(thread.is_alive() for thread in self.threads), "a connection of the gateway that was taken over is still open")
        return self.late

    def stop(self):
        """Ends the clients; returns the errors that they saw."""
        self.ending.set()
        for thread in self.threads:
            thread.join(60)
        return self.errors


def pack_id(text):
    return text.replace("-", "")


def agree(database, bucket, server):
    """Metadata and bucket say the same: every extent's pack is live, every live pack is there whole, and after the sweeps nothing
    else is."""
    common.wait_for(lambda: server.status("docs")["dirty_bytes"] == 0, 60, "the new owner to be clean")

    def look():
        rows = database.query("SELECT pack, len FROM dfs.packs WHERE state = 2").splitlines()
        live = {pack_id(row.split("|")[0]): int(row.split("|")[1]) for row in rows}
        used = {pack_id(row) for row in database.query("SELECT DISTINCT pack FROM dfs.extents").splitlines()}
        there = {key.rsplit("/", 1)[1]: size for key, size in bucket.objects().items() if "/packs/" in key}
        check(used <= set(live), f"extents in packs that are not live: {used - set(live)}")
        wrong = {pack for pack, size in live.items() if there.get(pack) != size}
        check(not wrong, f"live packs that are not in the bucket as they should be: {wrong}")
        return live if set(there) == set(live) else None

    live = common.wait_for(look, 60, "what is not live to be swept from the bucket", pause=0.5)
    left = database.query("SELECT count(*) FROM dfs.packs WHERE state = 1")
    check(left == "0", f"{left} packs wait for an upload that nobody makes")
    return f"{len(live)} packs, in the database and in the bucket alike"


class Standby(postgres.Cluster):
    """A streaming replica of a running primary."""

    def __init__(self, folder, bin_folder, primary):
        self.folder, self.bin, self.process = pathlib.Path(folder), bin_folder, None
        self.data, self.port = self.folder / "data", common.free_port()
        os.chmod(self.folder, 0o755)
        common.run(["chown", "postgres", self.folder])
        source = f"host=127.0.0.1 port={primary.port} user=postgres application_name=standby"
        command = [*postgres.RUN_AS, bin_folder / "pg_basebackup", "-D", self.data, "-d", source, "-R", "-X", "stream", "-c", "fast"]
        common.run(command, 120, cwd="/tmp")

    def promote(self):
        common.run([*postgres.RUN_AS, self.bin / "pg_ctl", "promote", "-D", self.data, "-w"], 60, cwd="/tmp")


@contextlib.contextmanager
def replicated(scene):
    """A primary whose commits wait for its standby."""
    with postgres.cluster(scene.template, scene.programs) as primary, common.temp_folder("standby") as folder:
        standby = Standby(folder, scene.programs, primary)
        try:
            standby.start()
            primary.query("ALTER SYSTEM SET synchronous_standby_names = '*'")
            primary.query("SELECT pg_reload_conf()")
            in_step = "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')"
            common.wait_for(lambda: primary.query(in_step) == "1", 30, "the standby to be synchronous")
            yield primary, standby
        finally:
            standby.stop()
