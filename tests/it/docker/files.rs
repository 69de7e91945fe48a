//! Files on their way into a workspace: exactly those of the tree, and none anywhere else.

use std::io::{self, Read, Write};
use std::sync::Arc;

use drydock::executor::{ExecutorError, Workspace};
use drydock::tree::Tree;

use super::rig::*;

/// A tree that writes these bytes for a tar.
struct Raw(Vec<u8>);

impl Tree for Raw {
    fn paths(&self) -> io::Result<Vec<String>> {
        Ok(vec![])
    }

    fn open(&self, _path: &str) -> io::Result<Option<Box<dyn Read + Send>>> {
        Ok(None)
    }

    fn write_tar(&self, _wanted: &dyn Fn(&str) -> bool, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.0)
    }
}

fn entry(tar: &mut tar::Builder<Vec<u8>>, kind: tar::EntryType, name: &str, target: &str, content: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_mtime(1_600_000_000);
    header.set_size(content.len() as u64);
    if name.len() < 100 && target.len() < 100 {
        // By hand: the library itself refuses what leads out.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        tar.append(&header, content).expect("an entry");
    } else if target.is_empty() {
        tar.append_data(&mut header, name, content).expect("an entry");
    } else {
        tar.append_link(&mut header, name, target).expect("an entry");
    }
}

async fn opened_with(rig: &Rig, bytes: Vec<u8>) -> Result<Job, ExecutorError> {
    let mut spec = rig.job(BUSYBOX);
    spec.workspace = Workspace::Copy(Arc::new(Raw(bytes)));
    rig.try_open(&spec).await
}

#[tokio::test]
async fn names_links_modes_and_times_arrive_as_they_are() {
    use tar::EntryType::{Directory, Regular, Symlink};
    let Some(rig) = Rig::for_test("tar").await else { return };
    let mut tar = tar::Builder::new(Vec::new());
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(200));
    let far = format!("../{}", "t".repeat(300));
    entry(&mut tar, Regular, "a", "", b"one\n");
    entry(&mut tar, Regular, "empty", "", b"");
    entry(&mut tar, Regular, "block", "", &[b'x'; 512]);
    entry(&mut tar, Directory, "deep/er/", "", b"");
    entry(&mut tar, Regular, "deep/er/odd \u{e4}\nname", "", &[0, 255]);
    entry(&mut tar, Regular, &long, "", &[b'y'; 1000]);
    entry(&mut tar, Symlink, "out", "/etc/hostname", b"");
    entry(&mut tar, Symlink, "far", &far, b"");
    let mut job = opened_with(&rig, tar.into_inner().expect("a tar"))
        .await
        .expect("a job");
    let script =
        "cat a; for f in empty block deep/er/odd* d*d/f*; do wc -c < \"$f\"; done; readlink out; readlink far | wc -c
                  stat -c '%a %Y %U' a deep/er/odd* d*d/f*; find . | wc -l";
    insta::assert_snapshot!(job.run(script).await.stdout(), @"
    one
    0
    512
    2
    1000
    /etc/hostname
    304
    755 1600000000 root
    755 1600000000 root
    755 1600000000 root
    12
    ");
    job.close().await;
    rig.assert_clean().await;
}

#[tokio::test]
async fn what_is_no_honest_tree_is_refused() {
    use tar::EntryType::{Block, Directory, Fifo, Link, Regular, Symlink, XHeader};
    let Some(rig) = Rig::for_test("hostile-tar").await else {
        return;
    };
    let one = |kind, name: &str, target: &str| {
        let mut tar = tar::Builder::new(Vec::new());
        entry(&mut tar, kind, name, target, b"");
        tar.into_inner().expect("a tar")
    };
    let through_a_link = {
        let mut tar = tar::Builder::new(Vec::new());
        entry(&mut tar, Symlink, "etc", "/etc", b"");
        entry(&mut tar, Regular, "etc/passwd", "", b"mine");
        tar.into_inner().expect("a tar")
    };
    let over_a_link = {
        let mut tar = tar::Builder::new(Vec::new());
        entry(&mut tar, Symlink, "passwd", "/etc/passwd", b"");
        entry(&mut tar, Regular, "passwd", "", b"mine");
        tar.into_inner().expect("a tar")
    };
    let below_a_file = {
        let mut tar = tar::Builder::new(Vec::new());
        entry(&mut tar, Regular, "file", "", b"");
        entry(&mut tar, Directory, "file/folder", "", b"");
        tar.into_inner().expect("a tar")
    };
    let whole = one(Regular, "file", "");
    let mut said = Vec::new();
    for bytes in [
        one(Regular, "../out", ""),
        one(Regular, "/etc/out", ""),
        one(Symlink, "a/../../out", "x"),
        one(Link, "hard", "/etc/passwd"),
        one(Block, "disk", ""),
        one(Fifo, "pipe", ""),
        one(XHeader, "pax", ""),
        through_a_link,
        over_a_link,
        below_a_file,
        whole[..300].to_vec(),
        whole[..512].to_vec(),
        vec![b'x'; 1024],
        vec![],
    ] {
        let Err(error) = opened_with(&rig, bytes).await else {
            panic!("opened, after {said:?}")
        };
        said.push(error.chain());
    }
    insta::assert_snapshot!(said.join("\n"), @"
    cannot fill the workspace: `../out` leads out of the workspace
    cannot fill the workspace: `/etc/out` leads out of the workspace
    cannot fill the workspace: `a/../../out` leads out of the workspace
    cannot fill the workspace: `/workspace/hard` is neither file, folder nor link (tar kind 49)
    cannot fill the workspace: `/workspace/disk` is neither file, folder nor link (tar kind 52)
    cannot fill the workspace: `/workspace/pipe` is neither file, folder nor link (tar kind 54)
    cannot fill the workspace: `/workspace/pax` is neither file, folder nor link (tar kind 120)
    cannot fill the workspace: `/workspace/etc` is no folder
    cannot fill the workspace: cannot write `/workspace/passwd`: Too many levels of symbolic links
    cannot fill the workspace: `/workspace/file` is no folder
    cannot fill the workspace: the files broke off
    cannot fill the workspace: the files broke off
    cannot fill the workspace: the files are no tar: a header's checksum is wrong
    cannot fill the workspace: there was nothing to unpack
    ");
    rig.assert_clean().await;
}

#[tokio::test]
async fn a_large_tree_arrives_whole() {
    let Some(rig) = Rig::for_test("large-tree").await else {
        return;
    };
    let mut files = Files::default();
    for n in 0..3000 {
        let content = format!("{n}\n").repeat(n % 400).into_bytes();
        files.0.insert(format!("d{}/e{}/f{n}", n % 7, n % 31), (content, false));
    }
    files.0.insert(
        "large".into(),
        ((0..20_000_000u32).map(|n| (n % 251) as u8).collect(), false),
    );
    let mut expected: Vec<String> = files
        .0
        .iter()
        .map(|(path, (bytes, _))| {
            format!(
                "{}  ./{path}",
                hex::encode(<sha2::Sha256 as sha2::Digest>::digest(bytes))
            )
        })
        .collect();
    expected.sort();
    let mut spec = rig.job(BUSYBOX);
    spec.workspace = Workspace::Copy(Arc::new(files));
    let mut job = rig.open(&spec).await;
    let outcome = job.run("find . -type f | xargs sha256sum | sort").await;
    assert!(outcome.stdout().lines().eq(expected.iter().map(String::as_str)));
    job.close().await;
    rig.assert_clean().await;
}
