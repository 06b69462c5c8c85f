"""cflared-tunnel-online.target: a unit that needs the tunnel starts when it is up, and no boot waits for it."""

from harness.waiting import eventually, expect, stays

TIER = "nspawn"
SUITES = ["bookworm", "bullseye", "trixie"]
TARGET = "cflared-tunnel-online.target"


def run(host):
    host.configure(handover={"settle": "3s"})
    host.standins.start()
    host.standins.conduct("refuse")
    host.write("/etc/systemd/system/needs-tunnel.service",
               f"[Unit]\nWants={TARGET}\nAfter={TARGET}\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n")
    host.boot()
    expect(host.show("ActiveState", unit=TARGET) == "inactive", "the target is in the way of every boot")
    host.sh("systemctl start --no-block needs-tunnel.service")
    stays("nothing starts without a tunnel", 5, lambda: host.show("ActiveState", unit="needs-tunnel.service") == "inactive")
    host.standins.conduct("accept")
    eventually("the unit has started", 120, lambda: host.show("ActiveState", unit="needs-tunnel.service") == "active")
    host.sh(f"systemctl is-active {TARGET}")
    host.registered()
    host.sh("systemctl stop cflared-agent", timeout=120)
    eventually("the target is gone with the agent", 30, lambda: host.show("ActiveState", unit=TARGET) == "inactive")
    return "started once the tunnel was up and settled; gone when the agent was stopped"
