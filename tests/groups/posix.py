"""posix: pjdfstest against the recorded reference, fsx, and the programs of libnfs.

The reference is the kernel's own NFS server on ext4, both in one guest: every test that passes there passes on the
gateway's mount; names in memory and in PostgreSQL give the same result as embedded ones. `tests/run posix
--reference` records the reference anew.
"""

import re

import common
import gateway
import guest
import postgres
from common import CI, TESTS, Failed, check

REFERENCE = TESTS / "posix" / "reference.txt"
PJDFSTEST, FSX = ("pjdfstest", "0.2.2"), ("fsx", "0.3.2")
FSX_OPERATIONS = 20_000 if CI else 100_000


def parse(output):
    """The outcome of each test in pjdfstest's output."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output).replace("\r", "")
    outcomes = dict(re.findall(r"^(\w+(?:::\w+)*)\s+(ok|FAILED|skipped)\b", plain, re.M))
    summary = re.search(r"(\d+) failed, (\d+) skipped, (\d+) passed.*?(\d+) total", plain)
    if not summary or int(summary[4]) != len(outcomes):
        raise Failed(f"pjdfstest did not finish:\n{common.tail(plain)}")
    return outcomes, plain


def reference(binary):
    """Records what passes on the kernel's server."""
    knfsd = TESTS / "posix" / "serve-knfsd"
    text = f"{knfsd} /mnt/share && {TESTS}/posix/pjdfstest-inside {binary} /mnt/share"
    _, output = guest.run(text, 900, good=None, disk=512, net=False)
    outcomes, _ = parse(output)
    lines = [f"{name} {outcome}" for name, outcome in sorted(outcomes.items())]
    head = [f"# pjdfstest {PJDFSTEST[1]} over NFSv3 on the kernel's own server, ext4; made by tests/run posix --reference"]
    REFERENCE.write_text("\n".join(head + lines) + "\n")
    return outcomes


def wanted():
    check(REFERENCE.exists(), "no reference list: tests/run posix --reference")
    rows = [line.split() for line in REFERENCE.read_text().splitlines() if line and not line.startswith("#")]
    return {name: outcome for name, outcome in rows}


def outcomes_of(server, export, binary):
    text = f"{guest.mount(server.nfs_port, export)} && {TESTS}/posix/pjdfstest-inside {binary} /mnt/share"
    _, output = guest.run(text, 900, good=None)
    return parse(output)


def pjdfstest(group, server, binary):
    """Names embedded: held against the reference. Returns the outcomes."""
    outcomes, plain = outcomes_of(server, "posix", binary)
    known = wanted()
    for name, outcome in sorted(known.items()):
        found = outcomes.get(name, "absent")
        if outcome == "ok" and found == "ok":
            group.counts["passed"] += 1
        elif outcome == "ok":
            group.failed(f"pjdfstest {name}", f"passes on the reference, here {found}:\n{details(plain, name)}")
        elif found == "ok":
            group.passed(f"pjdfstest {name}", f"better than the reference, which has {outcome}")
        else:
            group.skipped(f"pjdfstest {name}", f"not a bar: {outcome} on the reference too")
    passed = sum(outcome == "ok" for outcome in outcomes.values())
    common.say(f"  pjdfstest: {passed} of {len(outcomes)} pass; reference {sum(o == 'ok' for o in known.values())}")
    return outcomes


def other_stores(group, binary, embedded):
    """Names in memory and in PostgreSQL: every test ends as with embedded names."""
    postgres.need_root()
    programs = postgres.programs()
    with common.temp_folder("posix-postgres") as folder:
        template = postgres.make_template(folder, programs)
        with postgres.cluster(template, programs) as database, gateway.running("stores", postgres.settings(database)) as server:
            for kind in ("memory", "postgres"):
                with group.case(f"pjdfstest with names in {kind}") as note:
                    server.share(kind, metadata=kind, **({"durability": "relaxed"} if kind == "memory" else {}))
                    outcomes, plain = outcomes_of(server, kind, binary)
                    differ = sorted(name for name in {**embedded, **outcomes} if embedded.get(name) != outcomes.get(name))
                    told = "\n".join(f"{name}: embedded {embedded.get(name)}, {kind} {outcomes.get(name)}\n{details(plain, name)}"
                                     for name in differ[:5])
                    check(not differ, f"{len(differ)} tests end otherwise than with embedded names:\n{told}")
                    note.append(f"{sum(outcome == 'ok' for outcome in outcomes.values())} of {len(outcomes)} pass, as with embedded names")


def details(plain, name):
    lines = plain.splitlines()
    at = next((number for number, line in enumerate(lines) if line.startswith(name)), 0)
    return "\n".join("    | " + line for line in lines[at : at + 8])


def fsx(group, server, binary):
    seed = group.options.seed
    with group.case(f"fsx, {FSX_OPERATIONS} operations") as note:
        note.append(f"seed {seed}")
        text = f"{guest.mount(server.nfs_port, 'posix')} && cd /mnt/share && {binary} -q -N {FSX_OPERATIONS} -S {seed} -P /tmp fsx.file"
        guest.run(text, 1800)


def libnfs(group, server):
    common.need_packages(libnfs_utils="/usr/bin/nfs-ls")
    url = f"nfs://127.0.0.1/posix{{}}?version=3&nfsport={server.nfs_port}&mountport={server.nfs_port}&uid=0&gid=0"
    with common.temp_folder("libnfs") as folder, group.case("nfs-cp, nfs-ls, nfs-cat"):
        data = bytes(range(256)) * 20_000
        (folder / "sent").write_bytes(data)
        common.run(["nfs-cp", folder / "sent", url.format("/libnfs-copy")], 120)
        _, listing = common.run(["nfs-ls", url.format("/")], 60)
        row = next((line for line in listing.splitlines() if line.endswith("libnfs-copy")), "")
        check(str(len(data)) in row.split(), f"nfs-ls shows no copy of the right size:\n{common.tail(listing)}")
        common.run(["sh", "-c", f"nfs-cat '{url.format('/libnfs-copy')}' >{folder}/got"], 120)
        check((folder / "got").read_bytes() == data, "nfs-cat returned other bytes than nfs-cp sent")


def run(group):
    guest.ready()
    pjd, fsx_binary = common.need_cargo_tool(*PJDFSTEST), common.need_cargo_tool(*FSX)
    if group.options.reference:
        common.need_packages(nfs_kernel_server="/usr/sbin/rpc.nfsd", rpcbind="/sbin/rpcbind")
        with group.case("reference") as note:
            outcomes = reference(pjd)
            note.append(f"{sum(outcome == 'ok' for outcome in outcomes.values())} of {len(outcomes)} pass")
        return
    with gateway.running("posix") as server:
        server.share("posix")
        libnfs(group, server)
        embedded = None
        with group.case("pjdfstest"):
            embedded = pjdfstest(group, server, pjd)
        fsx(group, server, fsx_binary)
    if embedded:
        other_stores(group, pjd, embedded)
