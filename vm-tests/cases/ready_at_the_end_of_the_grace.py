"""Without an edge the unit is active at the end of the startup grace, and says that it is degraded."""

from harness.waiting import eventually, expect

TIER = "nspawn"


def run(host):
    host.configure(verdict={"startup_grace": "5s"})
    host.standins.start()
    host.standins.conduct("refuse")
    host.boot()
    eventually("it is active", 60, lambda: host.show("ActiveState") == "active")
    eventually("it says what is wrong", 30, lambda: host.show("StatusText").startswith("broken: unregistered"))
    expect(host.show("NRestarts") == "0", "systemd restarted the agent")
    text = host.show("StatusText")
    done = host.sh("cflared-agent status", check=False)
    expect(done.rc == 1 and done.out.startswith("broken"), f"`status` exited {done.rc}: {done.out}")
    host.standins.conduct("accept")
    host.registered(120)
    expect(host.sh("cflared-agent status").out.startswith("registered"), "`status` after the outage")
    return f"“{text}”"
