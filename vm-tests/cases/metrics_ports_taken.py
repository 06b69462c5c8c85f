"""Both metrics ports are somebody else's: the tunnel is up on another one, and back on its own after a restart without them."""

from harness.host import UNIT
from harness.waiting import eventually, expect

TIER = "nspawn"
TAKEN = {f"127.0.0.1:{port}" for port in (2000, 2001)}
CONDEMN_AFTER = 5
SQUATTER = """import signal, socket
squatters = [socket.create_server(("127.0.0.1", port)) for port in (2000, 2001)]
signal.pause()
"""


def run(host):
    host.configure(verdict={"startup_grace": "2s", "recheck_secret_after": "1s", "probe_after": "2s", "restart_after": "3s",
                            "condemn_after": f"{CONDEMN_AFTER}s"})
    host.standins.start()
    host.boot()
    host.sh(f"systemctl stop {UNIT}")
    host.write("/root/squatter.py", SQUATTER)
    host.sh("systemd-run --quiet --unit=squatter python3 /root/squatter.py")
    eventually("the squatter has both ports", 30, lambda: squatted(host) == TAKEN)
    # The type of the unit is `notify`: when this returns, READY was said.
    host.sh(f"systemctl start {UNIT}")
    expect(host.show("ActiveState", "SubState") == {"ActiveState": "active", "SubState": "running"}, "it is not active")
    moved = host.registered()
    expect(moved["metrics"] not in TAKEN, f"it serves its metrics on {moved['metrics']}, which is taken")
    owners = {taken["address"]: taken["by"] for taken in moved["metrics_taken"]}
    expect(set(owners) == TAKEN, f"the status has {owners}")
    # In the unit's sandbox other users' processes are hidden; see metrics_port_owner for one that is not.
    expect(all("another user" in by for by in owners.values()), f"the status has {owners}")
    shown = host.out("cflared-agent status")
    for address, by in owners.items():
        expect(f"not on {address}: {by} has that port" in shown, shown)
    told(host, owners, moved["metrics"])
    stays(host, moved["pid"])
    host.sh("systemctl stop squatter.service")
    host.sh(f"systemctl restart {UNIT}", timeout=120)
    back = host.registered(but=moved["pid"])
    expect((back["metrics"], back["metrics_taken"]) == ("127.0.0.1:2000", []), f"after the restart: {back}")
    host.alone()
    return f"on {moved['metrics']} while {owners[min(owners)]} had its ports, then on {back['metrics']}"


def squatted(host):
    """Which of the two addresses somebody listens on."""
    return TAKEN & set(host.out("ss -Hltn | awk '{print $4}'").split())


def told(host, owners, instead):
    """The log has an event for each port, with who has it and what is used instead."""
    events = [entry for entry in host.journal("-u", UNIT) if entry.get("CFLARED_EVENT") == "metrics_port_moved"]
    found = {(event["CFLARED_PORT"], event["CFLARED_BY"], event["CFLARED_INSTEAD"]) for event in events}
    expect(found == {(address, by, instead) for address, by in owners.items()}, f"the log has {found}")


def stays(host, pid):
    """Long after an instance that does not register would be condemned, nothing is: no blame, no mark, the same child."""
    eventually("the agent has had a time to condemn it", 120,
               lambda: "active" == host.show("ActiveState") and running_for(host) > 3 * CONDEMN_AFTER)
    connector, status = host.registered(), host.status()
    expect((connector["pid"], connector["restarts"]) == (pid, 0), f"it was restarted: {connector}")
    expect(status["blame"] is None and not status["autoscaling"]["marked"], f"{status['blame']} {status['autoscaling']}")
    requests = [str(request) for request in host.standins.aws("state")["requests"]]
    expect(requests, "AWS was asked nothing")
    expect(not any("SetInstanceHealth" in request for request in requests), "the instance was marked")


def running_for(host):
    """Seconds since the unit was started, by the host's own clock."""
    began = int(host.show("ActiveEnterTimestampMonotonic")) / 1e6
    return float(host.out("cut -d' ' -f1 /proc/uptime")) - began
