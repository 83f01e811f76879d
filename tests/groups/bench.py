"""bench: the product's figures, each beside the machine's own limit, measured in the same minute.

A row prints the limit, the product, the limit again, their ratio and the processor seconds of both sides. A row is invalid
when its two limits differ by more than 15 %, or when the product beats a limit that it cannot beat: the machine changed
meanwhile. It is measured again, three times at most. A row that is missing fails. With `--gate` an invalid row and a
missed bar fail too; without, they are printed in capitals.

Limits: E = an echo of the same calls in the load generator's own process. F = median of {pwrite 4 KiB, fdatasync} on a
pre-zeroed file in the data folder. G = 16 times the rate of {pwrite 64 KiB, fdatasync} there. T = bytes a second of the
echo with replies as large as a read. Cold: the best rate of 16 connections that GET objects of 256 KiB, 1 or 4 MiB.
"""

import concurrent.futures
import os
import pathlib
import time

import common
import gateway
import loads
import s3
from common import CI, check
from loads import Loads, seconds_of

SECONDS = 2 if CI else 5
TOLERANCE = 0.15
TRIES = 3
BUDGET = 256 << 20
WRITE_BYTES = (1 if CI else 4) << 30
FILES = 50_000 if CI else 1_000_000
COLD_BYTES = (256 << 20) if CI else (1 << 30)
# A durable create: the share of the limit, or on a fast disk the processor's microseconds; and the KiB on the disk.
NAMES_SHARE, NAMES_FAST, NAMES_CPU, NAMES_KIB = 0.35, 30_000, 60, 6


class Bench(Loads):
    """One gateway and the load generator in front of it."""

    def __init__(self, group, server):
        super().__init__(server, "/bench", SECONDS)
        self.group = group

    def echo(self, connections, depth, size=88):
        return self.load("limit-echo", connections=connections, depth=depth, size=size)

    def disk(self, size):
        return self.load("limit-disk", folder=self.server.data, size=size)

    def row(self, name, unit, bar, limit, product, beatable=False):
        """Measures limit, product, limit, and judges; each function returns (figure, processor seconds)."""
        with self.group.case(name) as note:
            for attempt in range(TRIES):
                (first, _), (value, seconds), (second, _) = limit(), product(), limit()
                apart = abs(first - second) / max(first, second)
                ratio = value / ((first + second) / 2)
                wrong = f"the limits differ by {apart:.0%}" if apart > TOLERANCE else ""
                if ratio > 1 + TOLERANCE and not beatable:
                    wrong = wrong or "the product beats its limit"
                if not wrong:
                    break
            text = (f"limit {first:.4g}, product {value:.4g}, limit {second:.4g} {unit}; ratio {ratio:.3f} (bar {bar}); "
                    f"CPU {seconds}")
            note.append(text)
            if wrong:
                note.append(f"INVALID after {TRIES} tries, {wrong}")
                check(not self.group.options.gate, "; ".join(note))
            self.judge(ratio >= bar, text, note)

    def judge(self, held, text, note):
        if not held:
            note.append("BAR MISSED")
            check(not self.group.options.gate, f"bar missed: {text}")


def rates(figures, key="rate", scale=1.0):
    return figures[key] * scale, seconds_of(figures)


def hot_rows(bench):
    bench.load("write", count=256 << 20, size=1 << 20, depth=4, file="hot")
    bench.load("read", depth=4, size=1 << 20, file="hot-0", seconds=1)
    bench.row("hot sequential read, 4 connections of 4 deep, 1 MiB", "MB/s", 0.5,
              lambda: rates(bench.echo(4, 4, 1 << 20), "bytes_rate", 1e-6),
              lambda: rates(bench.load("read", connections=4, depth=4, size=1 << 20, file="hot-0"), "bytes_rate", 1e-6))
    bench.row("GETATTR, 8 connections of 16 deep", "calls/s", 0.4,
              lambda: rates(bench.echo(8, 16)),
              lambda: rates(bench.load("getattr", connections=8, depth=16, file="hot-0")))


def durable_rows(bench):
    def single():
        disk, echo = bench.disk(4096), bench.echo(1, 1)
        return 1e6 / (disk["p50_us"] + 2 * echo["p50_us"]), ""

    def parallel():
        return 16 * bench.disk(65_536)["rate"], ""

    bench.row("durable write of 4 KiB and commit, single", "writes/s", 0.7, single, lambda: rates(bench.load("durable")))
    # more than 16 writes may share a sync, so these two may be above their limit
    bench.row("durable write of 4 KiB and commit, 8 connections of 16 deep", "writes/s", 0.4, parallel,
              lambda: rates(bench.load("durable", connections=8, depth=16)), beatable=True)
    bench.row("create, write 4 KiB, commit, 8 connections of 8 deep", "files/s", 0.25, parallel,
              lambda: rates(bench.load("create", connections=8, depth=8, count=8000)), beatable=True)
    names_row(bench, parallel)


def names_row(bench, parallel):
    """Names alone. The disk's own counter tells what was written: the process's counts a page cache's large pieces whole,
    whatever of them changed. It counts everybody's writes, so nothing else may write to that disk meanwhile."""
    with bench.group.case("durable create, 8 connections of 8 deep: CPU and bytes") as note:
        limit, before = parallel()[0], written(bench.server.data)
        made = bench.load("name", connections=8, depth=8, count=8000)
        size = (written(bench.server.data) - before) / made["operations"]
        cost = made["cpu_server"] / made["operations"] * 1e6
        note.append(f"limit {limit:.4g}, product {made['rate']:.4g} files/s; ratio {made['rate'] / limit:.3f} (bar {NAMES_SHARE}, "
                    f"or at most {NAMES_CPU} CPU-us each where the limit is above {NAMES_FAST}); {cost:.0f} CPU-us and "
                    f"{size / 1024:.1f} KiB (bar {NAMES_KIB}) each; CPU {seconds_of(made)}")
        quick = made["rate"] >= NAMES_SHARE * limit or (limit > NAMES_FAST and cost <= NAMES_CPU)
        bench.judge(quick and size <= NAMES_KIB * 1024, note[0], note)


def written(folder):
    """Bytes that the disk under a folder has been told to write since the machine started."""
    device = os.stat(folder).st_dev
    fields = pathlib.Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat").read_text().split()
    return int(fields[6]) * 512


def get_rate(bench, bucket, size):
    """Bytes a second of 16 connections that GET objects of one size, through whatever the bucket's port leads to."""
    with common.temp_folder("requests") as folder:
        body = os.urandom(size)
        for number in range(16):
            key = f"limit/{size}/{number}"
            bucket.put(key, body)
            path = f"/{bucket.name}/{key}"
            headers = "".join(f"{name}: {value}\r\n" for name, value in bucket.sign("GET", path, "", b"").items())
            (folder / f"request-{number}").write_bytes(f"GET {path} HTTP/1.1\r\n{headers}\r\n".encode())
        return bench.load("limit-get", server=f"127.0.0.1:{bucket.port}", folder=folder, connections=16)["bytes_rate"]


def cold_row(group):
    with s3.store() as store, gateway.running("cold", {"flush": {"after": "1s"}, "memory": {"budget": 1 << 30}}) as server:
        bucket = store.bucket("cold")
        with s3.proxy(store.port) as proxy:
            bench = Bench(group, server)
            server.share("bench", gateway.s3_store(bucket, proxy.port), compression="none")
            behind = s3.Bucket(proxy.port, bucket.name)
            bench.load("write", count=COLD_BYTES, size=1 << 20, depth=8, file="cold")
            server.flush("bench")
            proxy.tell("latency 20")

            def limit():
                return max(get_rate(bench, behind, size) for size in (256 << 10, 1 << 20, 4 << 20)) / 1e6, ""

            def product():
                # empty caches, and the file read once: a second pass would be warm
                check(server.stop() == 0, "no clean stop")
                server.forget_local()
                server.start()
                return rates(bench.load("read", depth=4, size=1 << 20, file="cold-0", count=COLD_BYTES), "bytes_rate", 1e-6)

            bench.row("cold sequential read, one file, depth 4, 20 ms away", "MB/s", 0.6, limit, product)


def packing_row(group):
    with s3.store() as store, group.case("10,000 files of 4 KiB flush in at most 20 PUTs") as note:
        bucket = store.bucket("packs")
        with s3.proxy(store.port) as proxy, gateway.running("packs", {"flush": {"after": "1h"}}) as server:
            bench = Bench(group, server)
            server.share("bench", gateway.s3_store(bucket, proxy.port))
            before = proxy.stats()["puts"]
            bench.load("files", connections=4, depth=8, count=10_000, file="small")
            server.flush("bench")
            puts = proxy.stats()["puts"] - before
            note.append(f"{puts} PUTs")
            bench.judge(puts <= 20, note[0], note)


def memory_row(group):
    settings = {"memory": {"budget": BUDGET}, "flush": {"after": "1s"}}
    with gateway.running("memory", settings) as server, group.case(f"memory under a write of {WRITE_BYTES >> 30} GiB") as note:
        bench = Bench(group, server)
        server.share("bench")
        most = 0
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            writing = pool.submit(bench.load, "write", count=WRITE_BYTES, size=1 << 20, connections=2, depth=8, file="large")
            while not writing.done():
                most = max(most, server.rss())
                time.sleep(0.1)
        figures = writing.result()
        allowed = BUDGET + (150 << 20)
        note.append(f"{figures['bytes_rate'] / 1e6:.0f} MB/s; {most >> 20} MiB of {allowed >> 20} MiB; CPU {seconds_of(figures)}")
        bench.judge(most <= allowed, note[-1], note)


def many_files_row(group):
    with gateway.running("many") as server, group.case(f"{FILES} files: memory, look-ups, restart") as note:
        bench = Bench(group, server)
        server.share("bench", durability="relaxed")
        made = loads.make_files(bench, FILES)
        memory = server.rss()
        server.kill()
        restart = loads.started_cold(server)
        found = loads.look_up(bench, FILES)
        note.append(f"made {made['rate']:.0f}/s; {memory >> 20} MiB; restart after kill -9 {restart:.1f} s; look-ups "
                    f"{found['rate']:.0f}/s, p99 {found['p99_us']:.0f} us; CPU {seconds_of(found)}")


def shared_rows(group, rows):
    """Rows that need no store behind the gateway, on one gateway."""
    with gateway.running("bench", {"memory": {"budget": 1 << 30}, "flush": {"after": "1h"}}) as server:
        server.share("bench")
        for row in rows:
            row(Bench(group, server))


ROWS = {
    "hot": lambda group: shared_rows(group, [hot_rows]),
    "durable": lambda group: shared_rows(group, [durable_rows]),
    "cold": cold_row,
    "packing": packing_row,
    "memory": memory_row,
    "many": many_files_row,
}


def run(group):
    wanted = [name for name in ROWS if group.options.only in name]
    check(wanted, f"no row like {group.options.only!r}; there are {', '.join(ROWS)}")
    for name in wanted:
        try:
            ROWS[name](group)
        except common.Budget:
            raise
        except Exception as why:  # the rows of this name are missing: a failure, and the others go on
            group.failed(name, f"{type(why).__name__}: {why}")
