//! One instance per name: EAL refuses a second one only where it shares its configuration.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::DpdkError;

/// Times that a lock file may vanish between open and lock before we give up.
const ATTEMPTS: usize = 16;

/// The name is ours as long as this lives; the kernel frees it if the process is killed.
#[derive(Debug)]
pub(super) struct NameLock {
    path: PathBuf,
    _file: File,
}

impl NameLock {
    /// Takes the lock on `name`.
    pub(super) fn take(name: &str) -> Result<Self, DpdkError> {
        let path = directory().join(format!("{name}.lock"));
        let failed =
            |source| DpdkError::NameLock { name: name.to_owned(), path: path.clone(), source };
        for _ in 0..ATTEMPTS {
            let mut file = open(&path).map_err(failed)?;
            if !lock(&file).map_err(failed)? {
                return Err(DpdkError::NameBusy {
                    name: name.to_owned(),
                    holder: holder(&mut file, &path),
                });
            }
            // The holder before us may have removed the file between our open and our lock.
            if is_at(&file, &path) {
                // The number is for people: the lock itself is what counts.
                let _ = file.set_len(0);
                let _ = write!(file, "{}", std::process::id());
                return Ok(Self { path, _file: file });
            }
        }
        Err(failed(io::Error::from(io::ErrorKind::WouldBlock)))
    }
}

impl Drop for NameLock {
    fn drop(&mut self) {
        // Still locked here, so that nobody holds a lock on a file that is gone.
        let _ = fs::remove_file(&self.path);
    }
}

/// Where locks live, chosen as EAL chooses its runtime directory.
fn directory() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    // SAFETY: `getuid` cannot fail.
    let user = unsafe { libc::getuid() };
    if let Some(ours) = variable("RUNTIME_DIRECTORY") {
        ours.into()
    } else if user == 0 {
        "/run/punctual".into()
    } else if let Some(users) = variable("XDG_RUNTIME_DIR") {
        Path::new(&users).join("punctual")
    } else {
        format!("/tmp/punctual-{user}").into()
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
}

/// False where another process has it.
fn lock(file: &File) -> io::Result<bool> {
    // SAFETY: the descriptor is open as long as `file` lives.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        error => Err(error),
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(named)) => held.ino() == named.ino() && held.dev() == named.dev(),
        _ => false,
    }
}

fn holder(file: &mut File, path: &Path) -> String {
    let mut process = String::new();
    let _ = file.read_to_string(&mut process);
    match process.trim() {
        "" => format!("{} is locked", path.display()),
        process => format!("process {process} holds {}", path.display()),
    }
}
