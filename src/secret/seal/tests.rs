use super::*;

fn key(digit: char) -> SealingKey {
    SealingKey::parse(&digit.to_string().repeat(64), "the test").unwrap()
}

#[test]
fn a_sealed_secret_opens_in_its_row_with_its_key_and_nowhere_else() {
    let secret = Secret::new("correct horse");
    let sealed = key('1').seal("secret/team/web/TOKEN", &secret).unwrap();
    assert!(!String::from_utf8_lossy(&sealed).contains("horse"));
    assert_eq!(key('1').open("secret/team/web/TOKEN", &sealed).unwrap(), secret);
    assert_eq!(
        open(&[key('2'), key('1')], "secret/team/web/TOKEN", &sealed).unwrap(),
        secret
    );

    let failure = |key: &SealingKey, row: &str, sealed: &[u8]| key.open(row, sealed).unwrap_err().to_string();
    let row = "secret/team/web/TOKEN";
    let mut rows = [
        failure(&key('2'), row, &sealed),
        failure(&key('1'), "secret/other/web/TOKEN", &sealed),
        failure(&key('1'), row, &sealed[..20]),
        failure(&key('1'), row, b""),
        failure(&key('1'), row, b"correct horse, stored in the clear long ago"),
    ];
    rows.sort();
    insta::assert_snapshot!(rows.join("\n"), @"
    the stored secret does not open: it was changed, or belongs to another row
    the stored secret was sealed with the key 26e100f34e929aa9, which is not configured
    the stored value is not a sealed secret
    the stored value is not a sealed secret
    the stored value is not a sealed secret
    ");
}

#[test]
fn any_changed_byte_is_noticed() {
    let secret = Secret::new("correct horse");
    let sealed = key('1').seal("row", &secret).unwrap();
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(key('1').open("row", &changed).is_err(), "byte {at}");
    }
}

#[test]
fn sealing_twice_gives_different_bytes() {
    let secret = Secret::new("correct horse");
    assert_ne!(
        key('1').seal("row", &secret).unwrap(),
        key('1').seal("row", &secret).unwrap()
    );
}

#[test]
fn a_key_file_is_made_once_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sealing.key");
    let made = SealingKey::load_or_create(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(SealingKey::load_or_create(&path).unwrap().id(), made.id());

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(
        SealingKey::load_or_create(&path),
        Err(SealError::KeyFileOpen { .. })
    ));
    assert!(matches!(
        SealingKey::load_or_create(&folder.path().join("no/key")),
        Err(SealError::KeyFile { .. })
    ));
}

#[test]
fn a_key_is_hex_or_base64_of_32_bytes() {
    let hex = "00".repeat(32);
    let base64 = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert_eq!(
        SealingKey::parse(&format!(" {hex}\n"), "x").unwrap().id(),
        SealingKey::parse(base64, "x").unwrap().id()
    );
    for wrong in [
        "",
        "00",
        "zz",
        &"0".repeat(63),
        &"z".repeat(64),
        &"00".repeat(33),
        "AAAA",
    ] {
        assert!(SealingKey::parse(wrong, "x").is_err(), "{wrong}");
    }
}
