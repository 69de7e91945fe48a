//! Repositories over SSH: the machine's own `sshd`, one process per connection, as the user who runs the tests.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tokio::net::TcpListener;

use super::git::GitServer;
use super::{missing, program};

/// Lets in the one key that it made, and gives it the user's rights.
pub struct SshServer {
    address: SocketAddr,
    folder: TempDir,
    repositories: PathBuf,
}

impl SshServer {
    /// Serves the folder of `git`. None, with a word on stderr, where `sshd` is missing.
    pub async fn serving(git: &GitServer) -> Option<Self> {
        let (Some(sshd), Some(keygen)) = (program("sshd"), program("ssh-keygen")) else {
            missing("sshd", "no such program");
            return None;
        };
        let folder = TempDir::new().expect("a temporary folder can be made");
        for name in ["host_key", "client_key"] {
            let made = Command::new(&keygen)
                .args(["-q", "-t", "ed25519", "-N", "", "-C", "drydock test", "-f"])
                .arg(folder.path().join(name))
                .status()
                .expect("ssh-keygen starts");
            assert!(made.success(), "ssh-keygen made no {name}");
        }
        let settings = folder.path().join("sshd_config");
        std::fs::write(&settings, sshd_settings(folder.path())).expect("the folder can be written");
        // Started by root, sshd wants this folder; started by anybody else, it does not look for it.
        std::fs::create_dir_all("/run/sshd").ok();
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(client) = client.into_std() else { continue };
                client.set_nonblocking(false).ok();
                let input = OwnedFd::from(client);
                let Ok(output) = input.try_clone() else { continue };
                let mut sshd = tokio::process::Command::new(&sshd);
                sshd.args(["-i", "-f"])
                    .arg(&settings)
                    .stdin(input)
                    .stdout(output)
                    .stderr(Stdio::null());
                if let Ok(mut session) = sshd.kill_on_drop(true).spawn() {
                    tokio::spawn(async move { session.wait().await });
                }
            }
        });
        Some(Self {
            address,
            folder,
            repositories: git.folder().to_owned(),
        })
    }

    /// `ssh://USER@127.0.0.1:PORT/PATH/owner/name.git`.
    pub fn url(&self, name: &str) -> String {
        let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
        format!(
            "ssh://{user}@{}{}/{name}.git",
            self.address,
            self.repositories.display()
        )
    }

    /// The file with the private key that is let in.
    pub fn private_key(&self) -> PathBuf {
        self.folder.path().join("client_key")
    }

    /// This server's line of a known_hosts file.
    pub fn known_host(&self) -> String {
        let key = std::fs::read_to_string(self.folder.path().join("host_key.pub")).expect("the key can be read");
        let mut words = key.split(' ');
        let (kind, text) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        format!("[{}]:{} {kind} {text}", self.address.ip(), self.address.port())
    }
}

fn sshd_settings(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "HostKey {folder}/host_key
AuthorizedKeysFile {folder}/client_key.pub
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PidFile none
"
    )
}
