//! Users, directories, owners and modes.

use super::root::{Kind, Node, Root, Unseen};
use crate::checks::Found;
use settings::drop_ins;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The agent's user, as the package makes it and the unit names it.
const USER: &str = "cflared-agent";
/// The program.
pub const PROGRAM: &str = "/usr/bin/cflared-agent";
const UNIT: &str = "/usr/lib/systemd/system/cflared-agent.service";
const SETTINGS: &str = "/etc/cflared-agent/agent.yml";

/// The user's number, by passwd(5).
///
/// # Errors
/// The file may not be read.
pub fn agent_uid(root: &Root) -> Result<Option<u32>, Unseen> {
    Ok(account(&root.text("/etc/passwd")?.unwrap_or_default()).and_then(|fields| fields.get(2)?.parse().ok()))
}

fn account(passwd: &str) -> Option<Vec<&str>> {
    passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == USER)
}

/// There is such a user, not root, whom nobody can log in as.
pub fn agent_user(root: &Root) -> Found {
    let passwd = match root.text("/etc/passwd") {
        Ok(text) => text.unwrap_or_default(),
        Err(error) => return Found::not_known(error.to_string()),
    };
    let Some(fields) = account(&passwd) else {
        return Found::fail(format!("/etc/passwd has no user {USER}"));
    };
    let (uid, shell) = (fields.get(2).copied().unwrap_or_default(), fields.get(6).copied().unwrap_or_default());
    let mut wrong = vec![];
    if uid.parse::<u32>().is_ok_and(|uid| uid == 0) || uid.parse::<u32>().is_err() {
        wrong.push(format!("/etc/passwd gives the user {USER} the id `{uid}`"));
    }
    if !["nologin", "false"].iter().any(|end| shell.ends_with(end)) {
        wrong.push(format!("/etc/passwd gives the user {USER} the shell `{shell}`"));
    }
    Found::from_wrongs(wrong, vec![], format!("{USER} has the id {uid} and no shell"))
}

/// The directory of the bundle is the agent's alone.
pub fn directories(root: &Root, config_dir: &Path) -> Found {
    let looked = agent_uid(root).and_then(|uid| Ok((uid, root.stat(config_dir)?)));
    let (uid, node) = match looked {
        Ok(looked) => looked,
        Err(error) => return Found::not_known(error.to_string()),
    };
    let path = config_dir.display();
    let Some(Node { kind: Kind::Directory, mode, uid: owner, .. }) = node else {
        return Found::fail(format!("{path} is not a directory"));
    };
    let mut wrong = vec![];
    if Some(owner) != uid {
        wrong.push(format!("{path} belongs to user {owner}, not to {USER}"));
    }
    if mode & 0o077 != 0 {
        wrong.push(format!("{path} has the mode {mode:04o}; 0700 keeps others out"));
    }
    Found::from_wrongs(wrong, vec![], format!("{path} belongs to {USER}, mode {mode:04o}"))
}

/// What runs, and what says how, is root's, and nobody else may write it.
pub fn files(root: &Root, cloudflared: &Path, image_file: &Path) -> Found {
    let files = [Path::new(PROGRAM), cloudflared, Path::new(UNIT), Path::new(SETTINGS), image_file].map(PathBuf::from);
    let directory = drop_ins(Path::new(SETTINGS));
    let dropped = match root.names(&directory) {
        Ok(names) => names.into_iter().map(|name| directory.join(name)).collect(),
        Err(error) => return Found::not_known(error.to_string()),
    };
    let files: Vec<PathBuf> = [files.to_vec(), dropped].concat();
    // One directory up as well: whoever may write that may replace the file.
    let paths: BTreeSet<&Path> = files.iter().flat_map(|path| [Some(&**path), path.parent()]).flatten().collect();
    let (mut wrong, mut unseen, mut looked_at) = (vec![], vec![], 0);
    for path in paths {
        match root.stat(path) {
            Ok(None) => {}
            Ok(Some(node)) => {
                looked_at += 1;
                if node.uid != 0 {
                    wrong.push(format!("{} belongs to user {}, not to root", path.display(), node.uid));
                }
                if node.mode & 0o022 != 0 {
                    wrong.push(format!("{} has the mode {:04o}: others may write to it", path.display(), node.mode));
                }
            }
            Err(error) => unseen.push(error.to_string()),
        }
    }
    Found::from_wrongs(wrong, unseen, format!("{looked_at} files and directories belong to root"))
}
