//! Memory pressure: which classes are still admitted as the payload pool fills.
//!
//! Three steps up, one class each, the lowest first. A step is taken back only when the occupancy
//! has fallen well below where it was taken, so that a pool at a threshold does not flutter.

use crate::config::Class;

/// Where the lowest class, the next, and the highest stop being admitted, in 1/1000 of the pool.
const RISES: [usize; Class::COUNT] = [800, 900, 970];
/// How far below its threshold a step is taken back, in 1/1000 of the pool.
const HYSTERESIS: usize = 50;

/// The steps taken; starts at none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    steps: usize,
}

impl Pressure {
    /// Looks at the pool: `in_use` of `size` buffers are taken.
    pub fn update(&mut self, in_use: usize, size: usize) {
        let permille = in_use * 1_000 / size.max(1);
        while self.steps < RISES.len() && permille >= RISES[self.steps] {
            self.steps += 1;
        }
        while self.steps > 0 && permille < RISES[self.steps - 1] - HYSTERESIS {
            self.steps -= 1;
        }
    }

    /// Whether every class is admitted.
    pub fn is_none(self) -> bool {
        self.steps == 0
    }

    /// Whether packets of `class` are admitted.
    pub fn admits(self, class: Class) -> bool {
        class as usize + self.steps < Class::COUNT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn after(levels: &[usize]) -> [bool; Class::COUNT] {
        let mut pressure = Pressure::default();
        levels.iter().for_each(|&level| pressure.update(level, 1_000));
        Class::ALL.map(|class| pressure.admits(class))
    }

    #[test]
    fn the_lowest_class_goes_first_and_the_highest_last() {
        assert_eq!(after(&[799]), [true, true, true]);
        assert_eq!(after(&[800]), [true, true, false]);
        assert_eq!(after(&[900]), [true, false, false]);
        assert_eq!(after(&[970]), [false, false, false]);
        assert_eq!(after(&[1_000, 0]), [true, true, true]);
    }

    #[test]
    fn a_step_is_taken_back_well_below_where_it_was_taken() {
        assert_eq!(after(&[800, 750]), [true, true, false]);
        assert_eq!(after(&[800, 749]), [true, true, true]);
        assert_eq!(after(&[970, 920, 919]), [true, false, false]);
    }

    #[test]
    fn a_pool_of_nothing_is_no_pressure() {
        let mut pressure = Pressure::default();
        pressure.update(0, 0);
        assert!(pressure.is_none());
    }

    proptest! {
        /// Between two changes the occupancy has moved by the hysteresis, unless it passed
        /// another threshold; and no class is admitted while a higher one is not.
        #[test]
        fn it_does_not_flutter(start in 0_usize..1_000, walk in prop::collection::vec(-20_i64..=20, 1..400)) {
            let (mut pressure, mut level) = (Pressure::default(), start as i64);
            let (mut low_changed_at, mut low) = (None::<i64>, true);
            for step in walk {
                level = (level + step).clamp(0, 1_000);
                pressure.update(level as usize, 1_000);
                let admits = Class::ALL.map(|class| pressure.admits(class));
                prop_assert!(admits.is_sorted_by(|higher, lower| higher >= lower));
                if admits[2] != low {
                    if let Some(at) = low_changed_at {
                        prop_assert!((level - at).abs() >= 50 - 40, "{at} {level}");
                    }
                    (low, low_changed_at) = (admits[2], Some(level));
                }
            }
        }
    }
}
