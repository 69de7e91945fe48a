//! What a step finds: files, variables, directory, user, shell; and what it hands back.

use std::path::PathBuf;
use std::sync::Arc;

use drydock::executor::{Ended, Program, StepSpec, Workspace};
use drydock::plan::{STEP_FILE_BYTES_MAX, Shell, StepFile};

use super::rig::*;

#[tokio::test]
async fn the_workspace_holds_the_tree_and_is_shared_by_all_steps() {
    let Some(rig) = Rig::for_test("workspace").await else {
        return;
    };
    let mut spec = rig.job(BUSYBOX);
    let mut files = Files::default();
    files.0.insert("README".into(), (b"read me\n".to_vec(), false));
    files
        .0
        .insert("bin/run".into(), (b"#!/bin/sh\necho ran in $PWD\n".to_vec(), true));
    files
        .0
        .insert("deep/er/file with space".into(), (vec![0, 255, 10], false));
    spec.workspace = Workspace::Copy(Arc::new(files));
    let mut job = rig.open(&spec).await;
    assert_eq!(
        job.run("cat README; bin/run; wc -c < 'deep/er/file with space'")
            .await
            .stdout(),
        "read me\nran in /workspace\n3\n"
    );
    let mut step = job.step("pwd; echo made > new");
    step.dir = Some("deep/er".into());
    assert_eq!(job.run_step(&step).await.stdout(), "/workspace/deep/er\n");
    let mut step = job.step("cat deep/er/new; pwd");
    step.image = Some(DEBIAN.into());
    assert_eq!(job.run_step(&step).await.stdout(), "made\n/workspace\n");
    let mut step = job.step("pwd");
    step.dir = Some("/tmp".into());
    assert_eq!(job.run_step(&step).await.stdout(), "/tmp\n");
    job.close().await;
    rig.assert_clean().await;
}

#[tokio::test]
async fn a_bound_workspace_is_the_users_own_folder() {
    let Some(rig) = Rig::for_test("bind").await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("mine"), "mine\n").expect("a file");
    let mut spec = rig.job(BUSYBOX);
    spec.workspace = Workspace::Bind(PathBuf::from(folder.path()));
    let mut job = rig.open(&spec).await;
    assert_eq!(job.run("cat mine; echo theirs > theirs").await.stdout(), "mine\n");
    job.close().await;
    assert_eq!(
        std::fs::read_to_string(folder.path().join("theirs")).expect("the step's file"),
        "theirs\n"
    );
    rig.assert_clean().await;
}

#[tokio::test]
async fn variables_arrive_exactly_and_the_images_own_stay() {
    let Some(rig) = Rig::for_test("env").await else { return };
    let image = rig
        .image_from("env", BUSYBOX, &["ENV FROM_IMAGE=kept", "ENV BOTH=image"])
        .await;
    let mut job = rig.open(&rig.job(&image)).await;
    let odd = "two\nlines, $(echo no), `no`, 'quotes\" ä \u{202e} end";
    let mut step = job.step("printf '%s|%s|%s|%s' \"$FROM_IMAGE\" \"$BOTH\" \"$ODD\" \"$EMPTY\"; tr '\\0' '\\n' < /proc/1/environ 2>/dev/null");
    step.env = vec![
        ("BOTH".into(), "step".into()),
        ("ODD".into(), odd.into()),
        ("EMPTY".into(), String::new()),
    ];
    let outcome = job.run_step(&step).await;
    assert_eq!(outcome.stdout(), format!("kept|step|{odd}|"));
    assert_eq!(job.run("echo \"${ODD-gone}\"").await.stdout(), "gone\n");
    job.close().await;
}

#[tokio::test]
async fn no_variable_of_a_step_stands_in_the_containers_settings() {
    let Some(rig) = Rig::for_test("secret").await else {
        return;
    };
    let mut job = rig.open(&rig.job(BUSYBOX)).await;
    let mut step = job.step("echo ${#TOKEN}; echo hunter2secret > /dev/null");
    step.env = vec![("TOKEN".into(), "hunter2secret".into())];
    assert_eq!(job.run_step(&step).await.stdout(), "13\n");
    for container in rig.containers().await {
        let found = rig
            .daemon
            .docker
            .inspect_container(&container, None)
            .await
            .expect("a container");
        assert!(!format!("{found:?}").contains("hunter2secret"));
    }
    assert_eq!(
        job.run("grep -r 'hunter2secre[t]' /.drydock/run || echo no file is left")
            .await
            .stdout(),
        "no file is left\n"
    );
    job.close().await;
}

#[tokio::test]
async fn the_default_shell_is_bash_with_pipefail_where_there_is_one() {
    let Some(rig) = Rig::for_test("shell").await else {
        return;
    };
    let mut job = rig.open(&rig.job(BUSYBOX)).await;
    assert_eq!(job.run("false | true; echo went on").await.stdout(), "went on\n");
    let stopped = job.run("false; echo went on").await;
    assert_eq!(
        (stopped.end.how, stopped.log.text(drydock::executor::Stream::Stdout)),
        (Ended::Exited(1), String::new())
    );

    let in_debian = |mut step: StepSpec| {
        step.image = Some(DEBIAN.into());
        step
    };
    let step = in_debian(job.step("echo ${BASH_VERSION:+bash}; false | true; echo went on"));
    let stopped = job.run_step(&step).await;
    assert_eq!(
        (stopped.end.how, stopped.log.text(drydock::executor::Stream::Stdout)),
        (Ended::Exited(1), "bash\n".into())
    );

    let mut step = job.step("BEGIN { print \"by awk\" }");
    let Program::Script { text, .. } = step.program else {
        unreachable!()
    };
    step.program = Program::Script {
        shell: Shell::Command(vec!["awk".into(), "-f".into(), "{0}".into()]),
        text,
    };
    assert_eq!(job.run_step(&step).await.stdout(), "by awk\n");
    job.close().await;
}

#[tokio::test]
async fn an_image_runs_as_its_entrypoint_says_or_as_the_step_does() {
    let Some(rig) = Rig::for_test("entrypoint").await else {
        return;
    };
    let image = rig
        .image_from(
            "entrypoint",
            BUSYBOX,
            &["ENTRYPOINT [\"echo\", \"entry\"]", "CMD [\"command\"]"],
        )
        .await;
    let mut job = rig.open(&rig.job(BUSYBOX)).await;
    let words = |words: &[&str]| Some(words.iter().map(|word| word.to_string()).collect::<Vec<_>>());
    for (entrypoint, args, printed) in [
        (None, None, "entry command\n"),
        (None, words(&["args"]), "entry args\n"),
        (words(&["echo", "mine"]), None, "mine\n"),
        (words(&["echo", "mine"]), words(&["a b", "c"]), "mine a b c\n"),
    ] {
        let mut step = job.step("");
        step.image = Some(image.clone());
        step.program = Program::Image { entrypoint, args };
        assert_eq!(job.run_step(&step).await.stdout(), printed);
    }
    job.close().await;
    rig.assert_clean().await;
}

#[tokio::test]
async fn a_step_runs_as_the_images_user_and_owns_its_workspace() {
    let Some(rig) = Rig::for_test("user").await else { return };
    let user = "echo 'ada:x:1234:1234::/home/ada:/bin/sh' >> /etc/passwd; echo 'ada:x:1234:' >> /etc/group; \
                echo 'crew:x:77:ada' >> /etc/group; mkdir -p /home/ada; chown 1234:1234 /home/ada";
    let named = rig
        .image_from("user-named", BUSYBOX, &[&format!("RUN {user}"), "USER ada"])
        .await;
    let mut spec = rig.job(&named);
    spec.workspace = Workspace::Copy(Files::of(&[("dir/file", "text\n")]));
    let mut job = rig.open(&spec).await;
    let outcome = job
        .run("id; echo $HOME; echo more >> dir/file; echo new > new; ls -ln dir | tail -1 | cut -c1-30; touch /etc/no")
        .await;
    insta::assert_snapshot!(outcome.stdout(), @"
    uid=1234(ada) gid=1234(ada) groups=77(crew),1234(ada)
    /home/ada
    -rw-r--r--    1 1234     1234
    ");
    assert!(matches!(outcome.end.how, Ended::Exited(code) if code != 0));
    // The next one is root, who may write everywhere and changes no owner.
    let mut step = job.step("id -u; echo root >> dir/file; ls -ln | cut -c1-30");
    step.image = Some(BUSYBOX.into());
    insta::assert_snapshot!(job.run_step(&step).await.stdout(), @"
    0
    total 8
    drwxr-xr-x    2 1234     1234 
    -rw-r--r--    1 1234     1234
    ");
    job.close().await;

    let numbered = rig
        .image_from("user-numbered", BUSYBOX, &["USER 4321:99", "ENV HOME=/opt/home"])
        .await;
    let mut job = rig.open(&rig.job(&numbered)).await;
    assert_eq!(
        job.run("id; echo $HOME; touch mine").await.stdout(),
        "uid=4321 gid=99 groups=99\n/opt/home\n"
    );
    job.close().await;

    let unknown = rig.image_from("user-unknown", BUSYBOX, &["USER nobody-knows"]).await;
    let mut job = rig.open(&rig.job(&unknown)).await;
    insta::assert_snapshot!(format!("{:?}", job.run("id").await.end.how), @r#"CannotStart("the image's user `nobody-knows` does not exist in the image: No such file or directory")"#);
    job.close().await;
    rig.assert_clean().await;
}

#[tokio::test]
async fn files_are_handed_in_and_read_back() {
    let Some(rig) = Rig::for_test("files").await else {
        return;
    };
    let mut job = rig.open(&rig.job(BUSYBOX)).await;
    let file = |variable: &str, content: &[u8], read_back| StepFile {
        variable: variable.into(),
        content: content.to_vec(),
        read_back,
    };
    let mut step =
        job.step("cat \"$EVENT\"; echo a=1 >> \"$OUT\"; printf '\\0\\377' >> \"$OUT\"; ls -l \"$OUT\" | cut -c1-10");
    step.files = vec![
        file("EVENT", b"{}\n", false),
        file("OUT", b"before\n", true),
        file("UNTOUCHED", b"", true),
    ];
    let outcome = job.run_step(&step).await;
    assert_eq!(outcome.stdout(), "{}\n-rw-r--r--\n");
    let expected = [
        ("OUT".to_owned(), b"before\na=1\n\0\xff".to_vec()),
        ("UNTOUCHED".to_owned(), vec![]),
    ];
    assert_eq!(outcome.end.files, expected.into());
    // Whatever is put in a file's place is not read, and nothing hangs.
    let mut step = job.step(&format!(
        "rm \"$GONE\"; ln -sf /etc/passwd \"$LINK\"; rm \"$PIPE\"; mkfifo \"$PIPE\"; rm \"$DIR\"; mkdir \"$DIR\"; head -c {} /dev/zero > \"$LONG\"",
        STEP_FILE_BYTES_MAX + 1
    ));
    step.files = ["GONE", "LINK", "PIPE", "DIR", "LONG"]
        .map(|name| file(name, b"", true))
        .into();
    let outcome = job.run_step(&step).await;
    assert_eq!(
        (outcome.end.how.clone(), outcome.end.files.len()),
        (Ended::Exited(0), 0)
    );
    insta::assert_snapshot!(outcome.said(), @"
    what the step wrote to GONE is ignored: the step removed it
    what the step wrote to LINK is ignored: the step put something else in its place
    what the step wrote to PIPE is ignored: the step put something else in its place
    what the step wrote to DIR is ignored: the step put something else in its place
    what the step wrote to LONG is ignored: it has 1048577 bytes, and 1048576 are read at most
    ");
    // A file of the greatest length is.
    let mut step = job.step(&format!("head -c {STEP_FILE_BYTES_MAX} /dev/zero > \"$LONG\""));
    step.files = vec![file("LONG", b"", true)];
    assert_eq!(
        job.run_step(&step).await.end.files["LONG"].len() as u64,
        STEP_FILE_BYTES_MAX
    );
    job.close().await;
}
