//! A trie as JSON, the stored form of a Neuron2Graph explanation.
//!
//! ```json
//! {"bos": null, "padding": {"token": 2483, "rule": "…"}, "searched": 16,
//!  "tokens": [{"token": 274, "text": "ing", "mean": 0.25}], "children": [
//!   {"steps": [{"token": 274, "text": "ing"}, {"wildcard": [1, 3]}], "children": [
//!     {"steps": [{"token": 716, "text": " am"}], "activation": 2.5, "examples": 4},
//!     {"steps": [{"token": 389, "text": " are"}], "activation": 2.0, "examples": 3}]},
//!   {"steps": [{"token": 0, "text": "#"}, {"start": true}], "activation": 7.0, "examples": 1}]}
//! ```
//!
//! A step goes one element backwards: a `token` (with its `text`, for people), a `wildcard` (fewest and most tokens), or
//! the `start` of the sequence. Steps without a choice between them share a node. A node with `activation` ends a
//! pattern that `examples` examples gave. `tokens` are what tokens predict where no pattern matches. Like the nested dictionaries of OpenAI's `sparse_autoencoder`, but keyed by
//! token id, as different tokens can have the same text.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Padding;
use super::pattern::Element;
use super::trie::{End, Node, Trie};

/// Longest pattern that is read; walks over the trie recurse this deep.
const MAX_STEPS: usize = 1024;

#[derive(Serialize, Deserialize)]
struct Body {
    bos: Option<u32>,
    padding: Padding,
    searched: usize,
    #[serde(default)]
    tokens: Vec<TokenMean>,
    children: Vec<Branch>,
}

#[derive(Serialize, Deserialize)]
struct TokenMean {
    token: u32,
    text: String,
    mean: f32,
}

#[derive(Serialize, Deserialize)]
struct Branch {
    steps: Vec<Step>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    activation: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    examples: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    children: Vec<Branch>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Step {
    Token { token: u32, text: String },
    Wildcard { wildcard: (u16, u16) },
    Start { start: bool },
}

/// The stored form. `searched` is the number of examples that the trie was made from, `text` gives token texts.
pub fn to_json<'a>(trie: &Trie, padding: &Padding, searched: usize, text: impl Fn(u32) -> &'a str) -> Value {
    let children = branches(&trie.root, &text);
    let means = trie.token_means.iter();
    let tokens =
        means.map(|(&token, &mean)| TokenMean { token, text: text(token).to_owned(), mean }).collect();
    serde_json::json!(Body { bos: trie.bos, padding: padding.clone(), searched, tokens, children })
}

fn branches<'a>(node: &Node, text: &dyn Fn(u32) -> &'a str) -> Vec<Branch> {
    let step = |element: &Element| match *element {
        Element::Token(token) => Step::Token { token, text: text(token).to_owned() },
        Element::Wildcard { min, max } => Step::Wildcard { wildcard: (min, max) },
        Element::Start => Step::Start { start: true },
    };
    let branch = |(element, child): (&Element, &Node)| {
        let (mut steps, mut node) = (vec![step(element)], child);
        while let (None, 1, Some((element, child))) =
            (node.end, node.children.len(), node.children.first_key_value())
        {
            steps.push(step(element));
            node = child;
        }
        let (activation, examples) = (node.end.map(|end| end.activation), node.end.map(|end| end.examples));
        Branch { steps, activation, examples, children: branches(node, text) }
    };
    node.children.iter().map(branch).collect()
}

/// Reads the stored form; the error says what is wrong with it.
pub fn from_json(body: &Value) -> Result<Trie, String> {
    let body = Body::deserialize(body).map_err(|error| error.to_string())?;
    let mut root = Node::default();
    body.children.iter().try_for_each(|branch| attach(&mut root, branch, 0))?;
    let token_means = body.tokens.iter().map(|token| (token.token, token.mean)).collect();
    Ok(Trie { root, bos: body.bos, token_means })
}

fn attach(parent: &mut Node, branch: &Branch, above: usize) -> Result<(), String> {
    let depth = above + branch.steps.len();
    if depth > MAX_STEPS {
        return Err(format!("a pattern has more than {MAX_STEPS} steps"));
    }
    let mut node = parent;
    let mut known = true;
    for step in &branch.steps {
        let element = match *step {
            Step::Token { token, .. } => Element::Token(token),
            Step::Wildcard { wildcard: (min, max) } if min <= max && max > 0 => {
                Element::Wildcard { min, max }
            }
            Step::Start { start: true } => Element::Start,
            Step::Wildcard { .. } | Step::Start { .. } => return Err("a step leads nowhere".to_owned()),
        };
        known = node.children.contains_key(&element);
        node = node.children.entry(element).or_default();
    }
    if known {
        return Err("a node without steps, or two that take the same".to_owned());
    }
    node.end = match (branch.activation, branch.examples) {
        (Some(activation), Some(examples)) => Some(End { activation, examples }),
        (None, None) => None,
        _ => return Err("`activation` and `examples` belong together".to_owned()),
    };
    branch.children.iter().try_for_each(|child| attach(node, child, depth))
}
