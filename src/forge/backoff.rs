//! When to try a status again. The outbox that does so lives elsewhere.

use std::time::Duration;

const FIRST_WAIT_S: u64 = 2;
const LONGEST_WAIT_S: u64 = 120;
/// A forge that asks for more is asked again after this long all the same.
const LONGEST_ASKED_S: u64 = 3600;

/// How long to wait after the `failures`-th failure in a row (counted from 1): 2 s, doubled each time, at most 120 s, spread
/// by up to a quarter either way so that many waiters do not come back at once; never less than the forge asked for.
/// * `chance`: a random number from 0 to 1.
/// * `asked`: [`super::ForgeError::retry_after`].
pub fn wait_before_retry(failures: u32, chance: f64, asked: Option<Duration>) -> Duration {
    let doubled = FIRST_WAIT_S.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let spread = 0.75 + 0.5 * chance.clamp(0.0, 1.0);
    let own = Duration::from_secs(doubled.min(LONGEST_WAIT_S)).mul_f64(spread);
    let asked = asked.unwrap_or_default().min(Duration::from_secs(LONGEST_ASKED_S));
    own.max(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_two_minutes_and_respect_what_the_forge_asks() {
        let schedule = |chance, asked| -> Vec<u64> {
            (1..=9)
                .map(|failures| wait_before_retry(failures, chance, asked).as_millis() as u64)
                .collect()
        };
        assert_eq!(
            schedule(0.5, None),
            [2000, 4000, 8000, 16000, 32000, 64000, 120_000, 120_000, 120_000]
        );
        assert_eq!(schedule(0.0, None)[..3], [1500, 3000, 6000]);
        assert_eq!(schedule(1.0, None)[..3], [2500, 5000, 10000]);
        let asked = Some(Duration::from_secs(30));
        assert_eq!(
            schedule(0.5, asked)[..6],
            [30_000, 30_000, 30_000, 30_000, 32_000, 64_000]
        );
        assert_eq!(
            wait_before_retry(u32::MAX, 9.0, Some(Duration::from_secs(u64::MAX))).as_secs(),
            3600
        );
    }
}
