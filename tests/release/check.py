#!/usr/bin/env python3
"""A release made in a fresh clone, and published: tests/release/check.py PROGRAMS [TEST...].

PROGRAMS is where cflared-agent and cflared-pages were built of these sources. The account is moto's behind the rehearsal's front, on one port of loopback."""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "tests/promotion"), str(ROOT / "tests/pages")]
import rehearsal  # first: it sets moto up
from program import Program
import load
import peer

PROGRAMS = pathlib.Path(sys.argv[1]).absolute()
TOOLS = ROOT / "target/tools/bin"
IMAGE = "1.0.4"


def run(*command, cwd, **more):
    return subprocess.run([str(each) for each in command], cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


def done(*command, cwd, **more):
    ended = run(*command, cwd=cwd, **more)
    if ended.returncode != 0:
        raise AssertionError(f"{command}: {ended.stdout}{ended.stderr}")
    return ended.stdout


class Sources:
    """These sources, as a repository that is one version behind, and clones of it."""

    def __init__(self, directory):
        self.directory, self.origin = directory, directory / "origin"
        self.origin.mkdir()
        listed = done("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
        for name in filter(None, listed):
            if (ROOT / name).exists():
                (self.origin / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.origin / name, follow_symlinks=False)
        self.version = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
        # The programs are of this version, so it is the one that is released; the tree goes back to one before it.
        for name in ("Cargo.toml", "Cargo.lock", "packaging/debian/changelog", "packaging/aws/values.example", "imagebuilder/components/agent.yml", "imagebuilder/terraform/example/main.tf"):
            self.edit(self.origin / name, self.version, "0.0.1")
        log = self.origin / "CHANGELOG.md"
        log.write_text(re.sub(r"^## Unreleased\n\s*(?=## |\Z)", "## Unreleased\n\n- A line.\n\n", log.read_text(), flags=re.MULTILINE))
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MAKE", "MFLAGS"))},
            "GIT_CONFIG_GLOBAL": str(directory / "gitconfig"), "HOME": str(directory), "CARGO_HOME": os.environ.get("CARGO_HOME") or f"{os.environ['HOME']}/.cargo",
            "RUSTUP_HOME": os.environ.get("RUSTUP_HOME") or f"{os.environ['HOME']}/.rustup", "PATH": f"{TOOLS}:{os.environ['PATH']}",
            "RELEASE_KEY": str(directory / "key"), "DPKG_DEB_COMPRESSOR_LEVEL": "1", "DIST": "tests/release/dist.sh", "AGENT": str(directory / "agent"), "PAGES": str(PROGRAMS / "cflared-pages"),
        }  # fmt: skip
        (directory / "gitconfig").write_text("[user]\nname = A Person\nemail = person@example.invalid\n[init]\ndefaultBranch = main\n[safe]\ndirectory = *\n")
        done("strip", "-o", directory / "agent", PROGRAMS / "cflared-agent", cwd=ROOT)
        self.key(self.origin / "packaging/release.pub", "key")
        for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "sources"]):
            done("git", *command, cwd=self.origin, env=self.environment)

    def edit(self, path, before, after):
        path.write_text(path.read_text().replace(f'"{before}"', f'"{after}"').replace(f"_{before}_", f"_{after}_").replace(f"({before})", f"({after})"))

    def key(self, public, secret):
        done("minisign", "-GWf", "-p", public, "-s", self.directory / secret, cwd=self.directory)

    def clone(self, name):
        done("git", "clone", "--quiet", self.origin, self.directory / name, cwd=self.directory, env=self.environment)
        return self.directory / name

    def release(self, clone, version, **environment):
        return run("make", "--silent", "release", f"VERSION={version}", cwd=clone, env={**self.environment, **environment})


class Account:
    """What docs/image.md loads, behind the front, on a port; and the CLI in front of it, each call of which is written down."""

    def __init__(self, directory, sources):
        peer.adapt()
        self.rehearsal = rehearsal.Rehearsal(peer.moto(), directory / "documents")
        self.port = rehearsal.serve(self.rehearsal.front)
        program = directory / "bin/aws"
        program.parent.mkdir()
        self.environment = {
            "PATH": f"{program.parent}:{os.environ['PATH']}", "HOME": str(directory), "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "loader", "AWS_SECRET_ACCESS_KEY": "made-up", "AWS_CONFIG_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1", "NO_PROXY": "*",
        }  # fmt: skip
        self.calls = Program(directory, program, self.environment)
        self.values = directory / "account.values"
        shared = self.rehearsal.documents["prd"]
        self.values.write_text("".join(f"{name}={value}\n" for name, value in shared.values.items()))
        self.s3 = peer.SESSION.create_client("s3", region_name="us-east-1", endpoint_url=self.environment["AWS_ENDPOINT_URL"], aws_access_key_id="loader", aws_secret_access_key="made-up")
        self.s3.create_bucket(Bucket="adventive-platform-artifacts")

    def made(self):
        """The commands that were executed, which is then forgotten."""
        return [["aws", *call] for call in self.calls.taken()]


class Release(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        cls.directory = pathlib.Path(directory.name)
        cls.sources = Sources(cls.directory)
        cls.version = cls.sources.version
        cls.clone = cls.sources.clone("clone")
        cls.ended = cls.sources.release(cls.clone, cls.version)
        cls.account = Account(cls.directory, cls.sources)
        cls.addClassCleanup(cls.account.calls.end)
        print(cls.ended.stdout, file=sys.stderr)

    def git(self, *command):
        return done("git", *command, cwd=self.clone, env=self.sources.environment).strip()

    # The release

    def test_the_commit_the_tag_and_every_file(self):
        self.assertEqual(self.ended.returncode, 0, self.ended.stderr)
        processor = os.uname().machine
        names = {f"cflared-agent-{processor}", f"cflared-agent-{processor}.cdx.json", self.package(), "NOTES.md", "SHA256SUMS", "SHA256SUMS.minisig"}
        self.assertEqual({each.name for each in (self.clone / "target/dist").iterdir()}, names)
        self.assertEqual(self.git("tag"), f"v{self.version}")
        self.assertEqual(self.git("rev-parse", f"v{self.version}^{{commit}}"), self.git("rev-parse", "HEAD"))
        self.assertEqual(self.git("status", "--porcelain"), "")
        self.assertEqual(self.git("log", "-1", "--format=%s"), f"release: {self.version}")
        dated = re.search(rf"^## Unreleased\n\n## {re.escape(self.version)} – \d{{4}}-\d\d-\d\d\n\n- ", (self.clone / "CHANGELOG.md").read_text(), re.MULTILINE)
        self.assertTrue(dated)
        self.assertEqual(self.git("grep", "--fixed-strings", "--name-only", "0.0.1", "--", "Cargo.toml", "imagebuilder", "packaging/aws").strip() if self.left() else "", "")
        done("cargo", "metadata", "--locked", "--offline", "--no-deps", "--format-version", "1", cwd=self.clone, env=self.sources.environment)

    def left(self):
        return run("git", "grep", "--fixed-strings", "0.0.1", "--", "Cargo.toml", "imagebuilder", "packaging/aws", cwd=self.clone, env=self.sources.environment).stdout

    def package(self):
        return f"cflared-agent_{self.version}_{done('dpkg', '--print-architecture', cwd=self.directory).strip()}.deb"

    def test_the_notes_say_how_to_verify_and_that_works(self):
        notes = (self.clone / "target/dist/NOTES.md").read_text()
        (commands,) = re.findall(r"```sh\n(.*?)```", notes, re.DOTALL)
        done("sh", "-eu", "-c", commands, cwd=self.clone / "target/dist")
        with (self.clone / "target/dist/SHA256SUMS").open() as sums:
            listed = {line.split()[1] for line in sums}
        self.assertEqual(listed, {each.name for each in (self.clone / "target/dist").iterdir()} - {"SHA256SUMS", "SHA256SUMS.minisig"})

    def refused(self, says, version="9.9.9", change=None, **environment):
        """A release in a clone of its own, with a change of that; the clone is then as it was."""
        clone = self.sources.clone(tempfile.mktemp(prefix="refused-", dir=""))
        if change:
            change(clone)
        before = self.seen(clone)
        ended = self.sources.release(clone, version, **environment)
        self.assertNotEqual(ended.returncode, 0, says)
        self.assertIn(says, ended.stderr)
        self.assertEqual(self.seen(clone), before, says)

    def seen(self, clone):
        return [done("git", *command, cwd=clone, env=self.sources.environment) for command in (["status", "--porcelain"], ["tag"], ["rev-parse", "HEAD"], ["diff"])]

    def commit(self, clone):
        done("git", "commit", "--quiet", "--all", "--message", "a change", cwd=clone, env=self.sources.environment)

    def test_each_refusal_names_the_next_step_and_changes_nothing(self):
        def no_section(clone):
            (clone / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n## 0.0.1 – 2026-11-20\n\n- First.\n")
            self.commit(clone)

        def no_key(clone):
            (clone / "packaging/release.pub").unlink()
            self.commit(clone)

        def tagged(clone):
            done("git", "tag", "v9.9.9", cwd=clone, env=self.sources.environment)

        self.refused("commit them, or put them away", change=lambda clone: (clone / "README.md").write_text("changed"))
        self.refused("git stash", change=lambda clone: (clone / "new").write_text("not known"))
        self.refused("choose a greater version", change=tagged)
        self.refused("VERSION=9.9.10", "9.9.8", change=tagged)
        self.refused("VERSION=0.0.2", "0.0.1")
        self.refused("make release VERSION=1.2.3", "1.2")
        self.refused("make release VERSION=1.2.3", "")
        self.refused("write what a user would notice", change=no_section)
        self.refused("minisign -G", change=no_key)
        self.refused("name it with RELEASE_KEY=", RELEASE_KEY="/nowhere")

    def test_what_was_not_made_of_this_tree_is_not_released(self):
        self.sources.key(self.directory / "other.pub", "other")
        self.refused("see above; correct it", self.version, DIST="false")
        self.refused("has no package", self.version, DIST="rm -rf target/dist; mkdir -p target/dist")
        self.refused("says that it is", "8.8.8", AGENT="/bin/true")
        again = f"mkdir -p target/dist && cp {self.clone}/target/dist/cflared-agent[-_]* target/dist"
        self.refused(f"is not cflared-agent 8.8.8 for", "8.8.8", DIST=again)
        self.refused("has no bill of materials", self.version, DIST=f"{again} && rm target/dist/*.cdx.json")
        self.refused("does not belong to packaging/release.pub", self.version, DIST=again, RELEASE_KEY=str(self.directory / "other"))

    # Publishing

    def publish(self, *more, clone=None, directory="target/dist", image=IMAGE, values=None):
        given = ["--values", values or self.account.values, "--image-version", image, "--out", self.directory / "published"]
        # By its name Python may be found through a program that puts its own directories first, and with them another CLI.
        return run(sys.executable, "packaging/publish", *given, *more, directory, cwd=clone or self.clone, env=self.account.environment)

    def test_published_as_the_dry_run_says_and_again_without_a_change(self):
        dry = self.publish()
        self.assertEqual((dry.returncode, self.account.made()), (0, []), dry.stderr)
        printed = [shlex.split(line) for line in dry.stdout.splitlines()]
        first = self.publish("--do")
        self.assertEqual(first.returncode, 0, first.stderr)
        self.assertEqual(self.account.made(), printed)
        self.assertEqual(first.stdout, dry.stdout)
        self.arrived()
        before = json.dumps(self.account.rehearsal.world.made, default=str)
        again = self.publish("--do")
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual(self.account.made(), printed)
        self.assertEqual(json.dumps(self.account.rehearsal.world.made, default=str), before)
        kept = self.directory / "kept.values"
        shutil.copy(self.directory / "published/values", kept)
        with_new_values = self.publish("--do", values=kept)
        self.assertEqual((with_new_values.returncode, with_new_values.stdout), (0, dry.stdout), with_new_values.stderr)
        self.account.made()
        print(f"publish: {len(printed)} commands: {len([each for each in printed if each[2].startswith(('put', 'create', 'update'))])} that make, the others look", file=sys.stderr)

    def arrived(self):
        """What is in the account: the package with its checksum, the new versions, and the pipeline on them; the old ones stay."""
        world, key = self.account.rehearsal.world, f"cflared/{self.package()}"
        stored = self.account.s3.get_object(Bucket="adventive-platform-artifacts", Key=key)["Body"].read()
        self.assertEqual(stored, (self.clone / "target/dist" / self.package()).read_bytes())
        recipes = sorted(arn for arn in world.made if ":image-recipe/" in arn)
        self.assertEqual([arn.rsplit("/", 1)[1] for arn in recipes], ["1.0.3", IMAGE])
        pipeline = world.one("image-pipeline")
        self.assertEqual(pipeline["imageRecipeArn"], recipes[1])
        self.assertEqual((pipeline["name"], pipeline["schedule"]["scheduleExpression"]), ("adv-cflared-pipeline", "cron(0 6 ? * TUE *)"))
        used = [each["componentArn"] for each in world.made[recipes[1]]["components"]]
        self.assertTrue(all(arn in world.made and arn.endswith(f"/{IMAGE}") for arn in used))

    def test_a_release_that_is_not_whole_is_not_published(self):
        def changed(name, change):
            copy = pathlib.Path(tempfile.mkdtemp(dir=self.directory)) / "dist"
            shutil.copytree(self.clone / "target/dist", copy)
            change(copy / name)
            return copy

        def flipped(path):
            data = bytearray(path.read_bytes())
            data[-1] ^= 1
            path.write_bytes(data)

        for name, change, says in [
            (self.package(), flipped, "is not what SHA256SUMS says"),
            (self.package(), pathlib.Path.unlink, "is not what SHA256SUMS says"),
            ("SHA256SUMS", lambda path: path.write_text(path.read_text().replace("0", "1", 1)), "the signature of SHA256SUMS is not"),
            ("SHA256SUMS.minisig", flipped, "the signature of SHA256SUMS is not"),
            ("SHA256SUMS.minisig", pathlib.Path.unlink, "there is no"),
        ]:
            for more in ([], ["--do"]):
                ended = self.publish(*more, directory=changed(name, change))
                self.assertEqual((ended.returncode, ended.stdout), (1, ""), (name, says))
                self.assertIn(says, ended.stderr)
        for image, says in [("1.0.3", "choose a greater --image-version"), ("1.0", "is no version")]:
            ended = self.publish("--do", image=image)
            self.assertEqual((ended.returncode, ended.stdout), (1, ""))
            self.assertIn(says, ended.stderr)
        behind = self.sources.clone("behind")
        shutil.copytree(self.clone / "target/dist", behind / "target/dist")
        ended = self.publish("--do", clone=behind)
        self.assertIn(f"git switch --detach v{self.version}", ended.stderr)
        self.assertEqual(self.account.made(), [])

    def test_another_one_under_the_same_version_is_not_taken_for_it(self):
        self.assertEqual(self.publish("--do").returncode, 0)
        self.account.s3.put_object(Bucket="adventive-platform-artifacts", Key=f"cflared/{self.package()}", Body=b"another", ChecksumAlgorithm="SHA256")
        self.account.made()
        ended = self.publish("--do")
        self.assertEqual(ended.returncode, 1)
        self.assertIn("another one is there already", ended.stderr)
        self.assertEqual(len(self.account.made()), 2, "nothing was done after it")
        self.account.s3.delete_object(Bucket="adventive-platform-artifacts", Key=f"cflared/{self.package()}")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
