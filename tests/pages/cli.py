"""The AWS CLI as a server: it loads once, and each call of the program `aws` is a fork of it. Run with the Python of its own virtual environment:
cli.py SOCKET. A call sends its directory, environment and arguments, with its standard streams; the answer is its exit status."""

import array
import json
import os
import signal
import socket
import sys
import traceback

import awscli.clidriver
import botocore.loaders  # the CLI's own, under the name that it gives it

_load = botocore.loaders.Loader.load_service_model


def _load_with_one_protocol(self, name, *args, **kwargs):
    """In the protocol that moto speaks for it; the CLI prefers CBOR."""
    model = _load(self, name, *args, **kwargs)
    if name == "cloudwatch" and "protocols" in model.get("metadata", {}):
        model["metadata"].update(protocols=["query"], protocol="query")
    return model


botocore.loaders.Loader.load_service_model = _load_with_one_protocol

create_clidriver = awscli.clidriver.create_clidriver

# What is not loaded yet loads in the fork, and again in the next one.
SERVICES = "autoscaling cloudwatch ec2 events iam imagebuilder lambda logs s3 scheduler secretsmanager sns ssm stepfunctions sts"

CLIENT = """#!{python} -SEs
import array, json, os, socket, sys
there = socket.socket(socket.AF_UNIX)
there.connect({socket!r})
with open({log!r}, "a") as log:
    log.write(json.dumps(sys.argv[1:]) + "\\n")
text = json.dumps([os.getcwd(), dict(os.environ), sys.argv[1:]]).encode()
there.sendmsg([len(text).to_bytes(8, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
there.sendall(text)
sys.exit(int(there.makefile().read() or "1"))
"""


def received(there):
    head, ancillary, *_ = there.recvmsg(8, socket.CMSG_SPACE(12))
    streams = array.array("i")
    streams.frombytes(ancillary[0][2][:12])
    text = there.makefile("rb").read(int.from_bytes(head, "big"))
    return list(streams), *json.loads(text)


def call(there):
    streams, directory, environment, arguments = received(there)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["aws", *arguments]
    status = 255
    try:
        driver = create_clidriver()
        driver.session.register_component("data_loader", LOADER)
        status = driver.main(arguments)
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        there.sendall(str(status).encode())
        os._exit(0)


LOADER = create_clidriver().session.get_component("data_loader")


def main(path):
    for service in SERVICES.split():
        LOADER.load_service_model(service, "service-2")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(16)
    print("listening", flush=True)
    while True:
        there, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            call(there)
        there.close()


if __name__ == "__main__":
    main(sys.argv[1])
