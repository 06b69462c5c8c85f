//! What tests in the same process do with groups; a person does it by the control endpoint.

use super::{Group, Mark, Move};
use crate::aws::Aws;
use std::time::Duration;

impl Aws {
    /// Puts an Auto Scaling group there, in place of one of the same name.
    pub fn put_group(&self, group: Group) {
        self.lock().scaling.put(group);
    }

    /// An Auto Scaling group as it is now.
    pub fn group(&self, name: &str) -> Option<Group> {
        let mut state = self.lock();
        let now_ms = state.now_ms();
        state.scaling.groups(now_ms).get(name).cloned()
    }

    /// Changes a group. Gives false if there is none of that name.
    pub fn edit_group(&self, name: &str, change: impl FnOnce(&mut Group)) -> bool {
        let mut state = self.lock();
        let now_ms = state.now_ms();
        state.scaling.group_mut(name, now_ms).map(change).is_some()
    }

    /// Begins to end an instance for another cause than its health, as scaling in or a refresh; `why` goes into the activity.
    /// Gives false if no group has it.
    pub fn terminate_instance(&self, id: &str, why: &str) -> bool {
        let mut state = self.lock();
        let now_ms = state.now_ms();
        state.scaling.terminate(id, why, now_ms)
    }

    /// Makes an instance go another way: launched, warmed, into Standby and back. Gives false if no group has it, or it cannot
    /// from where it is.
    pub fn move_instance(&self, id: &str, way: Move) -> bool {
        let mut state = self.lock();
        let now_ms = state.now_ms();
        state.scaling.go(id, way, now_ms)
    }

    /// The state of an instance as its group has it now; none: no group has it.
    pub fn lifecycle_state(&self, id: &str) -> Option<String> {
        let mut state = self.lock();
        let now_ms = state.now_ms();
        let mut instances = state.scaling.groups(now_ms).values().flat_map(|group| &group.instances);
        instances.find(|(member, _)| *member == id).map(|(_, instance)| instance.lifecycle_state.clone())
    }

    /// Every `SetInstanceHealth` that was answered with success, and whether it took effect.
    pub fn marks(&self) -> Vec<Mark> {
        self.lock().scaling.marks().to_vec()
    }

    /// Adds an activity that ended an instance `age` ago; `why` follows "At …" in its cause. Gives false if there is no
    /// such group.
    pub fn plant_activity(&self, group: &str, instance: &str, why: &str, age: Duration) -> bool {
        let mut state = self.lock();
        let now_ms = state.now_ms();
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        state.scaling.plant_activity(group, instance, why, age_ms, now_ms)
    }

    /// The same of an activity that launched it.
    pub fn plant_launch(&self, group: &str, instance: &str, why: &str, age: Duration) -> bool {
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let mut state = self.lock();
        let now_ms = state.now_ms();
        let found = state.scaling.group_mut(group, now_ms);
        found.map(|group| group.plant_launch(instance, why, now_ms.saturating_sub(age_ms))).is_some()
    }

    /// Begins an instance refresh in that state (`InProgress`), or brings the one under way into it (`Successful`). Gives
    /// false if there is no such group.
    pub fn set_refresh(&self, group: &str, status: &str) -> bool {
        let mut state = self.lock();
        let now_ms = state.now_ms();
        state.scaling.set_refresh(group, status, now_ms)
    }
}
