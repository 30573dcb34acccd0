//! Every crate of the workspace is held to the workspace's lints, of which unsafe code is forbidden.

use std::{fs, path::Path};

#[test]
fn every_crate_inherits_the_lints_and_none_may_hold_unsafe_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let workspace = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    assert!(workspace.contains("[workspace.lints.rust]\nunsafe_code = \"forbid\"\n"));
    let members = workspace.lines().find_map(|line| line.strip_prefix("members = [")).unwrap();
    let members: Vec<&str> = members.trim_end_matches(']').split(',').map(|member| member.trim().trim_matches('"')).collect();
    assert!(members.len() >= 5, "{members:?}");
    for member in members {
        let manifest = fs::read_to_string(root.join(member).join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true\n"), "{member} does not inherit the lints");
        let allowed = manifest.contains("unsafe_code")
            || fs::read_dir(root.join(member).join("src")).unwrap().any(|file| {
                let file = file.unwrap().path();
                file.is_file() && fs::read_to_string(file).unwrap().contains("allow(unsafe_code")
            });
        assert!(!allowed, "{member} allows unsafe code");
    }
}
