//! A share of a CPU, as Lambda gives it by memory: a CFS quota of the kernel's, in version 2 or 1 of its control groups.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::process::Command;

/// Memory that brings a whole vCPU.
///
/// Source: Lambda Developer Guide, "Configure Lambda function memory".
const MEMORY_OF_A_VCPU_MB: f64 = 1_769.0;

/// The quota is for each 20 ms.
const PERIOD_MICROSECONDS: u32 = 20_000;

/// A control group for the processes of one function. It is removed when they have ended and this is dropped.
pub struct Quota {
    group: PathBuf,
}

impl Quota {
    /// The share that so many MB bring.
    ///
    /// # Errors
    /// If the kernel has no such groups, or this process may not make one.
    pub fn of_memory(megabytes: u32) -> io::Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let microseconds = (f64::from(PERIOD_MICROSECONDS) * f64::from(megabytes) / MEMORY_OF_A_VCPU_MB).round();
        let name = format!("byos-benchmark-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let root = Path::new("/sys/fs/cgroup");
        let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        let is_second = controllers.split_whitespace().any(|controller| controller == "cpu");
        let quota = Self { group: if is_second { root.join(name) } else { root.join("cpu").join(name) } };
        fs::create_dir(&quota.group)?;
        if is_second {
            fs::write(root.join("cgroup.subtree_control"), "+cpu")?;
            quota.write("cpu.max", &format!("{microseconds} {PERIOD_MICROSECONDS}"))?;
        } else {
            quota.write("cpu.cfs_period_us", &PERIOD_MICROSECONDS.to_string())?;
            quota.write("cpu.cfs_quota_us", &microseconds.to_string())?;
        }
        Ok(quota)
    }

    fn write(&self, file: &str, value: &str) -> io::Result<()> {
        fs::write(self.group.join(file), value)
    }

    /// Runs a binary in the group from its first instruction on.
    pub fn command(&self, binary: &Path) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", r#"echo $$ > "$0" && exec "$1""#]).arg(self.group.join("cgroup.procs")).arg(binary);
        command
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // A process that has just ended is still in it for a moment.
        for _ in 0..100 {
            if fs::remove_dir(&self.group).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        eprintln!("{} is left", self.group.display());
    }
}
