//! What a figure was measured on, in one line, as the system tells it.

/// Processor, cores, memory, kernel.
#[must_use]
pub fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let processor =
        field(&read("/proc/cpuinfo"), "model name").unwrap_or("unknown processor").to_owned();
    let memory = field(&read("/proc/meminfo"), "MemTotal").map_or_else(String::new, gibibytes);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cores} x {processor}{memory}, Linux {}", kernel.trim())
}

/// `name : value` of the files in `/proc`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim())
}

fn gibibytes(kilobytes: &str) -> String {
    let number = kilobytes.trim_end_matches("kB").trim().parse::<u64>().unwrap_or(0);
    format!(", {} GiB", number / (1024 * 1024))
}

#[expect(clippy::disallowed_methods, reason = "the system's own files, not docdb's")]
fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "model\t\t: 25\nmodel name\t: A processor\n";
        assert_eq!(field(text, "model name"), Some("A processor"));
        assert_eq!(field(text, "cache"), None);
    }

    #[test]
    fn memory_is_told_in_gibibytes() {
        assert_eq!(gibibytes("25165824 kB"), ", 24 GiB");
    }
}
