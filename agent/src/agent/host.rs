//! The facts and resources that the agent holds after the boot.

use aws::autoscaling::{AutoScaling, Lifecycle};
use aws::cloudwatch::{CloudWatch, Dimensions};
use aws::{Aws, Environment, Instance};
use bundle::Writer;
use input::file::{self, Links};
use settings::Settings;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// This instance, its store, and the ways to AWS.
#[derive(Debug)]
pub(super) struct Host {
    pub instance: Instance,
    /// What the tag said last.
    pub environment: Option<Environment>,
    /// What the tag said a moment ago, if nobody has used that yet.
    pub fresh_environment: Option<Environment>,
    pub store: Arc<Writer>,
    pub secrets: aws::secret::Client,
    /// `None`: switched off.
    pub autoscaling: Option<Arc<AutoScaling>>,
    /// `None`: switched off, and no hook is named.
    pub lifecycle: Option<Arc<Lifecycle>>,
    /// `None`: switched off.
    pub cloudwatch: Option<CloudWatch>,
    /// When the image was built, if it says so.
    pub image_built: Option<SystemTime>,
}

impl Host {
    pub fn new(booted: super::boot::Booted, aws: &Aws, settings: &Settings, dry_run: bool) -> Self {
        let super::boot::Booted { instance, environment, store, image_built, .. } = booted;
        let scaling = AutoScaling::new(&aws.auto_scaling(&instance.region), instance.id.as_str(), dry_run);
        let (scaling, hooks) = (Arc::new(scaling), settings.lifecycle.clone());
        // Who names a hook wants it completed, whether or not the instance may be marked.
        let placed = settings.autoscaling.enabled || hooks != settings::Lifecycle::default();
        let lifecycle = placed.then(|| Arc::new(Lifecycle::new(scaling.clone(), hooks)));
        Self {
            secrets: aws.secrets_manager(&instance.region),
            autoscaling: settings.autoscaling.enabled.then_some(scaling),
            lifecycle,
            cloudwatch: None,
            fresh_environment: environment.clone(),
            environment,
            store,
            image_built,
            instance,
        }
    }

    /// What this instance's metrics are told apart by; `None` until both are known.
    pub fn dimensions(&self, tunnel: Option<&str>) -> Option<Arc<Dimensions>> {
        Some(Arc::new(Dimensions {
            environment: self.environment.as_ref()?.as_str().into(),
            tunnel: tunnel?.into(),
            instance: self.instance.id.as_str().into(),
            zone: self.instance.zone.as_str().into(),
        }))
    }

    /// How old the image is, in days.
    pub fn image_age_days(&self, now: SystemTime) -> Option<f64> {
        const DAY: f64 = 86_400.0;
        let age = now.duration_since(self.image_built?).unwrap_or(Duration::ZERO);
        Some(age.as_secs_f64() / DAY)
    }
}

/// The largest `image.json` that is read, in bytes; a real one has some 200.
const LARGEST: u64 = 64 * 1024;

/// When the image was built, as `image.json` says: `built_at`, RFC 3339.
///
/// # Errors
/// The file cannot be read, or does not say.
pub(super) fn image_built(path: &Path) -> Result<SystemTime, String> {
    #[derive(serde::Deserialize)]
    struct Image {
        built_at: String,
    }
    let text = file::read(path, Links::Refused, LARGEST).map_err(|error| error.to_string())?;
    let image: Image = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    humantime::parse_rfc3339(&image.built_at).map_err(|error| format!("built_at: {error}"))
}
