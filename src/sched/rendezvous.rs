//! Rendezvous hashing: which of a few members a key belongs to (Thaler and Ravishankar, 1998,
//! "highest random weight").
//!
//! Each member draws a number for the key, and the highest draw has it. So no member's draw depends
//! on who else is there: whoever leaves hands over its own keys and no others, whoever comes takes
//! its share from all, and whoever is back has what it had.

/// One that keys are shared among.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contender {
    /// What its draws come from: the same as long as it is the same member.
    seed: u64,
    /// Its share against the others.
    weight: f64,
}

impl Contender {
    /// The member that `identity` names, with this weight.
    pub fn new(identity: &[u8], weight: u32) -> Self {
        // FNV-1a: the same in every version and on every host, as no library's hash promises.
        let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        let seed = mix(identity.iter().fold(0xcbf2_9ce4_8422_2325, fold));
        Self { seed, weight: f64::from(weight.max(1)) }
    }

    /// Its draw for `key`: an exponential one of rate `weight`, so that the least of several is its
    /// own as often as its weight says.
    #[inline]
    fn draw(&self, key: u64) -> f64 {
        // 53 bits are all that a float holds; never 0, whose logarithm has no end.
        let uniform = ((mix(key ^ self.seed) >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        -uniform.ln() / self.weight
    }
}

/// The place of the contender that `key` belongs to, among those that `may` have it; `None` where
/// none may. O(contenders).
#[inline]
pub fn rendezvous(
    contenders: &[Contender],
    key: u64,
    mut may: impl FnMut(usize) -> bool,
) -> Option<usize> {
    let draws = contenders.iter().enumerate().filter(|(place, _)| may(*place));
    let draws = draws.map(|(place, contender)| (place, contender.draw(key)));
    draws.reduce(|least, next| if next.1 < least.1 { next } else { least }).map(|(place, _)| place)
}

/// A key of two addresses and whatever else tells one from another.
#[inline]
pub fn key_of(source: u128, destination: u128, rest: u64) -> u64 {
    let words = [source as u64, (source >> 64) as u64, destination as u64];
    let words = words.into_iter().chain([(destination >> 64) as u64, rest]);
    words.fold(0, |key, word| mix(key ^ word))
}

/// Every bit of the result hangs on every bit of `value` (the finaliser of SplitMix64).
#[inline(always)]
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEYS: u64 = 20_000;

    fn contenders(weights: &[u32]) -> Vec<Contender> {
        let named = weights.iter().enumerate();
        named
            .map(|(n, &weight)| Contender::new(format!("out/10.0.0.{n}").as_bytes(), weight))
            .collect()
    }

    fn keys(from: u64) -> impl Iterator<Item = u64> {
        (from..from + KEYS).map(|n| key_of(0xffff_0a00_0000 | u128::from(n), 0, 0))
    }

    fn all(contenders: &[Contender], from: u64) -> Vec<usize> {
        let pick = |key| rendezvous(contenders, key, |_| true).expect("all may");
        keys(from).map(pick).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn each_has_the_share_of_its_weight(
            weights in prop::collection::vec(1_u32..=16, 1..=16),
            from in 0_u64..1 << 40,
        ) {
            let picks = all(&contenders(&weights), from);
            let total = f64::from(weights.iter().sum::<u32>());
            for (place, &weight) in weights.iter().enumerate() {
                let found = picks.iter().filter(|&&pick| pick == place).count() as f64;
                let fair = f64::from(weight) / total;
                prop_assert!((found / KEYS as f64 - fair).abs() < 0.02, "{place}: {found} of {fair}");
            }
        }

        #[test]
        fn who_leaves_hands_over_its_own_and_who_is_back_has_what_it_had(
            weights in prop::collection::vec(1_u32..=16, 2..=16),
            gone in any::<prop::sample::Index>(),
            from in 0_u64..1 << 40,
        ) {
            let contenders = contenders(&weights);
            let gone = gone.index(contenders.len());
            for (key, before) in keys(from).zip(all(&contenders, from)).take(2_000) {
                let without = rendezvous(&contenders, key, |place| place != gone);
                if before == gone {
                    prop_assert_ne!(without, Some(gone));
                } else {
                    prop_assert_eq!(without, Some(before));
                }
            }
        }

        #[test]
        fn who_comes_takes_its_share_and_moves_nothing_else(
            weights in prop::collection::vec(1_u32..=16, 2..=16),
            from in 0_u64..1 << 40,
        ) {
            let more = contenders(&weights);
            let (_, fewer) = more.split_last().expect("two at least");
            let (before, after) = (all(fewer, from), all(&more, from));
            let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
            let newcomer = fewer.len();
            prop_assert!(moved.clone().all(|(_, after)| *after == newcomer));
            let fair = f64::from(weights[newcomer]) / f64::from(weights.iter().sum::<u32>());
            prop_assert!((moved.count() as f64 / KEYS as f64 - fair).abs() < 0.02);
        }
    }

    #[test]
    fn the_order_of_contenders_says_nothing_and_none_is_none() {
        let forth = contenders(&[1, 2, 3, 4]);
        let back: Vec<_> = forth.iter().rev().copied().collect();
        for key in keys(7).take(2_000) {
            let one = rendezvous(&forth, key, |_| true).map(|place| forth[place]);
            assert_eq!(one, rendezvous(&back, key, |_| true).map(|place| back[place]));
            assert_eq!(rendezvous(&forth, key, |_| false), None);
        }
    }
}
