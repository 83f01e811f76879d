"""Cases of group control about who may do what: permissions as clients feel them, secrets that stay secret, guessed passwords."""

import contextlib
import json
import threading
import time

import common
import gateway
import guest
import nfs3
import rest
from common import CI, Failed, check

PLANTED = "planted-Secret"
SOON = 1.0  # seconds after which a change must be felt


def level(boss, share, who, wanted, kind="users"):
    boss.put(f"/shares/{share}/permissions/{kind}/{who}", {"level": wanted}).must(200, 204)


def refused(action, *statuses):
    status = nfs3.status_of(action)
    check(status in (statuses or (nfs3.ACCES, nfs3.PERM, nfs3.ROFS)), f"status {status} where it must be refused")


def allowed(action):
    status = nfs3.status_of(action)
    check(status == nfs3.OK, f"status {status} where it must be allowed")


def felt_by_calls(group):
    """Grants to users and groups, a disabled user, a mapped uid: each change is felt by the first call a second later."""
    with group.case("permissions are felt by the next call") as note, gateway.running("felt") as server:
        boss = rest.admin(server)
        server.share("felt", default_permission="none")
        for nth, name in enumerate(("ann", "ben", "cy")):
            boss.post("/users", {"name": name, "password": PLANTED + name, "uid": 2001 + nth, "gid": 2001 + nth}).must(201)
        boss.post("/groups", {"name": "team", "gid": 3001, "members": ["ben"]}).must(201)
        client = {uid: nfs3.Client(server.nfs_port, "felt", uid=uid, gid=uid) for uid in (2001, 2002, 2003, 7777)}
        steps = 0

        def change(action, uid, *expected):
            nonlocal steps
            action()
            time.sleep(SOON)
            steps += 1
            for what, wanted in zip((f"by-{uid}-{steps}",), expected):
                (allowed if wanted else refused)(lambda: client[uid].create(what))

        for uid in client:
            refused(lambda uid=uid: client[uid].create("early"))
        change(lambda: level(boss, "felt", "ann", "read-write"), 2001, True)
        change(lambda: level(boss, "felt", "ann", "read"), 2001, False)
        allowed(lambda: client[2001].lookup("by-2001-1"))
        change(lambda: level(boss, "felt", "team", "read-write", "groups"), 2002, True)
        change(lambda: level(boss, "felt", "ben", "none"), 2002, False)  # the user's own grant goes before his groups'
        refused(lambda: client[2002].lookup("by-2001-1"))
        change(lambda: boss.delete("/shares/felt/permissions/users/ben").must(200, 204), 2002, True)
        change(lambda: boss.delete("/groups/team/members/ben").must(200, 204), 2002, False)
        change(lambda: boss.post("/groups/team/members", {"user": "cy"}).must(200, 201, 204), 2003, True)
        change(lambda: boss.patch("/users/cy", {"enabled": False}).must(200), 2003, False)
        change(lambda: boss.patch("/users/cy", {"enabled": True}).must(200), 2003, True)
        change(lambda: boss.post("/identity-mappings", {"principal": "uid:7777", "user": "cy"}).must(201), 7777, True)
        change(lambda: boss.delete("/identity-mappings/uid:7777").must(200, 204), 7777, False)
        change(lambda: boss.patch("/shares/felt", {"default_permission": "read-write"}).must(200), 7777, True)
        change(lambda: boss.delete("/users/cy").must(204), 2003, True)  # by the default, as a stranger
        note.append(f"{steps} changes, each tried {SOON} s later")


def felt_by_libnfs(group):
    """The same by a client that is not ours, whose first call after a second is answered by the new rule."""
    with group.case("permissions are felt by libnfs") as note, gateway.running("libnfs") as server:
        common.need_packages(libnfs_utils="/usr/bin/nfs-cat")
        boss = rest.admin(server)
        server.share("felt", default_permission="none")
        boss.post("/users", {"name": "ann", "password": PLANTED, "uid": 2001, "gid": 2001}).must(201)
        (server.folder / "source").write_text("what ann wrote\n")

        def url(name, uid=2001):
            return (f"nfs://127.0.0.1/felt/{name}?version=3&nfsport={server.nfs_port}&mountport={server.nfs_port}"
                    f"&uid={uid}&gid={uid}")

        def can(*command):
            return common.run(command, 30, good=None)[0] == 0

        rounds = 3 if CI else 10
        for nth in range(rounds):
            level(boss, "felt", "ann", "read-write")
            time.sleep(SOON)
            check(can("nfs-cp", server.folder / "source", url(f"file{nth}")), "a writer could not write")
            level(boss, "felt", "ann", "read")
            time.sleep(SOON)
            check(can("nfs-cat", url(f"file{nth}")), "a reader could not read")
            check(not can("nfs-cp", server.folder / "source", url(f"no{nth}")), "a reader could write")
            level(boss, "felt", "ann", "none")
            time.sleep(SOON)
            check(not can("nfs-cat", url(f"file{nth}")), "who may nothing could read")
            check(not can("nfs-cat", url(f"file{nth}", 2999)), "a stranger could read")
        note.append(f"{3 * rounds} changes")


def forty_groups(group):
    """AUTH_SYS carries 16 groups; the server knows the 30th, and takes it away again."""
    with group.case("a user's thirtieth group of forty counts") as note, gateway.running("forty") as server:
        boss = rest.admin(server)
        server.share("forty")
        gids = range(5000, 5040)
        for gid in gids:
            boss.post("/groups", {"name": f"g{gid}", "gid": gid}).must(201)
        boss.post("/users", {"name": "ann", "password": PLANTED, "uid": 2001, "gid": 2001,
                             "groups": [f"g{gid}" for gid in gids]}).must(201)
        owner = nfs3.Client(server.nfs_port, "forty")
        owner.write(owner.create("secret"), 0, b"for group 5029")
        owner.set_owner("secret", uid=0, gid=5029, mode=0o640)
        sixteen = tuple(gids[:16])
        ann = nfs3.Client(server.nfs_port, "forty", uid=2001, gid=2001, groups=sixteen)
        check(ann.read(ann.lookup("secret"), 0, 100) == b"for group 5029", "other bytes")
        stranger = nfs3.Client(server.nfs_port, "forty", uid=2002, gid=2002, groups=sixteen)
        refused(lambda: stranger.read(stranger.lookup("secret"), 0, 100), nfs3.ACCES)
        boss.delete("/groups/g5029/members/ann").must(200, 204)
        time.sleep(SOON)
        refused(lambda: ann.read(ann.lookup("secret"), 0, 100), nfs3.ACCES)
        note.append("in, and out again within a second")


def felt_by_a_kernel(group):
    """A kernel's mount with actimeo=0: users of the guest feel grants that change beneath them, and forty groups count."""
    with group.case("permissions are felt by a kernel's mount") as note, gateway.running("kernel") as server:
        guest.ready()
        boss = rest.admin(server)
        server.share("kernel", default_permission="none", squash="root_to_guest")
        boss.post("/users", {"name": "ann", "password": PLANTED, "uid": 2001, "gid": 2001}).must(201)
        gids = range(5000, 5040)
        for gid in gids:
            boss.post("/groups", {"name": f"g{gid}", "gid": gid, "members": ["ann"]}).must(201)
        level(boss, "kernel", "ann", "read-write")
        level(boss, "kernel", "g5029", "read-write", "groups")
        turns = server.folder / "turns"
        turns.mkdir()
        script = (f"{guest.mount(server.nfs_port, 'kernel', options='hard,actimeo=0')} && cd /\n"
                  "as() { setpriv --reuid=2001 --regid=2001 --clear-groups \"$@\" 2>/dev/null && echo yes || echo no; }\n"
                  "turn() { until [ -e " + str(turns) + "/$1 ]; do sleep 0.1; done; }\n"
                  "for n in 1 2 3 4; do turn $n; echo \"$n write $(as touch /mnt/share/f$n) read $(as ls /mnt/share | tail -1)\"; "
                  f"touch {turns}/done-$n; done; umount /mnt/share\n")
        with open(server.folder / "guest.log", "wb") as log:
            running = guest.start(script, 300, writable=[str(turns)], log=log)
            changes = [lambda: None, lambda: level(boss, "kernel", "ann", "read"), lambda: level(boss, "kernel", "ann", "none"),
                       lambda: boss.delete("/shares/kernel/permissions/users/ann").must(200, 204)]
            for nth, change in enumerate(changes, 1):
                change()
                time.sleep(SOON)
                (turns / str(nth)).touch()
                common.wait_for((turns / f"done-{nth}").exists, 120, f"turn {nth} in the guest:\n"
                                f"{(server.folder / 'guest.log').read_text(errors='replace')}")
            running.wait(60)
        said = (server.folder / "guest.log").read_text(errors="replace")
        wanted = ["1 write yes read yes", "2 write no read yes", "3 write no read no", "4 write yes read yes"]
        check([line for line in said.splitlines() if " write " in line] == wanted, f"the guest saw otherwise:\n{said}")
        note.append("read-write, read, none, and by the thirtieth group's grant")


def secrets(group):
    """Planted passwords, keys and tokens: in no answer, log, audit record, configuration shown or file in clear."""
    with group.case("secrets stay secret") as note, gateway.running("secrets", {"logging": {"level": "debug"}}) as server:
        boss = rest.admin(server)
        words = {name: f"{PLANTED}-{name}-7f3a" for name in ("create", "reset", "own", "login", "s3", "body", "backup", "wrong")}
        answers = []

        def ask(*arguments, **more):
            answer = boss.ask(*arguments, **more)
            answers.append(answer.text + json.dumps(answer.headers))
            return answer

        ask("POST", "/users", {"name": "ann", "password": words["create"], "must_change_password": False}).must(201)
        ask("POST", "/users/ann/password", {"new_password": words["reset"], "must_change": False}).must(200, 204)
        own = rest.Rest(server.rest_port)
        tokens = own.login("ann", words["reset"])
        changed = own.post("/users/me/password", {"old_password": words["reset"], "new_password": words["own"]}).must(200).json
        ask("POST", "/auth/login", {"username": "ann", "password": words["login"]}).problem(401)
        ask("POST", "/auth/login", {"username": words["wrong"], "password": "x"}).problem(401)
        ask("POST", "/users", {"name": "bob", "password": words["body"], "nonsense": True}).must(400, 422)
        ask("POST", "/users", raw=b'{"name": "bob", "password": "' + words["body"].encode() + b'", }',
            headers={"content-type": "application/json"}).problem(400)
        s3 = {"name": "bucket", "kind": "s3", "bucket": "none", "endpoint": "http://127.0.0.1:1", "access_key": "public",
              "secret_key": words["s3"]}
        check(ask("POST", "/cold-stores", s3).status >= 400, "a store that cannot be reached was added")
        ask("POST", "/backup", {"passphrase": words["backup"]}).must(200)
        for path in ("/users", "/users/ann", "/cold-stores", "/audit?limit=1000", "/settings", "/shares", "/auth/me", "/jobs"):
            ask("GET", path).must(200)
        _, shown = common.run([server.dfs, "--config", server.config, "config", "show"], 60)
        hidden = [*words.values(), gateway.PASSWORD, tokens["refresh_token"], tokens["access_token"], changed["access_token"], boss.token,
                  "$argon2"]
        # a name that somebody typed is no secret, even where it should have been his password
        places = {"an answer": "".join(answers), "the log": server.log(), "config show": shown,
                  "files": "".join(path.read_bytes().decode("latin-1") for path in server.data.rglob("*")
                                   if path.is_file() and path.stat().st_size < 64 << 20 and path.name.startswith("control"))}
        for place, text in places.items():
            shown = [word for word in hidden if word in text and not (word == words["wrong"] or (word, place) == ("$argon2", "files"))]
            check(not shown, f"{place} shows {shown}")
        check(boss.get("/audit?limit=1000").json, "no audit record")
        note.append(f"{len(hidden)} secrets, {len(answers)} answers, log of {len(server.log())} bytes")


def storm(group):
    """A thousand wrong logins a second: cheap to refuse, told once, and nobody else waits."""
    seconds = 8 if CI else 60
    with group.case(f"1,000 wrong logins a second for {seconds} s") as note, gateway.running("storm") as server:
        server.share("calm")
        before = server.log()
        asked, statuses, stop = [0], {}, threading.Event()
        lock = threading.Lock()

        def guess(nth):
            caller, mine, count = rest.Rest(server.rest_port, source="127.0.0.9"), {}, 0
            began = time.monotonic()
            while not stop.is_set():
                with contextlib.suppress(OSError, Failed):
                    status = caller.post("/auth/login", {"username": "admin", "password": f"guess {nth} {count}"}).status
                    mine[status] = mine.get(status, 0) + 1
                count += 1
                time.sleep(max(0, began + count * 0.016 - time.monotonic()))  # sixteen of these make a thousand a second
            with lock:
                asked[0] += count
                for status, times in mine.items():
                    statuses[status] = statuses.get(status, 0) + times

        threads = [threading.Thread(target=guess, args=(nth,), daemon=True) for nth in range(16)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        times, client = [], nfs3.Client(server.nfs_port, "calm")
        file = client.create("file")
        while time.monotonic() - began < seconds:
            at = time.monotonic()
            other = rest.Rest(server.rest_port)
            other.login("admin", gateway.PASSWORD)
            other.get("/users").must(200)
            client.write(file, 0, b"x" * 1000)
            times.append(time.monotonic() - at)
            time.sleep(0.2)
        stop.set()
        for thread in threads:
            thread.join(30)
        took = time.monotonic() - began
        said = server.log()[len(before):]
        told = [line for line in said.splitlines() if "127.0.0.9" in line]
        note.append(f"{asked[0] / took:.0f} a second, answers {statuses}; a login, a list and a write beside them: "
                    f"median {sorted(times)[len(times) // 2] * 1000:.0f} ms, longest {max(times) * 1000:.0f} ms; {len(told)} lines told")
        check(set(statuses) <= {401, 429} and statuses[429] > 20 * statuses.get(401, 0), f"not refused: {statuses}")
        check(1 <= len(told) <= 2 + seconds // 30, f"told {len(told)} times:\n{common.tail(said)}")
        check(max(times) < 10, f"another client waited {max(times):.1f} s")
        check(server.process.poll() is None and rest.Rest(server.rest_port).get("/health").status == 200, "the gateway suffered")


CASES = [felt_by_calls, felt_by_libnfs, forty_groups, felt_by_a_kernel, secrets, storm]
