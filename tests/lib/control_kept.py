"""Cases of group control about what is kept: the control database on both stores, backups, formats, idempotent creates, TLS."""

import contextlib
import os
import shutil
import signal
import ssl
import subprocess
import threading

import cargo
import common
import gateway
import nfs3
import postgres
import rest
from common import check
from control_cli import Shell

WORD = "a passphrase of the tests"


def database(group):
    """The suite of the control database on a real PostgreSQL."""
    postgres.need_root()
    programs = postgres.programs()
    with common.temp_folder("control-suite") as folder:
        template = postgres.make_template(folder, programs)
        cargo.tests(group, "control", env={"DFS_TESTS_POSTGRES_BIN": str(programs), "DFS_TESTS_POSTGRES_TEMPLATE": str(template)})


def furnish(server, boss):
    """Something of every kind."""
    for nth in range(12):
        boss.post("/groups", {"name": f"g{nth}", "gid": 5000 + nth}).must(201)
    for nth in range(12):
        boss.post("/users", {"name": f"u{nth}", "password": f"password number {nth}", "uid": 2000 + nth, "must_change_password": False,
                             "groups": [f"g{nth}", f"g{(nth + 1) % 12}"] if nth else []}).must(201)
    server.share("one")
    server.share("two", default_permission="none", comment="the second")
    boss.put("/shares/one/permissions/users/u1", {"level": "read"}).must(200, 204)
    boss.put("/shares/two/permissions/groups/g3", {"level": "admin"}).must(200, 204)
    boss.post("/netgroups", {"name": "farm", "members": ["192.0.2.0/28"]}).must(201)
    boss.post("/identity-mappings", {"principal": "ann@EXAMPLE.ORG", "user": "u2"}).must(201)
    boss.put("/settings/logging.level", {"value": "debug"}).must(200)
    boss.patch("/adapters/nfs/settings", {"max_connections": 77}).must(200)


SHOWN = ["/users", "/groups", "/shares", "/metadata-stores", "/cold-stores", "/netgroups", "/identity-mappings", "/settings",
         "/shares/one/permissions", "/shares/two/permissions", "/adapters/nfs/settings"]
# What tells of a moment, not of a configuration.
PASSING = ("last_login_at", "epoch", "used_bytes", "inodes", "health")


def shown(boss):
    def lasting(value):
        if isinstance(value, dict):
            return {name: lasting(part) for name, part in value.items() if name not in PASSING}
        return [lasting(part) for part in value] if isinstance(value, list) else value

    return {path: lasting(boss.get(f"{path}?limit=1000" if "/adapters" not in path else path).must(200).json) for path in SHOWN}


def kept(group, name, setting, wipe):
    with group.case(f"backup, wipe, restore: {name}") as note, gateway.running("kept", setting) as server:
        boss, shell = rest.admin(server), Shell(server).login()
        furnish(server, boss)
        before, file = shown(boss), server.folder / "backup.dfs"
        command = ["dfs", "backup", "controlplane", "--output", str(file), "--passphrase-stdin"]
        shell(command, stdin=WORD + "\n")
        check(file.stat().st_mode & 0o777 == 0o600, "others can read the backup")
        data = file.read_bytes()
        check(not any(word in data for word in (b"u11", b"farm", b"$argon2")), "the backup is not encrypted")
        status, said = shell(command, stdin=WORD + "\n", good=None)
        check(status != 0 and "--force" in said and file.read_bytes() == data, f"it was overwritten: {status} {said}")
        # a second one, of the gateway that does not run
        check(server.stop() == 0, "no clean stop")
        still = server.folder / "still.dfs"
        shell(["dfs", "backup", "controlplane", "--output", str(still), "--passphrase-stdin"], stdin=WORD + "\n")
        for which, source in (("of the running gateway", file), ("of the stopped one", still)):
            wipe(server, shell)
            status, said = shell(["dfs", "restore", "controlplane", "--input", str(source), "--passphrase-stdin", "--force"],
                                 stdin="another passphrase\n", good=None)
            check(status != 0 and "passphrase" in said, f"a wrong passphrase: {status} {said}")
            shell(["dfs", "restore", "controlplane", "--input", str(source), "--passphrase-stdin", "--force"], stdin=WORD + "\n")
            server.start()
            after = shown(rest.admin(server))
            differing = [path for path in SHOWN if before[path] != after[path]]
            check(not differing, f"{which}: other {differing}:\n{before[differing[0]] if differing else ''}\n{after[differing[0]] if differing else ''}")
            rest.Rest(server.rest_port).login("u5", "password number 5")
            client = nfs3.Client(server.nfs_port, "one")
            client.create(f"after-{which.replace(' ', '-')}")
            check(server.stop() == 0, "no clean stop")
        # one that a newer version wrote: refused, and nothing is touched
        newer = server.folder / "newer.dfs"
        newer.write_bytes(raised(data))
        wiped = {path.name: path.read_bytes() for path in server.data.glob("control*") if path.is_file()}
        status, said = shell(["dfs", "restore", "controlplane", "--input", str(newer), "--passphrase-stdin", "--force"], stdin=WORD + "\n",
                             good=None)
        check(status == 6 and "newer" in said, f"a newer backup: {status} {said}")
        check(wiped == {path.name: path.read_bytes() for path in server.data.glob("control*") if path.is_file()}, "a refused restore wrote")
        note.append(f"{sum(len(rows) for rows in before.values() if isinstance(rows, list))} rows twice; a newer one refused: {said.strip()[:110]}")
        server.start()


def raised(data):
    """The same file with a format number that nobody knows yet. The number stands behind the mark of eight bytes."""
    return data[:8] + (int.from_bytes(data[8:10], "little") + 40).to_bytes(2, "little") + data[10:]


def wipe_embedded(server, _):
    """The control plane's database and the key of its secrets are lost; the files of shares are not."""
    for path in [*server.data.glob("control*"), server.data / "secrets.key"]:
        if path.exists():
            path.unlink()


def backups(group):
    kept(group, "embedded", None, wipe_embedded)
    postgres.need_root()
    programs = postgres.programs()
    with common.temp_folder("control-db") as folder:
        template = postgres.make_template(folder, programs)
        with postgres.cluster(template, programs) as database:
            setting = {"control": {"database": {"url": database.url, "tls": "off"}}}

            def wipe(server, shell):
                database.query("DROP SCHEMA dfs_control CASCADE")
                wipe_embedded(server, shell)

            kept(group, "PostgreSQL", setting, wipe)


def creates(group):
    """The same create asked again, by whoever was cut off: the first answer again, over a kill as well; pages go on where they ended."""
    with group.case("creates are idempotent and lists have pages") as note, gateway.running("again") as server:
        boss = rest.admin(server)
        body = {"name": "ann", "password": "a password of the tests"}
        first = boss.post("/users", body, headers={"idempotency-key": "one"}).must(201)
        again = boss.post("/users", body, headers={"idempotency-key": "one"}).must(201)
        check(first.json == again.json and again.headers.get("idempotent-replayed") == "true", "another answer")
        boss.post("/users", {**body, "name": "bob"}, headers={"idempotency-key": "one"}).problem(422, "idempotency-key-reused")
        boss.post("/users", body, headers={"idempotency-key": "two"}).problem(409)
        server.kill()
        server.start()
        boss.login("admin", gateway.PASSWORD)
        again = boss.post("/users", body, headers={"idempotency-key": "one"}).must(201)
        check(first.json == again.json, "another answer after a kill")
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(rest.Rest(server.rest_port, boss.token).post(
            "/groups", {"name": "once"}, headers={"idempotency-key": "three"}).status)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check(answers == [201] * 8, f"eight at once: {answers}")
        for nth in range(30):
            boss.post("/groups", {"name": f"g{nth:02}"}).must(201)
        names = [row["name"] for row in boss.all("/groups", limit=7)]
        check(names == sorted({"once"} | {f"g{nth:02}" for nth in range(30)}), f"pages give {names}")
        boss.get("/groups?limit=0").problem(400, field="limit")
        boss.get("/groups?limit=1001").problem(400)
        boss.get("/groups?nonsense=1").problem(400)
        trail = boss.get("/audit?action=group.create&limit=1000").must(200).json
        check(len(trail) == 31 and trail[0]["user"] == "admin" and trail[0]["address"].startswith("127.0.0.1") and trail[0]["request_id"],
              f"{len(trail)} records: {trail[:1]}")
        lines = boss.get("/audit", headers={"accept": "application/x-ndjson"}).must(200).text.splitlines()
        check(len(lines) > 31 and all(line.startswith("{") for line in lines), f"{len(lines)} JSON lines")
        changed = boss.patch("/groups/g07", {"description": "seven"}).must(200)
        record = boss.get("/audit?target=g07&action=group.update").json or boss.get("/audit?target=g07").json
        check(record[0]["before"]["description"] == "" and record[0]["after"]["description"] == "seven", f"{record[0]}")
        check(record[0]["request_id"] == changed.headers["x-request-id"], "another request's id")
        note.append(f"8 at once made one group; {len(lines)} audit records")


def certificate(folder, name):
    """A self-signed certificate for localhost; returns (certificate, key)."""
    pair = folder / f"{name}.pem", folder / f"{name}.key"
    common.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                "/CN=localhost", "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", pair[1], "-out", pair[0]], 60)
    os.chmod(pair[1], 0o600)
    return pair


def encrypted(group):
    """REST over TLS: certificates change without a restart, a broken one changes nothing, plain HTTP is not answered."""
    with group.case("TLS, and a certificate that is replaced") as note, common.temp_folder("tls") as folder:
        common.need_packages(openssl="/usr/bin/openssl", curl="/usr/bin/curl")
        first, second = certificate(folder, "first"), certificate(folder, "second")
        live = folder / "live.pem", folder / "live.key"
        for source, target in zip(first, live):
            shutil.copy(source, target)
        server = gateway.Gateway(folder, {"control": {"tls": {"cert": str(live[0]), "key": str(live[1])}}}).init()
        with open(server.log_path, "ab") as log:
            server.process = common.spawn([server.dfs, "--config", server.config, "start", "--foreground"], stdout=log)
        try:
            common.wait_for(lambda: common.port_open(server.rest_port) and common.port_open(server.nfs_port), 60, "the gateway")

            def asked(trusted):
                command = ["curl", "-sS", "--noproxy", "*", "--cacert", trusted, f"https://localhost:{server.rest_port}/api/v1/health"]
                return common.run(command, 30, good=None)

            common.wait_for(lambda: asked(first[0])[0] == 0, 30, "an answer over TLS")
            check(asked(second[0])[0] == 60, "another certificate was believed")
            with contextlib.suppress(OSError, Exception):
                plain = rest.Rest(server.rest_port, timeout=5).get("/health")
                check(plain.status >= 400, "plain HTTP was answered")
            shell = Shell(server)
            shell("dfs status")
            caller = [*shell.programs["dfsctl"], "--server", f"https://localhost:{server.rest_port}", "--ca", first[0], "status"]
            common.run(caller, 30, env=shell.environment())
            # a connection that lives on while the certificate changes
            living = rest.Rest(server.rest_port, context=rest.trusting(first[0]))
            living.get("/health").must(200)
            live[0].write_text("nonsense")
            server.process.send_signal(signal.SIGHUP)
            common.wait_for(lambda: "certificate" in server.log(), 20, "the broken certificate to be told")
            check(asked(first[0])[0] == 0, "a broken file took the old certificate away")
            for source, target in zip(second, live):
                shutil.copy(source, target)
            common.wait_for(lambda: asked(second[0])[0] == 0, 20, "the new certificate, by itself")
            living.get("/health").must(200)
            old = ssl.create_default_context(cafile=str(second[0]))
            old.maximum_version = ssl.TLSVersion.TLSv1_2
            rest.Rest(server.rest_port, context=old).get("/health").must(200)
            version = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{server.rest_port}", "-tls1_1"], input=b"",
                                     capture_output=True, timeout=30, check=False)
            check(b"Cipher is (NONE)" in version.stdout or version.returncode != 0, "TLS 1.1 was spoken")
            note.append("first, broken, second; TLS 1.2 and 1.3")
        finally:
            server.stop(30)


CASES = [database, backups, creates, encrypted]
