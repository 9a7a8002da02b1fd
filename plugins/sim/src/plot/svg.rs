//! The little of SVG that the plots need.

/// Stands in the first lines of every file, so that the command can tell its own files from others'.
pub const MADE_BY: &str = "made by dunlin sim";

/// A class of text.
pub(super) struct Style {
    pub(super) class: &'static str,
    /// Pixels.
    pub(super) size: f64,
    /// How wide a character is at most, on average over a text, for its size. The viewer's font is not known; these are of DejaVu Sans,
    /// the widest in common use, rounded up: digits for short labels, which may be all digits, and lower case for sentences.
    wide: f64,
}

impl Style {
    const fn new(class: &'static str, size: f64, wide: f64) -> Style {
        Style { class, size, wide }
    }

    /// Pixels that a text takes at most.
    pub(super) fn width(&self, text: &str) -> f64 {
        text.chars().count() as f64 * self.size * self.wide
    }
}

pub(super) const TITLE: Style = Style::new("title", 18.0, 0.6);
pub(super) const NOTE: Style = Style::new("note", 13.0, 0.56);
pub(super) const LABEL: Style = Style::new("label", 12.5, 0.68);
pub(super) const TICK: Style = Style::new("tick", 12.0, 0.65);
pub(super) const SMALL: Style = Style::new("small", 10.5, 0.6);

/// Light is for paper and for who asks for nothing; the colours of lines are Okabe and Ito's, darkened (on dark: lightened) until text
/// in them has a contrast of 4.5 to 1 (WCAG 2.2, 1.4.3). Each line has dashes of its own too.
const STYLE: &str = "
svg{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;font-variant-numeric:tabular-nums}
.title{font-size:18px;font-weight:600}.note{font-size:13px}.label{font-size:12.5px;font-weight:600}.tick{font-size:12px}.small{font-size:10.5px}
text{fill:#1b1f24}.note,.tick,.small{fill:#59616b}.paper{fill:#fff}.halo{paint-order:stroke;stroke:#fff;stroke-width:4px;stroke-linejoin:round}
path{fill:none;stroke-linejoin:round}.grid{stroke:#e4e7eb}.axis{stroke:#8c949e}.leader{stroke:#b4bac2}
.line{stroke-width:2.25}.b.line{stroke-dasharray:7 3.5}.level{stroke-width:1.5}.dots{stroke-width:1.75;stroke-dasharray:.5 4;stroke-linecap:round}
path.a{stroke:#0a60a8}path.b{stroke:#b34700}path.c{stroke:#00775a}.a{fill:#0a60a8}.b{fill:#b34700}.c{fill:#00775a}path.a,path.b,path.c{fill:none}
@media screen and (prefers-color-scheme:dark){
text{fill:#e8eaed}.note,.tick,.small{fill:#a3abb6}.paper{fill:#15181d}.halo{stroke:#15181d}
.grid{stroke:#2b3038}.axis{stroke:#727b87}.leader{stroke:#4d5560}
path.a{stroke:#62b5f4}path.b{stroke:#f2994a}path.c{stroke:#41cfa0}.a{fill:#62b5f4}.b{fill:#f2994a}.c{fill:#41cfa0}path.a,path.b,path.c{fill:none}
}
";

/// Where a text's `x` is.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A picture being drawn. Coordinates are pixels, from the upper left.
pub(super) struct Svg(String);

impl Svg {
    pub(super) fn new(width: f64, height: f64, title: &str, note: &str) -> Svg {
        let (title, note) = (escaped(title), escaped(note));
        Svg(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
             role=\"img\" aria-labelledby=\"title note\">\n<!-- {MADE_BY} -->\n<title id=\"title\">{title}</title>\n\
             <desc id=\"note\">{note}</desc>\n<style>{STYLE}</style>\n<rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n"
        ))
    }

    pub(super) fn text(
        &mut self,
        (x, y): (f64, f64),
        style: &Style,
        more: &str,
        anchor: Anchor,
        text: &str,
    ) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let text = escaped(text);
        self.0 += &format!(
            "<text class=\"{}\" x=\"{x:.1}\" y=\"{y:.1}\"{anchor}>{text}</text>\n",
            [style.class, more].join(" ").trim_end(),
        );
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.path(class, [from, to]);
    }

    /// A line through points. Those that fall together with the one before are left out.
    pub(super) fn path(&mut self, class: &str, points: impl IntoIterator<Item = (f64, f64)>) {
        let (mut data, mut last) = (String::new(), String::new());
        for (x, y) in points {
            let point = format!("{x:.1} {y:.1}");
            if point != last {
                data += if data.is_empty() { "M" } else { "L" };
                data += &point;
                last = point;
            }
        }
        self.0 += &format!("<path class=\"{class}\" d=\"{data}\"/>\n");
    }

    pub(super) fn dot(&mut self, class: &str, (x, y): (f64, f64)) {
        self.0 += &format!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>\n");
    }

    pub(super) fn end(mut self) -> String {
        self.0 += "</svg>\n";
        self.0
    }
}

/// Text as XML 1.0 takes it: markup escaped, characters that it forbids replaced.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&apos;",
            '\t' | '\n' | '\r' => escaped.push(' '),
            '\0'..' ' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_escaped_and_what_xml_forbids_is_replaced() {
        assert_eq!(
            escaped("<a b=\"c\">&'\n\0\u{1b}é"),
            "&lt;a b=&quot;c&quot;&gt;&amp;&apos; \u{fffd}\u{fffd}é"
        );
    }
}
