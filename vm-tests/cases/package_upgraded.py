"""An upgrade of the package leaves the running agent and the settings alone; the next restart is the new one."""

from harness.package import newer
from harness.waiting import expect

TIER = "nspawn"
SUITES = ["bookworm", "bullseye", "trixie"]


def run(host):
    host.standins.start()
    host.boot()
    connector, agent = host.registered(), host.agent()
    version = newer(host)
    said = host.out(f"dpkg --install /var/cache/newer.deb 2>&1")
    expect(host.agent() == agent and host.registered()["pid"] == connector["pid"], "the upgrade disturbed the tunnel")
    expect(version in host.out("dpkg-query -W cflared-agent"), "it is not the new version")
    expect("--edge" in host.out("cat /etc/cflared-agent/agent.yml"), "the settings are not ours any more")
    expect(host.show("NeedDaemonReload") == "no", "systemd was not told of the new units")
    host.sh("systemctl restart cflared-agent", timeout=120)
    host.registered(but=connector["pid"])
    expect(host.out("systemctl is-enabled cflared-agent") == "enabled", "it is not enabled any more")
    told = [line for line in said.splitlines() if "running agent" in line]
    expect(told, f"nothing tells that the old one runs on: {said}")
    return f"pid {agent} ran on; “{told[0]}”"
