//! Processor time and memory of a process and all its descendants, as `/proc` tells them.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// What processes used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// Processor time since their start.
    pub cpu: Duration,
    /// Octets in memory, shared pages counted once for each.
    pub memory: u64,
}

/// What `root` and its descendants used so far.
#[must_use]
pub fn used(root: u32) -> Used {
    let all: HashMap<u32, (u32, Used)> = processes().collect();
    let mut sum = Used::default();
    for pid in all.keys() {
        let mut ancestor = Some(*pid);
        while let Some(known) = ancestor.filter(|known| *known != root) {
            ancestor = all.get(&known).map(|(parent, _)| *parent);
        }
        if let (Some(_), Some((_, used))) = (ancestor, all.get(pid)) {
            sum.cpu += used.cpu;
            sum.memory += used.memory;
        }
    }
    sum
}

/// Every process, with its parent.
fn processes() -> impl Iterator<Item = (u32, (u32, Used))> {
    let folders = fs::read_dir("/proc").into_iter().flatten().flatten();
    folders.filter_map(|folder| {
        let pid = folder.file_name().to_str()?.parse().ok()?;
        let text = fs::read_to_string(folder.path().join("stat")).ok()?;
        // The name may hold anything, also blanks and parentheses.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |place: usize| fields.get(place).and_then(|field| field.parse::<u64>().ok());
        let ticks = number(11)? + number(12)?;
        let used = Used { cpu: Duration::from_millis(ticks * 10), memory: number(21)? * 4_096 };
        Some((pid, (u32::try_from(number(1)?).ok()?, used)))
    })
}
