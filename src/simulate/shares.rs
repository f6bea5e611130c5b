//! Who should have got how much: weighted max-min fair shares, and how near a run came to them.
//!
//! The shares are found by water filling (Bertsekas and Gallager, *Data Networks*, 2nd edition,
//! section 6.5.2), first between the classes by their weights, then inside each class between
//! its members by theirs: the two levels of the DRR stages. Nearness is the fairness index of
//! Jain, Chiu and Hawe (*A Quantitative Measure of Fairness and Discrimination for Resource
//! Allocation in Shared Computer Systems*, DEC TR-301, 1984).
//!
//! Shares are fractions of integers until the last step, one division. So the order of the demands
//! does not matter, and every host finds the same bits.

use crate::config::Class;

/// The greatest weight; with it the fractions fit 128 bits.
const WEIGHT_MAX: u32 = 65_535;

/// What one flow or output asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Where it competes first.
    pub class: Class,
    /// Its weight within the class, 1 to 65,535; what lies outside counts as the nearest.
    pub weight: u32,
    /// Bytes that it asked for, as the scheduler counts them (frame overhead included).
    pub bytes: u64,
}

/// The max-min fair share of each demand in `capacity` bytes, in bytes, in the order of `demands`.
///
/// `class_weights` stand in the order of [`Class::ALL`]; a class without demand takes nothing from
/// the others. Nobody gets more than the demand, nothing is left while somebody wants more, and
/// who wants more has the same bytes per weight as all others in the class who do. A satisfied
/// demand is returned exactly, another to within two roundings of an `f64`.
pub fn fair_shares(
    capacity: u64,
    demands: &[Demand],
    class_weights: &[u32; Class::COUNT],
) -> Vec<f64> {
    let classes = Class::ALL.map(|class| {
        let members = demands.iter().filter(|demand| demand.class == class);
        // Capped, which changes no share: nobody gets more than all there is.
        let bytes = members.fold(0_u64, |sum, demand| sum.saturating_add(demand.bytes));
        Want { weight: class_weights[class as usize], bytes: bytes.min(capacity) }
    });
    let level = fill(Bytes::whole(capacity), &classes);
    let mut shares = vec![0.0; demands.len()];
    for class in Class::ALL {
        let (places, wants): (Vec<usize>, Vec<Want>) = demands
            .iter()
            .enumerate()
            .filter(|(_, demand)| demand.class == class)
            .map(|(place, demand)| (place, Want { weight: demand.weight, bytes: demand.bytes }))
            .unzip();
        for (place, share) in places.into_iter().zip(fill(level[class as usize], &wants)) {
            shares[place] = share.to_f64();
        }
    }
    shares
}

/// Jain's fairness index of `values`, in (0, 1]: 1 where all are equal, 1/n where one of n has all.
///
/// Meant for sent bytes over fair share, one value for each flow or output. What is negative or
/// not finite is left out, as 0/0 is where nothing was asked for. Without values, and where all
/// are 0, nobody is treated worse than another: 1.
pub fn jain(values: &[f64]) -> f64 {
    let mut values: Vec<f64> =
        values.iter().copied().filter(|value| value.is_finite() && *value >= 0.0).collect();
    // One order, so that the sums round alike whatever order they came in.
    values.sort_by(f64::total_cmp);
    let (Some(&least), Some(&most)) = (values.first(), values.last()) else { return 1.0 };
    if least == most {
        return 1.0;
    }
    // In units of the greatest, so that no square overflows.
    let (mut sum, mut squares) = (0.0, 0.0);
    for value in &values {
        let value = value / most;
        sum += value;
        squares += value * value;
    }
    (sum * sum / (values.len() as f64 * squares)).min(1.0)
}

/// What one party of a level wants.
#[derive(Clone, Copy)]
struct Want {
    weight: u32,
    bytes: u64,
}

/// Bytes as an exact fraction.
#[derive(Clone, Copy)]
struct Bytes {
    numerator: u128,
    denominator: u128,
}

impl Bytes {
    fn whole(bytes: u64) -> Self {
        Self { numerator: bytes.into(), denominator: 1 }
    }

    fn to_f64(self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }
}

/// Water filling on one level. The parties are taken in the order of bytes wanted per weight: each
/// is satisfied as long as that lies below the level of what is left, and the rest stand at it.
///
/// Sizes, in binary digits: wants 64, weights 16, their sums over n parties 16 + log2 n; the
/// capacity 64 over 1 for the classes, and so 80 over 18 for members. The longest product is then
/// 64 + 18 + 16 + log2 n, which fits 128 up to a billion parties.
fn fill(capacity: Bytes, wants: &[Want]) -> Vec<Bytes> {
    let weight_of = |party: usize| u128::from(wants[party].weight.clamp(1, WEIGHT_MAX));
    let bytes_of = |party: usize| u128::from(wants[party].bytes);
    let mut order: Vec<usize> = (0..wants.len()).collect();
    order.sort_by(|&a, &b| (bytes_of(a) * weight_of(b)).cmp(&(bytes_of(b) * weight_of(a))));

    let mut left = capacity.numerator;
    let mut weights: u128 = order.iter().map(|&party| weight_of(party)).sum();
    let mut shares: Vec<Bytes> = wants.iter().map(|want| Bytes::whole(want.bytes)).collect();
    for (rank, &party) in order.iter().enumerate() {
        let wanted = bytes_of(party) * capacity.denominator;
        if wanted * weights > weight_of(party) * left {
            for &party in &order[rank..] {
                shares[party] = Bytes {
                    numerator: weight_of(party) * left,
                    denominator: capacity.denominator * weights,
                };
            }
            break;
        }
        left -= wanted;
        weights -= weight_of(party);
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WEIGHTS: [u32; 3] = [16, 4, 1];

    fn demand(class: Class, weight: u32, bytes: u64) -> Demand {
        Demand { class, weight, bytes }
    }

    #[test]
    fn known_shares() {
        use Class::{High, Low, Medium};
        let cases: [(&str, u64, Vec<Demand>, Vec<f64>); 7] = [
            ("nobody", 100, vec![], vec![]),
            ("room for all", 100, vec![demand(High, 1, 30), demand(Low, 1, 70)], vec![30.0, 70.0]),
            (
                "the small one is satisfied, the others share the rest",
                100,
                vec![demand(High, 1, 10), demand(High, 1, 60), demand(High, 1, 80)],
                vec![10.0, 45.0, 45.0],
            ),
            (
                "by weight",
                120,
                vec![demand(Low, 1, 1_000), demand(Low, 2, 1_000), demand(Low, 3, 1_000)],
                vec![20.0, 40.0, 60.0],
            ),
            (
                "classes first: one member of high against two of low",
                1_700,
                vec![demand(Low, 1, 9_999), demand(High, 1, 9_999), demand(Low, 1, 9_999)],
                vec![50.0, 1_600.0, 50.0],
            ),
            (
                "what high leaves goes to the others, 4 to 1",
                1_000,
                vec![demand(High, 1, 500), demand(Medium, 1, 9_999), demand(Low, 1, 9_999)],
                vec![500.0, 400.0, 100.0],
            ),
            ("no capacity", 0, vec![demand(High, 1, 5), demand(Low, 1, 0)], vec![0.0, 0.0]),
        ];
        for (name, capacity, demands, expected) in cases {
            assert_eq!(fair_shares(capacity, &demands, &WEIGHTS), expected, "{name}");
        }
    }

    #[test]
    fn the_largest_numbers_fit() {
        let demands = vec![demand(Class::Low, u32::MAX, u64::MAX); 1_000];
        let shares = fair_shares(u64::MAX, &demands, &[0, u32::MAX, u32::MAX]);
        assert!(shares.iter().all(|share| *share == u64::MAX as f64 / 1_000.0), "{:?}", shares[0]);
    }

    #[test]
    fn a_weight_outside_counts_as_the_nearest() {
        let with = |weight| {
            let demands = [demand(Class::High, weight, 1_000), demand(Class::High, 3, 1_000)];
            fair_shares(100, &demands, &WEIGHTS)
        };
        assert_eq!(with(0), with(1));
        assert_eq!(with(u32::MAX), with(WEIGHT_MAX));
    }

    #[test]
    fn known_indices() {
        assert_eq!(jain(&[]), 1.0);
        assert_eq!(jain(&[0.0, 0.0]), 1.0);
        assert_eq!(jain(&[0.1; 3]), 1.0);
        assert_eq!(jain(&[7.0, 0.0, 0.0, 0.0]), 0.25);
        assert_eq!(jain(&[1.0, 1.0, 0.0, 0.0]), 0.5);
        assert!(near(jain(&[3.0, 1.0, 2.0]), 6.0 / 7.0));
        assert_eq!(jain(&[f64::MAX, f64::MAX, 0.0]), 2.0 / 3.0);
        assert_eq!(jain(&[1.0, f64::NAN, 1.0, f64::INFINITY, -1.0]), 1.0, "left out");
    }

    /// Demands, weights and a capacity from none to more than all of them.
    fn any_case() -> impl Strategy<Value = (u64, Vec<Demand>, [u32; 3])> {
        let class = prop::sample::select(Class::ALL.to_vec());
        let bytes = prop_oneof![1 => Just(0_u64), 4 => 0..10_000_u64, 2 => 0..1_u64 << 45];
        let one = (class, 1..=256_u32, bytes).prop_map(|(c, w, b)| demand(c, w, b));
        let capacity = prop_oneof![0..20_000_u64, 0..1_u64 << 47];
        (capacity, prop::collection::vec(one, 0..40), prop::array::uniform3(1..=256_u32))
    }

    /// Equal but for roundings.
    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() <= a.abs().max(b.abs()) * 1e-12
    }

    /// At least, but for roundings.
    fn at_least(a: f64, b: f64) -> bool {
        a >= b || near(a, b)
    }

    /// Max-min fairness as it is defined, of parties (weight, wanted, given): who is not satisfied
    /// has as much per weight as each other who is not, and no less than anyone who is.
    fn is_max_min(parties: &[(u32, f64, f64)]) -> bool {
        let per_weight = |party: &(u32, f64, f64)| party.2 / f64::from(party.0);
        parties.iter().filter(|party| party.2 < party.1 && !near(party.1, party.2)).all(|hungry| {
            parties.iter().all(|other| {
                let other_hungry = other.2 < other.1 && !near(other.1, other.2);
                at_least(per_weight(hungry), per_weight(other))
                    && (!other_hungry || near(per_weight(hungry), per_weight(other)))
            })
        })
    }

    proptest! {
        #[test]
        fn all_is_given_and_no_more((capacity, demands, weights) in any_case()) {
            let shares = fair_shares(capacity, &demands, &weights);
            let wanted: u64 = demands.iter().map(|demand| demand.bytes).sum();
            prop_assert_eq!(shares.len(), demands.len());
            prop_assert!(near(shares.iter().sum(), wanted.min(capacity) as f64));
            for (share, demand) in shares.iter().zip(&demands) {
                prop_assert!((0.0..=demand.bytes as f64).contains(share), "{share} {demand:?}");
            }
            if wanted <= capacity {
                let exact: Vec<f64> = demands.iter().map(|demand| demand.bytes as f64).collect();
                prop_assert_eq!(shares, exact);
            }
        }

        #[test]
        fn nobody_hungry_is_below_the_others((capacity, demands, weights) in any_case()) {
            let shares = fair_shares(capacity, &demands, &weights);
            let mut classes = Vec::new();
            for class in Class::ALL {
                let members: Vec<(u32, f64, f64)> = demands
                    .iter()
                    .zip(&shares)
                    .filter(|(demand, _)| demand.class == class)
                    .map(|(demand, share)| (demand.weight, demand.bytes as f64, *share))
                    .collect();
                prop_assert!(is_max_min(&members), "{class:?}: {members:?}");
                let total = |value: fn(&(u32, f64, f64)) -> f64| members.iter().map(value).sum();
                classes.push((weights[class as usize], total(|m| m.1), total(|m| m.2)));
            }
            prop_assert!(is_max_min(&classes), "{classes:?}");
        }

        #[test]
        fn the_order_of_the_demands_does_not_matter(
            (capacity, demands, weights) in any_case(),
            seed in any::<u64>(),
        ) {
            let mut places: Vec<usize> = (0..demands.len()).collect();
            fastrand::Rng::with_seed(seed).shuffle(&mut places);
            let shuffled: Vec<Demand> = places.iter().map(|&place| demands[place]).collect();
            let shares = fair_shares(capacity, &demands, &weights);
            let expected: Vec<f64> = places.iter().map(|&place| shares[place]).collect();
            prop_assert_eq!(fair_shares(capacity, &shuffled, &weights), expected);
        }

        /// Between 1/n and 1; 1 for equal values and for no others (further apart than rounding);
        /// whatever the unit and the order.
        #[test]
        fn jain_is_one_for_equals_alone(
            mut values in prop::collection::vec(0.0_f64..1e6, 1..40),
            more in 1e-3_f64..10.0,
        ) {
            let index = jain(&values);
            prop_assert!(index > 0.0 && index <= 1.0, "{index}");
            prop_assert!(at_least(index, 1.0 / values.len() as f64), "{index}");
            let scaled: Vec<f64> = values.iter().map(|value| value * 3.7).collect();
            prop_assert!(near(jain(&scaled), index));
            values.reverse();
            prop_assert_eq!(jain(&values), index);
            let equal = vec![values[0] + 1.0; values.len()];
            prop_assert_eq!(jain(&equal), 1.0);
            let mut unequal = equal;
            unequal.push(unequal[0] * (1.0 + more));
            prop_assert!(jain(&unequal) < 1.0);
        }
    }
}
