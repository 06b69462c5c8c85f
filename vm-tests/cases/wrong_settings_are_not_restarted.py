"""Wrong settings: exit 78, the key is named, systemd does not start it again; with the right ones it starts."""

from harness.host import SETTINGS
from harness.waiting import eventually, expect

TIER = "nspawn"


def run(host):
    host.write(SETTINGS, "connector: { grace_periode: 30s }\n")
    host.standins.start()
    host.boot()
    eventually("it failed", 30, lambda: host.show("ActiveState") == "failed")
    shown = host.show("ExecMainStatus", "NRestarts", "Result")
    expect(shown == {"ExecMainStatus": "78", "NRestarts": "0", "Result": "exit-code"}, str(shown))
    said = host.logged("the journal names the key", "grace_periode")
    host.configure()
    host.start()
    return f"“{said[0]['MESSAGE'][:160]}”"
