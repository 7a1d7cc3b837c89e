//! A volume whose power can be cut: a file system in a file, which is copied at the moment of the kill.
//!
//! The copy holds only what reached the block device: whatever the kernel still had in its cache is lost with the power.
//! It needs root and loop devices.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::Running;

pub struct Volume {
    own: tempfile::TempDir,
    image: PathBuf,
    mounted: PathBuf,
    cuts: u32,
}

fn run(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
}

impl Volume {
    /// A new volume; `None`, with a word, where this machine can't have one.
    pub fn make() -> Option<Self> {
        let own = tempfile::tempdir().expect("a temporary folder");
        let image = own.path().join("0.img");
        fs::File::create(&image).and_then(|file| file.set_len(512 << 20)).expect("an image");
        let mut volume = Self { image, mounted: PathBuf::new(), own, cuts: 0 };
        let image = volume.image.display().to_string();
        if !run("mkfs.ext4", &["-q", &image]) || !volume.mount() {
            crate::program::skipped("root with loop devices and mkfs.ext4");
            return None;
        }
        Some(volume)
    }

    /// With `commit=300` no journal commit of its own falls between the last sync and the cut.
    fn mount(&mut self) -> bool {
        self.mounted = self.own.path().join(format!("mounted-{}", self.cuts));
        fs::create_dir(&self.mounted).expect("a mount point");
        run("mount", &["-o", "loop,commit=300", &self.image.display().to_string(), &self.mounted.display().to_string()])
    }

    pub fn mounted(&self) -> &Path {
        &self.mounted
    }

    /// Kills the hub and keeps only what the device has; goes on with the copy, as after the next boot.
    pub fn cut_the_power(&mut self, mut hub: Running) {
        hub.kill_now();
        self.cuts += 1;
        let copy = self.own.path().join(format!("{}.img", self.cuts));
        assert!(run("cp", &["--sparse=always", &self.image.display().to_string(), &copy.display().to_string()]));
        assert!(run("umount", &[&self.mounted.display().to_string()]), "umount");
        fs::remove_file(&self.image).expect("remove the old image");
        self.image = copy;
        assert!(self.mount(), "mount after the cut");
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        run("umount", &[&self.mounted.display().to_string()]);
    }
}
