//! A trie as JSON, the stored form of a Neuron2Graph explanation.
//!
//! ```json
//! {"bos": null, "padding": {"token": 2483, "rule": "…"}, "searched": 16, "trie": {"children": [
//!   {"token": 274, "text": "ing", "children": [
//!     {"wildcard": [1, 3], "children": [{"token": 716, "text": " am", "activation": 2.5, "examples": 4}]}]},
//!   {"token": 0, "text": "#", "children": [{"start": true, "activation": 7.0, "examples": 1}]}]}}
//! ```
//!
//! A node is one step backwards: exactly one of `token` (with its `text`, for people), `wildcard` (fewest and most
//! tokens) and `start`. A node with `activation` ends a pattern that `examples` examples gave. Like the nested
//! dictionaries of OpenAI's `sparse_autoencoder`, but keyed by token id, as different tokens can have the same text.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Padding;
use super::pattern::Element;
use super::trie::{End, Node, Trie};

#[derive(Serialize, Deserialize)]
struct Body {
    bos: Option<u32>,
    padding: Padding,
    searched: usize,
    trie: NodeBody,
}

#[derive(Default, Serialize, Deserialize)]
struct NodeBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wildcard: Option<(u16, u16)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    activation: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    examples: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    children: Vec<NodeBody>,
}

/// The stored form. `searched` is the number of examples that the trie was made from, `text` gives token texts.
pub fn to_json<'a>(trie: &Trie, padding: &Padding, searched: usize, text: impl Fn(u32) -> &'a str) -> Value {
    serde_json::json!({
        "bos": trie.bos,
        "padding": padding,
        "searched": searched,
        "trie": node_body(&trie.root, None, &text),
    })
}

fn node_body<'a>(node: &Node, element: Option<Element>, text: &dyn Fn(u32) -> &'a str) -> NodeBody {
    let mut body = NodeBody {
        activation: node.end.map(|end| end.activation),
        examples: node.end.map(|end| end.examples),
        children: node
            .children
            .iter()
            .map(|(element, child)| node_body(child, Some(*element), text))
            .collect(),
        ..NodeBody::default()
    };
    match element {
        Some(Element::Token(token)) => {
            body.token = Some(token);
            body.text = Some(text(token).to_owned());
        }
        Some(Element::Wildcard { min, max }) => body.wildcard = Some((min, max)),
        Some(Element::Start) => body.start = Some(true),
        None => {}
    }
    body
}

/// Reads the stored form; the error says what is wrong with it.
pub fn from_json(body: &Value) -> Result<Trie, String> {
    // The value was parsed by serde_json, which bounds the depth of nesting.
    let body = Body::deserialize(body).map_err(|error| error.to_string())?;
    Ok(Trie { root: node(body.trie)?, bos: body.bos })
}

fn node(body: NodeBody) -> Result<Node, String> {
    let end = match (body.activation, body.examples) {
        (Some(activation), Some(examples)) => Some(End { activation, examples }),
        (None, None) => None,
        _ => return Err("`activation` and `examples` belong together".to_owned()),
    };
    let mut children = std::collections::BTreeMap::new();
    for child in body.children {
        let element = match (child.token, child.wildcard, child.start) {
            (Some(token), None, None) => Element::Token(token),
            (None, Some((min, max)), None) if min <= max && max > 0 => Element::Wildcard { min, max },
            (None, None, Some(true)) => Element::Start,
            _ => return Err("a node is none of `token`, `wildcard` and `start`".to_owned()),
        };
        if children.insert(element, node(child)?).is_some() {
            return Err(format!("two siblings are the same step {element:?}"));
        }
    }
    Ok(Node { end, children })
}
