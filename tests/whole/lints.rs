//! Every crate inherits the workspace's lints, which forbid unsafe code.

use std::{
    fs,
    path::{Path, PathBuf},
};

#[test]
fn every_crate_inherits_the_workspace_lints_and_none_allows_unsafe_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let workspace = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    assert!(workspace.contains("[workspace.lints.rust]\nunsafe_code = \"forbid\"\n"));
    // A member is `<folder>`, or `<folder>/*` for all crates in the folder.
    let members = workspace.lines().find_map(|line| line.strip_prefix("members = [")).unwrap();
    let members: Vec<PathBuf> = members
        .trim_end_matches(']')
        .split(',')
        .map(|member| member.trim().trim_matches('"'))
        .flat_map(|member| match member.strip_suffix("/*") {
            Some(folder) => fs::read_dir(root.join(folder)).unwrap().map(|crate_| crate_.unwrap().path()).collect(),
            None => vec![root.join(member)],
        })
        .collect();
    assert!(members.len() >= 12, "{members:?}");
    for member in members {
        let manifest = fs::read_to_string(member.join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true\n"), "{} does not inherit the lints", member.display());
        let allowed = manifest.contains("unsafe_code")
            || fs::read_dir(member.join("src")).unwrap().any(|file| {
                let file = file.unwrap().path();
                file.is_file() && fs::read_to_string(file).unwrap().contains("allow(unsafe_code")
            });
        assert!(!allowed, "{} allows unsafe code", member.display());
    }
}
