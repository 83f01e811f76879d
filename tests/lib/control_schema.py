"""Cases of group control that read the OpenAPI document: it is the one checked in, schemathesis finds nothing, and every route
answers each kind of caller as its role says."""

import base64
import hashlib
import hmac
import json
import re

import common
import gateway
import rest
from common import CI, ROOT, check

SCHEMATHESIS = "schemathesis==4.32.5"
EXAMPLES = 10 if CI else 100
CHECKS = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
          "response_schema_conformance", "negative_data_rejection", "missing_required_header", "unsupported_method", "ignored_auth",
          "use_after_free"]
# What would end the caller's own session, or take the very database away that the run is about.
LEFT_OUT = ("/auth/logout", "/users/me/password", "/restore", "/auth/refresh")
# The caller must stay who he is: what is about his own user goes to another one.
HOOKS = """
import schemathesis

@schemathesis.hook
def before_call(context, case, kwargs):
    if case.path_parameters and case.path.startswith("/users/") and case.path_parameters.get("name") == "admin":
        case.path_parameters["name"] = "somebody"
"""
METHODS = ("get", "post", "put", "patch", "delete")


def document(group):
    """What is served is what is checked in, and its page needs nothing from elsewhere."""
    with group.case("the OpenAPI document is served as it is checked in") as note, gateway.running("document") as server:
        caller = rest.Rest(server.rest_port)
        served = caller.get("/openapi.json").must(200).json
        kept = json.loads((ROOT / "gateway/api/openapi.json").read_text())
        for spec in (served, kept):
            spec["info"].pop("version", None)
        check(served == kept, "the document served is not gateway/api/openapi.json")
        check(caller.get("/openapi.json", prefix="").must(200).data, "no document at the root")
        page = caller.get("/docs", prefix="").must(200)
        check(page.headers["content-type"].startswith("text/html"), page.headers)
        check(not re.search(r"""(src|href)=["']?(https?:)?//""", page.text), "the page loads something from elsewhere")
        check("default-src" in page.headers.get("content-security-policy", ""), "the page has no content security policy")
        operations = list(operations_of(served))
        missing = [op["operationId"] for _, _, op in operations if op["operationId"] not in page.text and op["summary"] not in page.text]
        check(not missing, f"the page does not tell of {missing}")
        note.append(f"{len(operations)} operations, page of {len(page.data)} bytes")


def operations_of(spec):
    for path, item in spec["paths"].items():
        for method in METHODS:
            if method in item:
                yield method.upper(), path, item[method]


def schemathesis(group):
    """A property-based client of somebody else's finds no server error and nothing that differs from the document."""
    with group.case("schemathesis finds nothing") as note, gateway.running("schema") as server:
        program = common.need_python_package(SCHEMATHESIS, "schemathesis")
        boss = rest.admin(server)
        server.share("there")
        unlimited(boss)
        rest.user(server, boss, "somebody", uid=4001)
        boss.post("/groups", {"name": "some"}).must(201)
        excluded = [part for path in LEFT_OUT for part in ("--exclude-path", path)]
        command = [program, "--no-color", "run", f"http://127.0.0.1:{server.rest_port}/openapi.json", "--header",
                   f"Authorization: Bearer {boss.token}", "--checks", ",".join(CHECKS), "--max-examples", str(EXAMPLES),
                   "--seed", str(group.options.seed), "--request-timeout", "30", "--suppress-health-check", "all",
                   "--phases", "examples,coverage,fuzzing,stateful", "--generation-database", "none", *excluded]
        (server.folder / "hooks.py").write_text(HOOKS)
        status, output = common.run(command, 3000, good=None, cwd=server.folder,
                                    env={"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(server.folder)})
        check(rest.Rest(server.rest_port, boss.token).get("/auth/me").status == 200, "the caller's session ended on the way")
        if status != 0:
            (common.CACHE / "schemathesis.log").write_text(output)
        check(status == 0, f"seed {group.options.seed}:\n{common.tail(output, 150)}")
        check(server.process.poll() is None, "the gateway ended")
        found = re.search(r"(\d+) generated", output)
        note.append(f"{found[1] if found else '?'} cases, seed {group.options.seed}")
        check(found and int(found[1]) > 500, f"hardly a case was made:\n{common.tail(output)}")


def unlimited(boss):
    """The limit of requests per second out of the way of a test that is not about it."""
    boss.put("/settings/control.requests_per_second", {"value": 100_000}).must(200)


def signed_again(token, key, **claims):
    """A token of ours with other claims, signed as the gateway signs."""
    head, body, _ = token.split(".")
    told = {**json.loads(base64.urlsafe_b64decode(body + "==")), **claims}
    body = base64.urlsafe_b64encode(json.dumps(told).encode()).rstrip(b"=").decode()
    mark = hmac.new(key, f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{base64.urlsafe_b64encode(mark).rstrip(b'=').decode()}"


def matrix(group):
    """Every route and every kind of caller: told by the document, tried on the running gateway."""
    with group.case("authorization of every route") as note, gateway.running("matrix") as server:
        boss = rest.admin(server)
        unlimited(boss)
        callers = {"user": rest.user(server, boss, "plain", "user"), "operator": rest.user(server, boss, "op", "operator"),
                   "admin": rest.user(server, boss, "boss", "admin")}
        revoked = rest.user(server, boss, "gone", "admin")
        revoked.post("/auth/logout").must(204)
        key = (server.data / "token.key").read_bytes()[:32]
        alive = rest.Rest(server.rest_port, signed_again(boss.token, key))
        alive.get("/auth/me").must(200)  # else the next one would be refused for its signature
        expired = rest.Rest(server.rest_port, signed_again(boss.token, key, exp=1_000_000))
        forged = rest.Rest(server.rest_port, signed_again(boss.token, bytes(32)))
        strangers = {"nobody": rest.Rest(server.rest_port), "revoked": revoked, "expired": expired, "forged": forged}
        spec = boss.get("/openapi.json").must(200).json
        wrong, asked, roles = [], 0, ["user", "operator", "admin"]
        for method, path, operation in operations_of(spec):
            role, sent = operation["x-role"], method in ("POST", "PUT", "PATCH")
            at = re.sub(r"\{[^}]*\}", "nobody-there", path)

            def status_for(caller):
                body = {"nonsense": 1} if sent else None
                return caller.ask(method, at, body).status

            for who, caller in strangers.items():
                asked += 1
                status = status_for(caller)
                if (status == 401) != (role != "open") and not (role == "open" and path.endswith(("/login", "/refresh"))):
                    wrong.append(f"{method} {path} ({role}) answers {who} with {status}")
            for who, caller in callers.items():
                asked += 1
                status, may = status_for(caller), role == "open" or roles.index(who) >= roles.index(role)
                if path.endswith("/auth/logout") and method == "POST" and status == 204:
                    caller.login({"user": "plain", "operator": "op", "admin": "boss"}[who], "a password of the tests")
                if may and status in (401, 403) and not (role == "open" and path.endswith(("/login", "/refresh"))):
                    wrong.append(f"{method} {path} ({role}) refuses {who} with {status}")
                if not may and status != 403:
                    wrong.append(f"{method} {path} ({role}) answers {who} with {status}")
        check(not wrong, "\n".join(wrong[:40]))
        check(asked > 400, f"only {asked} answers: where are the routes?")
        note.append(f"{asked} answers")


CASES = [document, schemathesis, matrix]
