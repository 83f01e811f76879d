"""mount: a real Linux kernel mounts the gateway. The main job on a real tree against an S3 store, kill -9 under load, and
the operator's mistakes around starting.

Each tree is compared by its manifest through a *fresh* guest, so that nothing but the gateway can have kept it.
"""

import random
import time

import cargo
import common
import gateway
import guest
import s3
import tree
from common import CI, Failed, check

KILLS = 6 if CI else 20


def unpack(server, share, archive):
    """Shell text that unpacks an archive over a hard mount, and syncs nothing but what umount does."""
    return (f"{guest.mount(server.nfs_port, share)} && cd /mnt/share && "
            f"tar --warning=no-timestamp --numeric-owner -xpf {archive} && cd / && umount /mnt/share")


def compare(server, share, wanted, lab, ignore=()):
    """Reads a share back through a fresh guest and compares it with a manifest."""
    left_out = " ".join(f"--ignore {field}" for field in ignore)
    text = (f"{guest.mount(server.nfs_port, share, options='hard,ro')} && {lab} manifest /mnt/share --out /tmp/found && "
            f"{lab} compare {wanted} /tmp/found {left_out}")
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


def kills(group, lab, plan, durability):
    """kill -9 at random moments of an unpack on a hard mount; tar ends well and nothing is lost."""
    seed = group.options.seed
    with group.case(f"{KILLS} kills during an unpack, {durability}") as note, gateway.running("kill") as server:
        note.append(f"seed {seed}")
        server.share("kill", durability=durability)
        dice = random.Random(f"{seed} {durability}")
        epochs = [share_epoch(server)]
        with open(server.folder / "tar.log", "wb") as log:
            unpacking = guest.start(unpack(server, "kill", plan.archive), 3000, log=log)
            common.wait_for(lambda: server.status("kill")["dirty_bytes"] > 0, 120, "tar to write")
            done = 0
            while done < KILLS and unpacking.poll() is None:
                time.sleep(dice.uniform(0.2, 2.5))
                server.kill()
                time.sleep(dice.uniform(0.0, 0.3))
                server.start()
                epochs.append(share_epoch(server))
                done += 1
            check(unpacking.wait(common.time_left(2400)) == 0,
                  f"tar did not end well:\n{common.tail((server.folder / 'tar.log').read_text(errors='replace'))}")
        common.end(unpacking)
        check(done == KILLS, f"tar was done after {done} kills: a larger tree is needed")
        check(len(set(epochs)) == len(epochs), f"an epoch, and so a write verifier, came again: {epochs}")
        note.append(compare(server, "kill", plan.manifest, lab))


def share_epoch(server):
    return server.rest("GET", "/shares/kill")["epoch"]


def mistakes(group):
    """What an operator may do wrong around a start: refused with a sentence and a code, and nothing touched."""
    with gateway.running("mistakes") as server:
        base = [server.dfs, "--config", server.config]
        with group.case("a second start on the same folder is refused"):
            status, output = common.run([*base, "start", "--foreground"], 30, good=None)
            check(status == 4 and "pid" in output, f"status {status}: {output}")
            check(server.process.poll() is None and server.rest("GET", "/health"), "the first gateway suffered")
        with group.case("an unknown key is refused and the nearest known one named"):
            odd = server.folder / "odd.yaml"
            odd.write_text("jurnal:\n  size: 1GiB\n")
            status, output = common.run([server.dfs, "--config", odd, "start", "--foreground"], 30, good=None)
            check(status == 2 and "journal" in output, f"status {status}: {output}")
        with group.case("a port in use is refused"):
            other = gateway.Gateway(server.folder / "other", {"nfs": {"listen": f"127.0.0.1:{server.nfs_port}"}})
            other.folder.mkdir()
            other.init()
            status, output = common.run([other.dfs, "--config", other.config, "start", "--foreground"], 30, good=None)
            check(status == 4 and str(server.nfs_port) in output, f"status {status}: {output}")
        with group.case("durability remote on an embedded store is refused"):
            try:
                server.share("far", durability="remote")
            except gateway.Refused as refused:
                check(refused.status in (400, 409, 422) and "remote" in str(refused), str(refused))
            else:
                raise Failed("it was accepted")
    with common.temp_folder("unwritable") as folder, group.case("a data folder that cannot be made is refused"):
        (folder / "file").write_text("not a folder")
        dfs = cargo.binary("dfs-server", "dfs")
        command = [dfs, "--config", folder / "config.yaml", "init", "--data-dir", folder / "file" / "data"]
        status, output = common.run(command, 30, good=None)
        check(status == 5 and "file" in output, f"status {status}: {output}")


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
                except gateway.Refused as refused:
                    told = str(refused).lower()
                    check(400 <= refused.status < 500 and any(word in told for word in words), f"not clear: {refused}")
                else:
                    raise Failed("it was accepted")


def run(group):
    guest.ready()
    only = group.options.only
    lab = cargo.binary("dfs-lab")
    with common.temp_folder("tree") as folder:
        plan = tree.build(folder, lab)
        common.say(f"  ...   the tree has {plan}")
        if only in "main":
            main_job(group, lab, plan)
        for durability in ("relaxed", "local"):
            if only in "kill":
                kills(group, lab, plan, durability)
    if only in "mistakes":
        mistakes(group)
        bad_stores(group)
