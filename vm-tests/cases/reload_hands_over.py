"""`systemctl reload` hands over in the sandbox, with the tunnel never at zero, and ends with the result."""

from harness.host import UNIT
from harness.standins import SECRET
from harness.waiting import eventually, expect

TIER = "nspawn"
SUITES = ["bookworm", "bullseye", "trixie"]


def run(host):
    host.configure(handover={"settle": "2s"})
    host.standins.start()
    host.boot()
    first = host.registered()
    since = host.standins.edge("state")["now"]
    host.sh(f"systemctl reload {UNIT}", timeout=180)
    second = host.registered(but=first["pid"])
    # Without a unit in between: by root, who becomes nobody for it, and by the agent's own user.
    host.standins.put_secret(2)
    said = host.out("cflared-agent reload", timeout=180)
    expect("serves now (generation 2)" in said, said)
    third = host.registered(but=second["pid"])
    said = host.out("setpriv --reuid cflared-agent --regid cflared-agent --clear-groups cflared-agent reload", timeout=180)
    expect("serves now (generation 2)" in said, said)
    fourth = host.registered(but=third["pid"])
    held = host.standins.edge(f"never-zero?tunnel={host.status()['tunnel']}&from={since}")
    expect(held == {"held": True}, str(held))
    # A refusal is the unit's result, and what serves goes on.
    host.standins.aws("secret", {"name": SECRET, "text": "{}"})
    failed = host.sh(f"systemctl reload {UNIT}", check=False, timeout=180)
    expect(failed.rc != 0, "a refused version is no successful reload")
    host.logged("the refusal", "refused")
    expect(host.show("ActiveState") == "active", "the unit failed")
    expect(host.show("NRestarts") == "0", "the agent was restarted")
    eventually("one connector is left", 90, lambda: host.cloudflareds() == [fourth["pid"]])
    other = host.sh("setpriv --reuid nobody --clear-groups cflared-agent reload", check=False)
    expect(other.rc == 75, f"nobody's reload ended with {other.rc}")
    return "by the unit, by root and by the agent's user; refused for nobody, and for a version that breaks a rule"
