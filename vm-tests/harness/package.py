"""Packages made of the one that is tested."""


def newer(host):
    """Makes /var/cache/newer.deb in the host: the same files with a higher version, which is returned."""
    host.sh("""set -e; cd /var/cache; rm -rf newer; dpkg-deb --raw-extract cflared-agent.deb newer
        sed -i '/^Version:/s/$/+newer/' newer/DEBIAN/control
        printf '\\n# newer\\n' >>newer/usr/lib/systemd/system/cflared-agent.service
        dpkg-deb --root-owner-group -Zgzip --build newer newer.deb""", timeout=180)
    return host.out("dpkg-deb --field /var/cache/newer.deb Version")
