"""A full disk keeps the old bundle serving, over a restart too; with room again the new one is taken."""

from harness.waiting import expect, eventually

TIER = "nspawn"
STORE = "/etc/cloudflared"


def run(host):
    host.configure(secret={"poll_interval": "10s"}, handover={"settle": "2s"})
    host.standins.start()
    host.write("/etc/systemd/system/etc-cloudflared.mount",
               "[Unit]\nBefore=cflared-agent.service\n[Mount]\nWhat=tmpfs\nWhere=/etc/cloudflared\nType=tmpfs\n"
               "Options=size=256k,mode=0755,uid=cflared-agent,gid=cflared-agent\n"
               "[Install]\nRequiredBy=cflared-agent.service\n")
    host.boot()
    host.sh("systemctl stop cflared-agent && systemctl enable -q etc-cloudflared.mount && systemctl start cflared-agent")
    connector = host.registered()
    host.sh(f"dd if=/dev/zero of={STORE}/ballast bs=1k 2>/dev/null; cp /bin/true /dev/null; df {STORE}")
    host.standins.put_secret(2)
    trouble = host.status_where("the trouble is told", lambda status: "space" in str(status["trouble"]))["trouble"]
    expect(host.registered()["pid"] == connector["pid"], "the old connector is gone")
    host.sh("systemctl restart cflared-agent", timeout=120)
    host.registered(but=connector["pid"])
    expect(host.status()["installed"]["generation"] == 1, "it serves another bundle")
    host.sh(f"rm {STORE}/ballast")
    new = eventually("the new bundle serves", 120, lambda: host.status()["installed"]["generation"] != 1 and host.registered())
    return f"“{trouble[:160]}”; then generation {new['generation']}"
