//! How each happening of the table is brought about, and ended, with the stand-ins.

use crate::reader::{Happening, What, Who};
use crate::stage::{Stage, payload};
use anyhow::{Context, ensure};
use cflared_tests::aws::{Health, Visibility};
use cflared_tests::edge::{Conduct, Route, Scope, Transport};
use cflared_tests::http::faults::Trouble;
use cflared_tests::world::{GROUP, TUNNEL, eventually, tunnel_secret};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How the edge is while this is so; `None`: it has nothing to do with it.
fn conduct(what: What) -> Option<Conduct> {
    match what {
        What::EdgeRefused => Some(Conduct::Refuse),
        What::EdgeBlackHole => Some(Conduct::BlackHole),
        // There is no other instance at this edge: what others come to is what they report.
        What::EdgeHangs | What::AnswersLost => Some(Conduct::Hang),
        What::EdgeRejects => Some(Conduct::Retry),
        What::TunnelGone => Some(Conduct::Permanent),
        _ => None,
    }
}

/// The actions that AWS refuses while this is so, and how.
fn refusal(what: What) -> Option<(&'static str, Trouble)> {
    match what {
        What::SecretDenied => Some(("GetSecretValue", Trouble::Denied)),
        What::PeersDenied => Some(("GetMetricData", Trouble::Denied)),
        What::GroupDenied => Some(("DescribeAutoScalingGroups", Trouble::Denied)),
        What::GroupThrottled => Some(("DescribeAutoScalingGroups", Trouble::Throttled)),
        What::GroupUnreachable => Some(("DescribeAutoScalingGroups", Trouble::BlackHole)),
        What::MarkDenied => Some(("SetInstanceHealth", Trouble::Denied)),
        _ => None,
    }
}

impl Stage {
    /// It begins.
    pub async fn begins(&mut self, it: &Happening) -> anyhow::Result<()> {
        match it.who {
            Who::This => {}
            Who::Zone => self.others.set_zone_registered(false),
            Who::All => self.others.set_registered(false),
        }
        if let Some(conduct) = conduct(it.what) {
            self.world.edge.set(conduct).await?;
            self.world.edge.drop_connections(&Scope::default());
            return Ok(());
        }
        if let Some((action, trouble)) = refusal(it.what) {
            self.world.aws.plant(trouble.on(action));
            return Ok(());
        }
        match it.what {
            What::Unauthorized => {
                self.world.edge.require_secret(TUNNEL, &tunnel_secret(2));
                self.world.edge.drop_connections(&Scope::default());
            }
            What::Frozen
            | What::Killed
            | What::CrashLoop
            | What::ExitsWithWords
            | What::Panics
            | What::PortTaken
            | What::OnePortTaken
            | What::BothPortsTaken
            | What::ConfigRefused => self.process_breaks(it).await?,
            What::UdpBlocked => {
                self.world.edge.set_udp(Some(Conduct::BlackHole)).await?;
                self.world.edge.silence(&Scope { transport: Some(Transport::Quic), ..Scope::default() });
            }
            What::NewVersion | What::BadVersion => self.secret_changes(it.what == What::BadVersion),
            What::OriginDown => self.origin_fails().await?,
            What::PeersDead => self.others.set_reporting(false),
            What::PeersOld => self.others.set_old(true),
            What::PeersRefuse => self.others.set_refusing(true),
            What::PeersLost => self.world.aws.set_visibility(Visibility { delay_ms: 0, lose: u32::MAX }),
            What::GroupSkewed => self.world.aws.set_clock_ahead(3600),
            What::NoGroup | What::This | What::Other | What::Suspended => self.group_changes(it)?,
            What::Refresh => ensure!(self.world.aws.set_refresh(GROUP, name(it)?), "no such group"),
            What::HoldOperator => self.operator_holds(it).await?,
            What::HoldTag => self.host.imds.edit(|instance| instance.set_tag("adv:cflared-hold", "for the migration")),
            What::ImdsAway => self.host.imds.plant(Trouble::BlackHole.everywhere()),
            What::AgentRestart => {
                self.agent.as_mut().context("no agent")?.crash().await?;
                self.agent = Some(self.host.start()?);
            }
            // It is brought about by our mark: `Stage::rival`.
            What::MarkedAtOnce => {}
            _ => anyhow::bail!("{:?} is not brought about with real processes", it.what),
        }
        Ok(())
    }

    /// It ends.
    pub async fn ends(&mut self, it: &Happening) -> anyhow::Result<()> {
        match it.who {
            Who::This => {}
            Who::Zone => self.others.set_zone_registered(true),
            Who::All => self.others.set_registered(true),
        }
        if conduct(it.what).is_some() {
            self.world.edge.set(Conduct::Accept).await?;
            return Ok(());
        }
        if let Some((action, _)) = refusal(it.what) {
            self.world.aws.clear_faults_on(action);
            return Ok(());
        }
        match it.what {
            What::Unauthorized => self.world.edge.accept_any_secret(TUNNEL),
            What::UdpBlocked => self.world.edge.set_udp(None).await?,
            What::CrashLoop => self.flag("crash_loop", false)?,
            What::ConfigRefused => self.flag("config_refused", false)?,
            What::PortTaken => self.foreign.drain(..).for_each(|foreign| foreign.abort()),
            What::Other if it.is.as_deref() == Some("unhealthy") => {
                // It was replaced: it is gone, another one is there, and the activity tells why.
                self.other(|other| (other.health, other.unhealthy_since_ms) = (Health::Healthy, None))?;
                let why = "an instance was taken out of service in response to a user health-check.";
                self.world.aws.plant_activity(GROUP, "i-00000000000000abc", why, Duration::ZERO);
            }
            What::Other => self.other(|other| other.lifecycle_state = "InService".into())?,
            What::Refresh => ensure!(self.world.aws.set_refresh(GROUP, "Successful"), "no such group"),
            // A new version follows, the hold ends by itself, and these were over at once.
            What::BadVersion | What::HoldOperator | What::Frozen | What::Killed => {}
            _ => anyhow::bail!("the end of {:?} is not brought about with real processes", it.what),
        }
        Ok(())
    }

    fn secret_changes(&mut self, to_bad: bool) {
        let mut new = payload(self.origin_at, self.number);
        if to_bad {
            new.config = new.config.replace("  - service: http_status:404\n", "");
        } else {
            new.config.insert_str(0, "# a new version\n");
        }
        self.put_secret(&new);
    }

    async fn operator_holds(&self, it: &Happening) -> anyhow::Result<()> {
        let lasts = it.lasts.map_or(Duration::from_secs(3600), |lasts| self.scaled(lasts));
        let held = self.host.run(["hold", &format!("{}ms", lasts.as_millis())]).await?;
        ensure!(held.status.success(), "{}", String::from_utf8_lossy(&held.stderr));
        Ok(())
    }

    async fn process_breaks(&mut self, it: &Happening) -> anyhow::Result<()> {
        let flag = match it.what {
            What::Frozen if it.lasts.is_none() => Some("frozen"),
            What::CrashLoop => Some("crash_loop"),
            What::ExitsWithWords => Some("words"),
            What::Panics => Some("panic"),
            What::PortTaken | What::OnePortTaken | What::BothPortsTaken => Some("port_awaited"),
            What::ConfigRefused => Some("config_refused"),
            _ => None,
        };
        if let Some(flag) = flag {
            self.flag(flag, true)?;
        }
        // Without an agent it breaks as soon as one starts it.
        if let Some(pid) = self.agent.as_ref().and_then(|agent| agent.connector_pid()) {
            let signal = if it.what == What::Frozen { Signal::SIGSTOP } else { Signal::SIGKILL };
            kill(Pid::from_raw(i32::try_from(pid)?), signal)?;
        }
        let taken = match it.what {
            What::PortTaken | What::OnePortTaken => 1,
            What::BothPortsTaken => 2,
            _ => return Ok(()),
        };
        for port in self.host.metrics.iter().take(taken) {
            let bind = async || TcpListener::bind(port).await.ok();
            let listener = eventually("the metrics port", bind).await?;
            self.foreign.push(tokio::spawn(answer_ready(listener)));
        }
        self.flag("port_awaited", false)
    }

    /// The origin is away, and clients go on asking for it.
    async fn origin_fails(&mut self) -> anyhow::Result<()> {
        if let Some(origin) = self.origin.take() {
            origin.abort();
            // It is the end of it that is waited for, and not a result.
            let _ = origin.await;
        }
        let at: SocketAddr = self.world.block.address(201, 4000);
        let clients = self.world.edge.listen_clients(at, Route::default()).await?;
        let pause = self.scaled(Duration::from_secs(20));
        tokio::spawn(async move {
            loop {
                if let Ok(mut client) = TcpStream::connect(clients).await {
                    let _ = client.write_all(b"hello").await;
                    let _ = client.read(&mut [0; 16]).await;
                }
                tokio::time::sleep(pause).await;
            }
        });
        Ok(())
    }

    fn group_changes(&self, it: &Happening) -> anyhow::Result<()> {
        let me = self.host.id.clone();
        match it.what {
            What::NoGroup => self.world.aws.edit_group(GROUP, |group| drop(group.instances.remove(&me))),
            What::Suspended => {
                let process = name(it)?.to_owned();
                self.world.aws.edit_group(GROUP, |group| group.suspended.extend([process]))
            }
            What::This => {
                let state = name(it)?.to_owned();
                self.world.aws.edit_group(GROUP, |group| {
                    if let Some(this) = group.instances.get_mut(&me) {
                        this.lifecycle_state = state;
                    }
                })
            }
            _ if name(it)? == "unhealthy" => return self.other(|other| other.health = Health::Unhealthy),
            _ => {
                let state = name(it)?.to_owned();
                return self.other(|other| {
                    other.lifecycle_state = state;
                    other.state_since_ms = u64::MAX / 2;
                });
            }
        };
        Ok(())
    }

    fn other(&self, change: impl FnOnce(&mut cflared_tests::aws::GroupInstance)) -> anyhow::Result<()> {
        let other = self.rest.first().context("there is no other instance")?.id.clone();
        self.world.aws.edit_group(GROUP, |group| {
            if let Some(other) = group.instances.get_mut(&other) {
                change(other);
            }
        });
        Ok(())
    }

    /// Another instance is marked in the moment in which this one is.
    pub fn rival(&self, it: &Happening) -> anyhow::Result<()> {
        let lower = name(it)? == "lower";
        let rival = self.rest.iter().find(|other| (other.id < self.host.id) == lower).context("no such instance")?;
        let id = rival.id.clone();
        self.world.aws.edit_group(GROUP, |group| {
            if let Some(rival) = group.instances.get_mut(&id) {
                rival.health = Health::Unhealthy;
            }
        });
        Ok(())
    }
}

fn name(it: &Happening) -> anyhow::Result<&str> {
    it.is.as_deref().with_context(|| format!("{:?} needs `is`", it.what))
}

/// The page `/ready` of another cloudflared.
async fn answer_ready(listener: TcpListener) {
    let body = r#"{"status":200,"readyConnections":4,"connectorId":"5c1ad4d6-1b9f-43f5-8d0c-6b0d1f1f6d0a"}"#;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    while let Ok((mut stream, _)) = listener.accept().await {
        let answer = answer.clone();
        tokio::spawn(async move {
            // The asker may go away; it asks again.
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        });
    }
}
