//! The places of a rule's numbers: every name that its conditions and texts may use has one, decided when the rule is
//! read, so that an evaluation is a row of numbers and no search for names.

use crate::condition::{Condition, Slot, Values};
use crate::file::{SOURCE_STATE, windowed};
use crate::model::{Kind, Rule, Signal, SignalSource};

/// Where the numbers of a rule are, in the order of their names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slots {
    names: Vec<String>,
    /// Whether people see the number: names with a colon are for conditions only.
    shown: Vec<bool>,
    /// The place of each signal.
    pub(crate) signals: Vec<Slot>,
    /// For a comparison the place of each signal of the candidate and of the baseline.
    pub(crate) sides: Vec<[Slot; 2]>,
    /// Of an objective: bad and total of the window that is shown, and of the period.
    pub(crate) budget: [Slot; 4],
}

impl Slots {
    fn of(rule: &Rule) -> Slots {
        let own = rule.signals.iter().map(|signal| signal.name.clone());
        let kind: &[&str] = match rule.kind {
            Kind::Slo(_) => &["bad", "total", "burn", "budget_left"],
            Kind::Anomaly(_) => &["anomaly", "duration", "score", "usual_low", "usual_high"],
            Kind::Pattern(_) => &["new_pattern", "count_10m", "count_1h", "patterns"],
            Kind::Threshold | Kind::Compare(_) => &[],
        };
        let expected = rule.expected.map_or(&[][..], |_| &["silent_for", SOURCE_STATE]);
        let mut names: Vec<String> = own.chain(kind.iter().chain(expected).map(|name| (*name).to_owned())).collect();
        if let Kind::Compare(compare) = &rule.kind {
            let sides = [&compare.candidate, &compare.baseline];
            names.extend(rule.signals.iter().flat_map(|signal| sides.map(|side| of_side(side, signal))));
        }
        names.sort();
        names.dedup();
        let plain = |name: &String| rule.signals.iter().any(|signal| signal.name == *name);
        // The signals of a comparison are told under their sides.
        let hidden = |name: &String| name.contains(':') || (matches!(rule.kind, Kind::Compare(_)) && plain(name));
        let mut slots = Slots { shown: names.iter().map(|name| !hidden(name)).collect(), names, ..Slots::default() };
        slots.signals = rule.signals.iter().map(|signal| slots.place(&signal.name)).collect();
        match &rule.kind {
            Kind::Compare(compare) => {
                let sides = [&compare.candidate, &compare.baseline];
                let both = |signal| sides.map(|side| slots.place(&of_side(side, signal)));
                slots.sides = rule.signals.iter().map(both).collect();
            }
            Kind::Slo(slo) => {
                let place = |feed: &str, window| slots.place(&windowed(feed, window));
                let [shown, period] = [slo.shown_ns, slo.period_ns].map(|w| [place("bad", w), place("total", w)]);
                slots.budget = [shown[0], shown[1], period[0], period[1]];
            }
            _ => {}
        }
        slots
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// The place of a name; one behind all numbers for a name that has none.
    pub(crate) fn place(&self, name: &str) -> Slot {
        self.names.binary_search_by(|own| own.as_str().cmp(name)).unwrap_or(Slot::MAX)
    }

    /// The numbers that people see.
    pub(crate) fn shown<'a>(&'a self, numbers: &'a [f64]) -> impl Iterator<Item = (&'a str, f64)> {
        let all = self.names.iter().zip(&self.shown).zip(numbers);
        all.filter(|((_, shown), number)| **shown && !number.is_nan())
            .map(|((name, _), number)| (name.as_str(), *number))
    }

    /// Writes the numbers that people see over those of an earlier time.
    pub(crate) fn show(&self, numbers: &[f64], into: &mut Values) {
        let mut fresh = self.shown(numbers);
        // From step to step the names are the same, and nothing is allocated.
        let same = into.iter_mut().all(|(name, value)| match fresh.next() {
            Some((own, number)) if own == name => {
                *value = number;
                true
            }
            _ => false,
        });
        if !same || fresh.next().is_some() {
            *into = self.shown(numbers).map(|(name, number)| (name.to_owned(), number)).collect();
        }
    }
}

fn of_side(side: &str, signal: &Signal) -> String {
    format!("{side}.{}", signal.name)
}

impl Rule {
    /// Gives the names in its conditions their places. What reads rules does so when a rule is whole.
    pub(crate) fn bind(&mut self) {
        let slots = Slots::of(self);
        let bind = |condition: &mut Condition| condition.bind(&|name| slots.place(name));
        self.levels.iter_mut().flat_map(|level| &mut level.any).for_each(|one| bind(&mut one.when));
        self.recover_when.iter_mut().chain(&mut self.require).for_each(bind);
        for signal in &mut self.signals {
            if let SignalSource::Expr(expr) = &mut signal.source {
                bind(expr);
            }
        }
        self.slots = slots;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_see_is_written_over_what_they_saw() {
        let names = ["a", "b", "b:1h", "c"].map(str::to_owned).to_vec();
        let slots = Slots { shown: vec![true, true, false, true], names, ..Slots::default() };
        let mut shown = Values::new();
        for (numbers, text) in [
            ([1.0, f64::NAN, 2.0, 3.0], "{\"a\": 1.0, \"c\": 3.0}"),
            ([4.0, f64::NAN, 2.0, 5.0], "{\"a\": 4.0, \"c\": 5.0}"),
            ([4.0, 6.0, 2.0, 5.0], "{\"a\": 4.0, \"b\": 6.0, \"c\": 5.0}"),
            ([f64::NAN, 6.0, 2.0, f64::NAN], "{\"b\": 6.0}"),
            ([f64::NAN; 4], "{}"),
        ] {
            slots.show(&numbers, &mut shown);
            assert_eq!(format!("{shown:?}"), text);
        }
    }
}
