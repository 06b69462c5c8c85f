"""A new version of the secret takes over in the sandbox with the tunnel never at zero."""

from harness.waiting import eventually, expect

TIER = "nspawn"


def run(host):
    host.configure(secret={"poll_interval": "10s"}, handover={"settle": "2s"})
    host.standins.start()
    host.boot()
    first = host.registered()
    since = host.standins.edge("state")["now"]
    host.standins.put_secret(2)
    second = host.registered(120, but=first["pid"])
    eventually("the old one is gone", 90, lambda: host.cloudflareds() == [second["pid"]])
    held = host.standins.edge(f"never-zero?tunnel={host.status()['tunnel']}&from={since}")
    expect(held == {"held": True}, str(held))
    expect(host.show("NRestarts") == "0", "the agent was restarted")
    return f"generation {first['generation']} → {second['generation']}, never at zero"
