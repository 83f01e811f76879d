"""Cases of group mount about what an operator may do wrong around a start: refused with a sentence that says what to do and an
exit code, and nothing touched. What needs no other program and no root is tested in gateway/server/tests."""

import contextlib
import hashlib
import os

import cargo
import common
import gateway
import nfs3
import s3
from common import Failed, check
from s3_disk import fill, free_bytes, small_disk

# A gateway that fits the small disk.
SMALL = {"journal": {"size": "64MiB", "segment": "4MiB"}, "warm": {"size": "128MiB"}, "disk": {"min_free": "64MiB"},
         "metadata": {"reserve": "32MiB"}}


def refused(command, code, *words):
    """Runs a command that must be refused: with this exit code, in one line that has all these words."""
    status, output = common.run(command, 60, good=None)
    last = (output.strip().splitlines() or [""])[-1]
    check(status == code and all(word in last for word in words), f"status {status} instead of {code}, or no {words} in: {output}")
    return last


def second_start(server):
    """A start on a folder whose gateway lives is refused, and that gateway does not notice."""
    refused([server.dfs, "--config", server.config, "start", "--foreground"], 4, "another gateway", f"(pid {server.process.pid})",
            "dfs stop")
    check(server.process.poll() is None and server.rest("GET", "/health")["pid"] == server.process.pid, "the first gateway suffered")


def around_a_start(group):
    with gateway.running("mistakes") as server:
        with group.case("a second start on the same folder is refused"):
            second_start(server)
        with group.case("an unknown key is refused and the nearest known one named"):
            odd = server.folder / "odd.yaml"
            odd.write_text("jurnal:\n  size: 1GiB\n")
            refused([server.dfs, "--config", odd, "start", "--foreground"], 2, "jurnal", "did you mean 'journal'")
        with group.case("a port in use is refused"):
            other = gateway.Gateway(server.folder / "other", {"nfs": {"listen": f"127.0.0.1:{server.nfs_port}"}})
            other.folder.mkdir()
            other.init()
            refused([other.dfs, "--config", other.config, "start", "--foreground"], 4, str(server.nfs_port), "nfs.listen")
        with group.case("durability remote on an embedded store is refused"):
            try:
                server.share("far", durability="remote")
            except gateway.Refused as why:
                check(why.status in (400, 409, 422) and "remote" in str(why) and "embedded" in str(why), str(why))
            else:
                raise Failed("it was accepted")
    with common.temp_folder("unwritable") as folder, group.case("a data folder that cannot be made is refused"):
        (folder / "file").write_text("not a folder")
        dfs = cargo.binary("dfs-server", "dfs")
        refused([dfs, "--config", folder / "config.yaml", "init", "--data-dir", folder / "file" / "data"], 5, "data folder", "file")


def bad_stores(group):
    """A bucket that is not there and credentials that are wrong: each told when the store is added."""
    with s3.store() as store, gateway.running("stores") as server:
        bucket = store.bucket("right")
        server.login()
        # what is wrong, and a word of the sentence that tells the operator where to look
        wrong = {
            "a missing bucket": ({"bucket": "wrong"}, ("wrong", "bucket")),
            "bad credentials": ({"secret_key": "wrong"}, ("credential", "secret", "access key")),
        }
        for name, (change, words) in wrong.items():
            with group.case(f"{name}: refused with a reason"):
                setting = {**gateway.s3_store(bucket), **change}
                try:
                    server.rest("POST", "/cold-stores", {"name": "bad", **setting})
                except gateway.Refused as why:
                    told = str(why).lower()
                    check(400 <= why.status < 500 and any(word in told for word in words), f"not clear: {why}")
                else:
                    raise Failed("it was accepted")


def contents(folder):
    """Every file below a folder with the hash of its bytes; what a start writes only to say that it runs is left out."""
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, folder)] = hashlib.sha256(file.read()).hexdigest()
    for name in ("pid", "ready", "dfs.log"):
        found.pop(name, None)
    return found


def full_at_first(group):
    """Nothing was ever written: init, then a first start, find no byte left."""
    with group.case("init and a first start on a full disk are refused") as note, small_disk() as place:
        server = gateway.Gateway(place.parent, SMALL, place / "data")
        fill(place, 0)
        note.append(refused([server.dfs, "--config", server.config, "init", "--data-dir", server.data], 5, "full", str(server.data)))
        check(not server.config.exists(), "a refused init left a configuration")
        (place / "ballast").unlink()
        server.init()
        fill(place, 0)
        before = contents(server.data)
        note.append(starts_not(server, 5, "full", "free some space"))
        touched = dict(before.items() ^ contents(server.data).items())
        check(not touched, f"a refused start touched {', '.join(touched)}")
        (place / "ballast").unlink()
        server.start()
        check(server.stop() == 0, "no start and stop once there is room")


def full_while_serving(group):
    """The disk fills up under a gateway: told, creates refused, all else goes on, through a kill and a start; then room again."""
    with group.case("a disk that fills up while serving") as note, small_disk() as place:
        server = gateway.Gateway(place.parent, SMALL, place / "data").init().start()
        try:
            server.share("full")
            client = nfs3.Client(server.nfs_port, "full")
            file, doomed = client.create("file"), os.urandom(1 << 20)
            client.write(file, 0, doomed)
            client.create("doomed")
            fill(place, 0)
            note.append(f"{free_bytes(place)} bytes free")
            goes_on(server, client, file)
            server.kill()
            server.start()
            piece = goes_on(server, nfs3.Client(server.nfs_port, "full"), file)
            for _ in range(9):  # more lives than the name log has segments
                server.kill()
                os.sync()
                fill(place, 0)  # what the reserve left, too
                server.start()
                client = nfs3.Client(server.nfs_port, "full")
                check(client.read(file, 0, len(piece)) == piece, "what was acknowledged on the full disk reads otherwise")
                piece = goes_on(server, client, file)
            server.kill()
            (place / "ballast").unlink()
            fill(place, 8 << 20)
            server.start()
            client = nfs3.Client(server.nfs_port, "full")
            check(client.read(file, 0, len(piece)) == piece, "what was acknowledged on the full disk reads otherwise")
            goes_on(server, client, file)
            check(server.stop() == 0, "no clean stop on a full disk")
            server.start()
            client = nfs3.Client(server.nfs_port, "full")
            client.remove("doomed")
            (place / "ballast").unlink()
            common.wait_for(lambda: nfs3.status_of(lambda: client.create("one more")) == nfs3.OK, 30, "creates to be allowed again")
        except BaseException:
            common.say(f"  log of the gateway:\n{common.tail(server.log())}")
            raise
        finally:
            with contextlib.suppress(Exception):
                server.kill()
            common.run([server.dfs, "--config", server.config, "stop"], 60, good=None)  # one that was not to start


def starts_not(server, code, *words):
    """A start that is refused, in the background and in the foreground."""
    for more in ([], ["--foreground"]):
        told = refused([server.dfs, "--config", server.config, "start", *more], code, str(server.data), *words)
    return told


def goes_on(server, client, file):
    """Creates are refused with no space, writes of what is there are taken, the operator is told. Returns the bytes written."""
    common.wait_for(lambda: nfs3.status_of(lambda: client.create("one more")) == nfs3.NOSPC or client.remove("one more"), 30,
                    "creates to be refused")
    piece = os.urandom(100_000)
    client.write(file, 0, piece)
    check(client.read(file, 0, len(piece)) == piece, "what was written reads otherwise")
    check("free space" in server.log() or "disk is full" in server.log(), f"the log does not tell:\n{common.tail(server.log())}")
    return piece


def run(group):
    around_a_start(group)
    bad_stores(group)
    full_at_first(group)
    full_while_serving(group)
