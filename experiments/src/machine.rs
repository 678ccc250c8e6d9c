//! The machines that an experiment ran on, in `machine.json` beside its configuration.
//!
//! They are no part of the events or the checkpoints, which are the same bytes wherever they are made: a reader of the
//! results wants to know on what the seconds were measured, and with which program.

use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::launch::write_whole;

/// File of the machines, below the folder of an experiment.
pub const MACHINE: &str = "machine.json";

/// A machine and the program on it. Nothing here names the machine, its user or a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Model of the processor, as it calls itself.
    pub processor: String,
    /// Cores that the program may use.
    pub cores: usize,
    /// Memory of the whole machine in GB of 10⁹ bytes, rounded: it differs a little from start to start.
    pub memory_gb: Option<u64>,
    /// Operating system with its version, and the architecture.
    pub system: String,
    /// Version of the program.
    pub version: String,
}

/// A machine with what was done on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stay {
    /// What the experiment did when it came to this machine.
    pub work: Work,
    /// The machine.
    #[serde(flatten)]
    pub machine: Machine,
}

/// What an experiment does when it comes to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// It was begun there.
    Started,
    /// It went on there.
    Resumed,
}

impl Machine {
    /// The one that this program runs on.
    pub fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let kernel = read("/proc/sys/kernel/osrelease");
        let mut system = format!("{} {}", std::env::consts::OS, kernel.trim());
        if let Some(name) = value_of(&read("/etc/os-release"), "PRETTY_NAME", '=') {
            system = format!("{name}, {system}");
        }
        let arch = std::env::consts::ARCH;
        Self {
            processor: value_of(&read("/proc/cpuinfo"), "model name", ':')
                .unwrap_or_else(|| arch.to_owned()),
            cores: available_parallelism().map_or(1, usize::from),
            memory_gb: value_of(&read("/proc/meminfo"), "MemTotal", ':')
                .and_then(|text| gigabytes(&text)),
            system: format!("{}, {arch}", system.trim()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// Records that the experiment in `dir` begins on this machine; what was recorded there is of another run.
///
/// # Errors
/// If the file cannot be written.
pub fn started(dir: &Path) -> Result<()> {
    let stay = Stay {
        work: Work::Started,
        machine: Machine::here(),
    };
    write(dir, &[stay])
}

/// Records that the experiment in `dir` goes on on this machine, unless it has been here before. A record that cannot be
/// read is begun anew: it is not worth a run.
///
/// # Errors
/// If the file cannot be written.
pub fn resumed(dir: &Path) -> Result<()> {
    let machine = Machine::here();
    let mut stays = read(dir).unwrap_or_default();
    if stays.iter().any(|stay| stay.machine == machine) {
        return Ok(());
    }
    stays.push(Stay {
        work: Work::Resumed,
        machine,
    });
    write(dir, &stays)
}

/// The machines of the experiment in `dir`, in the order in which it came to them; none if they were not recorded.
///
/// # Errors
/// If the file is there and cannot be read.
pub fn read(dir: &Path) -> Result<Vec<Stay>> {
    let path = dir.join(MACHINE);
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let text = fs::read(&path).with_context(|| format!("{}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{}", path.display()))
}

fn write(dir: &Path, stays: &[Stay]) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(stays)?;
    text.push(b'\n');
    write_whole(&dir.join(MACHINE), &text)
}

/// Value of the first line `key <sign> value`, without quotes.
fn value_of(table: &str, key: &str, sign: char) -> Option<String> {
    let value = table.lines().find_map(|line| {
        let (name, value) = line.split_once(sign)?;
        (name.trim() == key).then(|| value.trim().trim_matches('"'))
    });
    value.filter(|value| !value.is_empty()).map(str::to_owned)
}

/// `24616036 kB`, in which the kernel means 1024 bytes, as 25.
fn gigabytes(text: &str) -> Option<u64> {
    let kib: u64 = text.split_whitespace().next()?.parse().ok()?;
    Some((kib as f64 * 1024.0 / 1e9).round().max(1.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_the_system_are_read_as_they_are_written() {
        let cpu = "processor\t: 0\nmodel name\t: AMD EPYC 9R14\nmodel name\t: other\n";
        assert_eq!(value_of(cpu, "model name", ':').unwrap(), "AMD EPYC 9R14");
        let os = "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12\"\nEMPTY=\n";
        assert_eq!(
            value_of(os, "PRETTY_NAME", '=').unwrap(),
            "Debian GNU/Linux 12"
        );
        assert_eq!(value_of(os, "EMPTY", '='), None);
        assert_eq!(gigabytes("24616036 kB"), Some(25));
        assert_eq!(gigabytes("much"), None);
    }

    #[test]
    fn a_second_machine_is_added_and_the_same_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        assert_eq!(read(dir).unwrap(), []);
        started(dir).unwrap();
        resumed(dir).unwrap();
        let mut stays = read(dir).unwrap();
        assert_eq!((stays.len(), stays[0].work), (1, Work::Started));
        stays[0].machine.processor = "another".to_owned();
        write(dir, &stays).unwrap();
        resumed(dir).unwrap();
        resumed(dir).unwrap();
        let works: Vec<Work> = read(dir).unwrap().iter().map(|stay| stay.work).collect();
        assert_eq!(works, [Work::Started, Work::Resumed]);
        started(dir).unwrap();
        assert_eq!(read(dir).unwrap().len(), 1, "--force begins anew");
    }

    #[test]
    fn a_damaged_record_is_an_error_to_a_reader_and_none_to_a_run() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(MACHINE), "[{").unwrap();
        assert!(
            read(folder.path())
                .unwrap_err()
                .to_string()
                .contains(MACHINE)
        );
        resumed(folder.path()).unwrap();
        assert_eq!(read(folder.path()).unwrap()[0].work, Work::Resumed);
    }
}
