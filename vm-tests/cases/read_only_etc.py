"""With /etc read-only the installed bundle serves, over a restart of the agent too; it says what is wrong."""

from harness.waiting import expect

TIER = "nspawn"


def run(host):
    host.configure(secret={"poll_interval": "10s"})
    host.standins.start()
    host.boot()
    before = host.registered()
    host.sh("mount --bind /etc /etc && mount -o remount,bind,ro /etc && ! touch /etc/cloudflared/x 2>/dev/null")
    host.sh("systemctl restart cflared-agent", timeout=120)
    after = host.registered(but=before["pid"])
    expect(after["generation"] == before["generation"], "it serves another bundle")
    host.standins.put_secret(2)
    trouble = host.status_where("the trouble is told", lambda status: status["trouble"])["trouble"]
    expect(host.registered()["pid"] == after["pid"], "it did not stay")
    return f"serves from generation {after['generation']}; “{trouble[:160]}”"
