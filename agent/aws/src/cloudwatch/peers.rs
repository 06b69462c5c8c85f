//! Reads the reports of the tunnel's other instances: one `GetMetricData`, less this instance's own reports.

use super::metrics::{Dimensions, REFUSED, REPLICAS, VERSION, ZONE, version_label};
use super::reported::{Reported, Share};
use crate::service_clock::{MOST_SKEW, ServiceClock};
use crate::{Call, failure};
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::config::Config;
use aws_sdk_cloudwatch::config::retry::RetryConfig;
use aws_sdk_cloudwatch::config::timeout::TimeoutConfig;
use aws_sdk_cloudwatch::operation::get_metric_data::GetMetricDataOutput;
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat, StatusCode};
use aws_smithy_types::DateTime;
use cflared_verdict::{Failure, FailureKind, PeerGrain, Peers, VersionId};
use settings::Namespace;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// The permission.
const ACTION: &str = "cloudwatch:GetMetricData";
/// Time-outs: to connect, of an attempt, and of the whole read with all its pages.
const CONNECT: Duration = Duration::from_secs(2);
const ATTEMPT: Duration = Duration::from_secs(4);
const READ: Duration = Duration::from_secs(10);
/// Attempts of a call: reading twice is the same as once.
const ATTEMPTS: u32 = 3;
/// The most pages that are followed. The minutes that matter fit into one.
const MOST_PAGES: usize = 5;
/// A refusal counts for so many grains: a datapoint is to be seen up to 15 s (jitter) and some minutes after its grain, so the
/// newest may be missing.
const REMEMBERED: u32 = 5;
/// More connectors than any tunnel has: a sum over it is no count.
const MOST_COUNT: f64 = 1e6;
/// More zones than any region has (6, us-east-1).
const MOST_ZONES: usize = 16;
/// How the ids of the two statistics begin in the question; the place of the series follows.
const SUM: &str = "sum";
const COUNT: &str = "count";
/// What times of a question are rounded to, in seconds: the service does so with a start
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html>).
const MINUTE: u64 = 60;

/// Asks for the peers. Clones know the same.
#[derive(Debug, Clone)]
pub struct PeerReader {
    pub(super) client: Client,
    pub(super) namespace: Namespace,
    pub(super) grain: Duration,
    pub(super) reported: watch::Receiver<Reported>,
}

impl PeerReader {
    /// What the others of `of`'s tunnel and environment reported in the grains that ended within `since`, all of it or
    /// nothing, within 10 s; how many of them with `version`, and the same of each of `zones`. `wall` is the time of day on
    /// this host, by which nothing is aged unless AWS does not date its answers.
    ///
    /// A grain counts when CloudWatch has both its sum and its number of samples. What this instance reported is taken
    /// out; where that is not known, what is taken out is the most that it may have been, so the peers are never
    /// more than there are; a grain of which that leaves nobody registered, who may be there all the same, is left out, for
    /// it tells neither. So is one that has not ended by AWS's clock, as from a host whose clock is ahead.
    ///
    /// # Errors
    /// The call failed or took too long, the answer is partial or no count, there are too many zones to ask for, or this host's
    /// clock is off by more than five minutes.
    pub async fn read(
        &self,
        of: &Dimensions,
        since: Duration,
        version: Option<&VersionId>,
        zones: &[String],
        wall: SystemTime,
    ) -> Result<Peers, Failure> {
        let namespace = &*self.namespace.of(&of.environment);
        if zones.len() > MOST_ZONES {
            let why = format!("there are {} zones, more than {MOST_ZONES}, too many to judge", zones.len());
            return Err(failed(namespace, REPLICAS, FailureKind::Invalid, &why));
        }
        let label = version.map(version_label);
        let mut series = vec![Wanted::replicas(of, None)];
        series.extend(zones.iter().map(|zone| Wanted::replicas(of, Some(zone))));
        series.extend(label.as_deref().map(|label| Wanted::version(of, label)));
        let (now, mut counts) = self.counts(&Question { namespace, series: &series, since, wall }).await?;
        // Looked at after the answer: what was not sent by now is not in it.
        let reported = self.reported.borrow().clone();
        let registered = label.as_deref().and_then(|label| Some((label, counts.pop()?)));
        let mut counts = counts.into_iter();
        let mut grains = |own: bool| self.others(counts.next().unwrap_or_default(), &reported, of, own, now, since);
        let all = grains(true);
        let zones = zones.iter().map(|zone| {
            let grains = grains(*zone == of.zone).into_iter().map(|(_, grain)| grain).collect();
            (zone.clone(), grains)
        });
        let zones = zones.collect();
        let with_version = |(start, grain): (u64, PeerGrain)| {
            let same_version = registered.as_ref().and_then(|(label, counts)| {
                let (_, share) = counts.iter().find(|(at, _)| *at == start)?;
                let others = share.live.saturating_sub(u32::from(reported.has_version(start, of, label)));
                (others > 0).then_some(others)
            });
            PeerGrain { same_version, ..grain }
        };
        Ok(Peers { grains: all.into_iter().map(with_version).collect(), zones })
    }

    /// What others reported, by the start of each grain, if what this instance reported is among it or not (`own`).
    fn others(
        &self,
        counts: Vec<(u64, Share)>,
        reported: &Reported,
        of: &Dimensions,
        own: bool,
        now: Duration,
        since: Duration,
    ) -> Vec<(u64, PeerGrain)> {
        let mut grains = Vec::new();
        for (start, share) in counts {
            let mine = if own { reported.own(start, of) } else { Share::default() };
            let Some(age) = now.checked_sub(Duration::from_secs(start) + self.grain) else { continue };
            if age > since + self.grain {
                continue;
            }
            let live = share.live.saturating_sub(mine.live);
            if own && live == 0 && share.live > 0 && !reported.knows(start) {
                continue;
            }
            let reporting = share.reporting.saturating_sub(mine.reporting).max(live);
            grains.push((start, PeerGrain { age, live, reporting, same_version: None }));
        }
        grains
    }

    /// How many others reported in one of the last five whole grains that they refuse a version of the secret: the
    /// most of any. `wall` is as for [`PeerReader::read`].
    ///
    /// What this instance reported is taken out as far as it is known: a report of an agent before this one counts as
    /// another's, which costs so many grains of waiting at most, while one too few would let a bad version through.
    ///
    /// # Errors
    /// As [`PeerReader::read`].
    pub async fn refusals(&self, of: &Dimensions, wall: SystemTime) -> Result<u32, Failure> {
        let series = [Wanted { metric: REFUSED, dimensions: of_tunnel(of) }];
        let namespace = &*self.namespace.of(&of.environment);
        let question = Question { namespace, series: &series, since: REMEMBERED * self.grain, wall };
        let (now, counts) = self.counts(&question).await?;
        let counts = counts.into_iter().next().unwrap_or_default();
        let reported = self.reported.borrow().clone();
        let lately = counts.into_iter().filter(|(start, _)| {
            let age = now.checked_sub(Duration::from_secs(*start) + self.grain);
            age.is_some_and(|age| age < REMEMBERED * self.grain)
        });
        let others = lately.map(|(start, share)| share.live.saturating_sub(u32::from(reported.refused(start, of))));
        Ok(others.max().unwrap_or_default())
    }

    /// The time by AWS's clock, since 1970, and what was reported of each series by the start of each grain, within 10 s.
    async fn counts(&self, question: &Question<'_>) -> Result<(Duration, Vec<Vec<(u64, Share)>>), Failure> {
        let clock = ServiceClock::default();
        let read = tokio::time::timeout(READ, self.ask(question, &clock)).await;
        // A wrong clock makes calls fail, too: then it is the cause to name.
        clock.check(question.wall)?;
        let answer = read.unwrap_or_else(|_| {
            let next = "no answer in time; check the route, the security group and the proxy to AWS on port 443";
            Err(failed(question.namespace, question.metric(), FailureKind::Unreachable, next))
        })?;
        let now = clock.now(question.wall).duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok((now, answer.counts(question.metric())?))
    }

    async fn ask(&self, question: &Question<'_>, clock: &ServiceClock) -> Result<Answer, Failure> {
        let Question { namespace, series, since, wall } = *question;
        let metric = question.metric();
        let wall = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        // Wide enough for a clock that is as wrong as it may be; what is too old or not over yet is left out later.
        let from = wall.saturating_sub(since + self.grain + MOST_SKEW).as_secs() / MINUTE * MINUTE;
        let to = (wall + MOST_SKEW).as_secs().div_ceil(MINUTE) * MINUTE;
        let queries: Vec<_> =
            series.iter().enumerate().flat_map(|(place, wanted)| self.queries(namespace, place, wanted)).collect();
        let (mut answer, mut token) = (Answer::new(series.len()), None);
        for _ in 0..MOST_PAGES {
            let request = self.client.get_metric_data().start_time(seconds(from)).end_time(seconds(to));
            let request = request.set_metric_data_queries(Some(queries.clone())).set_next_token(token);
            let request = request.customize().config_override(bounded()).interceptor(clock.clone());
            let page =
                request.send().await.map_err(|error| failure(&error, Call { action: ACTION, object: metric }))?;
            token = page.next_token.clone().filter(|token| !token.is_empty());
            answer.add(page).map_err(|(kind, why)| failed(namespace, metric, kind, &why))?;
            if token.is_none() {
                return answer.whole().map_err(|(kind, why)| failed(namespace, metric, kind, &why));
            }
        }
        let why = format!("the answer has more than {MOST_PAGES} pages, too many to judge; ask for less time");
        Err(failed(namespace, metric, FailureKind::Invalid, &why))
    }

    /// Its sum and its number of samples.
    fn queries(&self, namespace: &str, place: usize, wanted: &Wanted) -> [MetricDataQuery; 2] {
        let dimensions = wanted.dimensions.iter();
        let dimensions =
            dimensions.map(|(name, value)| Dimension::builder().name(*name).value(value).build()).collect();
        let metric = Metric::builder().namespace(namespace).metric_name(wanted.metric);
        let metric = metric.set_dimensions(Some(dimensions)).build();
        let period = i32::try_from(self.grain.as_secs()).unwrap_or(i32::MAX);
        [(SUM, "Sum"), (COUNT, "SampleCount")].map(|(id, statistic)| {
            let statistic = MetricStat::builder().metric(metric.clone()).period(period).stat(statistic).build();
            MetricDataQuery::builder().id(format!("{id}{place}")).metric_stat(statistic).build()
        })
    }
}

fn failed(namespace: &str, metric: &str, kind: FailureKind, why: &str) -> Failure {
    Failure::new(kind, format!("failed to read {metric} in {namespace} ({ACTION}): {why}"))
}

/// What is asked for at one time.
struct Question<'a> {
    namespace: &'a str,
    series: &'a [Wanted],
    /// How far back.
    since: Duration,
    /// The time of day on this host.
    wall: SystemTime,
}

impl Question<'_> {
    /// The metric of the first series, by which a failure is named.
    fn metric(&self) -> &'static str {
        self.series.first().map_or(REPLICAS, |wanted| wanted.metric)
    }
}

/// One series of datapoints.
struct Wanted {
    metric: &'static str,
    dimensions: Vec<(&'static str, String)>,
}

impl Wanted {
    fn replicas(of: &Dimensions, zone: Option<&str>) -> Self {
        let metric = if zone.is_some() { ZONE } else { REPLICAS };
        let zone = zone.map(|zone| ("AvailabilityZone", zone.to_owned()));
        Self { metric, dimensions: of_tunnel(of).into_iter().chain(zone).collect() }
    }

    fn version(of: &Dimensions, label: &str) -> Self {
        let dimensions = vec![("TunnelId", of.tunnel.clone()), ("SecretVersion", label.to_owned())];
        Self { metric: VERSION, dimensions }
    }
}

fn of_tunnel(of: &Dimensions) -> Vec<(&'static str, String)> {
    vec![("Environment", of.environment.clone()), ("TunnelId", of.tunnel.clone())]
}

/// Why an answer is of no use.
type Useless = (FailureKind, String);

/// What the pages of an answer come to: the sum and the number of samples of each series.
#[derive(Debug)]
struct Answer(Vec<[Series; 2]>);

/// One statistic by the start of its grain, in Unix seconds.
#[derive(Debug, Default)]
struct Series {
    values: BTreeMap<u64, f64>,
    complete: bool,
}

impl Answer {
    fn new(series: usize) -> Self {
        Self((0..series).map(|_| Default::default()).collect())
    }

    fn add(&mut self, page: GetMetricDataOutput) -> Result<(), Useless> {
        if let Some(message) = page.messages().first() {
            return Err(said(message.code(), message.value()));
        }
        for result in page.metric_data_results.unwrap_or_default() {
            let unasked = || (FailureKind::Invalid, "the answer has a result that was not asked for".to_owned());
            result.id().and_then(|id| self.series(id)).ok_or_else(unasked)?.add(&result)?;
        }
        Ok(())
    }

    fn series(&mut self, id: &str) -> Option<&mut Series> {
        let (place, statistic) = match (id.strip_prefix(SUM), id.strip_prefix(COUNT)) {
            (Some(place), _) => (place, 0),
            (None, Some(place)) => (place, 1),
            (None, None) => return None,
        };
        self.0.get_mut(place.parse::<usize>().ok()?)?.get_mut(statistic)
    }

    /// It, if no part is missing.
    fn whole(self) -> Result<Self, Useless> {
        let whole = self.0.iter().flatten().all(|series| series.complete);
        let partial = || (FailureKind::Throttled, "the answer is partial; the agent will ask again".to_owned());
        whole.then_some(self).ok_or_else(partial)
    }

    /// Of each series the grains that have both statistics, and any sample.
    fn counts(&self, metric: &str) -> Result<Vec<Vec<(u64, Share)>>, Failure> {
        let of = |[sums, counts]: &[Series; 2]| {
            let mut found = Vec::new();
            for (&start, &samples) in &counts.values {
                let Some(&sum) = sums.values.get(&start) else { continue };
                let (live, reporting) = (count(metric, sum)?, count(metric, samples)?);
                if reporting > 0 {
                    found.push((start, Share { live, reporting }));
                }
            }
            Ok(found)
        };
        self.0.iter().map(of).collect()
    }
}

impl Series {
    fn add(&mut self, result: &MetricDataResult) -> Result<(), Useless> {
        match result.status_code() {
            Some(StatusCode::Complete) => self.complete = true,
            Some(StatusCode::PartialData) => self.complete = false,
            Some(StatusCode::InternalError) => {
                return Err((
                    FailureKind::Throttled,
                    "CloudWatch reports an internal error; the agent will ask \
                    again"
                        .into(),
                ));
            }
            Some(status) if status.as_str() == "Forbidden" => {
                return Err((FailureKind::Denied, format!("access denied: the role needs {ACTION}")));
            }
            _ => return Err((FailureKind::Invalid, "the answer does not say whether it is complete".into())),
        }
        if let Some(message) = result.messages().first() {
            return Err(said(message.code(), message.value()));
        }
        let (timestamps, values) = (result.timestamps(), result.values());
        if timestamps.len() != values.len() {
            return Err((FailureKind::Invalid, "the answer has not as many values as timestamps".into()));
        }
        for (timestamp, value) in timestamps.iter().zip(values) {
            let Ok(start) = u64::try_from(timestamp.secs()) else { continue };
            self.values.insert(start, *value);
        }
        Ok(())
    }
}

fn said(code: Option<&str>, text: Option<&str>) -> Useless {
    let (code, text) = (code.unwrap_or_default(), text.unwrap_or_default());
    let shown: String = format!("{code}: {text}").escape_default().take(300).collect();
    (FailureKind::Invalid, format!("CloudWatch says {shown}; correct what it names"))
}

fn count(metric: &str, value: f64) -> Result<u32, Failure> {
    if (0.0..=MOST_COUNT).contains(&value) {
        return Ok(value.round() as u32);
    }
    let text =
        format!("failed to count the other instances: {metric} is {value}, which is no count; see who else reports it");
    Err(Failure::new(FailureKind::Invalid, text))
}

fn seconds(since_1970: u64) -> DateTime {
    DateTime::from_secs(i64::try_from(since_1970).unwrap_or(i64::MAX))
}

fn bounded() -> aws_sdk_cloudwatch::config::Builder {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(READ)
        .build();
    Config::builder().retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS)).timeout_config(timeouts)
}
