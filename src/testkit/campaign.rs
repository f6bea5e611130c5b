//! Campaigns: a great many changed copies of good bytes against whatever reads a stranger's bytes.
//!
//! Each case has its number, and that and the seed alone decide its bytes: what a panic names can be run
//! again by itself. `scripts/fuzz.sh` runs the tests named `campaign` with millions of cases, the
//! test suite with a thousand.
//!
//! | variable | |
//! |---|---|
//! | `PUNCTUAL_FUZZ_CASES` | cases of each campaign |
//! | `PUNCTUAL_FUZZ_SEED` | the seed, 1 by default |
//! | `PUNCTUAL_FUZZ_CASE` | this one alone |

use fastrand::Rng;

use crate::wire::Sum;

/// Cases of each campaign where nothing else is asked for.
const SHORT: u64 = 1_000;
/// Changes of a case, at most.
const CHANGES: usize = 6;
/// Bytes that parsers tend to trip over.
const ODD: [u8; 8] = [0, 1, 4, 0x7f, 0x80, 0xfe, 0xff, b'"'];

/// Judges changed copies of `good`, one after the other; what `judge` does not like is a panic.
pub fn campaign(good: &[Vec<u8>], judge: impl FnMut(&[u8])) {
    run(good, |_| {}, judge);
}

/// The same with frames: every other one has its checksums mended, or nothing would get past them.
pub fn of_frames(good: &[Vec<u8>], judge: impl FnMut(&[u8])) {
    run(good, mend, judge);
}

fn run(good: &[Vec<u8>], mend: impl Fn(&mut [u8]), mut judge: impl FnMut(&[u8])) {
    let asked = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: a number is wanted")))
    };
    let seed = asked("PUNCTUAL_FUZZ_SEED").unwrap_or(1);
    let cases = match asked("PUNCTUAL_FUZZ_CASE") {
        Some(case) => case..case + 1,
        None => 0..asked("PUNCTUAL_FUZZ_CASES").unwrap_or(SHORT),
    };
    for case in cases {
        let mut rng = Rng::with_seed(seed ^ case.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut bytes = changed(good, &mut rng);
        if rng.bool() {
            mend(&mut bytes);
        }
        let told = Told { seed, case, bytes: &bytes };
        judge(told.bytes);
    }
}

/// Says which case it was where that ends in a panic.
struct Told<'a> {
    seed: u64,
    case: u64,
    bytes: &'a [u8],
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, case, bytes } = self;
            let again = format!("PUNCTUAL_FUZZ_SEED={seed} PUNCTUAL_FUZZ_CASE={case}");
            eprintln!("{again}: {} bytes: {}", bytes.len(), bytes.escape_ascii());
        }
    }
}

/// One of `good` with some changes; now and then anything at all.
fn changed(good: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    if rng.u8(..) < 8 {
        let len = rng.usize(..200);
        return std::iter::repeat_with(|| rng.u8(..)).take(len).collect();
    }
    let mut bytes = good[rng.usize(..good.len())].clone();
    for _ in 0..rng.usize(1..=CHANGES) {
        change(&mut bytes, good, rng);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, good: &[Vec<u8>], rng: &mut Rng) {
    let at = rng.usize(..=bytes.len());
    let end = (at + rng.usize(1..=24)).min(bytes.len());
    match rng.u8(..8) {
        0 if at < bytes.len() => bytes[at] ^= 1 << rng.u8(..8),
        1 if at < bytes.len() => bytes[at] = ODD[rng.usize(..ODD.len())],
        2 if at < bytes.len() => bytes[at] = rng.u8(..),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        5 => bytes.truncate(at),
        6 if at + 1 < bytes.len() => {
            let len = bytes.len() as u16;
            let odd = [0, 1, 7, 8, len, len.wrapping_sub(1), 0x7fff, 0x8000, u16::MAX];
            bytes[at..at + 2].copy_from_slice(&odd[rng.usize(..odd.len())].to_be_bytes());
        }
        _ => {
            let other = &good[rng.usize(..good.len())];
            let from = rng.usize(..=other.len());
            let part = &other[from..(from + rng.usize(..=32)).min(other.len())];
            bytes.splice(at..at, part.iter().copied());
        }
    }
}

/// Makes the checksums of an untagged frame of IGMP, ICMP or ICMPv6 right, and that of IPv4's header,
/// as far as its lengths let them be found.
fn mend(frame: &mut [u8]) {
    let Some(&[high, low]) = frame.get(12..14) else { return };
    match [high, low] {
        [8, 0] => mend_v4(&mut frame[14..]),
        [0x86, 0xdd] => mend_v6(&mut frame[14..]),
        _ => {}
    }
}

fn mend_v4(packet: &mut [u8]) {
    let Some(&first) = packet.first() else { return };
    let len = usize::from(first & 0xf) * 4;
    if len < 20 || packet.len() < len {
        return;
    }
    let (header, rest) = packet.split_at_mut(len);
    write_sum(header, 10, Sum::default());
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let end = total.saturating_sub(len).min(rest.len());
    if matches!(header[9], 1 | 2) {
        write_sum(&mut rest[..end], 2, Sum::default());
    }
}

fn mend_v6(packet: &mut [u8]) {
    if packet.len() < 40 {
        return;
    }
    let (header, rest) = packet.split_at_mut(40);
    let payload = usize::from(u16::from_be_bytes([header[4], header[5]])).min(rest.len());
    let mut message = &mut rest[..payload];
    if header[6] == 0 {
        let [58, units, ..] = *message else { return };
        let skip = (usize::from(units) + 1) * 8;
        if message.len() < skip {
            return;
        }
        message = &mut message[skip..];
    } else if header[6] != 58 {
        return;
    }
    let pseudo = Sum::of_bytes(&header[8..40])
        + Sum::of_bytes(&(message.len() as u32).to_be_bytes())
        + Sum::of_number(58);
    write_sum(message, 2, pseudo);
}

fn write_sum(bytes: &mut [u8], at: usize, start: Sum) {
    if bytes.len() >= at + 2 {
        bytes[at..at + 2].fill(0);
        let sum = (start + Sum::of_bytes(bytes)).checksum();
        bytes[at..at + 2].copy_from_slice(&sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_the_same_again_and_most_cases_differ() {
        let good = [b"one good text".to_vec(), vec![7; 60]];
        let all = || {
            let mut all = Vec::new();
            campaign(&good, |bytes| all.push(bytes.to_vec()));
            all
        };
        let first = all();
        assert_eq!(first, all());
        let different: std::collections::HashSet<_> = first.iter().collect();
        assert!(different.len() > first.len() / 2, "{}", different.len());
    }
}
