#!/usr/bin/env python3
"""tests/image/chroot.py DEB
Executes the build phases of imagebuilder/ in a root file system, in the recipe's order, and then the validate phases.

Every command is the document's own; only parameters' values differ: the packages come from a repository in the file system,
signed as the real one is. A step that may be repeated is executed twice. Nothing in there has a network."""

import argparse
import datetime
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from documents import IMAGE, ROOT, components, filled, inputs, parameters, steps

# Debian 12 stands for Ubuntu 22.04, of which no mirror may be near. What `base` installs is in there already.
SUITE = "bookworm"
INCLUDE = "ca-certificates,chrony,curl,gpg,gpgv,init-system-helpers,systemd,systemd-sysv"
CACHE = ROOT / "target" / "image"

TODAY = datetime.datetime.now(datetime.timezone.utc)
CLOUDFLARED = f"{TODAY.year}.{TODAY.month}.1"
# A newer one is blocked, and one is too old.
BLOCKED, OLD = f"{TODAY.year}.{TODAY.month}.10", "2026.8.1"

PROGRAM = """#!/bin/sh
echo "cloudflared version {version} (built {day}-0000 UTC)"
"""
# Parameter Store, in files.
AWS = """#!/bin/sh
[ "$1 $2" = "ssm get-parameter" ] && cat "/srv/parameters/${6##*/}"
"""
# Records how it was called, and wants JSON as the real one does.
CTL = """#!/bin/sh
echo "$@" >> /var/log/cloudwatch-agent-ctl.log
case $* in *' -s'*) exit 1 ;; esac
test -s "${6#file:}"
"""
UNIT = """[Unit]
Description=CloudWatch agent
[Service]
ExecStart=/bin/true
[Install]
WantedBy=multi-user.target
"""


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, text=True, **options)


def base():
    """The root file system, made once and kept by the hash of its recipe."""
    recipe = hashlib.sha256(f"{SUITE} {INCLUDE}".encode()).hexdigest()[:16]
    archive = CACHE / f"base-{recipe}.tar"
    if not archive.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        part = archive.with_suffix(".part")
        run("mmdebstrap", "--mode=root", "--variant=minbase", "--format=tar", f"--include={INCLUDE}", SUITE, part)
        part.rename(archive)
    return archive


def package(folder, name, files, version):
    """A .deb with those files, by their paths: text and mode."""
    tree = folder / name
    for path, (text, mode) in files.items():
        target = tree / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)
    control = tree / "DEBIAN" / "control"
    control.parent.mkdir(mode=0o755)
    control.write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <nobody@invalid>\nDescription: stands in\n"
    )
    out = folder / f"{name}_{version}.deb"
    run("dpkg-deb", "--root-owner-group", "--build", tree, out, stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)
    return out


def repository(folder, debs):
    """An apt repository with packages, signed by a key of its own, whose fingerprint it gives."""
    pool, binary = folder / "pool", folder / "dists" / "any" / "main" / "binary-amd64"
    pool.mkdir(parents=True)
    binary.mkdir(parents=True)
    for deb in debs:
        shutil.copy(deb, pool)
    packages = run("apt-ftparchive", "packages", "pool", cwd=folder, stdout=subprocess.PIPE).stdout
    (binary / "Packages").write_text(packages)
    release = run(
        "apt-ftparchive", "-o", "APT::FTPArchive::Release::Suite=any", "-o", "APT::FTPArchive::Release::Components=main",
        "-o", "APT::FTPArchive::Release::Architectures=amd64", "release", "dists/any", cwd=folder, stdout=subprocess.PIPE,
    ).stdout  # fmt: skip
    (folder / "dists" / "any" / "Release").write_text(release)
    with tempfile.TemporaryDirectory(prefix="gpg-") as home:
        gpg = ["gpg", "--homedir", home, "--batch", "--quiet"]
        run(*gpg, "--passphrase", "", "--quick-generate-key", "test <test@invalid>", "ed25519", "sign", "never")
        here = folder / "dists" / "any"
        run(*gpg, "--clearsign", "--output", here / "InRelease", here / "Release")
        run(*gpg, "--export", "--output", folder / "key.gpg")
        listed = run(*gpg, "--with-colons", "--list-keys", stdout=subprocess.PIPE).stdout
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)
    return next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Image:
    """A root file system, and what S3 holds."""

    def __init__(self, root, objects):
        self.root = root
        self.objects = objects

    def shell(self, script, check=True):
        """Executes a script in there, without a network, in namespaces that end with it."""
        inside = self.root / "tmp" / "step.sh"
        # What comes over HTTPS is a file in there.
        inside.write_text(script.replace("--proto '=https'", "--proto '=file'"))
        command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c"]
        mounts = 'mount -t proc proc "$0/proc" && mount -t tmpfs tmpfs "$0/run" && exec chroot "$0" /bin/bash /tmp/step.sh'
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
        done = subprocess.run([*command, mounts, str(self.root)], text=True, capture_output=True, env=environment, timeout=300)
        inside.unlink()
        if check and done.returncode != 0:
            sys.exit(f"status {done.returncode} of:\n{script}\n{done.stdout}{done.stderr}")
        return done

    def step(self, step, values):
        if step["action"] == "S3Download":
            for each in step["inputs"]:
                target = self.root / filled(each["destination"], values).lstrip("/")
                # As the real one: it makes no folder.
                shutil.copy(self.objects[filled(each["source"], values)], target)
            return
        for command in step["inputs"]["commands"]:
            self.shell(filled(command, values))

    def phase(self, name, document, values, phase):
        for step in steps(document, phase):
            began = time.monotonic()
            repeats = 2 if step.get("maxAttempts", 1) > 1 else 1
            for _ in range(repeats):
                self.step(step, values)
            twice = ", twice" if repeats > 1 else ""
            print(f"  {phase} {name}: {step['name']}{twice}: {time.monotonic() - began:.1f} s", flush=True)


def expect(holds, what):
    if not holds:
        sys.exit(f"not so: {what}")
    print(f"  so: {what}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("deb", type=pathlib.Path, help="the agent's package, for this machine")
    deb = parser.parse_args().deb.resolve()
    archive = base()
    with tempfile.TemporaryDirectory(prefix="root-", dir=CACHE) as folder, tempfile.TemporaryDirectory() as scratch:
        root, scratch = pathlib.Path(folder), pathlib.Path(scratch)
        root.chmod(0o755)
        run("tar", "--extract", "--numeric-owner", "--file", archive, "--directory", root)
        # What the documents name is there; nothing else can be reached.
        (root / "etc/apt/sources.list").write_text("")
        build(root, scratch, deb)


def build(root, scratch, deb):
    releases = [CLOUDFLARED, BLOCKED, OLD]
    programs = {version: PROGRAM.format(version=version, day=f"{TODAY:%Y-%m-%d}") for version in releases}
    debs = [package(scratch, "cloudflared", {"usr/bin/cloudflared": (text, 0o755)}, version) for version, text in programs.items()]
    debs.append(package(scratch, "awscli", {"usr/bin/aws": (AWS, 0o755)}, "1.0"))
    fingerprint = repository(root / "srv/repository", debs)
    (root / "srv/parameters").mkdir()
    (root / "srv/parameters/releases-blocked").write_text(f"2026.8.9, {BLOCKED}\n")
    (root / "srv/parameters/release-pinned").write_text("none\n")
    agent = "opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl"
    unit = "lib/systemd/system/amazon-cloudwatch-agent.service"
    cloudwatch = package(scratch, "amazon-cloudwatch-agent", {agent: (CTL, 0o755), unit: (UNIT, 0o644)}, "1.0")
    settings = IMAGE / "cloudwatch-agent.json"
    values = {
        "cloudflared": {"Repository": "file:///srv/repository", "Key": "file:///srv/repository/key.gpg", "Fingerprint": fingerprint},
        "agent": {"Sha256": sha256(deb)},
        "cloudwatch-agent": {"PackageSha256": sha256(cloudwatch), "SettingsSha256": sha256(settings)},
    }
    documents = components()
    by_name = {document["name"]: name for name, document in documents.items()}
    order = [by_name[each["componentArn"].split("/")[1]] for each in inputs()["recipe"]["components"]]
    for name in order:
        defaults = {parameter: value.get("default", "us-east-1") for parameter, value in parameters(documents[name]).items()}
        values[name] = {**defaults, **values.get(name, {})}
    image = Image(
        root,
        {
            values["agent"]["Package"]: deb,
            values["cloudwatch-agent"]["Package"]: cloudwatch,
            values["cloudwatch-agent"]["Settings"]: settings,
        },
    )
    for name in order:
        image.phase(name, documents[name], values[name], "build")
    for name in ["base", "cloudflared", "cloudwatch-agent"]:
        image.phase(name, documents[name], values[name], "validate")
    look(image)
    refuse(image, documents, values)


def look(image):
    """What the build left."""
    facts = json.loads((image.root / "usr/lib/cflared-agent/image.json").read_text())
    version = image.shell("cflared-agent --version").stdout.split()[1]
    built = datetime.datetime.fromisoformat(facts.pop("built_at").replace("Z", "+00:00"))
    expect(abs((datetime.datetime.now(datetime.timezone.utc) - built).total_seconds()) < 600, "built_at is now")
    wanted = {"image": "cflared", "agent_version": version, "cloudflared_version": CLOUDFLARED}
    expect(facts == wanted, f"image.json says {facts}")
    expect("cloudflared" in image.shell("apt-mark showhold").stdout, "no upgrade replaces cloudflared")
    expect(image.shell("! command -v aws").returncode == 0, "the AWS CLI is gone again")
    expect(not list((image.root / "tmp").glob("*.deb")), "no package is left in /tmp")
    asked = (image.root / "var/log/cloudwatch-agent-ctl.log").read_text()
    expect(asked.count("\n") == 1 and " -s" not in asked, "the CloudWatch agent was configured once, and not started")
    before = (image.root / "etc/systemd/system/amazon-cloudwatch-agent.service.d/50-environment.conf").read_text()
    named = [word for word in before.split() if word.startswith("/") or word.startswith("ExecStartPre=/")]
    there = [path.removeprefix("ExecStartPre=").lstrip("/") for path in named[:2]]
    expect(all((image.root / path).is_file() for path in there), f"the CloudWatch agent starts after {there}")
    expect("{env}" in (image.root / there[1]).read_text(), "its settings are for every environment")
    expect((image.root / "etc/cflared-agent/agent.d/10-image.yml").read_text() == "{}", "the agent's settings are those of the parameter")
    clock = (image.root / "etc/chrony/chrony.conf").read_text() + (image.root / "etc/chrony/sources.d/amazon.sources").read_text()
    expect(clock.count("\nserver ") + clock.count("\npool ") == 1, "the clock asks one server")
    masked = image.shell("systemctl is-enabled apt-daily.timer apt-daily-upgrade.timer", check=False).stdout.split()
    expect(masked == ["masked", "masked"], "nothing is updated at run time")
    static = b"/ld-linux" not in (image.root / "usr/bin/cflared-agent").read_bytes()[:65536]
    done = image.shell("cflared-agent validate --json", check=False)
    report = json.loads(done.stdout)
    failed = [check["id"] for check in report["checks"] if check["outcome"] == "fail"]
    # A development build is not static: then that is what must be said, and nothing else.
    expect(failed == ([] if static else ["agent-static"]), f"{report['headline']}")
    expect(done.returncode == (0 if static else 1), f"its status is {done.returncode}")
    found = {check["id"]: check for check in report["checks"]}
    for check in ["cloudflared-version", "cloudflared-age", "units-enabled", "units-verified", "directories", "files", "time-sync"]:
        expect(found[check]["outcome"] == "pass", f"{check}: {found[check]['evidence'][0]}")
    (image.root / "root/.bash_history").write_text("export TUNNEL_TOKEN=" + "t" * 40 + "\n")
    done = image.shell("cflared-agent validate --json", check=False)
    failed = [check["id"] for check in json.loads(done.stdout)["checks"] if check["outcome"] == "fail"]
    expect(done.returncode == 1 and "no-credentials-in-homes" in failed, "a planted credential makes the image unfit")
    (image.root / "root/.bash_history").unlink()


def refuse(image, documents, values):
    """Steps that must fail, do."""
    install = next(step for step in steps(documents["agent"], "build") if step["name"] == "Install")
    (image.root / "tmp/cflared-agent.deb").write_text("another package")
    done = image.shell(filled(install["inputs"]["commands"][0], values["agent"]), check=False)
    expect(done.returncode != 0 and "FAILED" in done.stdout, "a package with another checksum is not installed")
    repository = next(step for step in steps(documents["cloudflared"], "build") if step["name"] == "Repository")
    script = filled(repository["inputs"]["commands"][0], {**values["cloudflared"], "Key": "file:///nonexistent"})
    key = image.root / "usr/share/keyrings/cloudflare-main.gpg"
    before = key.read_bytes()
    expect(image.shell(script, check=False).returncode != 0 and key.read_bytes() == before, "a key that cannot be fetched replaces none")
    script = filled(repository["inputs"]["commands"][0], {**values["cloudflared"], "Fingerprint": "0" * 40})
    expect(image.shell(script, check=False).returncode != 0 and key.read_bytes() == before, "another key replaces none")
    install = next(step for step in steps(documents["cloudflared"], "build") if step["name"] == "Install")
    script = filled(install["inputs"]["commands"][0], values["cloudflared"])
    pinned, blocked = (image.root / "srv/parameters" / name for name in ("release-pinned", "releases-blocked"))
    pinned.write_text(BLOCKED)
    expect(image.shell(script, check=False).returncode != 0, "a pinned release that is blocked is refused")
    blocked.write_text("none")
    pinned.write_text(BLOCKED)
    image.shell(script)
    expect(image.shell("cloudflared --version").stdout.split()[2] == BLOCKED, "a pin is taken")
    blocked.unlink()
    expect(image.shell(script, check=False).returncode != 0, "a block-list that cannot be read is not an empty one")


if __name__ == "__main__":
    main()
