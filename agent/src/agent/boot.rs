//! The start of the agent: it takes the store's lock and identifies the instance before anything is decided.

use aws::{Environment, Instance, Metadata, NoticeReader};
use bundle::{Found, Policy, Store, Writer};
use cflared_verdict::{Installed, Notices};
use settings::Settings;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tracing::{info, warn};

/// A config directory that cannot be used is mended by a person: this often is soon enough.
const STORE_AGAIN: Duration = Duration::from_secs(5);

/// What the boot found.
#[derive(Debug)]
pub struct Booted {
    /// Who this instance is.
    pub instance: Instance,
    /// What its tag says it is for, if it could be read already.
    pub environment: Option<Environment>,
    /// What the metadata service says of its future; nothing, if that could not be read at once.
    pub notices: Notices,
    /// The store, which is ours until the agent ends.
    pub store: Arc<Writer>,
    /// The bundle that may be started at once.
    pub installed: Option<Installed>,
    /// When the image was built, if it says so.
    pub image_built: Option<SystemTime>,
}

/// Takes the store and learns the identity, side by side, for as long as it takes. `opened` is what the first try at
/// the store came to; `trouble` hears what is in the way.
///
/// # Errors
/// Another agent holds the store.
pub async fn boot(
    settings: Arc<Settings>,
    opened: Opened,
    metadata: Metadata,
    notices: NoticeReader,
    trouble: mpsc::UnboundedSender<String>,
) -> Result<Booted, bundle::Error> {
    let learnt = async { Ok(learn(&settings, &metadata, &notices, &trouble).await) };
    let (store, (instance, environment, notices)) = tokio::try_join!(take_store(opened, &settings, &trouble), learnt)?;
    let (id, known) = (instance.id.clone(), environment.clone());
    let (image_file, policy) = (settings.paths.image_file.clone(), Policy::of(&settings, aws::metadata_address()));
    let on_disk = tokio::task::spawn_blocking(move || {
        let found = store.store().usable(id.as_str(), known.as_ref().map(Environment::as_str), &policy);
        (found, super::host::image_built(&image_file), store)
    });
    let (found, image_built, store) = on_disk.await.expect("reading the disk does not panic");
    let installed = match found {
        Found::Whole(installed) => Some(installed),
        Found::Nothing => None,
        Found::Unusable { generation, why } => {
            warn!(?generation, %why, event = "installed_bundle_not_used", "installed bundle not used");
            None
        }
    };
    if let Err(why) = &image_built {
        info!(file = %settings.paths.image_file.display(), why, event = "image_age_unknown", "the image's age is not known");
    }
    let known = environment.as_ref().map_or("not known yet", Environment::as_str);
    info!(instance = %instance.id, region = %instance.region, environment = known, event = "identified", "identified");
    Ok(Booted { instance, environment, notices, store, installed, image_built: image_built.ok() })
}

/// What came of a try to take the store.
#[derive(Debug)]
pub enum Opened {
    /// It is ours until the agent ends.
    Taken(Arc<Writer>),
    /// It cannot be written to, as on a disk that failed; it is read all the same.
    ReadOnly(Arc<Writer>, bundle::Error),
    /// It cannot be used.
    Unusable(bundle::Error),
}

/// Tries once to take the store.
///
/// # Errors
/// Another agent holds it.
pub async fn open_store(settings: &Settings) -> Result<Opened, bundle::Error> {
    let dir = settings.paths.config_dir.clone();
    let opened = tokio::task::spawn_blocking(move || {
        let writer = match Store::open(dir) {
            Ok(store) => Writer::new(store),
            Err(error) => return Ok(Opened::Unusable(error)),
        };
        match writer.lock() {
            Ok(()) => Ok(Opened::Taken(Arc::new(writer))),
            Err(busy @ bundle::Error::Busy { .. }) => Err(busy),
            Err(error) => Ok(Opened::ReadOnly(Arc::new(writer), error)),
        }
    });
    opened.await.expect("opening a store does not panic")
}

/// Goes on until the store can at least be read.
async fn take_store(
    mut opened: Opened,
    settings: &Settings,
    trouble: &mpsc::UnboundedSender<String>,
) -> Result<Arc<Writer>, bundle::Error> {
    loop {
        match opened {
            Opened::Taken(writer) => return Ok(writer),
            Opened::ReadOnly(writer, error) => {
                report(trouble, error.to_string());
                return Ok(writer);
            }
            Opened::Unusable(error) => report(trouble, error.to_string()),
        }
        tokio::time::sleep(STORE_AGAIN).await;
        opened = open_store(settings).await?;
    }
}

/// The tag is asked for beside the rest, and not waited for: a bundle that is installed may start without it. Notices are
/// asked for once the service answers, and briefly.
async fn learn(
    settings: &Settings,
    metadata: &Metadata,
    notices: &NoticeReader,
    trouble: &mpsc::UnboundedSender<String>,
) -> (Instance, Option<Environment>, Notices) {
    let known = aws::until_known(
        || async {
            let (instance, notices) = tokio::join!(metadata.instance(), notices.read_soon());
            Ok((instance?, notices))
        },
        |error| {
            report(trouble, error.to_string());
            ControlFlow::Continue(())
        },
    );
    let (known, environment) = tokio::join!(known, aws::environment(metadata, &settings.identity));
    let (instance, notices) = known.expect("it is never broken off");
    // What is installed is to start all the same.
    let notices = notices.unwrap_or_else(|cause| {
        warn!(
            cause,
            event = "place_unknown",
            "the agent does not know whether this instance should serve, so it serves, and asks again"
        );
        Notices::default()
    });
    (instance, environment.ok(), notices)
}

fn report(trouble: &mpsc::UnboundedSender<String>, text: String) {
    warn!(cause = text, event = "boot_retrying", "start-up failed; trying again");
    // Nobody listens any more: the agent is about to end.
    let _ = trouble.send(text);
}
