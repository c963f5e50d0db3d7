//! A trie as a Graphviz graph: the tokens that the unit fires on at the right, what must stand before them to the left,
//! so that every path reads like the text. Doubly outlined nodes are where a pattern may begin, with its activation.

use std::fmt::Write as _;

use super::pattern::Element;
use super::trie::{Node, Trie};
use crate::text::escaped;

/// The graph in the DOT language. `name` is its title, `text` gives token texts.
pub fn graphviz<'a>(trie: &Trie, name: &str, text: impl Fn(u32) -> &'a str) -> String {
    let mut drawing = Drawing { dot: String::new(), nodes: 0, text: &text };
    let title = quote(name);
    drawing.line(format_args!("digraph {title} {{"));
    drawing.line(format_args!(
        "  label={title}; rankdir=LR; node [shape=box, style=rounded, fontname=monospace];"
    ));
    for (element, child) in &trie.root.children {
        drawing.node(*element, child, None);
    }
    drawing.line(format_args!("}}"));
    drawing.dot
}

struct Drawing<'a, 'b> {
    dot: String,
    nodes: usize,
    text: &'b dyn Fn(u32) -> &'a str,
}

impl Drawing<'_, '_> {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.dot, "{line}");
    }

    fn node(&mut self, element: Element, node: &Node, right: Option<usize>) {
        let id = self.nodes;
        self.nodes += 1;
        let mut label = match element {
            Element::Token(token) => escaped((self.text)(token)),
            Element::Wildcard { min, max } if min == max => format!("any {min}"),
            Element::Wildcard { min, max } => format!("any {min} to {max}"),
            Element::Start => "^".to_owned(),
        };
        let mut shape = "";
        if let Some(end) = node.end {
            shape = ", peripheries=2";
            let _ = write!(label, "\n{:.3} ({}×)", end.activation, end.examples);
        }
        if !matches!(element, Element::Token(_)) {
            shape = if node.end.is_some() { ", peripheries=2, color=grey" } else { ", color=grey" };
        }
        self.line(format_args!("  n{id} [label={}{shape}];", quote(&label)));
        if let Some(right) = right {
            self.line(format_args!("  n{id} -> n{right};"));
        }
        for (element, child) in &node.children {
            self.node(*element, child, Some(id));
        }
    }
}

/// A DOT string: quotes and backslashes escaped, so that Graphviz shows the text as it is.
fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
