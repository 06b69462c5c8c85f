"""A purge leaves no credential, no setting, no unit and no process."""

from harness.waiting import expect

TIER = "nspawn"
SUITES = ["bookworm", "bullseye", "trixie"]


def run(host):
    host.standins.start()
    host.boot()
    host.registered()
    # What the harness added is no concern of the package.
    host.sh("rm -r /etc/systemd/system/cflared-agent.service.d /usr/lib/cflared-agent")
    before = host.out("dpkg -L cflared-agent").splitlines()
    host.sh("dpkg --purge cflared-agent", timeout=120)
    expect(host.cloudflareds() == [], "a cloudflared was left")
    left = host.out("find /etc /usr /var/lib /run -xdev \\( -path '*cflared*' -o -path '/etc/cloudflared*' \\) "
                    "-not -path '/run/systemd/*' -not -path '/var/lib/private*'", check=False)
    expect(left == "", f"there is left: {left}")
    expect(host.show("LoadState") != "loaded", "systemd still has the unit")
    return f"{len(before)} paths of the package and the store are gone"
