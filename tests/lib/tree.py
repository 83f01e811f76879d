"""A real tree to unpack: the machine's own headers and libraries, and every odd thing a tree may have. As an archive.

The same machine gives the same tree except for what its packages bring; the sizes are checked, not assumed. Everything
lies in the folder that the caller gives.
"""

import os
import pathlib
import shutil
import stat

from common import check, run

# Where real files come from, in this order, until there is enough.
SOURCES = ["/usr/include", "/usr/lib/python3", "/usr/lib/python3.11", "/usr/lib/python3.12", "/usr/lib/python3.13",
           "/usr/share/doc", "/usr/share/perl", "/usr/lib/x86_64-linux-gnu/perl", "/usr/share/zoneinfo", "/usr/lib/gcc",
           "/usr/share/locale", "/usr/share/man"]
FILES_MIN, BYTES_MIN = 5_000, 200_000_000


class Tree:
    """The archive, the manifest it must have when unpacked, and how much it is."""

    def __init__(self, archive, manifest, files, size):
        self.archive, self.manifest, self.files, self.bytes = archive, manifest, files, size

    def __str__(self):
        return f"{self.files} files, {self.bytes / 1e6:.0f} MB"


def build(folder, lab, files_min=FILES_MIN, bytes_min=BYTES_MIN):
    """Builds the tree in `folder`, packs it, and throws the unpacked tree away."""
    source = pathlib.Path(folder) / "source"
    source.mkdir()
    files, size = copy_real_files(source, files_min, bytes_min)
    odd_things(source / "odd")
    check(files >= files_min and size >= bytes_min, f"this machine has only {files} files and {size} bytes to copy")
    manifest, archive = pathlib.Path(folder) / "wanted.manifest", pathlib.Path(folder) / "tree.tar"
    run(["tar", "--format=pax", "--pax-option=delete=atime,delete=ctime", "--sparse", "--numeric-owner", "--sort=name",
         "-C", source, "-cf", archive, "."])
    run([lab, "manifest", source, "--out", manifest])
    shutil.rmtree(source)
    return Tree(archive, manifest, files, size)


def copy_real_files(to, files_min, bytes_min):
    files = size = 0
    for origin in map(pathlib.Path, SOURCES):
        if not origin.is_dir():
            continue
        for folder, _, names in os.walk(origin):
            if files >= files_min and size >= bytes_min:
                return files, size
            if files >= 3 * files_min:
                names = [name for name in names if (pathlib.Path(folder) / name).lstat().st_size > 50_000]
            copied_files, copied_bytes = copy_folder(pathlib.Path(folder), to / str(folder).lstrip("/"), sorted(names))
            files, size = files + copied_files, size + copied_bytes
    if files >= files_min and size < bytes_min:  # many small files: some real, large ones fill the rest
        size += copy_large_files(to / "programs", bytes_min - size)
    return files, size


def copy_folder(origin, to, names):
    files = size = 0
    for name in names:
        data = (origin / name).lstat()
        if stat.S_ISREG(data.st_mode) or stat.S_ISLNK(data.st_mode):
            to.mkdir(parents=True, exist_ok=True)
            shutil.copy2(origin / name, to / name, follow_symlinks=False)
            os.chown(to / name, data.st_uid, data.st_gid, follow_symlinks=False)
            files += 1
            size += data.st_size if stat.S_ISREG(data.st_mode) else 0
    return files, size


def copy_large_files(to, wanted):
    to.mkdir()
    size = 0
    for name in sorted(os.listdir("/usr/bin")):
        origin = pathlib.Path("/usr/bin") / name
        if size < wanted and origin.is_file() and not origin.is_symlink() and 1 << 20 < origin.stat().st_size < 64 << 20:
            shutil.copy2(origin, to / name)
            size += origin.stat().st_size
    return size


def odd_things(to):
    """Every kind of file, name, mode, owner and time that an archive can carry over NFSv3."""
    to.mkdir()
    odd_names(to / "names")
    odd_links(to / "links")
    odd_modes(to / "modes")
    big = to / "sparse"
    with open(big, "wb") as file:
        for place in (0, 5 << 20, (64 << 20) - 3, 200 << 20):
            file.seek(place)
            file.write(f"an island at {place}".encode() * 1000)
        file.truncate(256 << 20)
    deep = to / "deep"
    for level in range(60):
        deep = deep / f"level{level}"
    deep.mkdir(parents=True)
    (deep / "bottom").write_text("the bottom")
    many = to / "many"
    many.mkdir()
    for number in range(1500):
        (many / f"entry-{number:05}").write_bytes(b"x" * (number % 7))
    folders = [folder for folder, _, _ in os.walk(to)]
    for number, folder in enumerate(sorted(folders, reverse=True)):
        os.utime(folder, ns=(1_600_000_000_123_456_789 + number, 1_700_000_000_000_000_001 + number * 1_000_000_007))


def odd_names(to):
    to.mkdir()
    names = [b"plain", b"-leading-dash", b" space first", b"space last ", b"new\nline", b"tab\there", b"back\\slash", b"quote'\"",
             b"...", b"..almost", b"*?[glob]", b"$(command)", b"\xff\xfe not utf-8 \x80", "ümläut-日本語-🦀".encode(),
             "u\u0308 decomposed".encode(), b"\x01control\x7f", b"n" * 255, b"CASE", b"case", b"con.txt", b"end.", b"#hash;%41"]
    for name in names:
        with open(os.path.join(os.fsencode(to), name), "wb") as file:
            file.write(name)


def odd_links(to):
    to.mkdir()
    (to / "one").write_text("a file of three names")
    (to / "sub").mkdir()
    os.link(to / "one", to / "two")
    os.link(to / "one", to / "sub" / "three")
    for name, target in {"good": "one", "dangling": "no/such/file", "absolute": "/etc/hostname", "long": "t" * 1000,
                         "up": "../../..", "self": "self", "odd": "new\nline \udcff"}.items():
        os.symlink(target, to / name)
        os.utime(to / name, ns=(1, 1_234_567_890_987_654_321), follow_symlinks=False)


def odd_modes(to):
    to.mkdir()
    for mode in (0o000, 0o400, 0o644, 0o666, 0o777, 0o1755, 0o2755, 0o4755, 0o6711):
        path = to / f"mode-{mode:04o}"
        path.write_text(oct(mode))
        os.chown(path, 1000 + mode, 2_147_483_653 if mode == 0o666 else 100)
        os.chmod(path, mode)
    for mode in (0o700, 0o1777, 0o2775):
        (to / f"folder-{mode:04o}").mkdir()
        os.chmod(to / f"folder-{mode:04o}", mode)
    os.mkfifo(to / "fifo", 0o640)
    if os.geteuid() == 0:
        os.mknod(to / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(to / "disk", stat.S_IFBLK | 0o660, os.makedev(259, 70_000))
    for name, moment in {"epoch": 0, "old": 1_000_000_001, "2100": 4_102_444_800_000_000_001, "y2038": 2_147_483_648_999_999_999}.items():
        (to / f"time-{name}").write_text(name)
        os.utime(to / f"time-{name}", ns=(moment, moment))
