//! A server program that lives exactly as long as the value that started it.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use super::READY_WITHIN;

/// The program runs below a shell that kills it when this process closes its end of a pipe, so that it goes
/// away even when the test binary is killed.
pub struct ServerProgram {
    shell: Child,
}

const WATCH: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- &
program=$!
exec >&- 2>&-
read -r _ <&3
kill "$program"
wait "$program"
"#;

impl ServerProgram {
    /// Starts `program` and returns what `ready` makes of the first line (stdout or stderr) it recognises.
    /// Panics with the program's last lines when none comes in time.
    pub fn start<T>(
        program: &Path,
        args: &[&str],
        env: &[(&str, &str)],
        ready: impl Fn(&str) -> Option<T>,
    ) -> (Self, T) {
        let mut shell = Command::new("sh")
            .args(["-c", WATCH, "sh"])
            .arg(program)
            .args(args)
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let (lines, received) = mpsc::channel();
        forward(shell.stdout.take().expect("stdout is piped"), lines.clone());
        forward(shell.stderr.take().expect("stderr is piped"), lines);
        let this = Self { shell };
        let deadline = Instant::now() + READY_WITHIN;
        let mut seen = Vec::new();
        loop {
            let Ok(line) = received.recv_timeout(deadline.saturating_duration_since(Instant::now())) else {
                panic!("{} did not get ready; it said:\n{}", program.display(), seen.join("\n"));
            };
            if let Some(found) = ready(&line) {
                return (this, found);
            }
            seen.push(line);
        }
    }
}

/// Reads to the end whatever happens to the receiver: a program whose pipe is full would stand still.
fn forward(from: impl Read + Send + 'static, to: mpsc::Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            to.send(String::from_utf8_lossy(&line).into_owned()).ok();
        }
    });
}

impl Drop for ServerProgram {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        self.shell.wait().ok();
    }
}
