"""Installing enables and does not start; the first boot starts it. The units are without complaint."""

from harness.waiting import expect

TIER = "nspawn"
SUITES = ["bookworm", "bullseye", "trixie"]


def run(host):
    host.standins.start()
    host.boot()
    host.registered()
    host.sh("systemctl stop cflared-agent")
    host.sh("dpkg --purge cflared-agent; rm -rf /etc/cloudflared /etc/cflared-agent", timeout=120)
    since = len(host.standins.events())
    host.sh("dpkg --install /var/cache/cflared-agent.deb", timeout=120)
    expect(host.show("ActiveState", "UnitFileState") == {"ActiveState": "inactive", "UnitFileState": "enabled"},
           str(host.show("ActiveState", "UnitFileState")))
    expect(len(host.standins.events()) == since, "something was registered")
    # The first complaint would be of a directive that this version does not know; NoExecPaths= is of 248.
    done = host.sh("cd /usr/lib/systemd/system; systemd-analyze verify --man=no cflared-agent.service cflared-tunnel-*", check=False)
    complaints = [line for line in (done.out + done.err).splitlines() if "cflared" in line and "NoExecPaths" not in line]
    expect(complaints == [], str(complaints))
    owner = host.out("stat -c '%U:%G %a' /etc/cloudflared")
    expect(owner == "cflared-agent:cflared-agent 700", owner)
    host.configure()
    host.down()
    host.boot()
    host.registered()
    return "enabled and inactive after the installation, registered after the boot"
