#!/usr/bin/python3
"""Runs the harness's commands inside a virtual machine: a line of JSON in, one out, over a virtio serial port.

It needs no network, and comes up with every boot.
"""

import json
import os
import subprocess
import time

PORT = "/dev/virtio-ports/vm-tests"


def answer(asked):
    # In the foreground of nothing: its own session, so that a time limit ends all of it.
    process = subprocess.Popen(["/bin/sh", "-c", asked["sh"]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, start_new_session=True)
    try:
        out, err = process.communicate(timeout=asked["timeout"])
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        out, err = process.communicate()
    return {"id": asked["id"], "rc": process.returncode, "out": out.decode(errors="replace"), "err": err.decode(errors="replace")}


def main():
    with open(PORT, "r+b", buffering=0) as port:
        buffer = b""
        while True:
            read = port.read(65536)
            if not read:
                # Nobody is at the other end yet.
                time.sleep(0.1)
                continue
            buffer += read
            while b"\n" in buffer:
                line, buffer = buffer.split(b"\n", 1)
                if not line.strip():
                    continue
                try:
                    asked = json.loads(line)
                except ValueError:
                    continue
                data = json.dumps(answer(asked)).encode() + b"\n"
                while data:
                    data = data[port.write(data):]


if __name__ == "__main__":
    main()
