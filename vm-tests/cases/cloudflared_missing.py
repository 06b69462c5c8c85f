"""Without cloudflared on the host the agent stays up and says so; once it is there, it serves."""

from harness.waiting import eventually, expect

TIER = "nspawn"


def run(host):
    host.standins.start()
    (host.root / "usr/bin/cloudflared").rename(host.root / "usr/bin/cloudflared.away")
    host.boot()
    def told():
        text = host.show("StatusText")
        return text if "/usr/bin/cloudflared" in text else None
    text = eventually("STATUS= names the file", 60, told)
    host.sh("mv /usr/bin/cloudflared.away /usr/bin/cloudflared")
    host.registered(180)
    expect(host.show("NRestarts") == "0", "the agent was restarted")
    return f"“{text[:160]}”"
