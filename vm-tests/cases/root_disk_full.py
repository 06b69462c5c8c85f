"""Without a block or an inode left on the root disk the agent restarts, and boots, and serves what it has."""

from harness.waiting import expect

TIER = "nspawn"
SUITES = ["bookworm", "bullseye", "trixie"]


def run(host):
    host.standins.start()
    # Debian 13 has /tmp in memory; Ubuntu 22.04 has not.
    host.link("/dev/null", "/etc/systemd/system/tmp.mount")
    host.boot()
    first = host.registered()
    host.fill_disk()
    expect(host.sh("touch /tmp/x || touch /var/tmp/x || mkdir /x", check=False).rc != 0, "the disk is not full")
    # On systemd up to 252 the first try fails for want of a directory, and the second goes without.
    host.sh("systemctl restart cflared-agent", check=False, timeout=120)
    second = host.registered(but=first["pid"])
    narrowed = host.show("PrivateDevices") == "no"
    host.down()
    host.boot()
    third = host.registered()
    expect({first["generation"], second["generation"], third["generation"]} == {1}, "another bundle serves")
    expect(host.show("DevicePolicy") == "closed", "devices are open")
    host.free_disk()
    return "restarted and rebooted on a full disk" + (", without PrivateDevices= (the unit's own way out)" if narrowed else "")
