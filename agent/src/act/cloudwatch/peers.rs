//! Reads what the other instances of the tunnel reported: one `GetMetricData`, less what this instance reported itself.

use super::metrics::{Dimensions, REFUSED, REPLICAS};
use super::reported::{Reported, Share};
use crate::act::service_clock::{MOST_SKEW, ServiceClock};
use crate::identity::{Call, failure};
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::config::Config;
use aws_sdk_cloudwatch::config::retry::RetryConfig;
use aws_sdk_cloudwatch::config::timeout::TimeoutConfig;
use aws_sdk_cloudwatch::operation::get_metric_data::GetMetricDataOutput;
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat, StatusCode};
use aws_smithy_types::DateTime;
use cflared_verdict::{Failure, FailureKind, PeerGrain, Peers};
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
/// The ids of the two statistics in the question.
const SUM: &str = "sum";
const COUNT: &str = "count";
/// What times of a question are rounded to, in seconds: the service does so with a start
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html>).
const MINUTE: u64 = 60;

/// Asks for the peers. Clones know the same.
#[derive(Debug, Clone)]
pub struct PeerReader {
    pub(super) client: Client,
    pub(super) namespace: String,
    pub(super) grain: Duration,
    pub(super) reported: watch::Receiver<Reported>,
}

impl PeerReader {
    /// What the others of `of`'s tunnel and environment reported in the grains that ended within `since`, all of it or
    /// nothing, within 10 s. `wall` is the time of day on this host, by which nothing is aged unless AWS does not date
    /// its answers.
    ///
    /// A grain counts when CloudWatch has both its sum and its number of samples. What this instance reported is taken
    /// out; where that is not known, what is taken out is the most that it may have been, so the peers are never
    /// more than there are; a grain of which that leaves nobody registered, who may be there all the same, is left out, for
    /// it tells neither. So is one that has not ended by AWS's clock, as from a host whose clock is ahead.
    ///
    /// # Errors
    /// The call failed or took too long, the answer is partial or no count, or this host's clock is off by more than five
    /// minutes.
    pub async fn read(&self, of: &Dimensions, since: Duration, wall: SystemTime) -> Result<Peers, Failure> {
        let question = Question { metric: REPLICAS, of, since, wall };
        let (now, counts) = self.counts(&question).await?;
        // Looked at after the answer: what was not sent by now is not in it.
        let reported = self.reported.borrow().clone();
        let mut grains = Vec::new();
        for (start, share) in counts {
            let own = reported.own(start, of);
            let Some(age) = now.checked_sub(Duration::from_secs(start) + self.grain) else { continue };
            if age <= since + self.grain {
                let live = share.live.saturating_sub(own.live);
                if live == 0 && share.live > 0 && !reported.knows(start) {
                    continue;
                }
                let reporting = share.reporting.saturating_sub(own.reporting);
                grains.push(PeerGrain { age, live, reporting: reporting.max(live), same_version: None });
            }
        }
        Ok(Peers { grains, ..Peers::default() })
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
        let question = Question { metric: REFUSED, of, since: REMEMBERED * self.grain, wall };
        let (now, counts) = self.counts(&question).await?;
        let reported = self.reported.borrow().clone();
        let lately = counts.into_iter().filter(|(start, _)| {
            let age = now.checked_sub(Duration::from_secs(*start) + self.grain);
            age.is_some_and(|age| age < REMEMBERED * self.grain)
        });
        let others = lately.map(|(start, share)| share.live.saturating_sub(u32::from(reported.refused(start, of))));
        Ok(others.max().unwrap_or_default())
    }

    /// The time by AWS's clock, since 1970, and what was reported by the start of each grain, within 10 s.
    async fn counts(&self, question: &Question<'_>) -> Result<(Duration, Vec<(u64, Share)>), Failure> {
        let clock = ServiceClock::default();
        let read = tokio::time::timeout(READ, self.ask(question, &clock)).await;
        // A wrong clock makes calls fail, too: then it is the cause to name.
        clock.check(question.wall)?;
        let answer = read.unwrap_or_else(|_| {
            let next = "no answer in time; check the route, the security group and the proxy to AWS on port 443";
            Err(self.failed(question.metric, FailureKind::Unreachable, next))
        })?;
        let now = clock.now(question.wall).duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok((now, answer.counts(question.metric)?))
    }

    async fn ask(&self, question: &Question<'_>, clock: &ServiceClock) -> Result<Answer, Failure> {
        let Question { metric, since, wall, .. } = *question;
        let wall = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        // Wide enough for a clock that is as wrong as it may be; what is too old or not over yet is left out later.
        let from = wall.saturating_sub(since + self.grain + MOST_SKEW).as_secs() / MINUTE * MINUTE;
        let to = (wall + MOST_SKEW).as_secs().div_ceil(MINUTE) * MINUTE;
        let (mut answer, mut token) = (Answer::default(), None);
        for _ in 0..MOST_PAGES {
            let request = self.client.get_metric_data().start_time(seconds(from)).end_time(seconds(to));
            let request = request.metric_data_queries(self.query(SUM, "Sum", question));
            let request = request.metric_data_queries(self.query(COUNT, "SampleCount", question)).set_next_token(token);
            let request = request.customize().config_override(bounded()).interceptor(clock.clone());
            let page =
                request.send().await.map_err(|error| failure(&error, Call { action: ACTION, object: metric }))?;
            token = page.next_token.clone().filter(|token| !token.is_empty());
            answer.add(page).map_err(|(kind, why)| self.failed(metric, kind, &why))?;
            if token.is_none() {
                return answer.whole().map_err(|(kind, why)| self.failed(metric, kind, &why));
            }
        }
        let why = format!("the answer has more than {MOST_PAGES} pages, too many to judge; ask for less time");
        Err(self.failed(metric, FailureKind::Invalid, &why))
    }

    fn query(&self, id: &str, statistic: &str, question: &Question<'_>) -> MetricDataQuery {
        let dimension = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
        let metric = Metric::builder()
            .namespace(&self.namespace)
            .metric_name(question.metric)
            .dimensions(dimension("Environment", &question.of.environment))
            .dimensions(dimension("TunnelId", &question.of.tunnel))
            .build();
        let period = i32::try_from(self.grain.as_secs()).unwrap_or(i32::MAX);
        let statistic = MetricStat::builder().metric(metric).period(period).stat(statistic).build();
        MetricDataQuery::builder().id(id).metric_stat(statistic).build()
    }

    fn failed(&self, metric: &str, kind: FailureKind, why: &str) -> Failure {
        Failure::new(kind, format!("failed to read {metric} in {} ({ACTION}): {why}", self.namespace))
    }
}

/// What is asked of one metric.
struct Question<'a> {
    metric: &'static str,
    of: &'a Dimensions,
    /// How far back.
    since: Duration,
    /// The time of day on this host.
    wall: SystemTime,
}

/// Why an answer is of no use.
type Useless = (FailureKind, String);

/// What the pages of an answer come to.
#[derive(Debug, Default)]
struct Answer {
    sums: Series,
    counts: Series,
}

/// One statistic by the start of its grain, in Unix seconds.
#[derive(Debug, Default)]
struct Series {
    values: BTreeMap<u64, f64>,
    complete: bool,
}

impl Answer {
    fn add(&mut self, page: GetMetricDataOutput) -> Result<(), Useless> {
        if let Some(message) = page.messages().first() {
            return Err(said(message.code(), message.value()));
        }
        for result in page.metric_data_results.unwrap_or_default() {
            match result.id() {
                Some(SUM) => self.sums.add(&result)?,
                Some(COUNT) => self.counts.add(&result)?,
                _ => return Err((FailureKind::Invalid, "the answer has a result that was not asked for".into())),
            }
        }
        Ok(())
    }

    /// It, if no part is missing.
    fn whole(self) -> Result<Self, Useless> {
        let whole = self.sums.complete && self.counts.complete;
        let partial = || (FailureKind::Throttled, "the answer is partial; it is asked again".to_owned());
        whole.then_some(self).ok_or_else(partial)
    }

    /// The grains that have both statistics, and any sample.
    fn counts(&self, metric: &str) -> Result<Vec<(u64, Share)>, Failure> {
        let mut counts = Vec::new();
        for (&start, &samples) in &self.counts.values {
            let Some(&sum) = self.sums.values.get(&start) else { continue };
            let (live, reporting) = (count(metric, sum)?, count(metric, samples)?);
            if reporting > 0 {
                counts.push((start, Share { live, reporting }));
            }
        }
        Ok(counts)
    }
}

impl Series {
    fn add(&mut self, result: &MetricDataResult) -> Result<(), Useless> {
        match result.status_code() {
            Some(StatusCode::Complete) => self.complete = true,
            Some(StatusCode::PartialData) => self.complete = false,
            Some(StatusCode::InternalError) => {
                return Err((FailureKind::Throttled, "CloudWatch reports an internal error; it is asked again".into()));
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
