//! Delivery slots: when the mail of one message may slip past that of another.
//!
//! Pure arithmetic of SCHEDULER_README "How the preemption works". A message earns a slot with every `cost` deliveries
//! that are started for it; another one that needs no more deliveries than that may go first, and the slots are spent. A part of
//! them may be had in advance (`discount`, `loan`); what was had in advance is earned before the next time. So no
//! message is held up by more than cost / (cost - 1) of its own deliveries, however often that happens.

/// The settings of one transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotRules {
    /// `…_delivery_slot_cost`; 0: messages go strictly in turn.
    pub cost: u32,
    /// `…_delivery_slot_discount`, percent.
    pub discount: u32,
    /// `…_delivery_slot_loan`.
    pub loan: u32,
    /// `…_minimum_delivery_slots`.
    pub minimum: u32,
}

impl SlotRules {
    /// The cheapest that the algorithm can use is 2.
    fn cost(&self) -> i64 {
        i64::from(self.cost.max(2))
    }
}

/// What one message has earned: deliveries started, less those that were spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Slots(i64);

fn signed(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX / 1000)
}

impl Slots {
    /// A delivery was started.
    pub(crate) fn earn(&mut self) {
        self.0 += 1;
    }

    /// How many slots it can come to have; `None` when it is too small to be preempted at all.
    pub(crate) fn most(self, left: usize, rules: &SlotRules) -> Option<usize> {
        let most = (self.0 + signed(left)) / rules.cost();
        let enough = rules.cost > 0 && most >= i64::from(rules.minimum);
        usize::try_from(most).ok().filter(|_| enough)
    }

    /// Whether a message that needs so many deliveries may go first now.
    pub(crate) fn allow(self, needed: usize, rules: &SlotRules) -> bool {
        let percent = 100 - i64::from(rules.discount.min(100));
        let due = signed(needed).saturating_mul(percent) - i64::from(rules.loan) * 100;
        self.0 >= 0 && self.0 * 100 >= due.saturating_mul(rules.cost())
    }

    /// It goes first.
    pub(crate) fn spend(&mut self, needed: usize, rules: &SlotRules) {
        self.0 -= signed(needed).saturating_mul(rules.cost());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_may_be_had_in_advance_and_is_earned_later() {
        let rules = SlotRules { cost: 2, discount: 50, loan: 0, minimum: 3 };
        let mut s = Slots::default();
        assert_eq!(s.most(10, &rules), Some(5));
        s.earn();
        assert!(!s.allow(2, &rules));
        s.earn();
        assert!(s.allow(2, &rules));
        s.spend(2, &rules);
        (0..3).for_each(|_| s.earn());
        assert!(!s.allow(2, &rules));
        s.earn();
        assert!(s.allow(2, &rules));
    }

    #[test]
    fn limits() {
        let rules = SlotRules { cost: 5, discount: 50, loan: 3, minimum: 3 };
        assert_eq!(Slots(0).most(14, &rules), None);
        assert_eq!(Slots(0).most(15, &rules), Some(3));
        assert_eq!(Slots(0).most(15, &SlotRules { cost: 0, ..rules }), None);
        assert!(Slots(0).allow(6, &rules) && !Slots(0).allow(7, &rules) && !Slots(-1).allow(1, &rules));
    }
}
