//! Starting a step: its files, its user, its program.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsString, c_char};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown, lchown};
use std::path::{Path, PathBuf};

use crate::sys::{self, child};
use crate::wire::{FileIn, Run, Stage};

/// Where programs are looked for when neither image nor step say.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Added to what the kernel thinks of a step's processes when memory runs out: they go before the machine's own.
const OOM_SCORE: &[u8] = b"300";

const PIPE_BYTES: i32 = 256 * 1024;

pub struct Started {
    pub pid: i32,
    /// Reading ends of stdout and stderr, not blocking.
    pub pipes: [OwnedFd; 2],
}

/// Why a step did not start.
pub struct Refusal {
    pub stage: Stage,
    pub errno: i32,
    pub what: String,
}

fn refuse(stage: Stage, what: impl Into<String>) -> impl FnOnce(io::Error) -> Refusal {
    let what = what.into();
    move |error| Refusal {
        stage,
        errno: error.raw_os_error().unwrap_or(0),
        what,
    }
}

/// `null`: an open `/dev/null`.
pub fn start(run: &Run, null: &OwnedFd) -> Result<Started, Refusal> {
    let user = User::find(&run.user).ok_or_else(|| Refusal {
        stage: Stage::User,
        errno: sys::ENOENT,
        what: run.user.clone(),
    })?;
    if user.uid != 0 {
        for dir in &run.owned {
            hand_over(Path::new(dir), &user).map_err(refuse(Stage::Owner, dir))?;
        }
    }
    for file in &run.files {
        write_file(file, &user).map_err(refuse(Stage::File, &file.path))?;
    }
    let env = environment(&run.env, &user);
    let (program, argv) = choose(run, &env)?;

    let texts = |stage, what: &str, words: Vec<Vec<u8>>| {
        let words: Result<Vec<CString>, _> = words.into_iter().map(CString::new).collect();
        // A NUL inside a text: the kernel could not take it either.
        words.map_err(|_| Refusal {
            stage,
            errno: sys::EINVAL,
            what: what.to_owned(),
        })
    };
    let argv = texts(Stage::Execute, "an argument holds a NUL byte", argv)?;
    let env = env.into_iter().map(|(name, value)| {
        let mut entry = name.into_vec();
        entry.push(b'=');
        entry.extend_from_slice(value.as_bytes());
        entry
    });
    let env = texts(
        Stage::Execute,
        "an environment variable holds a NUL byte",
        env.collect(),
    )?;
    let path = texts(
        Stage::Execute,
        "the program's name",
        vec![program.clone().into_os_string().into_vec()],
    )?
    .remove(0);
    let dir = texts(Stage::Dir, &run.dir, vec![run.dir.clone().into_bytes()])?.remove(0);

    let no_process = || refuse(Stage::Process, "");
    let (out_read, out_write) = sys::pipe().map_err(no_process())?;
    let (err_read, err_write) = sys::pipe().map_err(no_process())?;
    let (trouble_read, trouble_write) = sys::pipe().map_err(no_process())?;
    for pipe in [&out_read, &err_read] {
        sys::widen(pipe, PIPE_BYTES);
        sys::set_nonblocking(pipe).map_err(no_process())?;
    }
    let (argv, env) = (pointers(&argv), pointers(&env));

    // SAFETY: the shim has one thread.
    let Some(pid) = unsafe { sys::split() }.map_err(no_process())? else {
        let (stage, errno) = in_child(&user, &dir, &path, &argv, &env, [null, &out_write, &err_write]);
        let mut report = vec![stage as u8];
        report.extend_from_slice(&errno.to_ne_bytes());
        let _ = sys::write_some(&trouble_write, &report);
        child::quit();
    };
    drop((out_write, err_write, trouble_write));
    let mut report = [0u8; 5];
    // Ends at once when exec has closed the child's end.
    if let Ok(5) = sys::read_some(&trouble_read, &mut report) {
        let stage = Stage::from_number(report[0]).unwrap_or(Stage::Process);
        let errno = i32::from_ne_bytes([report[1], report[2], report[3], report[4]]);
        let what = match stage {
            Stage::Dir => run.dir.clone(),
            Stage::User => run.user.clone(),
            Stage::Execute => program.display().to_string(),
            Stage::File | Stage::Owner | Stage::Program | Stage::Process => String::new(),
        };
        return Err(Refusal { stage, errno, what });
    }
    Ok(Started {
        pid,
        pipes: [out_read, err_read],
    })
}

/// Removes what `start` wrote. What a step removed or replaced itself is no error.
pub fn clear(run: &Run) {
    for file in &run.files {
        let _ = fs::remove_file(&file.path);
    }
    for file in &run.files {
        if let Some(dir) = Path::new(&file.path).parent() {
            let _ = fs::remove_dir(dir);
        }
    }
}

/// Between fork and exec. Returns only when it failed, with where and why.
fn in_child(
    user: &User,
    dir: &CStr,
    path: &CStr,
    argv: &[*const c_char],
    env: &[*const c_char],
    [stdin, stdout, stderr]: [&OwnedFd; 3],
) -> (Stage, i32) {
    let prepared = (|| {
        child::detach()?;
        child::redirect(stdin, 0)?;
        child::redirect(stdout, 1)?;
        child::redirect(stderr, 2)
    })();
    if let Err(errno) = prepared {
        return (Stage::Process, errno);
    }
    if let Ok(mut score) = OpenOptions::new().write(true).open("/proc/self/oom_score_adj") {
        let _ = score.write_all(OOM_SCORE);
    }
    if !user.is_unchanged
        && let Err(errno) = child::become_user(user.uid, user.gid, &user.groups)
    {
        return (Stage::User, errno);
    }
    if let Err(errno) = child::enter(dir) {
        return (Stage::Dir, errno);
    }
    (Stage::Execute, child::execute(path, argv, env))
}

fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts
        .iter()
        .map(|text| text.as_ptr())
        .chain([std::ptr::null()])
        .collect()
}

type Environment = BTreeMap<OsString, OsString>;

/// The image's variables (this process has them), then HOME as the user's entry says, then the step's own.
fn environment(own: &[(String, String)], user: &User) -> Environment {
    let mut env: Environment = std::env::vars_os().collect();
    if env.get(&OsString::from("PATH")).is_none_or(|path| path.is_empty()) {
        env.insert("PATH".into(), PATH_DEFAULT.into());
    }
    // The engine fills in root's home, since the shim is root. Another value was set by the image: it stays.
    let home = env.get(&OsString::from("HOME")).map(|home| home.as_bytes());
    if !user.is_unchanged && home.is_none_or(|home| home.is_empty() || home == b"/root") {
        env.insert("HOME".into(), user.home.clone().into());
    }
    for (name, value) in own {
        env.insert(name.into(), value.into());
    }
    env
}

/// The first candidate whose program exists, and where it is.
fn choose(run: &Run, env: &Environment) -> Result<(PathBuf, Vec<Vec<u8>>), Refusal> {
    let path = env
        .get(&OsString::from("PATH"))
        .map_or(PATH_DEFAULT.as_bytes(), |path| path.as_bytes());
    for words in &run.argv {
        let Some(name) = words.first() else { continue };
        if let Some(program) = find_program(name, path, &run.dir) {
            let argv = words.iter().map(|word| word.clone().into_bytes()).collect();
            return Ok((program, argv));
        }
    }
    let mut names: Vec<&str> = run
        .argv
        .iter()
        .filter_map(|words| words.first())
        .map(String::as_str)
        .collect();
    names.dedup();
    Err(Refusal {
        stage: Stage::Program,
        errno: sys::ENOENT,
        what: names.join(", "),
    })
}

fn find_program(name: &str, path: &[u8], dir: &str) -> Option<PathBuf> {
    let is_program =
        |path: &Path| fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
    if name.contains('/') {
        let program = Path::new(dir).join(name);
        return is_program(&program).then_some(program);
    }
    path.split(|byte| *byte == b':')
        .map(|folder| Path::new(dir).join(std::ffi::OsStr::from_bytes(folder)).join(name))
        .find(|program| is_program(program))
}

fn write_file(file: &FileIn, user: &User) -> io::Result<()> {
    let path = Path::new(&file.path);
    if let Some(dir) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
    }
    // Never through something that a step left there.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) | Ok(()) => {}
    }
    let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    to.write_all(&file.bytes)?;
    to.set_permissions(fs::Permissions::from_mode(file.mode & 0o777))?;
    fchown(&to, Some(user.uid), Some(user.gid))
}

/// Gives a folder and all it holds to the user, unless it is his already. Links are changed themselves, never followed,
/// not even when a process of an earlier step swaps one in meanwhile: every step down is taken from an open folder.
fn hand_over(path: &Path, user: &User) -> io::Result<()> {
    let top = open_folder(path)?;
    let found = top.metadata()?;
    if found.uid() == user.uid {
        return Ok(());
    }
    hand_over_inside(&top, found.dev(), user)?;
    // The top comes last: whoever finds it his can rely on the rest.
    fchown(&top, Some(user.uid), Some(user.gid))
}

fn hand_over_inside(folder: &File, device: u64, user: &User) -> io::Result<()> {
    let here = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
    for entry in fs::read_dir(&here)? {
        let entry = entry?;
        let path = here.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            let inner = open_folder(&path)?;
            if inner.metadata()?.dev() == device {
                hand_over_inside(&inner, device, user)?;
            }
        }
        match lchown(&path, Some(user.uid), Some(user.gid)) {
            // What vanished meanwhile needs no owner.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) | Ok(()) => {}
        }
    }
    Ok(())
}

fn open_folder(path: &Path) -> io::Result<File> {
    let folder = OpenOptions::new()
        .read(true)
        .custom_flags(sys::O_NOFOLLOW | sys::O_NONBLOCK)
        .open(path)?;
    if folder.metadata()?.is_dir() {
        Ok(folder)
    } else {
        Err(io::Error::from(io::ErrorKind::NotADirectory))
    }
}

/// Who a step runs as.
pub struct User {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
    home: String,
    /// Whoever the shim is.
    is_unchanged: bool,
}

impl User {
    /// `name|uid[:group|gid]` by the container's `/etc/passwd` and `/etc/group`, as the engine reads it: an unknown
    /// uid is fine and is in group 0, an unknown name is not.
    fn find(spec: &str) -> Option<User> {
        if spec.is_empty() {
            return Some(User {
                uid: 0,
                gid: 0,
                groups: vec![],
                home: String::new(),
                is_unchanged: true,
            });
        }
        let (user, group) = match spec.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (spec, None),
        };
        let entry = entry_of("/etc/passwd", user, 2);
        let number = |fields: &[String], at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok());
        let (name, uid, gid, home) = match &entry {
            Some(fields) => {
                let home = fields
                    .get(5)
                    .filter(|home| !home.is_empty())
                    .map_or("/", String::as_str);
                (Some(fields[0].as_str()), number(fields, 2)?, number(fields, 3)?, home)
            }
            None => (None, user.parse().ok()?, 0, "/"),
        };
        let (gid, groups) = match group {
            Some(group) => {
                let gid = match entry_of("/etc/group", group, 2) {
                    Some(fields) => number(&fields, 2)?,
                    None => group.parse().ok()?,
                };
                (gid, vec![])
            }
            None => (gid, name.map_or(vec![], groups_of)),
        };
        // As engines have it: the first group is also one of the others, so that leaving it gains nothing.
        let groups = [&[gid][..], &groups].concat();
        Some(User {
            uid,
            gid,
            groups,
            home: home.to_owned(),
            is_unchanged: false,
        })
    }
}

/// The entry of a colon-separated file whose name, or whose number in field `number_at`, is `wanted`.
fn entry_of(file: &str, wanted: &str, number_at: usize) -> Option<Vec<String>> {
    let text = String::from_utf8_lossy(&fs::read(file).ok()?).into_owned();
    let entries: Vec<Vec<String>> = text
        .lines()
        .map(|line| line.split(':').map(str::to_owned).collect())
        .collect();
    let by_name = entries
        .iter()
        .find(|fields| fields[0] == wanted && fields.len() > number_at);
    let by_number = || {
        entries
            .iter()
            .find(|fields| fields.get(number_at).is_some_and(|number| number == wanted))
    };
    by_name.or_else(by_number).cloned()
}

/// The groups that list the user as a member.
fn groups_of(name: &str) -> Vec<u32> {
    let text = fs::read("/etc/group")
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let is_member = |fields: &[&str]| {
        fields
            .get(3)
            .is_some_and(|members| members.split(',').any(|member| member == name))
    };
    text.lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .filter(|fields| is_member(fields))
        .filter_map(|fields| fields.get(2)?.parse().ok())
        .collect()
}
