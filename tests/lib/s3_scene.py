"""What the cases of group s3 share: a gateway on a bucket behind a proxy, loads that bear no error, and the last proof."""

import contextlib
import pathlib
import random
import re
import subprocess

import cargo
import common
import gateway
import s3
from common import CI, check

CUT_SECONDS = 15 if CI else 60
# How long a client of a load waits where a hard mount would wait for ever.
PATIENCE_SECONDS = 300


class Load:
    """A tree copied over NFS in the background by the laboratory's client: any NFS error but "later" ends it with status 2."""

    def __init__(self, server, export, folder, name="tree", mode=None):
        self.command = [cargo.binary("dfs-lab"), "copy", "--server", f"127.0.0.1:{server.nfs_port}", "--export", f"/{export}",
                        "--name", name, "--patience-seconds", str(PATIENCE_SECONDS), folder]
        self.process = common.spawn([*self.command, *([mode] if mode else [])], stdout=subprocess.PIPE)

    def finish(self, timeout=600):
        output, _ = self.process.communicate(timeout=common.time_left(timeout))
        text = output.decode(errors="replace")
        common.end(self.process)
        check(self.process.returncode == 0, f"a client saw an error: {text.strip()}")
        return re.sub(r"\s+", " ", text.strip())

    def verify(self, timeout=600):
        """Reads everything back and compares with the source."""
        return common.run([*self.command, "--verify-only"], timeout)[1].strip()


def make_tree(folder, files=200 if CI else 400, size=150_000, seed=1):
    """Files that do not compress, of all sizes up to twice `size`."""
    dice = random.Random(seed)
    source = pathlib.Path(folder) / "source"
    for number in range(files):
        place = source / f"d{number % 7}" / f"f{number}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(dice.randbytes(dice.randrange(2 * size)))
    return source


def drained(server, share, wait=300):
    """Waits until nothing is dirty, without asking for a flush: trouble that is over must heal by itself."""
    common.wait_for(lambda: server.status(share)["dirty_bytes"] == 0, wait, "everything to drain", pause=0.3)


@contextlib.contextmanager
def scene(store, name, settings=None, data=None, **share):
    """A gateway on a bucket behind a proxy, and a tree to write. Packs are small, so that there are many requests; the log, which
    is written once over before its first use, is no larger than a case needs."""
    bucket = store.bucket(name)
    chosen = {"flush": {"after": "1s"}, "pack": {"size": "1MiB"}, "journal": {"size": "256MiB" if CI else "1GiB"},
              "warm": {"size": "256MiB"}}
    for section, values in (settings or {}).items():
        chosen.setdefault(section, {}).update(values)
    with s3.proxy(store.port, seed=store.seed) as proxy, gateway.running(name, chosen, data) as server:
        server.share(name, gateway.s3_store(bucket, proxy.port), **share)
        yield server, proxy, bucket, make_tree(server.folder)


def cold_again(server, *loads):
    """Stops, forgets the cache, starts, and compares everything with the sources."""
    code = server.stop()
    check(code == 0, f"the gateway stopped with {code}:\n{common.tail(server.log())}")
    server.forget_local()
    server.start()
    return "; ".join(load.verify() for load in loads)
