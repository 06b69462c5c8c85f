//! A page in the text form, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).

use super::families::Family;
use aws::cloudwatch::Durations;
use std::fmt::Write;

/// Its media type.
pub const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What kind of number it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, from the beginning of the agent or of the boot on.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It counts durations.
    Histogram,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A page that is being written. Writing into a string cannot fail.
#[derive(Debug, Default)]
pub struct Page(String);

impl Page {
    pub fn into_text(self) -> String {
        self.0
    }

    /// Adds a family; one without a sample stays away.
    pub fn family(&mut self, family: &Family, write: impl FnOnce(&mut Samples<'_>)) {
        let &Family { name, kind, label, help, .. } = family;
        let begin = self.0.len();
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {}", kind.name());
        let head = self.0.len();
        write(&mut Samples { text: &mut self.0, name, label });
        if self.0.len() == head {
            self.0.truncate(begin);
        }
    }
}

/// The samples of one family.
#[derive(Debug)]
pub struct Samples<'a> {
    text: &'a mut String,
    name: &'a str,
    label: &'a str,
}

impl Samples<'_> {
    pub fn put(&mut self, value: f64) {
        let _ = writeln!(self.text, "{} {value}", self.name);
    }

    #[allow(clippy::cast_precision_loss, reason = "exact up to 2^53, and a reader takes it for a float anyway")]
    pub fn count(&mut self, value: u64) {
        self.put(value as f64);
    }

    /// One of those that the label tells apart.
    pub fn labelled(&mut self, value: &str, number: f64) {
        let value = value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
        let _ = writeln!(self.text, "{}{{{}=\"{value}\"}} {number}", self.name, self.label);
    }

    #[allow(clippy::cast_precision_loss, reason = "as above")]
    pub fn labelled_count(&mut self, value: &str, count: u64) {
        self.labelled(value, count as f64);
    }

    pub fn histogram(&mut self, durations: &Durations) {
        let Self { text, name, .. } = self;
        for (bound, count) in durations.within() {
            let _ = writeln!(text, "{name}_bucket{{le=\"{}\"}} {count}", bound.as_secs_f64());
        }
        let (count, sum) = (durations.count(), durations.sum().as_secs_f64());
        let _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}");
    }
}
