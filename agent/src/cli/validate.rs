//! `cflared-agent validate`: is this image fit? For the validate and test phases of an image's build.

use super::{Exit, complain, say, say_json};
use crate::agent::Clock;
use crate::checks::image::{Image, Root, Unseen};
use crate::checks::{Found, Report, Verdict};
use settings::{DEFAULT_PATH, File, Settings, drop_ins, is_drop_in};
use std::iter;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Check an unpacked image: nothing of it is executed, and its own settings are used
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Print all evidence, and the checks that passed
    #[arg(long, conflicts_with = "json")]
    verbose: bool,
}

/// `named` are the settings that the command line names.
pub fn main(named: Option<&Path>, args: &Args) -> Exit {
    let root = match Root::open(&args.root) {
        Ok(root) => root,
        Err(error) => {
            complain(format_args!(
                "failed to open {}: {error}; name the directory of an unpacked image",
                args.root.display()
            ));
            return Exit::Unknown;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(format_args!("failed to start the runtime: {error}"));
            return Exit::Unknown;
        }
    };
    let now = Clock::start().wall();
    let (settings, settings_found) = settings(&root, named);
    let image = Image { root: &root, settings: &settings, settings_found, version: env!("CARGO_PKG_VERSION"), now };
    let mut report = Report::new("validate", format!("the image {}", args.root.display()), now);
    runtime.block_on(image.look(&mut report));
    if args.json {
        say_json(&report.json());
    } else {
        say(report.text(args.verbose));
    }
    match report.verdict() {
        Verdict::Fine => Exit::Fine,
        Verdict::NotFine => Exit::NotFine,
        Verdict::Unknown => Exit::Unknown,
    }
}

/// The settings that are named, else those of the image. If they are not valid, that is a finding, and the defaults
/// serve to look at the rest.
fn settings(root: &Root, named: Option<&Path>) -> (Settings, Found) {
    let path = named.unwrap_or(Path::new(DEFAULT_PATH));
    let loaded = match named {
        Some(path) => Settings::load(Some(path)).map(|settings| (settings, format!("{} is valid", path.display()))),
        None => match files(root, path) {
            Err(error) => return (Settings::default(), Found::not_known(error.to_string())),
            Ok(files) => Settings::merged(&files).map(|settings| (settings, told(path, &files))),
        },
    };
    match loaded {
        Ok((settings, told)) => (settings, Found::pass(told)),
        Err(error) => (Settings::default(), Found::fail(error.to_string())),
    }
}

/// Which files the settings are of.
fn told(path: &Path, files: &[File]) -> String {
    let dropped = files.iter().filter(|file| file.path != path).count();
    let path = path.display();
    match (dropped, files.len()) {
        (0, 0) => format!("{path} is not there: all are defaults"),
        (0, _) => format!("{path} is valid"),
        (dropped, _) => format!("{path} with {dropped} drop-ins is valid"),
    }
}

/// The image's file and its drop-ins, as far as they are there.
fn files(root: &Root, path: &Path) -> Result<Vec<File>, Unseen> {
    let directory = drop_ins(path);
    let names = root.names(&directory)?.into_iter().filter(|name| is_drop_in(name));
    let paths = iter::once(path.to_owned()).chain(names.map(|name| directory.join(name)));
    let mut files = vec![];
    for path in paths {
        if let Some(text) = root.text(&path)? {
            files.push(File { path, text });
        }
    }
    Ok(files)
}
