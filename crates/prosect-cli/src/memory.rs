//! How much memory there is, and sizes as people write them.

use std::fs;
use std::path::Path;

/// Reads `4G`, `1500M`, `1.5 GiB` or a number of bytes. A letter means a power of 1024.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let lower = text.trim().to_ascii_lowercase();
    let end = lower
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(lower.len());
    let (number, unit) = lower.split_at(end);
    let unit = unit.trim();
    let shift = match unit
        .strip_suffix("ib")
        .or(unit.strip_suffix('b'))
        .unwrap_or(unit)
    {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err("a size is a number and K, M, G or T, for example 4G".into()),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| "a size is a number and K, M, G or T, for example 4G".to_owned())?;
    let bytes =
        number * f64::from(1 << (shift % 30)) * if shift >= 30 { f64::from(1 << 30) } else { 1.0 };
    if (1.0..9e18).contains(&bytes) {
        Ok(bytes as u64)
    } else {
        Err("a size is more than nothing, and less than there is".into())
    }
}

/// A size for people: `4.0 GB`.
pub(crate) fn size(bytes: u64) -> String {
    let bytes = bytes as f64;
    if bytes >= 1e9 {
        format!("{:.1} GB", bytes / 1e9)
    } else {
        format!("{:.0} MB", bytes / 1e6)
    }
}

/// Three quarters of what this process may use: of the machine, or of its container if that is
/// less. `None` where the system does not tell.
pub(crate) fn default_limit() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| total_of(&text));
    let limits = [machine, container_limit()];
    limits
        .into_iter()
        .flatten()
        .min()
        .map(|bytes| bytes / 4 * 3)
}

/// `MemTotal` of `/proc/meminfo`, which is in units of 1024 bytes.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// The smallest limit of the control groups that this process is in (cgroup v2 and v1).
fn container_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mut smallest: Option<u64> = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next(), fields.next()?, fields.next()?);
        let (root, file) = if controllers.is_empty() {
            ("/sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|c| c == "memory") {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            continue;
        };
        // The group's own limit and those of all groups around it.
        for group in Path::new(path.trim_start_matches('/')).ancestors() {
            let limit = fs::read_to_string(Path::new(root).join(group).join(file));
            let limit = limit.ok().and_then(|text| text.trim().parse().ok());
            smallest = [smallest, limit].into_iter().flatten().min();
        }
    }
    smallest
}

#[cfg(test)]
mod tests {
    use super::{default_limit, parse_size, total_of};

    #[track_caller]
    fn check(text: &str, expected: Option<u64>) {
        assert_eq!(parse_size(text).ok(), expected, "{text}");
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        check("4G", Some(4 << 30));
        check("1500M", Some(1500 << 20));
        check("1.5 GiB", Some(3 << 29));
        check("2t", Some(2 << 40));
        check("512kb", Some(512 << 10));
        check("1048576", Some(1 << 20));
        for wrong in ["", "G", "-1G", "4X", "0", "1e99", "4GG", "1.2.3M"] {
            check(wrong, None);
        }
    }

    #[test]
    fn the_machines_memory_is_found() {
        let meminfo = "MemTotal:       24576000 kB\nMemFree:  1 kB\n";
        assert_eq!(total_of(meminfo), Some(24_576_000 * 1024));
        if cfg!(target_os = "linux") {
            assert!(default_limit().is_some_and(|bytes| bytes > 1 << 20));
        }
    }
}
