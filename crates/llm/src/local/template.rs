//! Chat templates: Jinja programs in the model's files that turn a conversation into text.
//!
//! A message must not be able to forge the marks that separate messages. The template is therefore run on stand-ins for the
//! contents, and its output is cut there: what the template wrote may name control tokens, what messages say may not. The
//! template is run on the contents too, to see whether it passes them on as they are, or trimmed.

use glossator_model::tokenizer::Span;
use minijinja::{Environment, Error, ErrorKind, Value, context};
use serde::Serialize;

use crate::request::{Message, Role};

/// Around the number of a message in its stand-in: two characters of the private use area.
const MARKS: [char; 2] = ['\u{f5c0}', '\u{f5c1}'];

/// A chat template, ready to run.
pub(super) struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

/// What a rendered conversation consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Written by the template.
    Template(String),
    /// Said in a message.
    Content(String),
}

impl Part {
    pub(super) fn span(&self) -> Span<'_> {
        match self {
            Self::Template(text) => Span::Trusted(text),
            Self::Content(text) => Span::Plain(text),
        }
    }
}

/// A message as templates see it.
#[derive(Serialize)]
struct Turn<'a> {
    role: Role,
    content: &'a str,
}

impl ChatTemplate {
    /// Compiles a template and tries it on a conversation.
    pub(super) fn new(source: &str, bos: String, eos: String) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment
            .add_template_owned("chat", source.to_owned())
            .map_err(|error| format!("cannot be read: {error}"))?;
        let template = Self { environment, bos, eos };
        template.render(&[Message::system("a"), Message::user("b")])?;
        Ok(template)
    }

    /// The conversation up to where the model goes on: its turn is opened, or, if the last message is its own, begun with
    /// that message.
    pub(super) fn render(&self, messages: &[Message]) -> Result<Vec<Part>, String> {
        let (turns, begun) = match messages.split_last() {
            Some((Message { role: Role::Assistant, content }, before)) => (before, Some(content)),
            _ => (messages, None),
        };
        let mut parts = match self.parts(turns) {
            Ok(parts) => parts,
            // Some families know no instructions: those go before what is asked.
            Err(error) => self.parts(&joined(turns).ok_or_else(|| error.clone())?).map_err(|_| error)?,
        };
        parts.extend(begun.map(|content| Part::Content(content.clone())));
        Ok(parts)
    }

    fn parts(&self, messages: &[Message]) -> Result<Vec<Part>, String> {
        let [open, close] = MARKS;
        if let Some(message) = messages.iter().find(|message| message.content.contains(MARKS)) {
            return Err(format!(
                "a message contains a character that stands for messages: {:?}",
                message.content
            ));
        }
        let stand_ins: Vec<String> =
            (0..messages.len()).map(|index| format!("{open}{index}{close}")).collect();
        let outline =
            self.run(messages.iter().zip(&stand_ins).map(|(message, text)| (message.role, text.as_str())))?;
        let whole = self.run(messages.iter().map(|message| (message.role, message.content.as_str())))?;
        for content in [|text: &str| text.to_owned(), |text: &str| text.trim().to_owned()] {
            let parts = cut(&outline, messages, content)?;
            let text: String = parts
                .iter()
                .map(|part| match part {
                    Part::Template(text) | Part::Content(text) => text.as_str(),
                })
                .collect();
            if text == whole {
                return Ok(parts);
            }
        }
        Err("it changes what messages say in a way that is not supported".to_owned())
    }

    fn run<'m>(&self, turns: impl Iterator<Item = (Role, &'m str)>) -> Result<String, String> {
        let messages: Vec<Turn<'_>> = turns.map(|(role, content)| Turn { role, content }).collect();
        let template = self.environment.get_template("chat").map_err(|error| format!("{error}"))?;
        let variables = context! {
            messages => messages,
            add_generation_prompt => true,
            bos_token => self.bos,
            eos_token => self.eos,
        };
        template.render(variables).map_err(|error| format!("fails on this conversation: {error}"))
    }
}

/// Replaces the stand-ins in what the template wrote.
fn cut(outline: &str, messages: &[Message], content: impl Fn(&str) -> String) -> Result<Vec<Part>, String> {
    let [open, close] = MARKS;
    let mut parts = Vec::new();
    let mut rest = outline;
    while let Some((before, after)) = rest.split_once(open) {
        let message = after
            .split_once(close)
            .and_then(|(number, after)| Some((messages.get(number.parse::<usize>().ok()?)?, after)));
        let Some((message, after)) = message else { return Err("it takes messages apart".to_owned()) };
        parts.push(Part::Template(before.to_owned()));
        parts.push(Part::Content(content(&message.content)));
        rest = after;
    }
    parts.push(Part::Template(rest.to_owned()));
    Ok(parts)
}

/// Instructions put before the first question.
fn joined(messages: &[Message]) -> Option<Vec<Message>> {
    match messages {
        [Message { role: Role::System, content: instructions }, first, rest @ ..]
            if first.role == Role::User =>
        {
            let question = Message::user(format!("{instructions}\n\n{}", first.content));
            Some(std::iter::once(question).chain(rest.iter().cloned()).collect())
        }
        _ => None,
    }
}
