"""Cases of group s3 about the disk under the data folder: short of space, full to the last byte, and that with an outage and a
kill. The disk is a small ext4 in a file, mounted for the length of the case; it needs root and a loop device."""

import contextlib
import errno
import os
import random
import threading
import time

import common
import nfs3
from common import Skip, check
from s3_scene import cold_again, drained, scene

DISK_BYTES = 640 << 20
SMALL = {"journal": {"size": "64MiB", "segment": "4MiB"}, "warm": {"size": "128MiB"}, "disk": {"min_free": "64MiB"},
         "metadata": {"reserve": "32MiB"}}


class Overwriter(threading.Thread):
    """Overwrites one file of `LENGTH` bytes, piece after piece, over and over, until `total` bytes are written."""

    LENGTH = 4 << 20

    def __init__(self, server, export, size, total):
        super().__init__(daemon=True)
        self.client = nfs3.Client(server.nfs_port, export)
        self.file, self.size, self.total = self.client.create("hot"), size, total
        self.written, self.error, self.wanted = 0, None, bytearray(self.LENGTH)
        self.start()

    def run(self):
        dice = random.Random(self.total)
        pieces = [dice.randbytes(self.size) for _ in range(7)]
        try:
            while self.written < self.total:
                at, piece = self.written % self.LENGTH, pieces[self.written // self.size % 7]
                self.client.write(self.file, at, piece, nfs3.UNSTABLE)
                self.wanted[at:at + self.size] = piece
                self.written += self.size
        except (common.Failed, OSError) as error:
            self.error = error

    def done(self):
        return not self.is_alive()

    def finish(self):
        self.join()
        check(self.error is None, f"the writer failed: {self.error}")
        return self.written

    def verify(self, client):
        check(client.read_all(client.lookup("hot")) == self.wanted, "the overwritten file is not what was written last")


@contextlib.contextmanager
def small_disk():
    """A folder on a disk of its own."""
    if os.geteuid() != 0:
        raise Skip("mounting a small disk needs root")
    with common.temp_folder("disk") as folder:
        image, place = folder / "image", folder / "mounted"
        place.mkdir()
        with open(image, "wb") as file:
            file.truncate(DISK_BYTES)
        common.run(["mkfs.ext4", "-q", "-m", "0", image], 60)
        status, output = common.run(["mount", "-o", "loop", image, place], 60, good=None)
        if status != 0:
            raise Skip(f"no loop device here: {output.strip()}")
        try:
            yield place
        finally:
            for _ in range(50):
                if common.run(["umount", place], 60, good=None)[0] == 0:
                    break
                time.sleep(0.2)


def free_bytes(place):
    stats = os.statvfs(place)
    return stats.f_bavail * stats.f_frsize


def fill(place, leave):
    """Fills the disk with a ballast file until `leave` bytes are free; 0: to the last byte."""
    with open(place / "ballast", "ab") as file:
        with contextlib.suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, file.tell() + max(1, free_bytes(place) - max(leave, 1 << 20)))
        while free_bytes(place) > leave:
            try:
                os.write(file.fileno(), bytes(min(1 << 16, max(1, free_bytes(place) - leave))))
            except OSError as error:
                check(error.errno == errno.ENOSPC, f"filling the disk: {error}")
                break


class Files:
    """A few files written at random, and what each must hold."""

    def __init__(self, seed, count=24, size=1 << 20):
        self.dice, self.size = random.Random(seed), size
        self.wanted = {f"file-{number}": bytearray(size) for number in range(count)}

    def create(self, client):
        for name, wanted in self.wanted.items():
            client.write(client.create(name), len(wanted) - 1, b"\0")

    def write(self, client, times, patience=120):
        """Overwrites pieces; "later" is waited for, any other answer is a failure. Returns how often it was told to wait."""
        later = 0
        for _ in range(times):
            name = self.dice.choice(list(self.wanted))
            handle, piece = client.lookup(name), self.dice.randbytes(self.dice.randrange(1, 1 << 16))
            offset = self.dice.randrange(self.size - len(piece))
            stable = self.dice.choice((nfs3.UNSTABLE, nfs3.FILE_SYNC))
            end = time.monotonic() + patience
            while (status := nfs3.status_of(lambda: client.write(handle, offset, piece, stable))) == nfs3.JUKEBOX:
                check(time.monotonic() < end, f"told to wait for {patience} s")
                later += 1
            check(status == nfs3.OK, f"a write of an existing file ended with {status}")
            self.wanted[name][offset:offset + len(piece)] = piece
        return later

    def check(self, client):
        for name, wanted in self.wanted.items():
            check(client.read_all(client.lookup(name)) == wanted, f"{name} is not what was written")


def short_of_space(group, store):
    """Below disk.min_free creates are refused with no space; writes, reads, removes and flushes go on; room again, creates again."""
    with group.case("the disk is short of space") as note, small_disk() as place:
        with scene(store, "short", SMALL, data=place / "data") as (server, _, _b, _t):
            client, files = nfs3.Client(server.nfs_port, "short"), Files(group.options.seed)
            files.create(client)
            client.create("doomed")
            fill(place, 32 << 20)
            refused = lambda: nfs3.status_of(lambda: client.create("one more")) == nfs3.NOSPC or client.remove("one more")
            common.wait_for(refused, 30, "creates to be refused")
            files.write(client, 200)
            client.remove("doomed")
            server.flush("short")
            (place / "ballast").unlink()
            common.wait_for(lambda: nfs3.status_of(lambda: client.create("one more")) == nfs3.OK, 30, "creates to be allowed again")
            cold_again(server)
            files.check(nfs3.Client(server.nfs_port, "short"))
            note.append(f"seed {group.options.seed}; creates refused below min_free, 200 writes taken")


def full_outage_kill(group, store):
    """The disk is full to the last byte, the store is cut off, and the gateway is killed: twice. Nothing acknowledged is lost."""
    with group.case("disk full, outage and kill together") as note, small_disk() as place:
        with scene(store, "worst", SMALL, data=place / "data") as (server, proxy, _, _t):
            client, files = nfs3.Client(server.nfs_port, "worst"), Files(group.options.seed + 1)
            files.create(client)
            server.flush("worst")
            later = 0
            for _ in range(2):
                proxy.tell("cut")
                fill(place, 0)
                note[:] = [f"seed {group.options.seed}; {free_bytes(place)} bytes free"]
                later += files.write(client, 300)
                server.kill()
                server.start()
                client = nfs3.Client(server.nfs_port, "worst")
                files.check(client)
                later += files.write(client, 100)
                proxy.tell("mend")
                proxy.tell("reset")
                later += files.write(client, 300)
                drained(server, "worst")
            client.remove("file-0")
            files.wanted.pop("file-0")
            (place / "ballast").unlink()
            cold_again(server)
            files.check(nfs3.Client(server.nfs_port, "worst"))
            note.append(f"1,400 writes taken, told to wait {later} times")


CASES = [short_of_space, full_outage_kill]
