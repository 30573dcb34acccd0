//! Compares the stack's parameters with those of samconfig.toml, which the next `sam build` and `sam deploy` use.

use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Read as _},
    path::Path,
};

use serde::Deserialize;

use super::Findings;
use crate::{
    outcome,
    target::{Deployment, DeploymentKind},
};
use template::TEMPLATE;

const TITLE: &str = "parameters";
const ARCHITECTURE: &str = "Architecture";

type Parameters = BTreeMap<String, String>;

/// The parts of samconfig.toml that concern parameters.
#[derive(Debug, Deserialize)]
struct SamConfig {
    #[serde(default)]
    default: Commands,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Commands {
    global: Section,
    build: Section,
    deploy: Section,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Section {
    parameters: Options,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Options {
    stack_name: Option<String>,
    parameter_overrides: Option<toml::Value>,
}

impl Commands {
    /// The name of the stack that `sam deploy` updates.
    fn stack_name(&self) -> Option<&str> {
        let [deploy, global] = [&self.deploy, &self.global].map(|section| section.parameters.stack_name.as_deref());
        deploy.or(global)
    }

    /// The parameters of a command. A section of the command replaces the global section completely.
    fn parameters(&self, command: &Section) -> Result<Parameters, String> {
        let [own, global] = [command, &self.global].map(|section| section.parameters.parameter_overrides.as_ref());
        own.or(global).map_or_else(|| Ok(Parameters::new()), parse_overrides)
    }
}

/// Parses `parameter_overrides`: a table, or the text `Key=Value Key="Value"` that `sam deploy --guided` saves, or a list of
/// either.
fn parse_overrides(value: &toml::Value) -> Result<Parameters, String> {
    match value {
        toml::Value::Table(table) => Ok(table.iter().map(|(name, value)| (name.clone(), to_sam_text(value))).collect()),
        toml::Value::String(line) => parse_pairs(line),
        toml::Value::Array(values) => {
            values.iter().map(parse_overrides).try_fold(Parameters::new(), |all, more| Ok(all.into_iter().chain(more?).collect()))
        }
        other => Err(format!("parameter_overrides must be a table or text, not {}", other.type_str())),
    }
}

/// A value as SAM passes it to CloudFormation.
fn to_sam_text(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(flag) => flag.to_string(),
        toml::Value::Datetime(time) => time.to_string(),
        toml::Value::Array(values) => values.iter().map(to_sam_text).collect::<Vec<_>>().join(","),
        // Not supported by SAM either.
        toml::Value::Table(_) => String::new(),
    }
}

/// Parses `Key=Value Key="Value with spaces"`. Within quotes, a backslash escapes the next character.
fn parse_pairs(line: &str) -> Result<Parameters, String> {
    let mut parameters = Parameters::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let invalid = || format!("parameter_overrides can't be parsed at {rest:?}: write the parameters as a table");
        let (name, after) = rest.split_once('=').ok_or_else(invalid)?;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(invalid());
        }
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted).ok_or_else(invalid)?,
            None => {
                let end = after.find(' ').unwrap_or(after.len());
                (after[..end].to_owned(), &after[end..])
            }
        };
        parameters.insert(name.to_owned(), value);
        rest = after.trim_start();
    }
    Ok(parameters)
}

/// The value up to the closing quote, and the rest of the text. None if there is no closing quote.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

/// Compares the stack's parameters with those of the samconfig.toml at `path`, if there is one for this stack.
pub(super) async fn compare(deployment: &Deployment, path: &Path, findings: &mut Findings) {
    let DeploymentKind::Stack(stack) = &deployment.kind else { return };
    let file = path.display();
    let config: SamConfig = match fs::read_to_string(path) {
        Ok(text) => match toml::from_str(&text) {
            Ok(config) => config,
            Err(error) => {
                let found = format!("{file} is not valid: {}", error.message());
                return findings.fail(TITLE, found, "fix the file: `sam` can't read it either");
            }
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return findings.ok(TITLE, format!("not compared: {file} does not exist; name another file with --samconfig"));
        }
        Err(error) => return findings.warn(TITLE, format!("{file} can't be read: {error}"), "make the file readable"),
    };
    let commands = &config.default;
    if commands.stack_name() != Some(stack) {
        let other = commands.stack_name().map_or_else(|| "names no stack".to_owned(), |name| format!("is for the stack {name}"));
        return findings.ok(TITLE, format!("not compared: {file} {other}; name another file with --samconfig"));
    }
    let (deploy, build) = match (commands.parameters(&commands.deploy), commands.parameters(&commands.build)) {
        (Ok(deploy), Ok(build)) => (deploy, build),
        (Err(problem), _) | (_, Err(problem)) => return findings.warn(TITLE, problem, "see docs/deploy.md for the format"),
    };
    let current = match stack_parameters(deployment, stack).await {
        Ok(current) => current,
        Err(error) => return findings.warn(TITLE, error, "grant yourself cloudformation:DescribeStacks"),
    };
    differences(&current, &deploy, &defaults(), findings);
    architecture(&current, &deploy, &build, path.parent().unwrap_or(Path::new("")), findings);
}

async fn stack_parameters(deployment: &Deployment, stack: &str) -> Result<Parameters, String> {
    let client = deployment.sdk.cloudformation().await.map_err(|error| error.to_string())?;
    let response = client.describe_stacks().stack_name(stack).send().await.map_err(|error| outcome::aws_error(&error))?;
    let parameters = response.stacks().iter().flat_map(|stack| stack.parameters());
    Ok(parameters
        .filter_map(|parameter| Some((parameter.parameter_key()?.to_owned(), parameter.parameter_value()?.to_owned())))
        .collect())
}

/// The defaults in this version's template.
fn defaults() -> Parameters {
    let template: yaml_serde::Value = yaml_serde::from_str(TEMPLATE).unwrap_or_default();
    let parameters = template.get("Parameters").and_then(yaml_serde::Value::as_mapping).into_iter().flatten();
    parameters
        .filter_map(|(name, parameter)| {
            let default = match parameter.get("Default")? {
                yaml_serde::Value::String(text) => text.clone(),
                yaml_serde::Value::Number(number) => number.to_string(),
                _ => return None,
            };
            Some((name.as_str()?.to_owned(), default))
        })
        .collect()
}

/// Reports parameters that the next `sam deploy` would change, and those that samconfig.toml lacks. Values are shown: they
/// may be e-mail addresses, but not secrets, and anyone who can read the stack can read them.
fn differences(current: &Parameters, deploy: &Parameters, defaults: &Parameters, findings: &mut Findings) {
    let count = findings.0.len();
    for (name, value) in current {
        let title = format!("parameter {name}");
        match deploy.get(name) {
            Some(next) if next != value => findings.warn(
                title,
                format!("the stack has {value:?}, and the next `sam deploy` sets {next:?}"),
                format!("to keep it, set {name} = {value:?} in samconfig.toml; see docs/deploy.md"),
            ),
            None if defaults.get(name).is_some_and(|default| default != value) => findings.warn(
                title,
                format!("the stack has {value:?}, and samconfig.toml has no value"),
                format!("set {name} = {value:?} in samconfig.toml, to be able to recreate the stack from it"),
            ),
            _ => {}
        }
    }
    if findings.0.len() == count {
        findings.ok(TITLE, format!("{} as in samconfig.toml", current.len()));
    }
}

/// Checks that the functions are built for the architecture on which they run.
fn architecture(current: &Parameters, deploy: &Parameters, build: &Parameters, folder: &Path, findings: &mut Findings) {
    const NAME: &str = "architecture";
    let defaults = defaults();
    let [runs_on, built_for] = [deploy.get(ARCHITECTURE).or_else(|| current.get(ARCHITECTURE)), build.get(ARCHITECTURE)]
        .map(|parameter| parameter.or_else(|| defaults.get(ARCHITECTURE)).map_or("", String::as_str));
    if runs_on != built_for {
        let found = format!("`sam build` builds for {built_for}, `sam deploy` deploys to {runs_on}: no function would start");
        return findings.fail(NAME, found, "set Architecture only in [default.global.parameters.parameter_overrides]");
    }
    // The output of `sam build`.
    for function in ["WebhookFunction", "GraphqlFunction", "CheckAccessFunction"] {
        let code = folder.join(".aws-sam/build").join(function).join("bootstrap");
        if let Some(is) = elf_architecture(&code)
            && is != runs_on
        {
            let found = format!("{} is built for {is}, and `sam deploy` deploys it to {runs_on}", code.display());
            return findings.fail(NAME, found, "run `sam build` before `sam deploy`");
        }
    }
    findings.ok(NAME, format!("built for {runs_on} and deployed to it"));
}

/// An ELF file's architecture, as Lambda names it. None if the file is missing or no ELF file.
fn elf_architecture(path: &Path) -> Option<&'static str> {
    let mut header = [0; 20];
    fs::File::open(path).ok()?.read_exact(&mut header).ok()?;
    match (&header[..4], u16::from_le_bytes([header[18], header[19]])) {
        (b"\x7fELF", 62) => Some("x86_64"),
        (b"\x7fELF", 183) => Some("arm64"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    fn config(text: &str) -> Commands {
        toml::from_str::<SamConfig>(text).unwrap().default
    }

    fn parameters(pairs: &[(&str, &str)]) -> Parameters {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn a_section_of_build_or_deploy_replaces_the_global_parameters() {
        let global = "[default.global.parameters]\nstack_name = 's'\n[default.global.parameters.parameter_overrides]\n\
                      Architecture = 'x86_64'\nLogRetentionInDays = 30\n";
        let commands = config(global);
        assert_eq!(commands.stack_name(), Some("s"));
        let expected = parameters(&[("Architecture", "x86_64"), ("LogRetentionInDays", "30")]);
        assert_eq!(commands.parameters(&commands.build).unwrap(), expected);
        assert_eq!(commands.parameters(&commands.deploy).unwrap(), expected);
        // As `sam deploy --guided` saves them.
        let guided = r#"[default.deploy.parameters]
            parameter_overrides = "Architecture=\"arm64\" AlarmEmail=\"\" WebhookAllowedSources=\"1.2.3.4, 5.6.7.8\" X=1""#;
        let commands = config(&format!("{global}{guided}"));
        assert_eq!(commands.parameters(&commands.build).unwrap(), expected);
        let expected = [("Architecture", "arm64"), ("AlarmEmail", ""), ("WebhookAllowedSources", "1.2.3.4, 5.6.7.8"), ("X", "1")];
        assert_eq!(commands.parameters(&commands.deploy).unwrap(), parameters(&expected));
        for text in ["Architecture", "=x", r#"A="x"#, "file://parameters.yaml"] {
            assert!(parse_pairs(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_samconfig_of_this_repository_is_valid() {
        let commands = config(include_str!("../../../samconfig.toml"));
        assert_eq!(commands.stack_name(), Some("byos-stigg"));
        let deploy = commands.parameters(&commands.deploy).unwrap();
        assert_eq!(deploy, commands.parameters(&commands.build).unwrap());
        let defaults = defaults();
        assert!(deploy.keys().all(|name| defaults.contains_key(name)), "{deploy:?}");
    }

    #[test]
    fn parameters_that_the_next_deployment_changes_are_reported() {
        let current = parameters(&[("A", "1"), ("B", "2"), ("C", "3"), ("D", "4")]);
        let defaults = parameters(&[("A", "1"), ("B", "2"), ("C", "0"), ("D", "0")]);
        let mut findings = Findings::default();
        differences(&current, &parameters(&[("B", "5"), ("C", "3")]), &defaults, &mut findings);
        let names: Vec<_> = findings.0.iter().map(|finding| (finding.name.as_str(), finding.verdict)).collect();
        assert_eq!(names, [("parameter B", Verdict::Warn), ("parameter D", Verdict::Warn)]);
        let mut findings = Findings::default();
        differences(&current, &current, &defaults, &mut findings);
        assert_eq!((findings.0.len(), findings.0[0].verdict), (1, Verdict::Ok));
    }

    #[test]
    fn a_build_for_another_architecture_is_reported_before_deployment() {
        let folder = tempfile::tempdir().unwrap();
        let [arm, intel] = ["arm64", "x86_64"].map(|name| parameters(&[(ARCHITECTURE, name)]));
        let verdict = |deploy: &Parameters, build: &Parameters| {
            let mut findings = Findings::default();
            architecture(&intel, deploy, build, folder.path(), &mut findings);
            findings.0[0].verdict
        };
        assert_eq!(verdict(&intel, &arm), Verdict::Fail);
        assert_eq!(verdict(&Parameters::new(), &Parameters::new()), Verdict::Fail, "the stack keeps x86_64");
        assert_eq!(verdict(&arm, &arm), Verdict::Ok);
        let code = folder.path().join(".aws-sam/build/WebhookFunction");
        fs::create_dir_all(&code).unwrap();
        // The header of an ELF file for arm64.
        let mut header = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec();
        header.extend(183_u16.to_le_bytes());
        fs::write(code.join("bootstrap"), header).unwrap();
        assert_eq!(verdict(&arm, &arm), Verdict::Ok);
        assert_eq!(verdict(&intel, &intel), Verdict::Fail);
    }
}
