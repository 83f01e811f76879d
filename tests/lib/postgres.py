"""PostgreSQL from the distribution's packages: never a cluster of the system's, always one of our own in a folder of its own.

The server refuses to run as root, so it runs as the packages' user `postgres` through setpriv. Making a cluster takes
seconds, so one is made per run and copied.
"""

import contextlib
import os
import pathlib
import shutil

import common
from common import Failed, Skip, check

RUN_AS = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]


def programs():
    """The folder of the newest installed server's programs; installs the package where there is none."""
    common.need_packages(postgresql="/usr/share/doc/postgresql", util_linux="/usr/bin/setpriv", openssl="/usr/bin/openssl")
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    check(found, "the package postgresql has no server in /usr/lib/postgresql")
    return found[-1].parent


def need_root():
    if os.geteuid() != 0:
        raise Skip("not root: PostgreSQL runs as its own user here")


def make_template(folder, bin_folder):
    """A cluster that was never started, to be copied."""
    shutil.chown(folder, "postgres")
    os.chmod(folder, 0o755)
    template = folder / "template"
    command = [*RUN_AS, bin_folder / "initdb", "-D", template, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"]
    common.run(command, 120, cwd="/tmp")
    return template


class Cluster:
    """A running server on a port of the loopback."""

    def __init__(self, folder, bin_folder, template):
        self.folder, self.bin, self.process = pathlib.Path(folder), bin_folder, None
        self.data, self.port = self.folder / "data", common.free_port()
        shutil.chown(self.folder, "postgres")
        common.run(["cp", "-a", template, self.data], 120)

    @property
    def url(self):
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    def start(self, *settings):
        options = [part for setting in settings for part in ("-c", setting)]
        command = [
            *RUN_AS, self.bin / "postgres", "-D", self.data, "-p", str(self.port), "-c", "listen_addresses=127.0.0.1",
            "-c", "unix_socket_directories=", "-c", "shared_buffers=64MB", *options,
        ]

        def spawn():
            with open(self.folder / "log", "ab") as log:
                self.process = common.spawn(command, cwd="/tmp", stdout=log)

        def ready():
            if self.process.poll() is not None:
                spawn()  # processes of a killed server may still end
            ask = [self.bin / "pg_isready", "-q", "-U", "postgres", "-h", "127.0.0.1", "-p", str(self.port)]
            return common.run(ask, 20, good=None)[0] == 0

        spawn()
        try:
            common.wait_for(ready, 60, "PostgreSQL to answer")
        except Failed as late:
            raise Failed(f"{late}:\n{common.tail((self.folder / 'log').read_text(errors='replace'))}")
        return self

    def query(self, text):
        """Runs SQL and returns what psql prints, unaligned."""
        command = [self.bin / "psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-d", self.url, "-c", text]
        return common.run(command, 60)[1].strip()

    def kill(self):
        """Dies with every process of it, without a word."""
        common.end(self.process)

    def stop(self):
        if self.process:
            common.end(self.process, gentle=True, wait=10)
            self.process = None


def settings(database, port=None):
    """Settings of a gateway that keeps names in a database, through a proxy's port where one is given."""
    url = database.url.replace(f":{database.port}/", f":{port or database.port}/")
    return {
        "metadata": {"postgres": {"url": url, "tls": "off"}},
        "flush": {"after": "1s"},
        "pack": {"size": "1MiB"},
    }


@contextlib.contextmanager
def cluster(template, bin_folder, *settings):
    """A server for the length of a block."""
    with common.temp_folder("postgres") as folder:
        os.chmod(folder, 0o755)
        running = Cluster(folder, bin_folder, template)
        try:
            yield running.start(*settings)
        finally:
            running.stop()
