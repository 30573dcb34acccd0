//! Limits processes to Lambda's share of a CPU, with the kernel's CFS quota in control groups of version 2 or 1.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::process::Command;

/// Memory at which Lambda gives a whole vCPU.
///
/// Source: Lambda Developer Guide, "Configure Lambda function memory".
const MEMORY_OF_A_VCPU_MB: f64 = 1_769.0;

/// Period of the quota.
const PERIOD_MICROSECONDS: u32 = 20_000;

/// A control group for the processes of a function. Dropping it removes the group, once its processes have ended.
pub struct Quota {
    group: PathBuf,
}

impl Quota {
    /// A quota of the share of a CPU for this memory. Fails without control groups, or without the right to create one.
    pub fn of_memory(megabytes: u32) -> io::Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let microseconds = (f64::from(PERIOD_MICROSECONDS) * f64::from(megabytes) / MEMORY_OF_A_VCPU_MB).round();
        let name = format!("byos-benchmark-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let root = Path::new("/sys/fs/cgroup");
        let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        let is_version_2 = controllers.split_whitespace().any(|controller| controller == "cpu");
        let quota = Self { group: if is_version_2 { root.join(name) } else { root.join("cpu").join(name) } };
        fs::create_dir(&quota.group)?;
        if is_version_2 {
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

    /// A command that runs the binary in the group from its first instruction on.
    pub fn command(&self, binary: &Path) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", r#"echo $$ > "$0" && exec "$1""#]).arg(self.group.join("cgroup.procs")).arg(binary);
        command
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // A process that has just ended stays in the group for a moment.
        for _ in 0..100 {
            if fs::remove_dir(&self.group).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        eprintln!("can't remove the control group {}", self.group.display());
    }
}
