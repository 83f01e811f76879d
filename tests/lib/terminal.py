"""Runs a shell script at a terminal, as somebody who types: answers the prompts for passwords and shows what is said.

    python3 terminal.py SCRIPT

The password that a program shows is the one to answer with until a new one is asked for. Ends with the script's status.
"""

import os
import pty
import re
import sys

NEW_PASSWORD = "what-the-administrator-chose"
SHOWN = re.compile(rb"password (\S+) \(shown once")
PROMPT = re.compile(rb"(New password again|New password|Password): $")


def main(script):
    child, terminal = pty.fork()
    if child == 0:
        os.execvp("bash", ["bash", script])
    said, answered, password = b"", 0, b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # how a terminal says that nobody is there any more
            break
        if not piece:
            break
        os.write(1, piece)
        said += piece
        if shown := SHOWN.search(said):
            password = password or shown[1]
        prompt = PROMPT.search(said, answered)
        if prompt:
            answered = len(said)
            if prompt[1] != b"Password":
                password = NEW_PASSWORD.encode()
            os.write(terminal, password + b"\n")
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
