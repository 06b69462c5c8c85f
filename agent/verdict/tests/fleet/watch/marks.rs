//! What must hold when our mark stands, and when the group acts on it.

use super::super::fault::{Kind, Scope};
use super::super::{DAY, Ev, Fleet, HOUR, MIN, Ms, S};
use super::{LINGERS, Later, OurMark, RACE, is_edge, is_local, is_shared};

impl Fleet {
    /// Our mark was taken by the group.
    pub fn mark_stands(&mut self, i: usize) {
        self.nothing_is_condemned_for_what_it_cannot_mend(i);
        let edge = self.recently(i, LINGERS, is_edge) && !self.recently(i, LINGERS, is_local) && !self.hangs(i);
        self.watch.marks.push(OurMark { at: self.now, i, edge });
        self.at(self.now + 20 * S, Ev::Recheck(Later::Both { i }));
    }

    /// By the true cause: credentials, a configuration or an origin, or nothing at all.
    fn nothing_is_condemned_for_what_it_cannot_mend(&mut self, i: usize) {
        // Words that nobody knows are this host's own where another one serves with the same version.
        let own_words = self.faults.iter().any(|fault| {
            fault.kind == Kind::UnknownWords && fault.scope == Scope::One(i) && fault.until + LINGERS > self.now
        });
        if !self.recently(i, LINGERS, |kind| is_local(kind) || is_edge(kind)) && !self.hangs(i) && !own_words {
            let shared = self.recently(i, HOUR, is_shared);
            let what = if shared { "credentials, configuration or origin" } else { "nothing is wrong with it" };
            self.watch.fail("no condemnation for credentials, config or origin", self.now, i, what);
        }
    }

    /// The group begins to replace an instance because of our mark.
    pub fn replaced_by_us(&mut self, i: usize) {
        let now = self.now;
        let edge = self.watch.marks.iter().rev().find(|mark| mark.i == i).is_some_and(|mark| mark.edge);
        self.one_canary_an_hour(i, edge);
        if !self.never_two_in_transition(i) {
            self.the_budget_is_kept(i);
        }
        self.watch.replaced.push(OurMark { at: now, i, edge });
    }

    fn one_canary_an_hour(&mut self, i: usize, edge: bool) {
        let before = self.watch.replaced.iter().rev().find(|mark| mark.edge && self.now - mark.at < HOUR - 2 * MIN);
        if edge && let Some(before) = before {
            let what = format!("#{} was replaced {} s before", before.i, (self.now - before.at) / S);
            self.watch.fail("an edge outage costs one canary an hour", self.now, i, what);
        }
    }

    /// Two marks of one moment, and the group was faster than anybody who read it, or took up the other so soon that this
    /// one could not see which of them goes, or this one was cut off from it: nobody can help that.
    fn raced(&self, i: usize, other: usize) -> bool {
        let of =
            |marks: &[OurMark], who: usize| marks.iter().rev().find(|mark| mark.i == who).map_or(0, |mark| mark.at);
        let (mine, its) = (of(&self.watch.marks, i), of(&self.watch.marks, other));
        let taken_at_once = of(&self.watch.replaced, other).saturating_sub(its) < RACE && self.group.launch_first;
        mine.abs_diff(its) < RACE && (self.now - mine < RACE || taken_at_once || !self.can_mark(i))
    }

    /// Says whether it was a race, in which the budget was spent twice too.
    fn never_two_in_transition(&mut self, i: usize) -> bool {
        let ours = |who: usize| self.watch.replaced.iter().any(|mark| mark.i == who);
        let leaving = self.group.members.iter().find(|member| member.i != i && member.leaving && ours(member.i));
        if let Some(leaving) = leaving.map(|leaving| leaving.i) {
            if self.raced(i, leaving) {
                self.watch.raced += 1;
                return true;
            }
            let what = format!("#{leaving} goes already by our mark");
            self.watch.fail("never two in transition by our doing", self.now, i, what);
        }
        false
    }

    fn the_budget_is_kept(&mut self, i: usize) {
        let within = |time: Ms| self.watch.replaced.iter().filter(|mark| self.now - mark.at < time).count();
        // The hour and the day are those of the read, which lies before the mark, which lies before the replacement.
        if within(HOUR - 2 * MIN) >= 2 || within(DAY - 2 * MIN) >= 4 {
            let what = format!("{} within an hour, {} within a day", within(HOUR), within(DAY));
            self.watch.fail("the budget is never exceeded", self.now, i, what);
        }
    }

    /// Two may be marked in one moment; then one of them un-marks itself.
    pub(super) fn never_two_marked(&mut self, i: usize) {
        let stands = |since: Option<Ms>| since.is_some_and(|since| self.now - since >= 20 * S);
        let mine = self.group.member(i).is_some_and(|member| stands(member.marked));
        let other = self.group.members.iter().find(|member| member.i != i && stands(member.marked));
        if mine && let Some(other) = other.map(|other| other.i) {
            // One that cannot reach the group any more cannot take its mark back, nor can one that goes already.
            let going = [i, other].into_iter().any(|who| self.group.member(who).is_some_and(|member| member.leaving));
            let cut_off = [i, other].into_iter().any(|who| !self.can_mark(who));
            if going || cut_off {
                self.watch.raced += 1;
                return;
            }
            let what = format!("#{other} is marked too");
            self.watch.fail("never two in transition by our doing", self.now, i, what);
        }
    }
}
