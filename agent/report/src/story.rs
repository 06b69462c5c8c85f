//! What happened, as the lines of the log have it: which process lived when, and which connection.

use crate::{Connection, End, Life, Moment, Span};
use std::collections::BTreeMap;

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line {
    /// When it was written.
    pub at: Moment,
    /// The event's id.
    pub event: String,
    /// Whether the event means that the connection which the line names is not registered any more.
    pub ends_connection: bool,
    /// Its fields, by their names in the log.
    pub fields: BTreeMap<String, String>,
}

/// What the lines come to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Story {
    /// The agent's processes.
    pub agents: Vec<Life>,
    /// The connectors' processes.
    pub lives: Vec<Life>,
    /// Connections to the edge.
    pub connections: Vec<Connection>,
    /// When CloudWatch took no datapoints.
    pub unpushed: Vec<Span>,
}

/// Reads the lines, oldest first.
pub fn story(lines: &[Line]) -> Story {
    let mut teller = Teller::default();
    lines.iter().for_each(|line| teller.read(line));
    teller.told
}

/// What is going on at some line; the values are places in [`Story`].
#[derive(Default)]
struct Teller {
    told: Story,
    /// The last process of each run.
    living: BTreeMap<String, usize>,
    /// The connections that are up, by run and number.
    up: BTreeMap<(String, u64), usize>,
}

impl Line {
    fn get(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

impl Teller {
    fn read(&mut self, line: &Line) {
        let run = line.get("run").to_owned();
        let index = line.get("conn_index").parse().ok();
        match line.event.as_str() {
            "connector_started" => self.started(line, run),
            "connector_exited" => self.ended(line, &run, false, line.get("how")),
            "connector_restarting" => self.ended(line, &run, true, "restarted by the agent"),
            "connector_stopped" => self.ended(line, &run, true, line.get("how")),
            "connector_killed" => self.ended(line, &run, true, "killed: it did not end in its time"),
            "registered" => {
                if let Some(index) = index {
                    self.registered(line, run, index);
                }
            }
            "datapoints_not_pushed" if self.told.unpushed.last().is_none_or(|span| span.to.is_some()) => {
                self.told.unpushed.push(Span { from: line.at, to: None });
            }
            "datapoints_pushed_again" => {
                if let Some(span) = self.told.unpushed.last_mut().filter(|span| span.to.is_none()) {
                    span.to = Some(line.at);
                }
            }
            "identified" => self.agent_started(line),
            "agent_stopped" => self.agent_ended(line, true, "stopped in good order"),
            "run_failed" => self.agent_ended(line, false, "could not run"),
            _ if line.ends_connection => {
                if let Some(index) = index {
                    self.lost(line.at, (run, index));
                }
            }
            _ => {}
        }
    }

    fn started(&mut self, line: &Line, run: String) {
        // Of a child whose end was not read this is the end.
        self.ended(line, &run, true, "replaced");
        let name = format!("connector {run}, pid {}", line.get("pid"));
        self.living.insert(run, self.told.lives.len());
        self.told.lives.push(Life { name, span: Span { from: line.at, to: None }, end: None });
    }

    fn ended(&mut self, line: &Line, run: &str, planned: bool, how: &str) {
        let gone: Vec<_> = self.up.keys().filter(|(of, _)| of == run).cloned().collect();
        gone.into_iter().for_each(|connection| self.lost(line.at, connection));
        if let Some(life) = self.living.remove(run).and_then(|at| self.told.lives.get_mut(at)) {
            life.span.to = Some(line.at);
            life.end = Some(End { planned, how: how.to_owned() });
        }
    }

    fn registered(&mut self, line: &Line, run: String, index: u64) {
        self.lost(line.at, (run.clone(), index));
        self.up.insert((run.clone(), index), self.told.connections.len());
        self.told.connections.push(Connection {
            run,
            index,
            place: line.get("location").to_owned(),
            protocol: line.get("protocol").to_owned(),
            span: Span { from: line.at, to: None },
        });
    }

    fn lost(&mut self, at: Moment, connection: (String, u64)) {
        if let Some(place) = self.up.remove(&connection) {
            self.told.connections[place].span.to = Some(at);
        }
    }

    /// Its predecessor is gone, and with it what ran: connectors do not outlive their agent.
    fn agent_started(&mut self, line: &Line) {
        self.agent_ended(line, false, "ended without a word");
        self.told.agents.push(Life { name: "agent".into(), span: Span { from: line.at, to: None }, end: None });
    }

    fn agent_ended(&mut self, line: &Line, planned: bool, how: &str) {
        let end = End { planned, how: how.to_owned() };
        if let Some(agent) = self.told.agents.last_mut().filter(|agent| agent.span.to.is_none()) {
            (agent.span.to, agent.end) = (Some(line.at), Some(end));
        }
        let runs: Vec<_> = self.living.keys().cloned().collect();
        runs.iter().for_each(|run| self.ended(line, run, planned, how));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(second: u64, event: &str, fields: &[(&str, &str)]) -> Line {
        let fields = fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let ends_connection = event == "connection_lost";
        Line { at: Moment::from_ms(second * 1000), event: event.into(), ends_connection, fields }
    }

    fn span(from: u64, to: Option<u64>) -> Span {
        Span { from: Moment::from_ms(from * 1000), to: to.map(|to| Moment::from_ms(to * 1000)) }
    }

    #[test]
    fn a_restart_ends_a_process_with_its_connections() {
        let told = story(&[
            line(1, "connector_started", &[("run", "1"), ("pid", "7")]),
            line(2, "registered", &[("run", "1"), ("conn_index", "0"), ("location", "iad01")]),
            line(3, "registered", &[("run", "1"), ("conn_index", "1"), ("location", "iad02")]),
            line(4, "connection_lost", &[("run", "1"), ("conn_index", "0")]),
            line(5, "registered", &[("run", "1"), ("conn_index", "0"), ("location", "atl01")]),
            line(6, "connector_exited", &[("run", "1"), ("how", "signal 9")]),
            line(7, "connector_started", &[("run", "1"), ("pid", "8")]),
        ]);
        let spans: Vec<_> = told.connections.iter().map(|one| (one.index, &*one.place, one.span)).collect();
        assert_eq!(
            spans,
            [(0, "iad01", span(2, Some(4))), (1, "iad02", span(3, Some(6))), (0, "atl01", span(5, Some(6)))]
        );
        let lives: Vec<_> = told.lives.iter().map(|life| (&*life.name, life.span, life.end.is_some())).collect();
        assert_eq!(
            lives,
            [("connector 1, pid 7", span(1, Some(6)), true), ("connector 1, pid 8", span(7, None), false)]
        );
        assert_eq!(told.lives[0].end, Some(End { planned: false, how: "signal 9".into() }));
    }

    #[test]
    fn a_hand_over_is_two_processes_side_by_side_and_a_second_agent_ends_the_first() {
        let told = story(&[
            line(0, "identified", &[]),
            line(1, "connector_started", &[("run", "1"), ("pid", "7")]),
            line(2, "connector_started", &[("run", "2"), ("pid", "8")]),
            line(3, "connector_stopped", &[("run", "1"), ("how", "exit status 0")]),
            line(4, "datapoints_not_pushed", &[]),
            line(5, "datapoints_not_pushed", &[]),
            line(6, "datapoints_pushed_again", &[]),
            line(9, "identified", &[]),
        ]);
        assert_eq!(told.lives.iter().map(|life| life.span).collect::<Vec<_>>(), [span(1, Some(3)), span(2, Some(9))]);
        assert_eq!(told.unpushed, [span(4, Some(6))]);
        assert_eq!(told.agents.iter().map(|life| life.span).collect::<Vec<_>>(), [span(0, Some(9)), span(9, None)]);
        assert!(!told.agents[0].end.as_ref().unwrap().planned);
        assert_eq!(story(&[line(1, "registered", &[("run", "1"), ("conn_index", "x")])]), Story::default());
    }
}
