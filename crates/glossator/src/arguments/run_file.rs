//! A run as one TOML file: `--run RUN.toml` supplies flags by their long names (`tokens = 1000000`,
//! `hook = ["blocks.*.mlp.hook_post"]`), flags on the command line override it, and the resolved values are
//! written back in the same form. Tables in the file are information for people and are not read.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use toml::{Table, Value};

/// `arguments` with the flags of a run file added, but those that the command line has.
pub(crate) fn expand(
    path: &Path,
    command: &Command,
    arguments: Vec<OsString>,
) -> anyhow::Result<Vec<OsString>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let table: Table = toml::from_str(&text).with_context(|| format!("{} is not TOML", path.display()))?;
    let matches = command.clone().try_get_matches_from(&arguments)?;
    let (name, given) = matches.subcommand().context("a run file belongs to a subcommand")?;
    let subcommand = command.find_subcommand(name).context("a run file belongs to a subcommand")?;
    let mut arguments = arguments;
    for (key, value) in table.iter().filter(|(_, value)| !value.is_table()) {
        let argument = find(subcommand, key)
            .ok_or_else(|| anyhow!("{}: `{key}` is no flag of `glossator {name}`", path.display()))?;
        if given.value_source(argument.get_id().as_str()) != Some(ValueSource::CommandLine) {
            let flags = flags(key, value, argument)
                .with_context(|| format!("{}: the value of `{key}`", path.display()))?;
            arguments.extend(flags.into_iter().map(OsString::from));
        }
    }
    Ok(arguments)
}

/// The values of all flags of a subcommand except `left_out`, as they came out of defaults, run file and
/// command line.
pub(crate) fn resolved(subcommand: &Command, matches: &ArgMatches, left_out: &[&str]) -> Table {
    let mut table = Table::new();
    for argument in subcommand.get_arguments() {
        let Some(long) = argument.get_long().filter(|long| !left_out.contains(long)) else { continue };
        let id = argument.get_id().as_str();
        if matches!(argument.get_action(), ArgAction::SetTrue) {
            table.insert(long.to_owned(), Value::Boolean(matches.get_flag(id)));
        } else if matches!(argument.get_action(), ArgAction::Set | ArgAction::Append)
            && let Ok(Some(values)) = matches.try_get_raw(id)
        {
            let mut values: Vec<Value> = values.map(|value| scalar(&value.to_string_lossy())).collect();
            let value = match argument.get_action() {
                ArgAction::Append => Value::Array(values),
                _ => values.pop().unwrap_or_else(|| Value::from("")),
            };
            table.insert(long.to_owned(), value);
        }
    }
    table
}

fn find<'a>(subcommand: &'a Command, key: &str) -> Option<&'a Arg> {
    subcommand.get_arguments().find(|argument| argument.get_long() == Some(key))
}

fn flags(key: &str, value: &Value, argument: &Arg) -> anyhow::Result<Vec<String>> {
    if matches!(argument.get_action(), ArgAction::SetTrue) {
        let on = value.as_bool().context("must be true or false")?;
        return Ok(if on { vec![format!("--{key}")] } else { Vec::new() });
    }
    Ok(match value {
        Value::String(text) => vec![format!("--{key}={text}")],
        Value::Integer(_) | Value::Float(_) => vec![format!("--{key}={value}")],
        Value::Array(values) => {
            let each = values.iter().map(|value| flags(key, value, argument));
            each.collect::<anyhow::Result<Vec<_>>>()?.concat()
        }
        _ => bail!("must be a text, a number or a list of them"),
    })
}

/// A number where the text is one and reads back the same, else the text.
fn scalar(text: &str) -> Value {
    if let Ok(number) = text.parse::<i64>()
        && number.to_string() == text
    {
        return Value::Integer(number);
    }
    match text.parse::<f64>() {
        Ok(number) if Value::Float(number).to_string() == text => Value::Float(number),
        _ => Value::String(text.to_owned()),
    }
}
