#!/bin/sh
# cases.sh DEB TAR DIRECTORY: what run.sh runs in namespaces of its own. Every check names what it wants.
set -eu

deb=$1
tar=$2
scratch=$3
root=$scratch/root

fail() {
    echo "package: FAIL: $*" >&2
    [ ! -f "$scratch/log" ] || sed 's/^/    /' "$scratch/log" >&2
    exit 1
}

# inside COMMAND...: in the chroot, with a clean environment and nobody to ask.
inside() {
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive chroot "$root" "$@" </dev/null
}

# package WHAT...: a dpkg run that must succeed; its words are in $scratch/log.
package() {
    inside dpkg "$@" >"$scratch/log" 2>&1 || fail "dpkg $* failed"
}

is() { # is PATH MODE OWNER
    seen=$(inside stat --format='%a %U:%G' "$1" 2>/dev/null) || fail "$1 is not there"
    [ "$seen" = "$2 $3" ] || fail "$1 is $seen, and should be $2 $3"
}

# manual: every page that a remedy of doctor, or such a page, leads to.
manual() {
    present /usr/share/doc/cflared-agent/runbook.md
    for page in runbook.md $(sed -n 's/.*](\([a-z-]*\.md\).*/\1/p' "$root/usr/share/cflared-agent/runbook.md"); do
        present "/usr/share/cflared-agent/$page"
    done
}

present() { [ -e "$root$1" ] || [ -L "$root$1" ] || fail "$1 should be there"; }
absent() { ! { [ -e "$root$1" ] || [ -L "$root$1" ]; } || fail "$1 should not be there"; }
said() { grep -q -- "$1" "$scratch/log" || fail "dpkg should have said: $1"; }
enabled() { present "$link"; }
disabled() { absent "$link"; }

link=/etc/systemd/system/multi-user.target.wants/cflared-agent.service
settings=/etc/cflared-agent/agent.yml

# What a package may leave is compared by name; dpkg's own records and logs are its business.
listing() {
    (cd "$root" && find . -xdev \( -path ./proc -o -path ./var/lib/dpkg -o -path ./var/log -o -path ./tmp \
        -o -path ./var/cache -o -path ./root/debs -o -path ./dev \) -prune -o -print | LC_ALL=C sort)
}

# Nothing runs in this process namespace but what runs the test.
nothing_runs() {
    for process in /proc/[0-9]*; do
        exe=$(readlink "$process/exe" 2>/dev/null) || continue
        case $exe in
        *cflared-agent* | *cloudflared* | */systemd) fail "$exe was started" ;;
        esac
    done
}

# plant: what an agent with an installed bundle leaves, a half-made generation, and two files of somebody else.
plant() {
    inside sh -c '
        cd /etc/cloudflared
        mkdir -p -m 700 generations/1 generations/.staging-2
        id=6ff42ae2-765d-4adf-8112-31c55c1551ef
        for file in generations/1/config.yml "generations/1/$id.json" generations/.staging-2/config.yml .lock; do
            echo secret >"$file"; chmod 600 "$file"
        done
        ln -s generations/1 current; ln -s current/config.yml config.yml; ln -s "current/$id.json" "$id.json"
        ln -s generations/2 .current.tmp
        echo mine >notes.txt; ln -s /etc/hostname elsewhere
        chown -hR cflared-agent:cflared-agent .
        install -d -o cflared-agent -g cflared-agent /run/cflared-agent; echo 1 >/run/cflared-agent/state.json'
}

# newer: the same package with a higher version and a changed conffile, as $scratch's newer.deb.
newer() {
    dpkg-deb --raw-extract "$deb" "$scratch/newer"
    sed -i 's/^Version: .*/&+newer/' "$scratch/newer/DEBIAN/control"
    echo "# A line of the newer package." >>"$scratch/newer/etc/cflared-agent/agent.yml"
    dpkg-deb --root-owner-group -Znone --build "$scratch/newer" "$root/root/debs/newer.deb" >/dev/null
}

# live: makes the chroot look booted, with a systemctl that writes down what it is asked and does only what needs no
# systemd. That a real one does the rest is what the tests on a booted system show.
live() {
    mkdir -p "$root/run/systemd/system"
    [ -f "$root/usr/bin/systemctl.real" ] || mv "$root/usr/bin/systemctl" "$root/usr/bin/systemctl.real"
    cat >"$root/usr/bin/systemctl" <<'STANDIN'
#!/bin/sh
echo "$*" >>/root/systemctl.log
case "$*" in
*preset*) exec /usr/bin/systemctl.real "$@" ;;
*) exit 0 ;;
esac
STANDIN
    chmod 755 "$root/usr/bin/systemctl"
    : >"$root/root/systemctl.log"
}
dead() {
    mv "$root/usr/bin/systemctl.real" "$root/usr/bin/systemctl"
    rm -rf "$root/run/systemd/system" "$root/root/systemctl.log"
}
asked() { grep -q -- "$1" "$root/root/systemctl.log" || fail "systemctl should have been asked to $1"; }
not_asked() {
    ! grep -E -- "$1" "$root/root/systemctl.log" >"$scratch/asked" || fail "systemctl was asked: $(cat "$scratch/asked")"
}

# --- the cases ---------------------------------------------------------------------------------------------------

install_on_a_build_host() {
    package --install /root/debs/this.deb
    enabled
    nothing_runs
    absent /run/cflared-agent
    is /usr/bin/cflared-agent 755 root:root
    manual
    is "$settings" 644 root:root
    is /etc/cloudflared 700 cflared-agent:cflared-agent
    is /usr/lib/systemd/system/cflared-agent.service 644 root:root
    for file in sysctl.d/10-cflared-agent.conf sysusers.d/cflared-agent.conf tmpfiles.d/cflared-agent.conf \
        systemd/system-preset/80-cflared-agent.preset; do
        is "/usr/lib/$file" 644 root:root
    done
    inside getent passwd cflared-agent | grep -q ':/:/usr/sbin/nologin$' || fail "the user can log in, or is not there"
    [ "$(inside cflared-agent --version)" = "cflared-agent $version" ] || fail "the binary is not version $version"
    inside bash -n /usr/share/bash-completion/completions/cflared-agent || fail "bash refuses its completion"
    [ -z "$(inside dpkg --verify cflared-agent)" ] || fail "dpkg finds changed files: $(inside dpkg --verify cflared-agent)"
    # Every unit that the package carries and that says where it is wanted.
    for unit in "$root"/usr/lib/systemd/system/cflared-*; do
        wanted=$(sed -n 's/^WantedBy=//p' "$unit")
        [ -z "$wanted" ] || present "/etc/systemd/system/$wanted.wants/$(basename "$unit")"
    done
}

upgrade_keeps_what_was_edited() {
    package --install /root/debs/newer.deb
    grep -q "newer package" "$root$settings" || fail "an unedited conffile was not replaced"
    package --install --force-downgrade /root/debs/this.deb
    echo "# mine" >>"$root$settings"
    package --install --force-confdef --force-confold /root/debs/newer.deb
    grep -qx "# mine" "$root$settings" || fail "an edited conffile was replaced"
    enabled
    is /etc/cloudflared 700 cflared-agent:cflared-agent
}

upgrade_keeps_it_disabled() {
    inside systemctl --root=/ disable cflared-agent.service 2>/dev/null
    package --install --force-downgrade --force-confold /root/debs/this.deb
    disabled
    package --remove cflared-agent
    package --install /root/debs/this.deb
    disabled
    inside systemctl --root=/ enable cflared-agent.service 2>/dev/null
}

removal_keeps_settings_and_bundles() {
    plant
    package --remove cflared-agent
    absent /usr/bin/cflared-agent
    absent /usr/lib/systemd/system/cflared-agent.service
    disabled
    present "$settings"
    present /etc/cloudflared/generations/1/config.yml
    is /etc/cloudflared 700 cflared-agent:cflared-agent
    package --install /root/debs/this.deb
    enabled
    grep -qx "# mine" "$root$settings" || fail "the settings were not kept over a removal"
}

purge_takes_the_credentials() {
    package --purge cflared-agent
    for gone in /etc/cflared-agent /etc/cloudflared/generations /etc/cloudflared/current /etc/cloudflared/.lock \
        /etc/cloudflared/config.yml /etc/cloudflared/.current.tmp /run/cflared-agent; do
        absent "$gone"
    done
    ! inside grep -rqs secret /etc/cloudflared || fail "a credential is still there"
    # Somebody else's files, and so the directory.
    present /etc/cloudflared/notes.txt
    present /etc/cloudflared/elsewhere
    inside getent passwd cflared-agent >/dev/null || fail "the user is gone"
    rm -r "$root/etc/cloudflared"
    listing >"$scratch/after"
    # The user's entries and their backups are what stays.
    diff "$scratch/before" "$scratch/after" | grep '^[<>]' | grep -vE '^> \./etc/(passwd|group|g?shadow)-$' \
        >"$scratch/log" || return 0
    fail "a purge leaves these, or takes them:"
}

on_a_live_system() {
    live
    package --install /root/debs/this.deb
    asked daemon-reload
    package --install --force-confold /root/debs/newer.deb
    not_asked '(^| )(re)?(start|stop|load-or-restart|try-restart)( |$)'
    said "the running agent is still the old one ($version)"
    package --remove cflared-agent
    asked "stop .*cflared-agent.service"
    not_asked '(^| )(re|try-re)?start( |$)'
    package --purge cflared-agent
    absent /etc/cloudflared
    dead
}

mkdir -p "$root"
tar --extract --file="$tar" --directory="$root" --exclude='./dev/*'
mount -t proc proc "$root/proc"
mount -t proc proc /proc
# A few packages write there; the host's devices are not needed.
[ -c "$root/dev/null" ] || { : >"$root/dev/null" && mount --bind /dev/null "$root/dev/null"; }
mkdir "$root/root/debs"
cp "$deb" "$root/root/debs/this.deb"
version=$(dpkg-deb --field "$deb" Version)
newer
listing >"$scratch/before"

for case in install_on_a_build_host upgrade_keeps_what_was_edited upgrade_keeps_it_disabled \
    removal_keeps_settings_and_bundles purge_takes_the_credentials on_a_live_system; do
    rm -f "$scratch/log"
    $case
    echo "package: ok: $case"
done
