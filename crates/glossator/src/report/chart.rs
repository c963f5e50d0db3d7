//! Charts as inline SVG.

use std::fmt::Write as _;

use super::page::escape;
use super::scale::Scale;

/// Colours that differ in lightness too (Okabe and Ito's palette), repeated if there are more series.
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#b8a800"];
/// The plotting area, pixels: left, top, width, height.
const AREA: [f64; 4] = [70.0, 34.0, 520.0, 280.0];
/// The whole picture, the legend to the right included.
const SIZE: [f64; 2] = [900.0, 370.0];

/// How the points of a series are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marks {
    /// Joined by straight lines.
    Line,
    /// Joined by steps: each point's value holds until the next.
    Steps,
    /// Dots.
    Dots,
}

/// Points under one name.
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) marks: Marks,
    pub(crate) points: Vec<[f64; 2]>,
}

/// Series over common axes. Points that are not finite are left out.
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) x: String,
    pub(crate) y: String,
    pub(crate) series: Vec<Series>,
}

impl Chart {
    /// As part of a page.
    pub(crate) fn to_svg(&self) -> String {
        self.svg("")
    }

    /// As a file that stands alone, dark on light wherever it is shown.
    pub(crate) fn to_file(&self) -> String {
        let style = "style=\"font:12px system-ui,sans-serif;background:#fff;color:#222\"";
        self.svg(&format!(" xmlns=\"http://www.w3.org/2000/svg\" {style}")) + "\n"
    }

    fn svg(&self, attributes: &str) -> String {
        let values =
            |axis: usize| self.series.iter().flat_map(|series| &series.points).map(move |point| point[axis]);
        let axes = Scale::new(values(0)).zip(Scale::new(values(1)));
        let [width, height] = SIZE;
        let mut svg = format!(
            "<svg{attributes} viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">",
            escape(&self.title)
        );
        text(&mut svg, [AREA[0], 18.0], "start", &self.title);
        match axes {
            None => text(&mut svg, [AREA[0], AREA[1] + 30.0], "start", "nothing to show"),
            Some((x, y)) => {
                self.axes(&mut svg, x, y);
                for (index, series) in self.series.iter().enumerate() {
                    let colour = COLOURS[index % COLOURS.len()];
                    let places =
                        series.points.iter().filter_map(|[a, b]| Some(pixel(x.place(*a)?, y.place(*b)?)));
                    draw(&mut svg, series.marks, &places.collect::<Vec<_>>(), colour);
                    legend(&mut svg, index, &series.name, colour);
                }
            }
        }
        svg.push_str("</svg>");
        svg
    }

    fn axes(&self, svg: &mut String, x: Scale, y: Scale) {
        let [left, top, width, height] = AREA;
        let bottom = top + height;
        for (value, name) in x.ticks() {
            let Some([at, _]) = x.place(value).map(|place| pixel(place, 0.0)) else { continue };
            line(svg, [at, top], [at, bottom]);
            text(svg, [at, bottom + 16.0], "middle", &name);
        }
        for (value, name) in y.ticks() {
            let Some([_, at]) = y.place(value).map(|place| pixel(0.0, place)) else { continue };
            line(svg, [left, at], [left + width, at]);
            text(svg, [left - 6.0, at + 4.0], "end", &name);
        }
        text(svg, [left + width / 2.0, bottom + 36.0], "middle", &self.x);
        // Writing to a string cannot fail.
        let _ = write!(
            svg,
            "<text transform=\"translate(14 {:.1}) rotate(-90)\" text-anchor=\"middle\" fill=\"currentColor\">{}</text>",
            top + height / 2.0,
            escape(&self.y)
        );
    }
}

/// Shares of the axes to pixels.
fn pixel(x: f64, y: f64) -> [f64; 2] {
    [AREA[0] + x * AREA[2], AREA[1] + (1.0 - y) * AREA[3]]
}

fn line(svg: &mut String, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2]) {
    let _ = write!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"currentColor\" stroke-opacity=\".15\"/>"
    );
}

fn text(svg: &mut String, [x, y]: [f64; 2], anchor: &str, content: &str) {
    let content = escape(content);
    let _ = write!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"currentColor\">{content}</text>"
    );
}

fn legend(svg: &mut String, index: usize, name: &str, colour: &str) {
    let (x, y) = (AREA[0] + AREA[2] + 20.0, AREA[1] + 10.0 + 18.0 * index as f64);
    let _ =
        write!(svg, "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>", y - 9.0);
    text(svg, [x + 16.0, y], "start", name);
}

fn draw(svg: &mut String, marks: Marks, points: &[[f64; 2]], colour: &str) {
    if marks == Marks::Dots {
        for [x, y] in points {
            let _ = write!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"{colour}\"/>");
        }
        return;
    }
    let mut path = String::new();
    for (index, [x, y]) in points.iter().enumerate() {
        let _ = match (index, marks) {
            (0, _) => write!(path, "M{x:.1} {y:.1}"),
            (_, Marks::Steps) => write!(path, "H{x:.1}V{y:.1}"),
            _ => write!(path, "L{x:.1} {y:.1}"),
        };
    }
    let _ = write!(svg, "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\"/>");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<[f64; 2]>, marks: Marks) -> String {
        let series = vec![Series { name: "<a>".into(), marks, points }];
        Chart { title: "t&t".into(), x: "x".into(), y: "y".into(), series }.to_svg()
    }

    #[test]
    fn points_are_where_they_belong() {
        let svg = chart(vec![[0.0, 0.0], [1.0, 1.0], [f64::NAN, 0.5]], Marks::Dots);
        assert_eq!(svg.matches("<circle").count(), 2);
        // 1/27 of the axis is margin.
        assert!(
            svg.contains("<circle cx=\"89.3\" cy=\"303.6\"")
                && svg.contains("<circle cx=\"570.7\" cy=\"44.4\"")
        );
        assert!(svg.starts_with("<svg viewBox"));
        assert!(svg.contains("&lt;a&gt;") && svg.contains("t&amp;t") && !svg.contains("<a>"));
        assert!(chart(vec![[0.0, 0.0], [1.0, 1.0]], Marks::Steps).contains("H570.7V44.4"));
        assert!(chart(vec![[0.0, 0.0], [1.0, 1.0]], Marks::Line).contains("L570.7 44.4"));
    }

    #[test]
    fn a_chart_of_nothing_says_so() {
        assert!(chart(Vec::new(), Marks::Line).contains("nothing to show"));
    }
}
