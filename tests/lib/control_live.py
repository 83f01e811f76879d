"""Cases of group control about changes while clients work: only those that are named are touched, nothing acknowledged is lost."""

import contextlib
import os
import random
import shutil
import socket
import threading
import time

import common
import gateway
import nfs3
import postgres
import rest
from common import CI, Failed, check


class Writer(threading.Thread):
    """Writes files of its own into a share, each committed before it counts, and keeps what each must hold.

    A connection that is lost is made again, and "later" is asked again, as a hard mount does; any other answer is an error.
    """

    def __init__(self, server, share, port=None, seed=1):
        super().__init__(daemon=True)
        self.server, self.share, self.dice = server, share, random.Random(f"{share} {seed}")
        self.port = port or server.nfs_port
        self.wanted, self.error, self.longest, self.reconnects, self.ending = {}, None, 0.0, 0, threading.Event()
        self.client = nfs3.Client(self.port, share)
        self.start()

    def steadily(self, action):
        """One action as a hard mount makes it; remembers the longest."""
        began = time.monotonic()
        while True:
            try:
                result = action()
                self.longest = max(self.longest, time.monotonic() - began)
                return result
            except nfs3.Status as told:
                if told.status != nfs3.JUKEBOX:
                    raise
            except (OSError, ConnectionError):
                self.reconnects += 1
                with contextlib.suppress(OSError, Failed):
                    self.client = nfs3.Client(self.port, self.share)
            if time.monotonic() - began > 120:
                raise Failed("waited two minutes")
            time.sleep(0.05)

    def run(self):
        try:
            nth = 0
            while not self.ending.is_set():
                name, data = f"w{nth % 50}", self.dice.randbytes(self.dice.randrange(1, 60_000))
                file = self.steadily(lambda: self.client.create(name))
                self.wanted.setdefault(name, b"")
                self.steadily(lambda: self.client.write(file, 0, data))
                self.wanted[name] = data + self.wanted[name][len(data):]
                nth += 1
        except (Failed, OSError) as error:
            self.error = error

    def finish(self):
        self.ending.set()
        self.join(150)
        check(self.error is None, f"the writer of {self.share} failed: {self.error}")
        check(len(self.wanted) > 3, f"the writer of {self.share} hardly wrote: {len(self.wanted)} files")
        return self

    def verify(self):
        client = nfs3.Client(self.port, self.share)
        for name, data in self.wanted.items():
            check(client.read_all(client.lookup(name)) == data, f"{self.share}/{name} is not what was acknowledged")


def changes(group):
    """Shares, users and stores come and go, one share is disabled and enabled, beside four writers."""
    with group.case("changes beside four writers") as note, gateway.running("changes") as server:
        boss = rest.admin(server)
        for nth in range(4):
            server.share(f"w{nth}")
        writers = [Writer(server, f"w{nth}", seed=group.options.seed) for nth in range(4)]
        rounds = 6 if CI else 40
        for nth in range(rounds):
            server.share(f"extra{nth}")
            boss.post("/users", {"name": f"u{nth}", "password": "a password of the tests", "uid": 6000 + nth}).must(201)
            boss.put(f"/shares/extra{nth}/permissions/users/u{nth}", {"level": "read"}).must(200, 204)
            other = nfs3.Client(server.nfs_port, f"extra{nth}")
            other.write(other.create("kept"), 0, b"acknowledged")
            boss.post(f"/shares/extra{nth}/disable?force=true").must(200)
            check(nfs3.status_of(lambda: other.lookup("kept")) != nfs3.OK, "a disabled share was served")
            boss.post(f"/shares/extra{nth}/enable").must(200)
            other = nfs3.Client(server.nfs_port, f"extra{nth}")
            check(other.read(other.lookup("kept"), 0, 100) == b"acknowledged", "the share came back without its bytes")
            told = boss.delete(f"/shares/extra{nth}")
            if told.status != 204:  # a client has it mounted: it is named, and only force goes on
                who = told.problem(409, "would-cut-clients")
                check(any("127.0.0.1" in client for client in who["clients"]), who)
                boss.delete(f"/shares/extra{nth}?force=true").must(204)
            boss.delete(f"/metadata-stores/meta-extra{nth}").must(204)
            boss.delete(f"/cold-stores/cold-extra{nth}").must(204)
            boss.delete(f"/users/u{nth}").must(204)
        # one of the four is named now: it alone waits
        told = boss.post("/shares/w0/disable").problem(409, "would-cut-clients")
        check(told["clients"] and all("w0" in client for client in told["clients"]), f"others are named: {told}")
        before = [len(writer.wanted) and writer.longest for writer in writers]
        boss.post("/shares/w0/disable?force=true").must(200)
        time.sleep(2)
        boss.post("/shares/w0/enable").must(200)
        for writer in writers:
            writer.finish()
        check(all(writer.reconnects == 0 for writer in writers[1:]), "a connection of a share that was not named was cut")
        server.kill()
        server.start()
        for writer in writers:
            writer.verify()
        note.append(f"{rounds} rounds; longest wait of the others {max(w.longest for w in writers[1:]) * 1000:.0f} ms, "
                    f"of the disabled one {writers[0].longest:.1f} s (before {before[0]:.1f}); all there after kill -9")


def adapter(group):
    """The NFS adapter stops, starts, moves and takes other limits while four clients write; who would be cut is named."""
    with group.case("the adapter stops, starts and moves under four writers") as note, gateway.running("adapter") as server:
        boss = rest.admin(server)
        names = ["moved", "other1", "other2", "other3"]
        for name in names:
            server.share(name)
        writers = [Writer(server, name, seed=group.options.seed) for name in names]
        time.sleep(0.5)
        told = boss.patch("/adapters/nfs", {"enabled": False}).problem(409, "would-cut-clients")
        check(any("127.0.0.1" in client for client in told["clients"]), told)
        check(boss.get("/adapters/nfs").json["state"] == "serving", "a refused change stopped it")
        boss.patch("/adapters/nfs?force=true", {"enabled": False}).must(200)
        with rest.refused_connection():
            socket.create_connection(("127.0.0.1", server.nfs_port), 5).close()
        check(boss.get("/adapters/nfs").json["state"] == "stopped", "it does not say that it is stopped")
        boss.patch("/adapters/nfs", {"enabled": True}).must(200)
        before = [dict(one.wanted) for one in writers]
        go_on = lambda: all(one.wanted != had for one, had in zip(writers, before))
        common.wait_for(go_on, 30, "the writers to go on after the start")
        # to another port: the new one serves before the old one ends
        port = common.free_port()
        boss.patch("/adapters/nfs?force=true", {"listen": f"127.0.0.1:{port}"}).must(200)
        for one in writers:
            one.port = port
        common.wait_for(lambda: not common.port_open(server.nfs_port), 30, "the old port to close")
        moved = nfs3.Client(port, "moved")
        before = [dict(one.wanted) for one in writers]
        common.wait_for(go_on, 60, "the writers to go on at the new port")
        # a port that another program has: told, and nothing changes
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            told = boss.patch("/adapters/nfs?force=true", {"listen": f"127.0.0.1:{taken.getsockname()[1]}"})
            check(400 <= told.status < 500 and "in use" in told.text, f"a taken port: {told.status} {told.text}")
        check(moved.size(moved.root) >= 0, "the connection was cut by a refused change")
        # limits: live, with defaults to go back to
        usual = boss.get("/adapters/nfs/settings/defaults").must(200).json
        tried = boss.patch("/adapters/nfs/settings?dry_run=true", {"max_connections": 2}).must(200).json
        check(tried["max_connections"] == 2, tried)
        check(boss.get("/adapters/nfs/settings").json["max_connections"] == usual["max_connections"], "a dry run changed something")
        boss.patch("/adapters/nfs/settings", {"blocked_operations": ["remove"]}).must(200)
        status = nfs3.status_of(lambda: moved.remove("w0"))
        check(status in (nfs3.ACCES, nfs3.PERM, 10004), f"a blocked operation answers {status}")
        boss.post("/adapters/nfs/settings/reset").must(200)
        check(boss.get("/adapters/nfs/settings").json["blocked_operations"] == [], "not reset")
        for one in writers:
            one.finish()
        # what was set stays over a restart
        server.nfs_port = port
        server.restart()
        for one in writers:
            one.verify()
        note.append(f"longest wait of a writer {max(one.longest for one in writers):.1f} s, {sum(one.reconnects for one in writers)} reconnects, "
                    f"{sum(len(one.wanted) for one in writers)} files")


def clients(group):
    """Who is connected and who has what mounted is told; a client that is evicted is cut, no other."""
    with group.case("clients are listed and evicted") as note, gateway.running("clients") as server:
        boss = rest.admin(server)
        server.share("one")
        server.share("two")
        first, second = (nfs3.Client(server.nfs_port, "one", uid=1234, gid=1) for _ in range(2))
        third = nfs3.Client(server.nfs_port, "two")
        for client in (first, second, third):
            client.size(client.root)
        port = first.socket.getsockname()[1]
        rows = boss.get("/clients").must(200).json
        mine = [row for row in rows if row["address"] == f"127.0.0.1:{port}"]
        check(len(rows) == 3 and len(mine) == 1, f"{rows}")
        check(mine[0]["shares"] == ["one"] and 1234 in mine[0]["user_ids"] and mine[0]["requests"] >= 2 and mine[0]["received_bytes"] > 100, mine)
        shares = {row["share"] for row in boss.get("/mounts").must(200).json}
        check(shares == {"one", "two"}, f"mounts: {shares}")
        check([row["share"] for row in boss.get("/shares/two/mounts").must(200).json] == ["two"], "another share's mounts")
        boss.delete(f"/clients/{mine[0]['id']}").must(200, 204)
        with rest.refused_connection():
            first.size(first.root)
        second.size(second.root)
        third.size(third.root)
        check(len(boss.get("/clients").json) == 2, "it is still listed")
        boss.delete("/clients/none").problem(404)
        note.append("3 listed, 1 cut")


def many(group):
    """People and shares by the thousand: lists, a login and checks of permissions stay fast, memory bounded."""
    users, groups, shares = (1000, 100, 20) if CI else (10_000, 1000, 500)
    small = {"journal": {"size": "4GiB"}} if not CI else None
    with group.case(f"{users} users, {groups} groups, {shares} shares") as note, gateway.running("many", small) as server:
        boss = rest.admin(server)
        from control_schema import unlimited

        unlimited(boss)
        server.share("s0", default_permission="none")
        client, before = nfs3.Client(server.nfs_port, "s0", uid=10_000, gid=1), server.rss()
        few = timed(lambda: nfs3.status_of(lambda: client.lookup("none")), 300)
        began = time.monotonic()
        for nth in range(1, shares):
            boss.post("/shares", {"name": f"s{nth}", "metadata": "meta-s0", "cold": "cold-s0", "clients": ["127.0.0.1"],
                                  "default_permission": "none"}).must(201)
        note.append(f"{shares} shares in {time.monotonic() - began:.0f} s, +{(server.rss() - before) >> 20} MiB")
        before, began = server.rss(), time.monotonic()
        for nth in range(groups):
            boss.post("/groups", {"name": f"g{nth}", "gid": 100_000 + nth}).must(201)
        make_users(server, boss, users, groups)
        for nth in range(groups):
            boss.put(f"/shares/s{nth % shares}/permissions/groups/g{nth}", {"level": "read-write"}).must(200, 204)
        note.append(f"people in {time.monotonic() - began:.0f} s, +{(server.rss() - before) >> 20} MiB")
        at = time.monotonic()
        check(len(boss.all("/users")) == users + 1, "users are missing in the list")
        listed = time.monotonic() - at
        at = time.monotonic()
        check(len(boss.all("/shares", 100)) == shares, "shares are missing in the list")
        shares_listed = time.monotonic() - at
        at = time.monotonic()
        rest.Rest(server.rest_port).login(f"u{users - 1}", "a password of the tests")
        login = time.monotonic() - at
        page = timed(lambda: boss.get("/users?limit=100&after=u5").must(200), 50)
        one = timed(lambda: boss.patch("/users/u7", {"full_name": os.urandom(4).hex()}).must(200), 30)
        crowd = timed(lambda: nfs3.status_of(lambda: client.lookup("none")), 300)
        uid, gid = 10_000 + 0, 1
        member = nfs3.Client(server.nfs_port, "s0", uid=uid, gid=gid)
        check(nfs3.status_of(lambda: member.create("mine")) == nfs3.OK, "a member of a group with a grant was refused")
        note.append(f"all users {listed:.2f} s, all shares {shares_listed:.2f} s, a page {page * 1000:.1f} ms, a login {login * 1000:.0f} ms, "
                    f"a change of one {one * 1000:.1f} ms, a call checked in {crowd * 1e6:.0f} us (with few people {few * 1e6:.0f})")
        check(server.rss() - before < 128 << 20,  # some tens of MiB of it are what hashing passwords takes
              f"the people take {(server.rss() - before) >> 20} MiB")
        server.restart()
        boss.login("admin", gateway.PASSWORD)
        check(boss.get("/users?limit=1").headers["x-total-count"] == str(users + 1), "people are missing after a restart")


def make_users(server, boss, users, groups):
    """Makes users over several connections, each with a group; hashing passwords takes what it takes."""
    rows, errors, lock = iter(range(users)), [], threading.Lock()

    def work():
        caller = rest.Rest(server.rest_port, boss.token)
        try:
            while True:
                with lock:
                    nth = next(rows, None)
                if nth is None:
                    return
                if nth % 500 == 499:
                    caller.login("admin", gateway.PASSWORD)
                caller.post("/users", {"name": f"u{nth}", "password": "a password of the tests", "uid": 10_000 + nth, "gid": 1,
                                       "must_change_password": False, "groups": [f"g{nth % groups}"]}).must(201)
        except (Failed, OSError) as error:
            errors.append(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(not errors, f"{errors[:2]}")
    boss.login("admin", gateway.PASSWORD)


def timed(action, times):
    """Seconds of one action, the median of so many."""
    found = []
    for _ in range(times):
        at = time.monotonic()
        action()
        found.append(time.monotonic() - at)
    return sorted(found)[len(found) // 2]


def followed(group):
    """Two gateways on one control database in PostgreSQL: what is changed on one holds on the other within a second."""
    with group.case("two gateways share one control database") as note, common.temp_folder("control-db") as folder:
        postgres.need_root()
        programs = postgres.programs()
        template = postgres.make_template(folder, programs)
        with postgres.cluster(template, programs) as database:
            setting = {"control": {"database": {"url": database.url, "tls": "off"}}}
            with gateway.running("first", setting) as first:
                boss = rest.admin(first)
                first.share("first")
                with beside(first, setting) as other:
                    seen = rest.admin(other)
                    boss.post("/users", {"name": "ann", "password": "a password of the tests", "uid": 2001}).must(201)
                    at = time.monotonic()
                    common.wait_for(lambda: seen.get("/users/ann").status == 200, SOON_ELSEWHERE, "the user on the other gateway", pause=0.02)
                    took = time.monotonic() - at
                    seen.patch("/users/ann", {"full_name": "Ann"}).must(200)
                    common.wait_for(lambda: boss.get("/users/ann").json["full_name"] == "Ann", SOON_ELSEWHERE, "the change to come back")
                    # both change at once: nothing is lost
                    together(boss, seen)
                    check({row["name"] for row in boss.get("/groups?limit=1000").json} >= {f"a{n}" for n in range(20)} | {f"b{n}" for n in range(20)},
                          "a change got lost")
                    # the database goes away: what is known still holds, changes are refused clearly, then all goes on
                    database.kill()
                    told = seen.post("/groups", {"name": "no"})
                    check(told.status in (500, 503), f"a change without its database: {told.status}")
                    seen.get("/users").must(200)
                    database.start()
                    common.wait_for(lambda: seen.post("/groups", {"name": "again"}).status == 201, 30, "changes to be taken again")
                    common.wait_for(lambda: boss.get("/groups/again").status == 200, 10, "the other to follow again")
                note.append(f"seen after {took * 1000:.0f} ms; 40 groups by both at once; killed and back")


SOON_ELSEWHERE = 1.0


@contextlib.contextmanager
def beside(first, setting):
    """A second gateway on the first one's control database: it has a folder of its own, and the first one's keys."""
    with common.temp_folder("beside") as folder:
        other = gateway.Gateway(folder, setting).init()
        for key in ("secrets.key", "token.key"):
            shutil.copy(first.data / key, other.data / key)
        try:
            yield other.start()
        except BaseException:
            common.say(f"  log of the other gateway:\n{common.tail(other.log())}")
            raise
        finally:
            other.stop(30)


def together(boss, seen):
    errors = []

    def work(caller, letter):
        try:
            for nth in range(20):
                caller.post("/groups", {"name": f"{letter}{nth}"}).must(201)
        except (Failed, OSError) as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=pair) for pair in ((boss, "a"), (seen, "b"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(not errors, f"{errors[:1]}")
    time.sleep(SOON_ELSEWHERE)


CASES = [changes, adapter, clients, many, followed]
