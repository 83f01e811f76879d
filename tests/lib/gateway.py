"""A gateway under test: made by `dfs init`, run by `dfs start`, configured over REST, killed at will.

Each has its own folder, ports of the loopback and administrator. The REST door is used as a client's program would, by
JSON over HTTP; `dfsctl` gives the same orders where the test is about it.
"""

import contextlib
import http.client
import json
import pathlib
import shutil
import signal

import cargo
import common
from common import Failed, check, tail

PASSWORD = "a long password of the tests"


class Refused(Failed):
    """The control plane said no; `status` is HTTP's."""

    def __init__(self, text, status):
        super().__init__(text)
        self.status = status


class Gateway:
    """One gateway's folder and, between start and stop, its process."""

    def __init__(self, folder, settings=None, data=None):
        self.folder = pathlib.Path(folder)
        self.data, self.config = pathlib.Path(data or self.folder / "data"), self.folder / "config.yaml"
        self.log_path = self.folder / "log"
        self.nfs_port, self.rest_port, self.metrics_port = (common.free_port() for _ in range(3))
        self.process, self.token = None, None
        self.dfs, self.dfsctl = cargo.binary("dfs-server", "dfs"), None
        self.settings = {
            "nfs": {"listen": f"127.0.0.1:{self.nfs_port}"},
            "control": {"listen": f"127.0.0.1:{self.rest_port}"},
            "metrics": {"listen": f"127.0.0.1:{self.metrics_port}"},
            "journal": {"size": "1GiB"},
            "memory": {"budget": "256MiB"},
            "warm": {"size": "1GiB"},
            "disk": {"min_free": "256MiB"},
            "metadata": {"reserve": "64MiB"},
            "logging": {"level": "info"},
        }
        for section, values in (settings or {}).items():
            self.settings.setdefault(section, {}).update(values)

    # --- the process ---

    def init(self):
        """Runs `dfs init` and writes the configuration over the one it made."""
        word = self.folder / "password"
        word.write_text(PASSWORD)
        with open(word, "rb") as given:
            command = [self.dfs, "--config", self.config, "init", "--data-dir", self.data, "--admin-password-stdin"]
            common.run(command, 60, stdin=given)
        self.write_config()
        return self

    def write_config(self, **more):
        """Writes the configuration: YAML is a superset of JSON."""
        self.config.write_text(json.dumps({"data_dir": str(self.data), **self.settings, **more}, indent=1) + "\n")

    def start(self, wait=60):
        """Starts the gateway in the foreground and waits until it is healthy."""
        with open(self.log_path, "ab") as log:
            self.process = common.spawn([self.dfs, "--config", self.config, "start", "--foreground"], stdout=log)

        def ready():
            if self.process.poll() is not None:
                raise Failed(f"the gateway ended with {self.process.returncode}:\n{tail(self.log())}")
            with contextlib.suppress(OSError, http.client.HTTPException, Failed):
                return self.rest("GET", "/health") and common.port_open(self.nfs_port)
            return False

        common.wait_for(ready, wait, "the gateway to be healthy", pause=0.05)
        return self

    def kill(self):
        """Kills it as a crash does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)
        common.end(self.process)

    def stop(self, wait=60):
        """Asks it to end and returns its exit code."""
        if self.process is None or self.process.poll() is not None:
            return None
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(wait)
        finally:
            common.end(self.process)
        return code

    def restart(self):
        code = self.stop()
        check(code == 0, f"the gateway stopped with {code}:\n{tail(self.log())}")
        return self.start()

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def rss(self, most=False):
        """Resident bytes of the process; the most since its start."""
        word = "VmHWM:" if most else "VmRSS:"
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(word):
                return int(line.split()[1]) * 1024
        raise Failed("the gateway has no resident memory: is it alive?")

    # --- the control plane ---

    def rest(self, method, path, body=None):
        """Sends one request under /api/v1 and returns the JSON answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.rest_port, timeout=120)
        headers = {"content-type": "application/json"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        try:
            connection.request(method, f"/api/v1{path}", None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        if answer.status == 401 and path != "/auth/login" and self.token:
            self.token = None
            self.login()
            return self.rest(method, path, body)
        if not 200 <= answer.status < 300:
            raise Refused(f"{method} {path}: {answer.status} {data[:300].decode(errors='replace')}", answer.status)
        return json.loads(data) if data else None

    def login(self):
        tokens = self.rest("POST", "/auth/login", {"username": "admin", "password": PASSWORD})
        check(not tokens["must_change_password"], "a password given to init must not be changed at once")
        self.token = tokens["access_token"]

    def share(self, name, cold=None, **settings):
        """Creates a share with stores of its own, exported to loopback without squash unless told otherwise."""
        if not self.token:
            self.login()
        cold = cold or {"kind": "dir", "path": str(self.folder / f"cold-{name}")}
        if cold["kind"] == "dir":
            pathlib.Path(cold["path"]).mkdir(exist_ok=True)
        self.rest("POST", "/metadata-stores", {"name": f"meta-{name}", "kind": settings.pop("metadata", "embedded")})
        self.rest("POST", "/cold-stores", {"name": f"cold-{name}", **cold})
        chosen = {"clients": ["127.0.0.1"], "squash": "none", "root_mode": 0o777, **settings}
        return self.rest("POST", "/shares", {"name": name, "metadata": f"meta-{name}", "cold": f"cold-{name}", **chosen})

    def status(self, share):
        """The tier status of a share."""
        rows = self.rest("GET", "/tier/status")["shares"]
        return next(row for row in rows if row["share"] == share)

    def flush(self, share, wait=600):
        """Flushes a share and waits until nothing of it is dirty."""
        job = self.rest("POST", "/tier/flush", {"share": share})

        def done():
            state = self.rest("GET", f"/jobs/{job['id']}")
            if state["state"] == "failed":
                raise Failed(f"flush failed: {state.get('error')}")
            return state["state"] == "done"

        common.wait_for(done, wait, f"the flush of {share}", pause=0.2)
        check(self.status(share)["dirty_bytes"] == 0, "flushed, and still dirty")

    def ctl(self, *arguments, good=(0,), stdin=None):
        """Runs dfsctl against this gateway, as its administrator; returns (status, output)."""
        if self.dfsctl is None:
            self.dfsctl = cargo.binary("dfsctl")
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        env = {"HOME": str(home), "XDG_CONFIG_HOME": str(home), "DFSCTL_SERVER": f"http://127.0.0.1:{self.rest_port}",
               "DFSCTL_TOKEN": self.token or ""}
        return common.run([self.dfsctl, *arguments], 700, good, env=env, stdin=stdin)

    def metrics(self):
        """The metrics as {name{labels}: value}."""
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=20)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        finally:
            connection.close()
        rows = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, value in rows}

    def metric(self, name):
        """The sum of a metric over its labels."""
        return sum(value for key, value in self.metrics().items() if key.split("{")[0] == name)

    def forget_local(self):
        """Deletes what is local but the names and the control plane's own: the warm tier and what the journal keeps."""
        gone = []
        for part in ("warm", "journal"):
            path = self.data / part
            if path.exists():
                shutil.rmtree(path)
                gone.append(part)
        check("warm" in gone, f"no warm folder in {sorted(path.name for path in self.data.iterdir())}")
        return gone


def s3_store(bucket, port=None, **more):
    """The cold store setting for a bucket, directly or through a proxy's port."""
    return {"kind": "s3", "bucket": bucket.name, "endpoint": f"http://127.0.0.1:{port or bucket.port}", "region": "us-east-1",
            "path_style": True, "access_key": bucket.access, "secret_key": bucket.secret, **more}


@contextlib.contextmanager
def running(name, settings=None, data=None):
    """A fresh gateway for the length of a block; its log's end is shown when the block fails."""
    with common.temp_folder(name) as folder:
        server = Gateway(folder, settings, data).init()
        try:
            yield server.start()
        except BaseException:
            common.say(f"  log of the gateway:\n{tail(server.log())}")
            raise
        finally:
            if server.process is not None:
                server.stop(30) if server.process.poll() is None else common.end(server.process)
