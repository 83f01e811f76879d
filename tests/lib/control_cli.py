"""Cases of group control about the two command lines: help, completion, man pages, mistakes, the first steps of the reference."""

import os
import re
import socket
import threading

import cargo
import common
import gateway
import guest
import rest
from common import ROOT, check
from s3_disk import SMALL, fill, small_disk


class Shell:
    """The two programs, with a home of their own, against one gateway."""

    def __init__(self, server):
        self.server, self.home = server, server.folder / "home"
        self.home.mkdir(exist_ok=True)
        self.programs = {"dfs": [server.dfs, "--config", server.config], "dfsctl": [cargo.binary("dfsctl")]}

    def environment(self, **more):
        return {"HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home / ".config"), "XDG_CACHE_HOME": str(self.home / ".cache"),
                "DFSCTL_SERVER": f"http://127.0.0.1:{self.server.rest_port}", "NO_COLOR": "1", "EDITOR": "true", **more}

    def __call__(self, line, good=(0,), stdin="", timeout=120, **more):
        """Runs one command line; returns (status, output)."""
        words = line if isinstance(line, list) else line.split()
        given = self.server.folder / "given"
        given.write_text(stdin)
        with open(given, "rb") as source:
            return common.run([*self.programs[words[0]], *words[1:]], timeout, good, env=self.environment(**more), stdin=source)

    def login(self):
        self("dfsctl login --username admin --password-stdin", stdin=gateway.PASSWORD + "\n")
        return self


def subcommands(text):
    """The names in a help text's list of commands."""
    listed = re.search(r"^Commands:\n((?:  .*\n|\n)*)", text, re.M)
    names = re.findall(r"^  ([a-z][\w-]*)", listed[1], re.M) if listed else []
    return [name for name in names if name != "help"]


def tree(shell, words):
    """Every command below these words with its help text; leaves have no commands of their own."""
    _, text = shell([*words, "--help"])
    below = subcommands(text)
    yield words, text, not below
    for name in below:
        yield from tree(shell, [*words, name])


def helps(group):
    """Each help says what the command does, each argument has a text, and a wrong word suggests the right one."""
    with group.case("every --help is complete, a wrong word suggests the right one") as note, gateway.running("helps") as server:
        shell, poor, wrong, count, leaves = Shell(server), [], [], 0, 0
        for program in ("dfs", "dfsctl"):
            for words, text, leaf in tree(shell, [program]):
                count, leaves = count + 1, leaves + leaf
                if len(text.strip().splitlines()[0].split()) < 1 + leaf or "Usage:" not in text:
                    poor.append(f"{' '.join(words)}: says nothing")
                for line, following in zip(text.splitlines(), [*text.splitlines()[1:], ""]):
                    option = re.match(r"^ +(-\w, )?--[\w-]+( <[^>]+>)?(\.\.\.)?$|^  [<\[][A-Z_]+[>\]](\.\.\.)?$", line)
                    if option and not following.strip():
                        poor.append(f"{' '.join(words)}: {line.strip()} is not explained")
                names = subcommands(text)
                if names:
                    typo = names[0][:-1] + ("x" if names[0][-1] != "x" else "y") if len(names[0]) > 3 else names[-1] + "s"
                    status, said = shell([*words, typo], good=None)
                    if status != 2 or not ("similar" in said or "did you mean" in said):
                        wrong.append(f"{' '.join(words)} {typo}: {status} {said.strip()[:120]}")
        check(not poor, "\n".join(poor[:30]))
        check(len(wrong) <= 2, "\n".join(wrong[:30]))  # two short words are near to nothing
        note.append(f"{count} pages, {leaves} commands")


def pages(group):
    """Man pages of every command render without a warning."""
    with group.case("man pages render") as note, gateway.running("pages") as server:
        common.need_packages(groff_base="/usr/bin/groff")
        shell, count = Shell(server), 0
        for program in ("dfs", "dfsctl"):
            folder = server.folder / f"man-{program}"
            folder.mkdir()
            shell([program, "man", "--dir", str(folder)])
            made = {path.name: path for path in folder.rglob("*.1")}
            for words, _, _ in tree(shell, [program]):
                check("-".join(words) + ".1" in made, f"no page of {' '.join(words)}")
            for path in made.values():
                _, text = common.run(["groff", "-Kutf8", "-man", "-Tutf8", "-ww", "-P-c", "-P-b", "-P-u", "-P-o", path], 30)
                told = [line for line in text.splitlines() if "warning" in line and line.startswith("troff")]
                check("NAME" in text and "SYNOPSIS" in text and not told, f"{path.name}: {told}\n{common.tail(text)}")
            count += len(made)
        note.append(f"{count} pages")


def shells(group):
    """The completion scripts load and complete in bash, zsh and fish, with the names that the gateway has now."""
    with group.case("completion in bash, zsh and fish") as note, gateway.running("shells") as server:
        common.need_packages(bash_completion="/usr/share/bash-completion/bash_completion", zsh="/usr/bin/zsh", fish="/usr/bin/fish")
        shell = Shell(server).login()
        server.share("projects")
        boss = rest.admin(server)
        boss.post("/users", {"name": "annabel", "password": "a password of the tests"}).must(201)
        folder = server.folder / "scripts"
        folder.mkdir()
        path = {"PATH": f"{cargo.binary('dfsctl').parent}:{os.environ['PATH']}"}
        for program in ("dfs", "dfsctl"):
            for kind in ("bash", "zsh", "fish", "powershell"):
                _, text = shell([program, "completion", kind])
                check(len(text) > 50, f"{program} completion {kind} prints {text!r}")
                (folder / f"{program}.{kind}").write_text(text)
        # what somebody typed, and what must be offered
        typed = [("dfsctl share sh", "show"), ("dfsctl share show pro", "projects"), ("dfsctl user get ann", "annabel")]

        def told(command):
            return common.run(command, 60, good=None, env=shell.environment(**path))[1]

        for line, wanted in typed:
            words = line.split()
            script = (f"source {folder}/dfsctl.bash || exit 9; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; "
                      f"COMP_LINE='{line}'; COMP_POINT={len(line)}; COMP_TYPE=9; "
                      "f=$(complete -p dfsctl | sed 's/.*-F \\([^ ]*\\).*/\\1/'); "
                      f"$f dfsctl {words[-1]} {words[-2]}; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
            said = told(["bash", "--norc", "-c", script])
            check(wanted in said.split(), f"bash offers for `{line}`: {said}")
            said = told(["fish", "--no-config", "-c", f"source {folder}/dfsctl.fish; complete --do-complete '{line}'"])
            check(wanted in said.split(), f"fish offers for `{line}`: {said}")
        for program in ("dfs", "dfsctl"):
            load = f"autoload -Uz compinit && compinit -u -d {folder}/dump && source {folder}/{program}.zsh && echo ${{_comps[{program}]}}"
            said = told(["zsh", "-f", "-c", load])
            check(f"_{program}" in said or "clap" in said or program in said.split("\n")[-2:][0], f"zsh does not load {program}: {said}")
            said = told(["bash", "--norc", "-c", f"source {folder}/{program}.bash && complete -p {program}"])
            check(program in said, f"bash does not load {program}: {said}")
            said = told(["fish", "--no-config", "-c", f"source {folder}/{program}.fish; complete --do-complete '{program} comp'"])
            check("completion" in said, f"fish does not load {program}: {said}")
        server.stop()
        at = told(["fish", "--no-config", "-c", f"source {folder}/dfsctl.fish; complete --do-complete 'dfsctl share show pro'"])
        check("rror" not in at, f"completion without a gateway is not silent: {at}")
        note.append(f"{len(typed)} words completed, two of them live names")


def one_line(said):
    lines = [line for line in said.strip().splitlines() if line.strip()]
    check(len(lines) == 1, f"not one line:\n{said}")
    return lines[0]


def mistakes(group):
    """Each thing that goes wrong outside has one clear line and an exit code of its own."""
    with group.case("mistakes have one line and a code of their own") as note, gateway.running("wrong") as server:
        shell, codes = Shell(server), {}

        def refused(what, line, code, *words, **more):
            status, said = shell(line, good=None, **more)
            told = one_line(said)
            check(status == code and all(word in told for word in words), f"{what}: status {status}, not {code}, or no {words}: {said}")
            codes[what] = code

        refused("not logged in", "dfsctl share list", 4, "dfsctl login")
        refused("wrong password", "dfsctl login --username admin --password-stdin", 9, "password", stdin="nonsense nonsense\n")
        refused("dead server", "dfsctl --server http://127.0.0.1:1 status", 3, "127.0.0.1:1")
        shell.login()
        refused("not found", "dfsctl share show nothing", 6, "nothing")
        refused("refused", "dfsctl share create bad/name", 5, "name")
        server.share("twice")
        refused("conflict", "dfsctl share create twice --metadata meta-twice --cold cold-twice", 10, "twice")
        expire(shell)
        refused("expired token", "dfsctl share list", 4, "dfsctl login")
        refused("expired token given", "dfsctl share list --token nonsense", 4, "dfsctl login")
        with socket.socket() as deaf:  # takes connections and says nothing we understand
            deaf.bind(("127.0.0.1", 0))
            deaf.listen()
            def answer():
                peer, _ = deaf.accept()
                peer.recv(4096)
                peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello")
                peer.close()

            threading.Thread(target=answer, daemon=True).start()
            refused("another program's port", f"dfsctl --server http://127.0.0.1:{deaf.getsockname()[1]} status", 7)
        status, said = shell("dfsctl share", good=None)
        check(status == 2, f"usage: {status} {said}")
        server.stop()
        refused("dead server again", "dfsctl share list", 3, str(server.rest_port))
        refused("nobody runs", "dfs status", 3)
        note.append(", ".join(f"{what} {code}" for what, code in codes.items()))


def expire(shell):
    """Makes every remembered token one that nobody signed."""
    for path in (shell.home / ".config").rglob("*.json"):
        text = re.sub(r'("(?:access|refresh)_token": *")[^"]+"', r'\1e30.e30.e30"', path.read_text())
        path.write_text(text)


def full_disk(group):
    """The gateway's disk is full: commands that write say so, with a code of their own; those that read go on."""
    with group.case("a full disk is told by commands that write") as note, small_disk() as place:
        server = gateway.Gateway(place.parent, SMALL, place / "data").init().start()
        try:
            shell = Shell(server).login()
            server.share("full")
            boss = rest.admin(server)
            boss.post("/users", {"name": "early", "password": "a password of the tests"}).must(201)
            for nth in range(4000):  # the database has some room of its own, and other parts give some up
                if nth % 50 == 0:
                    fill(place, 0)
                told = boss.post("/users", {"name": f"u{nth}", "password": "a password of the tests", "full_name": "x" * 200})
                if told.status != 201:
                    break
            told.problem(507, "disk-full")
            status, said = shell("dfsctl user create late --password-stdin", good=None, stdin="a password of the tests\n")
            check(status == 12 and "no space" in one_line(said), f"status {status}: {said}")
            shell("dfsctl user list")
            shell("dfsctl share list")
            shell("dfs status")
            status, said = shell(["dfs", "backup", "controlplane", "--output", str(place / "backup"), "--passphrase-stdin"], good=None,
                                 stdin="a passphrase of the tests\n")
            check(status == 5 and "full" in said and not (place / "backup").exists(), f"status {status}: {said}")
            rest.admin(server).delete("/users/early").must(204)  # who makes room must be let in
            (place / "ballast").unlink()
            common.wait_for(lambda: boss.post("/users", {"name": "late", "password": "a password of the tests"}).status == 201, 30,
                            "changes to be taken again")
            check(server.stop() == 0, "no clean stop")
            server.start()
            check(rest.admin(server).get("/users/late").status == 200, "the user is gone")
            note.append(f"after {nth} more users; codes 12 and 5")
        finally:
            server.stop(30)


def first_steps(group):
    """The reference's first steps for NFS, line by line, as root of a fresh machine, down to the kernel's mount."""
    with group.case("the reference's first steps end with a mount") as note:
        guest.ready()
        programs = cargo.binary("dfs-server", "dfs").parent
        cargo.binary("dfsctl")
        script = ROOT / "deploy/reference-quickstart"
        check(script.exists(), "deploy/reference-quickstart is not there")
        text = (f"set -e; mkfs.ext4 -q -F /dev/ubda; mkdir -p /srv/dfs; mount /dev/ubda /srv/dfs; export PATH={programs}:$PATH; "
                f"bash {script} --folder /srv/dfs/first; mount | grep 'type nfs '")
        _, said = guest.run(text, 600, mem=2048, disk=8192, net=False)
        check("type nfs " in said, f"nothing is mounted:\n{common.tail(said)}")
        note.append(re.findall(r"^.*type nfs .*$", said, re.M)[-1][:100])


CASES = [helps, pages, shells, mistakes, full_disk, first_steps]
