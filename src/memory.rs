//! How much memory this process takes.

/// The most memory this process has held, in MiB; `None` where the system does not tell.
pub fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<f64>().ok().map(|kib| kib / 1024.0)
}

/// Bytes that the system can still give: what is free in memory and swap, or in the control group's limit, such
/// as a container's; `None` where it does not tell.
pub fn free() -> Option<u64> {
    let about = std::fs::read_to_string("/proc/meminfo").ok()?;
    let field = |name: &str| {
        let line = about.lines().find_map(|l| l.strip_prefix(name))?;
        line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    let free = field("MemAvailable:")?.saturating_add(field("SwapFree:").unwrap_or(0));
    Some(free.min(free_of_group().unwrap_or(u64::MAX)))
}

/// Of the control group, of the second version or the first. Pages of files that it holds are given up when
/// they are needed.
fn free_of_group() -> Option<u64> {
    let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let group = |limit: &str, used: &str, stat: &str, files: &str| {
        let cached = std::fs::read_to_string(stat).ok()?;
        let cached = cached.lines().find_map(|l| l.strip_prefix(files)?.trim().parse::<u64>().ok())?;
        Some(number(limit)?.saturating_sub(number(used)?.saturating_sub(cached)))
    };
    let second = || {
        let at = |name: &str| format!("/sys/fs/cgroup/memory.{name}");
        group(&at("max"), &at("current"), &at("stat"), "inactive_file ")
    };
    let first = || {
        let at = |name: &str| format!("/sys/fs/cgroup/memory/memory.{name}");
        group(&at("limit_in_bytes"), &at("usage_in_bytes"), &at("stat"), "total_inactive_file ")
    };
    second().or_else(first)
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn something_is_free_and_no_more_than_there_is() {
        let free = super::free().expect("Linux tells");
        assert!((1 << 20..1 << 50).contains(&free), "{free}");
    }
}
