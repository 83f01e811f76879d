"""mount: a real Linux kernel mounts the gateway. The main job on a real tree against an S3 store, kill -9 under load, and
the operator's mistakes around starting.

Each tree is compared by its manifest through a *fresh* guest, so that nothing but the gateway can have kept it.
"""

import os
import random
import time

import cargo
import common
import gateway
import guest
import mistakes
import nfs3
import s3
import tree
from common import CI, check

KILLS = 6 if CI else 20


def unpack(server, share, archive, folder="."):
    """Shell text that unpacks an archive over a hard mount, and syncs nothing but what umount does."""
    return (f"{guest.mount(server.nfs_port, share)} && cd /mnt/share && mkdir -p {folder} && "
            f"tar --warning=no-timestamp --numeric-owner -C {folder} -xpf {archive} && cd / && umount /mnt/share")


def compare(server, share, wanted, lab, folder="."):
    """Reads a folder of a share back through a fresh guest and compares it with a manifest."""
    text = (f"{guest.mount(server.nfs_port, share, options='hard,ro')} && {lab} manifest /mnt/share/{folder} --out /tmp/found && "
            f"{lab} compare {wanted} /tmp/found")
    _, output = guest.run(text, 1800)
    return output.strip().splitlines()[-1]


def main_job(group, lab, plan):
    """Unpack, flush, lose everything local but the names, start again, read all back through a fresh guest."""
    with group.case("a real tree survives the loss of all local data") as note, s3.store() as store:
        bucket = store.bucket("gateway")
        with s3.proxy(store.port) as proxy, gateway.running("mount") as server:
            server.share("main", gateway.s3_store(bucket, proxy.port), durability="local")
            began = time.monotonic()
            guest.run(unpack(server, "main", plan.archive), 1800)
            note.append(f"{plan}; unpacked in {time.monotonic() - began:.0f} s")
            server.flush("main")
            sent = proxy.stats()
            check(server.stop() == 0, "the gateway did not stop cleanly")
            gone = server.forget_local()
            server.start()
            began = time.monotonic()
            note.append(compare(server, "main", plan.manifest, lab))
            seconds = time.monotonic() - began
            fetched = proxy.stats()["get_bytes"] - sent["get_bytes"]
            stored = sum(bucket.objects().values())
            note.append(f"without {' and '.join(gone)}: read back in {seconds:.0f} s; {sent['puts']} PUTs of "
                        f"{sent['put_bytes'] / 1e6:.0f} MB; fetched {fetched / 1e6:.0f} of {stored / 1e6:.0f} MB stored")
            check(fetched >= 0.8 * stored, f"only {fetched} bytes fetched of {stored}: something local was left")


class Witness:
    """A file beside the tree: what one life of the gateway took, committed or not, the next one shows, under a verifier of its own."""

    def __init__(self, server):
        self.server, self.written, self.verifiers = server, b"", []
        nfs3.Client(server.nfs_port, "kill").create("witness")

    def look(self):
        """Once for each life: reads everything back, then writes, commits, and writes what is not committed."""
        client = nfs3.Client(self.server.nfs_port, "kill")
        file = client.lookup("witness")
        check(client.read_all(file) == self.written, f"the witness lost bytes after {len(self.verifiers)} lives")
        told = {self.write(client, file), client.commit(file), self.write(client, file)}
        client.close()
        check(len(told) == 1, f"the write verifier changed within one life: {[verifier.hex() for verifier in told]}")
        check(told.isdisjoint(self.verifiers), f"a write verifier came again after a kill: {self.verifiers}, {told}")
        self.verifiers += told

    def write(self, client, file):
        piece = os.urandom(5000)
        verifier = client.write(file, len(self.written), piece, nfs3.UNSTABLE)
        self.written += piece
        return verifier


def kills(group, lab, plan, durability):
    """kill -9 at random moments of an unpack on a hard mount; tar ends well and nothing is lost."""
    seed = group.options.seed
    with group.case(f"{KILLS} kills during an unpack, {durability}") as note, gateway.running("kill") as server:
        note.append(f"seed {seed}")
        server.share("kill", durability=durability)
        witness = Witness(server)
        witness.look()
        dice = random.Random(f"{seed} {durability}")
        with open(server.folder / "tar.log", "wb") as log:
            unpacking = guest.start(unpack(server, "kill", plan.archive, "tree"), 3000, log=log)
            common.wait_for(lambda: server.status("kill")["dirty_bytes"] > 1 << 20, 120, "tar to write")
            done = 0
            while done < KILLS and unpacking.poll() is None:
                time.sleep(dice.uniform(0.2, 2.5))
                mistakes.second_start(server)
                server.kill()
                time.sleep(dice.uniform(0.0, 0.3))
                server.start()
                witness.look()
                done += 1
            check(unpacking.wait(common.time_left(2400)) == 0,
                  f"tar did not end well:\n{common.tail((server.folder / 'tar.log').read_text(errors='replace'))}")
        common.end(unpacking)
        check(done == KILLS, f"tar was done after {done} kills: a larger tree is needed")
        note.append(f"{len(witness.verifiers)} lives, as many write verifiers; a second start refused in each")
        note.append(compare(server, "kill", plan.manifest, lab, "tree"))


def run(group):
    guest.ready()
    wanted = [case for case in ("main", "kill", "mistakes") if group.options.only in case]
    if {"main", "kill"} & set(wanted):
        lab = cargo.binary("dfs-lab")
        with common.temp_folder("tree") as folder:
            plan = tree.build(folder, lab)
            common.say(f"  ...   the tree has {plan}")
            if "main" in wanted:
                main_job(group, lab, plan)
            for durability in ("relaxed", "local") if "kill" in wanted else ():
                kills(group, lab, plan, durability)
    if "mistakes" in wanted:
        mistakes.run(group)
