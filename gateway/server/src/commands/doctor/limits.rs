//! What the machine lends: open files, memory.

use super::Check;
use crate::config::{Config, Size};
use crate::limits::FILES_ENOUGH;
use crate::runtime::budget;
use rustix::process::{Resource, getrlimit};

pub(super) fn look(config: &Config) -> Vec<Check> {
    let files = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let (budget, machine) = (budget::memory_budget(config), budget::machine_memory());
    vec![judge_files(files), judge_memory(budget, machine)]
}

fn judge_files(files: u64) -> Check {
    const NAME: &str = "open files";
    let seen = match files {
        u64::MAX => "any number of files may be open".to_owned(),
        files => format!("{files} files may be open at once"),
    };
    if files < FILES_ENOUGH {
        let fix =
            format!("raise LimitNOFILE of the service, or the hard limit of `ulimit -n`, to {FILES_ENOUGH}");
        return Check::warn(NAME, format!("{seen}: a busy gateway wants {FILES_ENOUGH}"), fix);
    }
    Check::ok(NAME, seen)
}

fn judge_memory(budget: u64, machine: u64) -> Check {
    const NAME: &str = "memory";
    let seen = format!("the gateway takes {} of {}", in_words(budget), in_words(machine));
    if budget > machine {
        return Check::fail(NAME, format!("{seen}: there is not that much"), "make memory.budget smaller");
    }
    if budget > machine / 10 * 8 {
        let text = format!("{seen}: little is left for the kernel, whose cache holds what is written");
        return Check::warn(NAME, text, "make memory.budget smaller, half of the memory at most");
    }
    if budget < 256 << 20 {
        let text = format!("{seen}: less than the 256 MiB that it wants at least");
        return Check::warn(NAME, text, "set memory.budget to 256MiB or more, on a machine that has them");
    }
    Check::ok(NAME, seen)
}

fn in_words(bytes: u64) -> String {
    match bytes % (1 << 20) {
        0 => Size(bytes).to_string(),
        _ => dfs_api::units::show_size(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn limits_that_are_too_low_are_told() {
        assert_eq!(judge_files(1024).verdict, Verdict::Warn);
        assert_eq!(judge_files(1 << 20).verdict, Verdict::Ok);
        let gib = |number: u64| number << 30;
        assert_eq!(judge_memory(gib(2), gib(8)).verdict, Verdict::Ok);
        assert_eq!(judge_memory(gib(7), gib(8)).verdict, Verdict::Warn);
        assert_eq!(judge_memory(gib(9), gib(8)).verdict, Verdict::Fail);
        assert_eq!(judge_memory(1 << 20, gib(8)).verdict, Verdict::Warn);
    }
}
