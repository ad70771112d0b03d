//! The page before any script has run: services and bookmarks of a caller inside `index.html`.
//!
//! The page's own components (`server/web/src/home/tile.tsx` and those beside it) make the same
//! elements, so that nothing jumps when they take over.

use std::fmt::Write as _;

use crate::{
    icon::Icon,
    view::{BookmarksView, CheckView, GroupView, ServiceView, SiteView, State, View},
    widget::Shown,
};

/// Where the content goes, in `index.html` as Vite leaves it.
const CONTENT: &str = "<!--home-->";
const TITLE: &str = "<title>Skep</title>";
const HTML: &str = "<html lang=\"en\">";
const BODY_END: &str = "</body>";
/// The groups of sites that nobody wrote down.
pub(crate) const SITES: &str = "Sites";

/// `index.html` with what its caller may see, and the same once more as data for the script.
///
/// # Errors
/// As [`View::to_json`].
pub fn page(index: &str, view: &View) -> Result<String, serde_json::Error> {
    // A script element ends at `</script` whatever is in it.
    let data = view.to_json()?.replace('<', "\\u003c");
    let data = format!("<script type=\"application/json\" id=\"home-data\">{data}</script>");
    let mut content = String::new();
    write(&mut content, view);
    Ok(index
        .replacen(HTML, &format!("<html lang=\"en\" data-default-theme=\"{}\">", view.theme), 1)
        .replacen(TITLE, &format!("<title>{}</title>", Escaped(&view.title)), 1)
        .replacen(CONTENT, &content, 1)
        .replacen(BODY_END, &format!("{data}{BODY_END}"), 1))
}

/// Text where an element or a quoted attribute may have it.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for it in self.0.chars() {
            match it {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// Writing to a string cannot fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {
        write!($out, $($arg)*).expect("a string takes any text")
    };
}

fn write(out: &mut String, view: &View) {
    if view.groups.is_empty() && view.bookmarks.is_empty() && view.found.sites.is_empty() {
        return;
    }
    put!(out, "<div class=\"services\" data-testid=\"services\">");
    for group in &view.groups {
        write_group(out, group);
    }
    if !view.found.sites.is_empty() {
        write_sites(out, &view.found.sites);
    }
    for group in &view.bookmarks {
        write_bookmarks(out, group);
    }
    put!(out, "</div>");
}

fn write_head(out: &mut String, name: &str, is_private: bool) {
    put!(out, "<h2>{}", Escaped(name));
    if is_private {
        put!(out, "<span class=\"private small\">private</span>");
    }
    put!(out, "</h2>");
}

fn write_group(out: &mut String, group: &GroupView) {
    put!(out, "<section class=\"tile-group\" aria-label=\"{}\">", Escaped(&group.name));
    write_head(out, &group.name, group.private);
    put!(out, "<ul class=\"tiles\">");
    for service in &group.services {
        write_tile(out, service, group);
    }
    put!(out, "</ul></section>");
}

fn write_tile(out: &mut String, service: &ServiceView, group: &GroupView) {
    put!(out, "<li data-testid=\"tile\">");
    match &service.href {
        Some(href) => put!(out, "<a class=\"panel tile\" href=\"{}\">", Escaped(href)),
        None => put!(out, "<div class=\"panel tile\">"),
    }
    write_icon(out, &service.icon);
    put!(
        out,
        "<span class=\"tile-text\"><span class=\"tile-name ellipsis\" title=\"{0}\">{0}</span>",
        Escaped(&service.name)
    );
    put!(
        out,
        "<span class=\"muted small ellipsis\" title=\"{0}\">{0}</span></span>",
        Escaped(&service.description)
    );
    write_state(out, &service.check, service.private && !group.private);
    write_values(out, &service.values);
    // A place for its last day, which comes later.
    if service.check.state != State::Off {
        put!(out, "<span class=\"tile-history\"></span>");
    }
    put!(out, "{}", if service.href.is_some() { "</a></li>" } else { "</div></li>" });
}

fn write_state(out: &mut String, check: &CheckView, is_private: bool) {
    put!(out, "<span class=\"tile-state small num\">");
    if is_private {
        put!(out, "<span class=\"private\">private</span>");
    }
    let (class, word) = match check.state {
        State::Up => ("up", "up"),
        State::Down => ("down", "down"),
        State::Waiting => ("waiting", "not checked yet"),
        State::Off => {
            put!(out, "</span>");
            return;
        }
    };
    put!(out, "<span class=\"dot {class}\" aria-hidden=\"true\"></span>");
    put!(out, "<span class=\"visually-hidden\">{word}</span>");
    let shown = match check.state {
        State::Up => check.seconds.map_or(String::new(), duration),
        State::Down => "down".to_owned(),
        State::Waiting | State::Off => "…".to_owned(),
    };
    put!(out, "<span aria-hidden=\"{}\">{shown}</span></span>", check.state != State::Up);
}

/// As `responseTime` of `server/web/src/home/services.ts`.
fn duration(seconds: f64) -> String {
    let ms = seconds * 1_000.0;
    if ms < 9.95 {
        format!("{ms:.1} ms")
    } else if ms < 999.5 {
        format!("{ms:.0} ms")
    } else {
        format!("{seconds:.1} s")
    }
}

fn write_values(out: &mut String, values: &[Shown]) {
    if values.is_empty() {
        return;
    }
    put!(out, "<span class=\"tile-values small\">");
    for it in values {
        put!(
            out,
            "<span><span class=\"muted\">{}</span><strong class=\"num\">{}</strong></span>",
            Escaped(&it.label),
            Escaped(&it.text)
        );
    }
    put!(out, "</span>");
}

fn write_icon(out: &mut String, icon: &Icon) {
    match icon {
        Icon::File { name } => {
            // A name of the icon folder has no character that a path would need escaped but blanks.
            let name = name.replace(' ', "%20");
            put!(
                out,
                "<img class=\"icon\" src=\"/-/skep/v1/home/icons/{}\" alt=\"\">",
                Escaped(&name)
            );
        }
        Icon::BuiltIn { name } => {
            put!(
                out,
                "<svg class=\"icon\" aria-hidden=\"true\"><use href=\"/icons.svg#{name}\"></use></svg>"
            );
        }
        Icon::Letters { text, tone } => {
            put!(
                out,
                "<span class=\"icon letters tone-{tone}\" aria-hidden=\"true\">{}</span>",
                Escaped(text)
            );
        }
    }
}

fn write_sites(out: &mut String, sites: &[SiteView]) {
    put!(out, "<section class=\"tile-group\" aria-label=\"{SITES}\">");
    write_head(out, SITES, false);
    put!(out, "<ul class=\"tiles compact\">");
    for site in sites {
        write_link(out, &site.label, &site.href, &site.name, &site.icon, site.private);
    }
    put!(out, "</ul></section>");
}

fn write_bookmarks(out: &mut String, group: &BookmarksView) {
    put!(out, "<section class=\"tile-group\" aria-label=\"{}\">", Escaped(&group.name));
    write_head(out, &group.name, group.private);
    put!(out, "<ul class=\"tiles compact\">");
    for link in &group.links {
        write_link(out, &link.name, &link.href, &link.description, &link.icon, false);
    }
    put!(out, "</ul></section>");
}

fn write_link(
    out: &mut String,
    name: &str,
    href: &str,
    description: &str,
    icon: &Icon,
    is_private: bool,
) {
    put!(out, "<li><a class=\"panel tile\" href=\"{}\">", Escaped(href));
    write_icon(out, icon);
    put!(
        out,
        "<span class=\"tile-text\"><span class=\"tile-name ellipsis\" title=\"{0}\">{0}</span>",
        Escaped(name)
    );
    if !description.is_empty() {
        put!(
            out,
            "<span class=\"muted small ellipsis\" title=\"{0}\">{0}</span>",
            Escaped(description)
        );
    }
    put!(out, "</span>");
    if is_private {
        put!(out, "<span class=\"tile-state small\"><span class=\"private\">private</span></span>");
    }
    put!(out, "</a></li>");
}
