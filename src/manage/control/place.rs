//! Where the control socket is, and whose: made for its user alone, in place of what a dead
//! instance left, and gone when it ends.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::config::ControlSocket;

/// Why there is no control socket. The caller exits with code 69.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// No directory will do.
    #[error(
        "there is no directory for the control socket: {tried}; make one of them ours, or set \
         [management] socket to a path of your own or to \"off\""
    )]
    NoDirectory {
        /// Each directory with what is wrong with it.
        tried: String,
    },
    /// Something else is there.
    #[error(
        "control socket {}: {found}; {remedy}, or set [management] socket to another path",
        path.display()
    )]
    Occupied {
        /// Where.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What would help.
        remedy: &'static str,
    },
    /// The system refused.
    #[error(
        "control socket {} cannot be made: {source}; make its directory writable, or set \
         [management] socket to another path or to \"off\"",
        path.display()
    )]
    Refused {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A socket file of ours. Dropping it removes the file.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    /// Device and inode, so that nobody else's file is removed.
    identity: (u64, u64),
}

impl Place {
    /// Makes the socket where the configuration wants it; none where it is `"off"`. The instance
    /// `name` is ours already: what is left under it is a dead instance's.
    ///
    /// # Errors
    /// Where no directory will do, something else is there, or the system refuses.
    pub fn make(
        wanted: &ControlSocket,
        name: &str,
    ) -> Result<Option<(UnixListener, Self)>, PlaceError> {
        let path = match wanted {
            ControlSocket::Off => return Ok(None),
            ControlSocket::At(path) => path.clone(),
            ControlSocket::Auto => directory(&directories())?.join(format!("{name}.sock")),
        };
        match bind(&path) {
            Ok(made) => Ok(Some(made)),
            Err(Bind::Occupied(found, remedy)) => Err(PlaceError::Occupied { path, found, remedy }),
            Err(Bind::Refused(source)) => Err(PlaceError::Refused { path, source }),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path);
        if found.is_ok_and(|found| (found.dev(), found.ino()) == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

enum Bind {
    Occupied(String, &'static str),
    Refused(io::Error),
}

fn bind(path: &Path) -> Result<(UnixListener, Place), Bind> {
    clear(path)?;
    let make = || {
        let listener = UnixListener::bind(path)?;
        // Until here others may connect as the directory lets them; who they are is asked anyway.
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        let made = fs::symlink_metadata(path)?;
        let place = Place { path: path.to_owned(), identity: (made.dev(), made.ino()) };
        Ok((listener, place))
    };
    make().map_err(Bind::Refused)
}

/// Removes the socket of a dead instance; anything else that is there stays, and is an error.
fn clear(path: &Path) -> Result<(), Bind> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Bind::Refused(error)),
    };
    let remove = "remove it if nobody needs it";
    if !found.file_type().is_socket() {
        return Err(Bind::Occupied("what is there is not a socket".into(), remove));
    }
    let ours = user();
    if found.uid() != ours {
        let found = format!("it belongs to user {}, and we are user {ours}", found.uid());
        return Err(Bind::Occupied(found, "have that user remove it"));
    }
    if UnixStream::connect(path).is_ok() {
        let found = "another process answers on it".into();
        return Err(Bind::Occupied(found, "stop that process"));
    }
    fs::remove_file(path).map_err(Bind::Refused)
}

/// The user that this process acts as.
pub(super) fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Directories in which an instance's socket may be, the best first.
pub(super) fn directories() -> Vec<PathBuf> {
    directories_by(&|name| std::env::var_os(name), user())
}

fn directories_by(variable: &dyn Fn(&str) -> Option<OsString>, user: u32) -> Vec<PathBuf> {
    let variable = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // A service manager that gives a directory means it: EAL and the name's lock go there too.
    if let Some(ours) = variable("RUNTIME_DIRECTORY") {
        return vec![ours];
    }
    let users = variable("XDG_RUNTIME_DIR").filter(|path| path.is_absolute());
    let mut directories = vec![PathBuf::from("/run/punctual")];
    directories.extend(users.map(|path| path.join("punctual")));
    directories.push(format!("/tmp/punctual-{user}").into());
    directories
}

/// The first directory that is ours, or can be made.
fn directory(candidates: &[PathBuf]) -> Result<PathBuf, PlaceError> {
    let mut tried = Vec::new();
    for path in candidates {
        match own(path) {
            Ok(()) => return Ok(path.clone()),
            Err(why) => tried.push(format!("{} ({why})", path.display())),
        }
    }
    Err(PlaceError::NoDirectory { tried: tried.join(", ") })
}

/// Makes a directory ours alone, or finds it so.
fn own(path: &Path) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(text)?;
    // Not followed: a link in /tmp may be anybody's.
    let found = fs::symlink_metadata(path).map_err(text)?;
    match () {
        () if !found.is_dir() => Err("not a directory".into()),
        () if found.uid() != user() => Err(format!("it belongs to user {}", found.uid())),
        () if found.mode() & 0o022 != 0 => Err("others may write in it".into()),
        () => Ok(()),
    }
}

/// Every socket in `directories`, with the instance's name, in their order and by name.
pub(super) fn sockets(directories: &[PathBuf]) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for directory in directories {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let sockets = entries.map(|entry| entry.path()).filter_map(|path| {
            let name = path.file_name()?.to_str()?.strip_suffix(".sock")?.to_owned();
            Some((name, path))
        });
        let mut sockets: Vec<_> = sockets.collect();
        sockets.sort();
        found.extend(sockets);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manage::control::tests::Scratch;

    fn occupied(path: &Path) -> String {
        match Place::make(&ControlSocket::At(path.to_owned()), "x") {
            Err(error @ PlaceError::Occupied { .. }) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn directories_are_tried_in_the_documented_order() {
        let none = directories_by(&|_| None, 7);
        assert_eq!(none, ["/run/punctual", "/tmp/punctual-7"].map(PathBuf::from));
        let users = |name: &str| (name == "XDG_RUNTIME_DIR").then(|| "/run/user/7".into());
        let users = directories_by(&users, 7);
        assert_eq!(users[1], Path::new("/run/user/7/punctual"));
        let relative = |name: &str| (name == "XDG_RUNTIME_DIR").then(|| "run".into());
        assert_eq!(directories_by(&relative, 7), none);
        let given = |name: &str| (name == "RUNTIME_DIRECTORY").then(|| "/run/desk".into());
        assert_eq!(directories_by(&given, 7), [Path::new("/run/desk")]);
    }

    #[test]
    fn the_first_directory_that_can_be_ours_is_taken() {
        let scratch = Scratch::new();
        let (file, open, ours) = (scratch.path("file"), scratch.path("open"), scratch.path("a/b"));
        fs::write(&file, "").unwrap();
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        let taken = directory(&[file.join("x"), open.clone(), ours.clone()]).unwrap();
        assert_eq!(taken, ours);
        assert_eq!(fs::metadata(&ours).unwrap().mode() & 0o777, 0o700);
        let error = directory(&[file, open]).unwrap_err().to_string();
        assert!(error.contains("others may write in it") && error.contains("\"off\""), "{error}");
    }

    #[test]
    fn a_socket_is_for_its_user_and_goes_with_its_place() {
        let scratch = Scratch::new();
        let path = scratch.path("x.sock");
        let wanted = ControlSocket::At(path.clone());
        let (_listener, place) = Place::make(&wanted, "x").unwrap().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(occupied(&path).contains("another process answers on it"));
        drop(place);
        assert!(!path.exists());
        assert!(Place::make(&ControlSocket::Off, "x").unwrap().is_none());
    }

    #[test]
    fn only_a_dead_socket_gives_way() {
        let scratch = Scratch::new();
        let path = scratch.path("x.sock");
        // The listener goes, its file stays: as a killed instance leaves it.
        drop(UnixListener::bind(&path).unwrap());
        let made = Place::make(&ControlSocket::At(path.clone()), "x").unwrap();
        drop(made);
        fs::write(&path, "kept").unwrap();
        assert!(occupied(&path).contains("not a socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(occupied(&path).contains("not a socket"));
        assert!(path.is_dir());
    }

    #[test]
    fn what_has_replaced_our_file_is_not_removed() {
        let scratch = Scratch::new();
        let path = scratch.path("x.sock");
        let (_listener, place) =
            Place::make(&ControlSocket::At(path.clone()), "x").unwrap().unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "another's").unwrap();
        drop(place);
        assert!(path.exists());
    }
}
