"""Starting the agent stops a cloudflared.service that somebody has left running."""

from harness.waiting import expect

TIER = "nspawn"


def run(host):
    host.write("/etc/systemd/system/cloudflared.service", "[Service]\nExecStart=/bin/sleep infinity\n")
    host.standins.start()
    host.boot()
    host.sh("systemctl stop cflared-agent; systemctl start cloudflared.service")
    host.start()
    state = host.show("ActiveState", unit="cloudflared.service")
    expect(state == "inactive", f"cloudflared.service is {state}")
    host.alone()
    return "cloudflared.service was stopped, ours serves"
