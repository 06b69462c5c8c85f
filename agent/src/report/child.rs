//! Each connector: its pages, and its process as the kernel shows it.

use super::{LOOK, Part, aside, beginning_of};
use observe::{Observer, hang};
use settings::Settings;
use status::{Connector, Status};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// How many connectors are looked at: one, two during a hand-over, and one for a second opinion.
const MOST: usize = 3;
/// The most of a page, in bytes; goroutines may be more.
const PAGE: usize = 512 * 1024;
/// How long a page may take. `/diag/system` looks at its host, which takes it a second.
const PAGES: Duration = Duration::from_secs(4);

/// The pages (cloudflared's public source, `metrics/metrics.go` and `diagnostic/consts.go`).
const ASKED: [(&str, &str, &str, usize); 8] = [
    ("/ready", "ready.json", "whether it is registered", PAGE),
    ("/metrics", "metrics.txt", "its metrics", PAGE),
    ("/config", "config.json", "the configuration in force", PAGE),
    ("/diag/tunnel", "diag-tunnel.json", "its connections", PAGE),
    ("/diag/configuration", "diag-configuration.json", "its flags", PAGE),
    ("/diag/system", "diag-system.json", "its host, as it sees it", PAGE),
    ("/healthcheck", "healthcheck.txt", "whether its server answers at all", PAGE),
    (hang::GOROUTINES, "goroutines.txt", "what each of its goroutines does", hang::MOST),
];

/// What is looked at.
struct Child {
    /// What it is called in the archive.
    name: String,
    metrics: SocketAddr,
    pid: Option<u32>,
}

/// The parts: of the connectors of the status or, without one, of whoever has the metrics addresses of the settings.
pub async fn parts(settings: &Settings, status: Option<&Status>) -> Vec<Part> {
    let observer = match Observer::new(PAGES) {
        Ok(observer) => observer,
        Err(error) => return vec![Part::new("cloudflared", "cloudflared's pages", Err(error.to_string()))],
    };
    let of_status =
        |one: &Connector| Child { name: format!("cloudflared-{}", one.run), metrics: one.metrics, pid: one.pid };
    let mut children: Vec<Child> = status.into_iter().flat_map(|status| &status.connectors).map(of_status).collect();
    if children.is_empty() {
        let of_settings =
            |address: SocketAddr| Child { name: format!("port-{}", address.port()), metrics: address, pid: None };
        children.extend(settings.connector.metrics.map(of_settings));
    }
    children.truncate(MOST);
    let mut looks = tokio::task::JoinSet::new();
    for child in children {
        looks.spawn(look(observer.clone(), child));
    }
    let agent = status.map(|status| status.agent.pid).filter(|_| status.is_some_and(super::lives));
    let mut parts = match agent {
        Some(pid) => vec![process("process-agent.txt".into(), "the agent's process", pid).await],
        None => vec![],
    };
    // A look does not panic; one that did would be left out.
    let mut seen: Vec<Vec<Part>> = looks.join_all().await;
    seen.sort_by(|one, other| one.first().map(|part| &part.name).cmp(&other.first().map(|part| &part.name)));
    parts.extend(seen.into_iter().flatten());
    parts
}

async fn look(observer: Observer, Child { name, metrics, pid }: Child) -> Vec<Part> {
    let mut pages = tokio::task::JoinSet::new();
    for (place, (path, file, what, most)) in ASKED.into_iter().enumerate() {
        let (observer, name) = (observer.clone(), name.clone());
        pages.spawn(async move {
            let page = observer.page(metrics, path, most).await.map_err(|error| error.to_string());
            (place, Part::new(format!("{name}/{file}"), format!("{path}: {what}"), page))
        });
    }
    let mut pages = pages.join_all().await;
    pages.sort_by_key(|(place, _)| *place);
    let pages: Vec<Part> = pages.into_iter().map(|(_, part)| part).collect();
    let mut parts = match nothing_answers(&pages, &name, metrics) {
        Some(one) => vec![one],
        None => pages,
    };
    if let Some(pid) = pid {
        parts.push(process(format!("{name}/process.txt"), "its process, as the kernel shows it", pid).await);
    }
    parts
}

/// Where nobody listens, one sentence is enough.
fn nothing_answers(pages: &[Part], name: &str, metrics: SocketAddr) -> Option<Part> {
    let refused = |part: &Part| part.content.as_ref().is_err_and(|why| why.contains("refused"));
    pages.iter().all(refused).then(|| {
        let why = format!("nobody listens on {metrics}: the connector is not running, or has another port");
        Part::new(format!("{name}/pages.txt"), "cloudflared's pages", Err(why))
    })
}

async fn process(name: String, what: &str, pid: u32) -> Part {
    let read = move || match Path::new("/proc").join(pid.to_string()).exists() {
        true => Ok(hang::process(Path::new("/proc"), pid)),
        false => Err(format!("there is no process {pid} any more")),
    };
    let seen = aside("the process", LOOK, read).await;
    Part::new(name, what, seen.map(|text| beginning_of(&text, PAGE)))
}
