//! How much memory there is, so that a run that would not fit stops before it allocates.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};

/// Bytes that can still be allocated without swapping, where the system tells: the least of what the
/// machine has free and what is left under a control-group limit.
pub fn available() -> Option<u64> {
    let machine = mem_available(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let v2 = group_left("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current");
    let v1 = group_left(
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    );
    [v2, v1].into_iter().flatten().chain([machine]).min()
}

/// Checks that `bytes` for `what` can be had.
///
/// # Errors
/// [`Error::Config`] on `key` with both figures, if it cannot.
pub fn check_fits(key: &str, what: &str, bytes: u64) -> Result<()> {
    match available() {
        Some(free) if bytes > free => Err(Error::config(
            key,
            format!(
                "{what} would take {}; {} are available",
                human(bytes),
                human(free)
            ),
        )),
        _ => Ok(()),
    }
}

/// A number of bytes for people: `512 B`, `1.5 kB`, `7.26 GB` (powers of 1000).
///
/// ```
/// use thorndike_core::memory::human;
/// assert_eq!([human(512), human(1_500), human(7_264_000_000)], ["512 B", "1.50 kB", "7.26 GB"]);
/// ```
pub fn human(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = 0;
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 {
        return format!("{bytes} B");
    }
    let digits = if value < 10.0 {
        2
    } else {
        usize::from(value < 100.0)
    };
    format!("{value:.digits$} {}", UNITS[unit])
}

fn mem_available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find(|line| line.starts_with("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

fn group_left(limit: impl AsRef<Path>, used: impl AsRef<Path>) -> Option<u64> {
    let number = |path: &Path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    Some(number(limit.as_ref())?.saturating_sub(number(used.as_ref())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_table_is_read_in_kibibytes() {
        let table = "MemTotal:       24000000 kB\nMemFree: 1 kB\nMemAvailable:   20000 kB\n";
        assert_eq!(mem_available(table), Some(20_480_000));
        assert_eq!(mem_available("MemTotal: 3 kB"), None);
    }

    #[test]
    fn what_cannot_fit_is_refused_with_both_figures() {
        if available().is_none() {
            return;
        }
        let error = check_fits("replay.capacity", "the replay", u64::MAX)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("replay.capacity: the replay would take "),
            "{error}"
        );
        assert!(check_fits("replay.capacity", "the replay", 1).is_ok());
    }
}
