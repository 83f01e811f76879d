"""The control plane as a stranger's program sees it: requests over HTTP whose answers are looked at, whatever their status."""

import contextlib
import http.client
import json
import pathlib
import socket
import ssl

from common import Failed, check

PREFIX = "/api/v1"


class Answer:
    """What came back."""

    def __init__(self, response, data):
        self.status, self.data = response.status, data
        self.headers = {name.lower(): value for name, value in response.getheaders()}

    @property
    def text(self):
        return self.data.decode(errors="replace")

    @property
    def json(self):
        return json.loads(self.data)

    def must(self, *statuses):
        check(self.status in statuses, f"status {self.status} instead of {statuses}: {self.text[:400]}")
        return self

    def problem(self, status, kind=None, field=None):
        """The answer is a refusal in the house's form."""
        self.must(status)
        check(self.headers.get("content-type") == "application/problem+json", f"not a problem: {self.headers}")
        told = self.json
        check(told["status"] == status and told["detail"], f"a problem that does not say what is wrong: {told}")
        check(kind in (None, told["type"]), f"type {told['type']} instead of {kind}: {told}")
        check(field in (None, told.get("field")), f"field {told.get('field')} instead of {field}: {told}")
        return told


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a socket of the file system."""

    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Rest:
    """One caller, with or without a token. Keeps its connection, as programs do."""

    def __init__(self, port, token=None, context=None, source=None, timeout=60):
        self.port, self.token, self.context, self.source, self.timeout = port, token, context, source, timeout
        self.connection = None

    def connect(self):
        source = (self.source, 0) if self.source else None
        if isinstance(self.port, pathlib.Path):
            return UnixConnection(self.port, self.timeout)
        if self.context:
            return http.client.HTTPSConnection("localhost", self.port, timeout=self.timeout, context=self.context,
                                               source_address=source)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout, source_address=source)

    def ask(self, method, path, body=None, headers=None, raw=None, prefix=PREFIX):
        """Sends one request; `raw` is a body that is not JSON of ours."""
        head = {"authorization": f"Bearer {self.token}"} if self.token else {}
        if body is not None:
            raw, head["content-type"] = json.dumps(body).encode(), "application/json"
        head.update(headers or {})
        for attempt in (1, 2):
            fresh = self.connection is None
            self.connection = self.connection or self.connect()
            try:
                self.connection.request(method, prefix + path, raw, head)
                response = self.connection.getresponse()
                return Answer(response, response.read())
            except (OSError, http.client.HTTPException):
                self.close()
                if fresh or attempt == 2:
                    raise
        raise Failed("not reached")

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def get(self, path, **more):
        return self.ask("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.ask("POST", path, {} if body is None and "raw" not in more else body, **more)

    def put(self, path, body, **more):
        return self.ask("PUT", path, body, **more)

    def patch(self, path, body, **more):
        return self.ask("PATCH", path, body, **more)

    def delete(self, path, **more):
        return self.ask("DELETE", path, **more)

    def all(self, path, limit=1000):
        """Every row of a list, page by page by the links told."""
        rows, at = [], f"{path}{'&' if '?' in path else '?'}limit={limit}"
        while at:
            answer = self.get(at).must(200)
            rows += answer.json
            at = next_page(answer)
        return rows

    def login(self, username, password):
        """Logs in and goes on as that user; returns the tokens."""
        tokens = self.post("/auth/login", {"username": username, "password": password}).must(200).json
        self.token = tokens["access_token"]
        return tokens


def next_page(answer):
    """The path of the next page, without the prefix; None on the last."""
    for link in answer.headers.get("link", "").split(","):
        if 'rel="next"' in link:
            target = link.split("<", 1)[1].split(">", 1)[0]
            check(target.startswith(PREFIX + "/"), f"a link that leads elsewhere: {target}")
            return target[len(PREFIX):]
    return None


def admin(server, **more):
    """The administrator of a gateway under test."""
    from gateway import PASSWORD

    caller = Rest(server.rest_port, **more)
    caller.login("admin", PASSWORD)
    return caller


def user(server, boss, name, role="user", password="a password of the tests", **more):
    """Makes a user and logs him in."""
    boss.post("/users", {"name": name, "password": password, "role": role, "must_change_password": False, **more}).must(201)
    caller = Rest(server.rest_port)
    caller.login(name, password)
    return caller


def trusting(certificate):
    """A TLS context that trusts one certificate."""
    return ssl.create_default_context(cafile=str(certificate))


@contextlib.contextmanager
def refused_connection():
    """The body must fail to connect."""
    try:
        yield
    except (OSError, http.client.HTTPException):
        return
    raise Failed("it was served")
