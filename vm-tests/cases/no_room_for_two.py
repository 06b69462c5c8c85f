"""Where the unit's memory has no room for a second connector, a hand-over stops the first one first, and says so."""

from harness.waiting import eventually, expect

TIER = "qemu"


def run(host):
    host.standins.start()
    host.boot()
    first = host.registered(180)
    used = int(host.show("MemoryCurrent"))
    # A second connector is given what the first takes, and 48 MiB.
    host.sh(f"systemctl set-property --runtime cflared-agent MemoryMax={used + (24 << 20)}")
    said = host.out("cflared-agent reload", timeout=180)
    expect("serves now" in said, said)
    second = host.registered(180, but=first["pid"])
    eventually("the old one is gone", 90, lambda: host.cloudflareds() == [second["pid"]])
    told = [entry["what"] for entry in host.status()["journal"]]
    expect("no room for two connectors" in told, str(told))
    expect(host.show("NRestarts") == "0", "the agent was restarted")
    return f"{used >> 20} MiB in use and 24 MiB left: one after the other"
