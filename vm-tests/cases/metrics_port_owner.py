"""Who has the metrics ports is named, by its command and process id, where it can be seen."""

import os
import socket

from harness.waiting import expect

TIER = "netns"


def run(host):
    squatters = [socket.create_server(("127.0.0.1", port)) for port in (2000, 2001)]
    host.standins.start()
    host.boot()
    connector = host.registered()
    owners = {taken["address"]: taken["by"] for taken in connector["metrics_taken"]}
    named = f"(pid {os.getpid()}, uid {os.getuid()})"
    expect(set(owners) == {"127.0.0.1:2000", "127.0.0.1:2001"}, f"the status has {owners}")
    expect(all(by.endswith(named) and by.startswith("python") for by in owners.values()), f"the status has {owners}")
    host.down()
    log = (host.logs / "console.log").read_text()
    for address, by in owners.items():
        expect(f'port={address} by="{by}" instead={connector["metrics"]} event=metrics_port_moved' in log, log)
    for squatter in squatters:
        squatter.close()
    host.boot()
    back = host.registered(but=connector["pid"])
    expect((back["metrics"], back["metrics_taken"]) == ("127.0.0.1:2000", []), f"after the restart: {back}")
    host.down()
    return f"“{owners['127.0.0.1:2000']}”; served on {connector['metrics']}, then on {back['metrics']}"
