"""A small NFSv3 client for single calls whose status a test wants to see. The laboratory's own does the heavy loads.

Attributes are skipped, not read, except a file's size. A call has one try: "later" is a status like any other.
"""

import socket
import struct

from common import Failed

NFS, MOUNT = 100003, 100005
OK, PERM, NOENT, IO, ACCES, EXIST, NOSPC, ROFS, STALE, JUKEBOX = 0, 1, 2, 5, 13, 17, 28, 30, 70, 10008
UNSTABLE, FILE_SYNC = 0, 2


class Status(Failed):
    """The server answered a status other than OK."""

    def __init__(self, what, status):
        super().__init__(f"{what}: NFS3ERR {status}")
        self.status = status


def opaque(data):
    return struct.pack(">I", len(data)) + data + bytes(-len(data) % 4)


class Reader:
    """Reads the results of a call."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, length):
        piece = self.data[self.at:self.at + length]
        if len(piece) < length:
            raise Failed("a reply ends early")
        self.at += length
        return piece

    def u32(self):
        return struct.unpack(">I", self.take(4))[0]

    def u64(self):
        return struct.unpack(">Q", self.take(8))[0]

    def opaque(self):
        length = self.u32()
        piece = self.take(length)
        self.take(-length % 4)
        return piece

    def attributes(self):
        """post_op_attr: the size, or None."""
        if not self.u32():
            return None
        self.take(20)
        size = self.u64()
        self.take(56)
        return size

    def wcc(self):
        if self.u32():
            self.take(24)
        self.attributes()


class Client:
    """One connection, by AUTH_SYS as root unless told otherwise; `root` is the export's handle."""

    def __init__(self, port, export, timeout=60, uid=0, gid=0, groups=()):
        self.caller = struct.pack(f">III{len(groups)}I", uid, gid, len(groups), *groups)
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.xid = int.from_bytes(export.encode()[-3:], "big") << 8
        results = self.call(MOUNT, 1, opaque(f"/{export}".encode()))
        status = results.u32()
        if status:
            raise Status(f"mount /{export}", status)
        self.root = results.opaque()

    def close(self):
        self.socket.close()

    def exactly(self, length):
        data = bytearray()
        while len(data) < length:
            piece = self.socket.recv(length - len(data))
            if not piece:
                raise ConnectionResetError("the server closed the connection")
            data += piece
        return bytes(data)

    def send(self, program, procedure, arguments):
        """Sends one call, whose reply nobody has read yet."""
        self.xid = (self.xid + 1) & 0xFFFFFFFF
        credential = struct.pack(">I", 1) + opaque(b"tests") + self.caller
        head = struct.pack(">IIIIII", self.xid, 0, 2, program, 3, procedure)
        body = head + struct.pack(">I", 1) + opaque(credential) + struct.pack(">II", 0, 0) + arguments
        self.socket.sendall(struct.pack(">I", 0x80000000 | len(body)) + body)

    def call(self, program, procedure, arguments):
        """Makes one call and returns a reader of its results."""
        self.send(program, procedure, arguments)
        mark = struct.unpack(">I", self.exactly(4))[0]
        reply = Reader(self.exactly(mark & 0x7FFFFFFF))
        xid, kind, state = reply.u32(), reply.u32(), reply.u32()
        if (xid, kind, state) != (self.xid, 1, 0):
            raise Failed(f"RPC: xid {xid} for {self.xid}, kind {kind}, state {state}")
        reply.u32()
        reply.opaque()
        accepted = reply.u32()
        if accepted:
            raise Failed(f"RPC: accept status {accepted}")
        return reply

    def nfs(self, procedure, arguments, what):
        results = self.call(NFS, procedure, arguments)
        status = results.u32()
        if status:
            raise Status(what, status)
        return results

    def lookup(self, name):
        return self.nfs(3, opaque(self.root) + opaque(name.encode()), f"lookup {name}").opaque()

    def walk(self, *names):
        """The handle that names below the root lead to."""
        at = self.root
        for name in names:
            at = self.nfs(3, opaque(at) + opaque(name.encode()), f"lookup {name}").opaque()
        return at

    def create(self, name):
        """Makes a file at the root of the export and returns its handle."""
        arguments = opaque(self.root) + opaque(name.encode()) + struct.pack(">IIIIIIII", 0, 1, 0o644, 0, 0, 0, 0, 0)
        results = self.nfs(8, arguments, f"create {name}")
        return results.opaque() if results.u32() else self.lookup(name)

    def set_owner(self, name, uid, gid, mode):
        """Gives a file at the root of the export to somebody."""
        sattr = struct.pack(">6I", 1, mode, 1, uid, 1, gid) + struct.pack(">3I", 0, 0, 0)
        self.nfs(2, opaque(self.lookup(name)) + sattr + struct.pack(">I", 0), f"setattr {name}")

    def remove(self, name):
        self.nfs(12, opaque(self.root) + opaque(name.encode()), f"remove {name}")

    def size(self, handle):
        results = self.nfs(1, opaque(handle), "getattr")
        results.take(20)
        return results.u64()

    def write(self, handle, offset, data, stable=FILE_SYNC):
        """Writes at an offset and returns the write verifier."""
        arguments = opaque(handle) + struct.pack(">QII", offset, len(data), stable) + opaque(data)
        results = self.nfs(7, arguments, "write")
        results.wcc()
        if results.u32() != len(data):
            raise Failed("a short write")
        results.u32()
        return results.take(8)

    def read(self, handle, offset, count):
        results = self.nfs(6, opaque(handle) + struct.pack(">QI", offset, count), "read")
        results.attributes()
        results.u32()
        results.u32()
        return results.opaque()

    def commit(self, handle):
        """Commits the whole file and returns the write verifier."""
        results = self.nfs(21, opaque(handle) + struct.pack(">QI", 0, 0), "commit")
        results.wcc()
        return results.take(8)

    def read_all(self, handle):
        size, data = self.size(handle), bytearray()
        while len(data) < size:
            piece = self.read(handle, len(data), 1 << 18)
            if not piece:
                raise Failed("a read gave nothing before the end")
            data += piece
        return bytes(data)


def status_of(action):
    """The status that a call ended with: OK, or another."""
    try:
        action()
    except Status as refused:
        return refused.status
    return OK
