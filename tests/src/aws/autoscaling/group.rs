//! How a group changes by itself, and what its instances' marks do.

use super::lifecycle::{IN_SERVICE, PENDING, PROCEED, STANDBY, TERMINATING, WAIT};
use super::types::{Activity, Group, GroupInstance, Health, Refresh, Transition};
use crate::aws::time::iso;

impl Group {
    /// A group of healthy instances that have long been in service, with the default times.
    pub fn new<'a>(name: &str, instances: impl IntoIterator<Item = &'a str>) -> Self {
        let instances = instances.into_iter().map(|id| (id.to_owned(), GroupInstance::default())).collect();
        Self { name: name.to_owned(), instances, ..Self::default() }
    }

    /// Does what is due: replaces the marked, ends hooks whose time is up, launches what is missing.
    pub(super) fn advance(&mut self, now_ms: u64) {
        let ids: Vec<String> = self.instances.keys().cloned().collect();
        ids.iter().for_each(|id| self.advance_instance(id, now_ms));
        let stays = |instance: &&GroupInstance| !instance.is_going() && !instance.is_warmed();
        let missing = self.desired.unwrap_or(0).saturating_sub(self.instances.values().filter(stays).count());
        if !self.suspended.contains("Launch") {
            (0..missing).for_each(|_| self.launch(now_ms));
        }
    }

    fn advance_instance(&mut self, id: &str, now_ms: u64) {
        let instance = &self.instances[id];
        let passed = |span: u64| now_ms >= instance.state_since_ms.saturating_add(span);
        match instance.step() {
            (PENDING, "") if passed(self.launch_takes_ms) => self.meet_hooks(id, Transition::Launching, now_ms),
            (_, WAIT) => self.end_late_hooks(id, now_ms),
            (PENDING, PROCEED) if passed(self.proceed_takes_ms) => self.arrive(id, now_ms),
            (IN_SERVICE, _) if self.replaces(instance, now_ms) => {
                let why = "an instance was taken out of service in response to a user health-check.";
                self.begin_termination(id, why, now_ms);
            }
            (STANDBY, "Entering") => self.enter(id, STANDBY, now_ms),
            (TERMINATING, "" | PROCEED) if passed(self.terminate_takes_ms) => {
                self.instances.remove(id);
                self.end_activity(id, now_ms);
            }
            _ => {}
        }
    }

    fn replaces(&self, instance: &GroupInstance, now_ms: u64) -> bool {
        let suspended = self.suspended.contains("ReplaceUnhealthy") || self.suspended.contains("Terminate");
        let due = instance.unhealthy_since_ms.map(|since| since.saturating_add(self.replace_after_ms));
        !suspended && due.is_some_and(|due| now_ms >= due)
    }

    /// Begins to end an instance; `why` follows "At <time> " in the activity's cause.
    pub(super) fn begin_termination(&mut self, id: &str, why: &str, now_ms: u64) {
        if self.instances.get(id).is_none_or(GroupInstance::is_going) {
            return;
        }
        self.begin_activity(id, format!("Terminating EC2 instance: {id}"), why, now_ms);
        self.meet_hooks(id, Transition::Terminating, now_ms);
    }

    /// Sets the health of an instance. Gives false if its grace period kept it from having an effect.
    pub(super) fn set_health(&mut self, id: &str, health: Health, respects_grace: bool, now_ms: u64) -> bool {
        let Some(instance) = self.instances.get_mut(id) else { return false };
        let launching = instance.step().0 == PENDING;
        let in_grace = launching || now_ms < instance.in_service_at_ms.saturating_add(self.grace_period_ms);
        if health == Health::Unhealthy && respects_grace && in_grace {
            return false;
        }
        instance.health = health;
        instance.unhealthy_since_ms = match health {
            Health::Healthy => None,
            Health::Unhealthy => instance.unhealthy_since_ms.or(Some(now_ms)),
        };
        true
    }

    fn launch(&mut self, now_ms: u64) {
        let id = format!("i-{}", &uuid::Uuid::new_v4().simple().to_string()[..17]);
        let crowd = |zone: &&String| self.instances.values().filter(|i| i.availability_zone == **zone).count();
        let zone = self.availability_zones.iter().min_by_key(crowd).cloned().unwrap_or_default();
        self.instances.insert(id.clone(), GroupInstance { availability_zone: zone, ..GroupInstance::default() });
        self.enter(&id, PENDING, now_ms);
        let why = "an instance was launched in response to an unhealthy instance needing to be replaced.";
        self.begin_activity(&id, format!("Launching a new EC2 instance: {id}"), why, now_ms);
    }

    pub(super) fn begin_activity(&mut self, id: &str, description: String, why: &str, now_ms: u64) {
        self.end_activity(id, now_ms);
        self.activities.push(Activity {
            id: uuid::Uuid::new_v4().to_string(),
            instance: id.to_owned(),
            description,
            cause: format!("At {} {why}", iso(now_ms)),
            status: "InProgress".to_owned(),
            start_ms: now_ms,
            end_ms: None,
        });
    }

    /// Adds the activity of an instance that was ended at `at_ms`, in the order of time.
    pub(super) fn plant_termination(&mut self, id: &str, why: &str, at_ms: u64) {
        self.plant(id, format!("Terminating EC2 instance: {id}"), why, at_ms);
    }

    /// The same of one that was launched.
    pub(super) fn plant_launch(&mut self, id: &str, why: &str, at_ms: u64) {
        self.plant(id, format!("Launching a new EC2 instance: {id}"), why, at_ms);
    }

    fn plant(&mut self, id: &str, description: String, why: &str, at_ms: u64) {
        let activity = Activity {
            id: uuid::Uuid::new_v4().to_string(),
            instance: id.to_owned(),
            description,
            cause: format!("At {} {why}", iso(at_ms)),
            status: "Successful".to_owned(),
            start_ms: at_ms,
            end_ms: Some(at_ms),
        };
        let place = self.activities.partition_point(|other| other.start_ms <= at_ms);
        self.activities.insert(place, activity);
    }

    pub(super) fn set_refresh(&mut self, status: &str, now_ms: u64) {
        const OVER: [&str; 5] = ["Successful", "Failed", "Cancelled", "RollbackFailed", "RollbackSuccessful"];
        match self.refreshes.last_mut().filter(|last| !OVER.contains(&last.status.as_str())) {
            Some(last) => status.clone_into(&mut last.status),
            None => {
                let id = uuid::Uuid::new_v4().to_string();
                self.refreshes.push(Refresh { id, status: status.to_owned(), start_ms: now_ms });
            }
        }
    }

    pub(super) fn end_activity(&mut self, id: &str, now_ms: u64) {
        let open = |activity: &&mut Activity| activity.instance == id && activity.end_ms.is_none();
        if let Some(activity) = self.activities.iter_mut().find(open) {
            activity.end_ms = Some(now_ms);
            activity.status = "Successful".to_owned();
        }
    }
}
