use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::error::WriteError;

/// How an output file is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Creation {
    /// Replace an existing file.
    pub force: bool,
    /// uid and gid to give it to.
    pub owner: Option<(u32, u32)>,
}

/// The name a file has until it is complete, and the one it gets then.
pub struct Target {
    path: PathBuf,
    temporary: Option<PathBuf>,
    force: bool,
}

impl Target {
    /// Open what `path` names: standard output (`-`), a device or FIFO, or a file beside it that takes its name later.
    pub fn open(path: &Path, how: Creation) -> Result<(Self, File), WriteError> {
        let failed = |error| WriteError::Io(path.to_owned(), error);
        let direct = |file| {
            Ok((
                Self {
                    path: path.to_owned(),
                    temporary: None,
                    force: true,
                },
                file,
            ))
        };
        if path.as_os_str() == "-" {
            return direct(standard_output().map_err(failed)?);
        }
        match fs::metadata(path) {
            Ok(about) if !about.is_file() => {
                return direct(OpenOptions::new().write(true).open(path).map_err(failed)?)
            }
            Ok(_) if !how.force => return Err(WriteError::Exists(path.to_owned())),
            _ => {}
        }
        let (temporary, file) = beside(path).map_err(failed)?;
        let made = Self {
            path: path.to_owned(),
            temporary: Some(temporary),
            force: how.force,
        };
        give(&file, how.owner).map_err(failed)?;
        Ok((made, file))
    }

    /// Where the bytes are until it is complete.
    pub fn place(&self) -> &Path {
        self.temporary.as_ref().unwrap_or(&self.path)
    }

    /// The name it gets.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// It is a pipe or a device.
    pub fn is_watched(&self) -> bool {
        self.temporary.is_none()
    }

    /// Give the file its name.
    pub fn complete(mut self) -> Result<(), WriteError> {
        let Some(temporary) = self.temporary.take() else {
            return Ok(());
        };
        let done = if self.force {
            fs::rename(&temporary, &self.path)
        } else {
            rename_new(&temporary, &self.path)
        };
        done.map_err(|error| {
            let _ = fs::remove_file(&temporary);
            match error.kind() {
                ErrorKind::AlreadyExists => WriteError::Exists(self.path.clone()),
                _ => WriteError::Io(self.path.clone(), error),
            }
        })
    }
}

impl Drop for Target {
    /// What is not complete leaves nothing behind.
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = fs::remove_file(temporary);
        }
    }
}

/// A new file in the same folder, readable by its owner alone.
fn beside(path: &Path) -> io::Result<(PathBuf, File)> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = path
        .file_name()
        .ok_or(ErrorKind::IsADirectory)?
        .to_string_lossy();
    let short: String = name.chars().take(60).collect();
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let temporary =
            path.with_file_name(format!(".{short}.{}-{number}.part", std::process::id()));
        match private(&temporary) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => return made.map(|file| (temporary, file)),
        }
    }
}

fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A name is taken only when it is free; where the file system has no hard links, the check comes first.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
        Err(_) if to.exists() => Err(ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(from, to),
    }
}

#[cfg(unix)]
fn give(file: &File, owner: Option<(u32, u32)>) -> io::Result<()> {
    match owner {
        Some((user, group)) => std::os::unix::fs::fchown(file, Some(user), Some(group)),
        None => Ok(()),
    }
}

#[cfg(not(unix))]
fn give(_file: &File, _owner: Option<(u32, u32)>) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn standard_output() -> io::Result<File> {
    use std::os::fd::AsFd;
    io::stdout().as_fd().try_clone_to_owned().map(File::from)
}

#[cfg(windows)]
fn standard_output() -> io::Result<File> {
    use std::os::windows::io::AsHandle;
    io::stdout()
        .as_handle()
        .try_clone_to_owned()
        .map(File::from)
}
