"""Case of group control that runs every command of both programs against a running gateway, and looks at the shape of its JSON.

The commands are found in the programs' own help, so that one that is new and not in the lists below fails the case.
"""

import json
import os
import re

import common
import gateway
import nfs3
import postgres
import s3
from common import check
from control_cli import Shell, tree

WORD = "a password of the tests"
NUMBER = (int, float)
NAMED = {"name": str}
SHARE = {"name": str, "state": str, "durability": str, "promise": str, "clients": list}
JOB = {"id": int, "what": str, "state": str}
# What a command without an object of its own tells: a word or more about what it was about.
SAID = object()
TEXT = object()  # prints no JSON, whatever -o says: a script, a file's lines

# The commands in the order in which they can be run: words, the shape of the JSON, what is typed. {…} is filled in below.
DFSCTL = [
    ("version", SAID, ""),
    ("completion bash", TEXT, ""),
    ("man --dir {folder}/man", SAID, ""),
    ("login --username admin --password-stdin", SAID, "{admin}\n"),
    ("status", {"status": str, "version": str, "uptime_seconds": int, "shares": int}, ""),
    ("context list", [{"name": str, "current": bool, "server": str}], ""),
    ("context current", {"name": str, "server": str}, ""),
    ("context rename {context} other", SAID, ""),
    ("context use other", SAID, ""),
    ("group create staff --gid 3001 --description people", {"name": str, "gid": int, "members": list}, ""),
    ("group list", [NAMED], ""),
    ("group get staff", {"name": str, "gid": int}, ""),
    ("group edit staff --description everybody", {"description": str}, ""),
    ("user create ann --password-stdin --uid 2001 --gid 2001 --groups staff --keep-password",
     {"name": str, "uid": int, "groups": list, "role": str, "enabled": bool}, WORD + "\n"),
    ("user create ben --password-stdin --host-uid --keep-password", {"name": str, "uid": int}, WORD + "\n"),
    ("user list", [{"name": str, "role": str, "enabled": bool}], ""),
    ("user show ann", {"name": str, "uid": int, "groups": list}, ""),
    ("user update ann --full-name Ann", {"full_name": str}, ""),
    ("user disable ann", {"enabled": bool}, ""),
    ("user enable ann", {"enabled": bool}, ""),
    ("user password ann --password-stdin --keep-password", SAID, WORD + " 2\n"),
    ("group remove-user staff ann", {"members": list}, ""),
    ("group add-user staff ann", {"members": list}, ""),
    ("store metadata add names", NAMED, ""),
    ("store metadata list", [{"name": str, "kind": str, "health": str, "shares": list}], ""),
    ("store metadata show names", {"name": str, "kind": str, "health": str}, ""),
    ("store metadata health names", {"name": str, "health": str}, ""),
    ("store metadata edit names", None, ""),
    ("store payload add bucket --kind s3 --bucket {bucket} --endpoint {endpoint} --access-key {access} --secret-key-stdin",
     {"name": str, "kind": str}, "{secret}\n"),
    ("store cold list", [{"name": str, "kind": str, "health": str, "shares": list}], ""),
    ("store cold show bucket", {"name": str, "bucket": str, "health": str}, ""),
    ("store cold health bucket", {"name": str, "health": str}, ""),
    ("store cold check bucket", {"name": str}, ""),
    ("store cold edit bucket --access-key {access} --secret-key-stdin", NAMED, "{secret}\n"),
    ("netgroup create farm --member 192.0.2.0/28", {"name": str, "members": list}, ""),
    ("netgroup list", [{"name": str, "members": list, "shares": list}], ""),
    ("netgroup show farm", {"name": str, "members": list}, ""),
    ("netgroup add-member farm 192.0.2.99", {"members": list}, ""),
    ("netgroup remove-member farm 192.0.2.99", {"members": list}, ""),
    ("share create projects --metadata names --payload bucket --client 127.0.0.1 --squash none --quotas --recycle-days 7 --root-mode 777",
     SHARE, ""),
    ("share list", [SHARE], ""),
    ("share show projects", SHARE, ""),
    ("share edit projects --comment work --add-client @farm", {"name": str, "comment": str, "clients": list}, ""),
    ("share disable projects --force", SHARE, ""),
    ("share enable projects", SHARE, ""),
    ("share open projects", SHARE, ""),
    ("share permission grant projects --user ann --level read-write", {"kind": str, "name": str, "level": str}, ""),
    ("share permission grant projects --group staff --level read", {"kind": str, "name": str, "level": str}, ""),
    ("share permission list projects", [{"kind": str, "name": str, "level": str}], ""),
    ("share permission show projects ann", {"user": str, "share": str, "level": str, "because": str}, ""),
    ("share permission revoke projects --group staff", SAID, ""),
    ("!files", None, ""),
    ("share list-mounts projects", [{"client": str, "share": str, "protocol": str}], ""),
    ("share mount projects {folder} --dry-run", SAID, ""),
    ("share unmount {folder} --dry-run", SAID, ""),
    ("client list", [{"id": str, "protocol": str, "address": str, "requests": int, "shares": list}], ""),
    ("!client", None, ""),
    ("client evict {client} --yes", SAID, ""),
    ("adapter list", [{"kind": str, "enabled": bool, "listen": str, "state": str}], ""),
    ("adapter show nfs", {"kind": str, "listen": str, "settings": dict}, ""),
    ("adapter settings nfs show", SAID, ""),
    ("adapter settings nfs update --max-connections 100", SAID, ""),
    ("adapter settings nfs reset", SAID, ""),
    ("adapter disable nfs --force", {"kind": str, "enabled": bool, "state": str}, ""),
    ("adapter enable nfs", {"kind": str, "enabled": bool, "state": str}, ""),
    ("adapter update nfs --port {port} --force", {"kind": str, "listen": str}, ""),
    ("adapter remove nfs --force", SAID, ""),
    ("adapter add nfs --listen 127.0.0.1:{nfs}", {"kind": str, "listen": str, "state": str}, ""),
    ("idmap add ann@EXAMPLE.ORG ann", {"principal": str, "user": str}, ""),
    ("idmap list", [{"principal": str, "user": str}], ""),
    ("idmap remove ann@EXAMPLE.ORG --yes", SAID, ""),
    ("settings list", [{"key": str, "description": str, "live": bool, "source": str}], ""),
    ("settings set logging.level debug", {"key": str, "source": str}, ""),
    ("settings get logging.level", {"key": str, "source": str}, ""),
    ("settings reset logging.level", SAID, ""),
    ("quota set projects user:2001 --bytes-hard 1GiB", SAID, ""),
    ("quota list projects", [{"used_bytes": int, "used_inodes": int}], ""),
    ("quota remove projects user:2001", SAID, ""),
    ("snapshot create projects mon", {"id": int, "name": str, "origin": str, "taken_at": int}, ""),
    ("snapshot list projects", [{"id": int, "name": str}], ""),
    ("snapshot show projects mon", {"id": int, "name": str}, ""),
    ("snapshot restore projects mon kept --to again", {"restored": int, "removed": int, "unchanged": int}, ""),
    ("snapshot schedule projects --every 1h --keep 3", SAID, ""),
    ("snapshot delete projects mon", SAID, ""),
    ("file clone projects kept clone", {"bytes": int}, ""),
    ("recycle policy projects --keep-days 30", SAID, ""),
    ("recycle list projects", [{"inode": int, "name": str, "removed_at": int, "bytes": int}], ""),
    ("recycle status projects", SAID, ""),
    ("!recycled", None, ""),
    ("trash restore projects {recycled}", SAID, ""),
    ("trash empty projects --yes", SAID, ""),
    ("tier status", {"occupancy": NUMBER, "journal_bytes": int, "hot_bytes": int, "shares": list}, ""),
    ("tier flush --share projects --wait", JOB, ""),
    ("job list", [JOB], ""),
    ("!job", None, ""),
    ("job show {job}", JOB, ""),
    ("job wait {job}", JOB, ""),
    ("audit list", [{"id": int, "at": int, "user": str, "action": str, "target": str, "result": str}], ""),
    ("audit export --file {folder}/audit.jsonl", SAID, ""),
    ("backup controlplane --file {folder}/backup --passphrase-stdin", SAID, WORD + "\n"),
    ("restore controlplane --file {folder}/backup --passphrase-stdin --force", {"users": int, "groups": int, "shares": int}, WORD + "\n"),
    ("login --username admin --password-stdin", SAID, "{admin}\n"),
    ("share create shared --metadata database --cold bucket --client 127.0.0.1", SHARE, ""),
    ("share release shared", JOB, ""),
    ("share abandon shared", None, ""),
    ("share adopt elsewhere --metadata database --cold bucket", None, ""),
    ("share delete projects --yes --force", SAID, ""),
    ("store metadata remove names --yes", SAID, ""),
    ("netgroup delete farm --yes", SAID, ""),
    ("user delete ben --yes", SAID, ""),
    ("group delete staff --yes", SAID, ""),
    ("store cold remove spare --yes", SAID, ""),
    ("switch-user ann --password-stdin", SAID, WORD + " 2\n"),
    ("user change-password --password-stdin", SAID, WORD + " 2\n" + WORD + " 3\n"),
    ("logout", SAID, ""),
    ("context delete other --yes", SAID, ""),
]

DFS = [
    ("version", {"version": str}, ""),
    ("status", {"status": str, "pid": int, "version": str}, ""),
    ("doctor", [{"check": str, "result": str}], ""),
    ("config show", {"data_dir": str}, ""),
    ("config validate", SAID, ""),
    ("config schema", {"properties": dict}, ""),
    ("config init --force", SAID, ""),
    ("config edit", SAID, ""),
    ("logs -n 5 --file {folder}/log", TEXT, ""),
    ("completion zsh", TEXT, ""),
    ("man --dir {folder}/man-dfs", SAID, ""),
    ("backup controlplane --output {folder}/dfs-backup --passphrase-stdin", SAID, WORD + "\n"),
    ("stop", SAID, ""),
    ("restore controlplane --input {folder}/dfs-backup --passphrase-stdin --force", SAID, WORD + "\n"),
    ("migrate", SAID, ""),
    ("init --force --data-dir {folder}/another --admin-password-stdin", SAID, WORD + "\n"),
    ("start", SAID, ""),
]


def fits(value, shape):
    """Whether a JSON value has the keys, and kinds of values, that programs rely on."""
    if isinstance(shape, list):
        return isinstance(value, list) and len(value) > 0 and all(fits(row, shape[0]) for row in value)
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(name in value and isinstance(value[name], kind) for name, kind in shape.items())
    return True


class Run:
    """Runs the lists and keeps what was covered."""

    def __init__(self, shell, program, known):
        self.shell, self.program, self.known, self.covered, self.wrong = shell, program, known, set(), []

    def leaf(self, words):
        """The command that these words name, by its canonical name."""
        at, path = [self.program], [self.program]
        for word in words:
            names = self.known["below"].get(tuple(path), {})
            if word not in names:
                break
            path = [*path, names[word]]
            at.append(word)
        return tuple(path)

    def __call__(self, line, shape, stdin):
        words = line.split()
        self.covered.add(self.leaf(words))
        more = [] if shape is TEXT or words[0] in ("start", "stop", "init") else ["-o", "json"]
        status, said = self.shell([self.program, *words, *more], good=None, stdin=stdin)
        if shape is None:  # told that it cannot be done, in one line
            if status not in (0, 2, 5, 6, 10) or len(said.strip().splitlines()) > 12:
                self.wrong.append(f"{line}: {status} {said.strip()[:300]}")
            return None
        if status != 0:
            self.wrong.append(f"{line}: {status} {said.strip()[:300]}")
            return None
        if not more or shape is TEXT:
            return said
        try:
            value = json.loads(said)
        except ValueError:
            self.wrong.append(f"{line}: no JSON: {said.strip()[:200]}")
            return None
        if not fits(value, shape):
            self.wrong.append(f"{line}: not of the shape {shape}: {said.strip()[:300]}")
        return value


def command_tree(shell, program):
    """The leaves, and for each command its sub-commands by every spelling."""
    leaves, below = set(), {}
    for words, text, leaf in tree(shell, [program]):
        if leaf:
            leaves.add(tuple(words))
            continue
        listed = re.search(r"^Commands:\n((?:  .*\n|\n)*)", text, re.M)[1]
        names = {}
        for name, rest in re.findall(r"^  ([a-z][\w-]*)((?:.*)(?:\n {6,}.*)*)", listed, re.M):
            names[name] = name
            for spelled in re.findall(r"\[alias(?:es)?: ([^\]]*)\]", rest):
                names |= dict.fromkeys(re.split(r",\s*", spelled), name)
        below[tuple(words)] = names
    return {"leaves": leaves, "below": below}


def commands(group):
    """Every command of `dfsctl` and `dfs` against a running gateway."""
    postgres.need_root()
    programs = postgres.programs()
    with group.case("every command, its JSON and its exit code") as note, s3.store() as store, common.temp_folder("commands-db") as place:
        template = postgres.make_template(place, programs)
        with postgres.cluster(template, programs) as database, gateway.running("commands", postgres.settings(database)) as server:
            bucket, shell = store.bucket("commands"), Shell(server)
            filled = {"folder": server.folder, "admin": gateway.PASSWORD, "nfs": server.nfs_port, "port": common.free_port(),
                      "bucket": bucket.name, "endpoint": f"http://127.0.0.1:{bucket.port}", "access": bucket.access, "secret": bucket.secret,
                      "context": "default"}
            wrong, told = [], []
            for program, listed in (("dfsctl", DFSCTL), ("dfs", DFS)):
                known = command_tree(shell, program)
                run = Run(shell, program, known)
                for line, shape, stdin in listed:
                    if line.startswith("!"):
                        prepare(line[1:], server, run, filled)
                        continue
                    run(line.format(**filled), shape, stdin.format(**filled))
                    if line.startswith("login"):
                        current = run.shell(["dfsctl", "context", "current", "-o", "json"])[1]
                        filled["context"] = json.loads(current)["name"]
                    extra(line, server, run)
                wrong += run.wrong
                missing = sorted(" ".join(words) for words in known["leaves"] - run.covered)
                wrong += [f"no test runs `{name}`" for name in missing]
                told.append(f"{program}: {len(known['leaves'])} commands, {len(listed)} lines")
            check(not wrong, "\n".join(wrong))
            note.append("; ".join(told))


def extra(line, server, run):
    """What a later line needs."""
    if line.startswith("store payload add"):
        run.shell(["dfsctl", "store", "metadata", "add", "database", "--kind", "postgres"])
        spare = server.folder / "spare"
        spare.mkdir()
        run.shell(["dfsctl", "store", "cold", "add", "spare", "--kind", "dir", "--path", str(spare)])
    if line.startswith("config init"):  # it made a new one in place of the test's
        server.write_config()
    if line.startswith("migrate"):  # what follows is about a folder that is new
        server.config.unlink()
    if line.startswith("init"):
        server.write_config()
    if line == "start":
        run.shell(["dfs", "stop"])


def prepare(what, server, run, filled):
    if what == "files":
        client = nfs3.Client(server.nfs_port, "projects", uid=2001, gid=2001)
        for name in ("kept", "gone"):
            client.write(client.create(name), 0, os.urandom(5000))
        client.remove("gone")
        server.commands_client = client
    elif what == "client":
        rows = json.loads(run.shell(["dfsctl", "client", "list", "-o", "json"])[1])
        filled["client"] = rows[0]["id"]
    elif what == "recycled":
        rows = json.loads(run.shell(["dfsctl", "recycle", "list", "projects", "-o", "json"])[1])
        filled["recycled"] = rows[0]["inode"]
    elif what == "job":
        rows = json.loads(run.shell(["dfsctl", "job", "list", "-o", "json"])[1])
        filled["job"] = rows[0]["id"]


CASES = [commands]
