//! Our own file: `groups`, `bookmarks`, `search`, `widgets` and `found`, in TOML.

use std::{collections::HashSet, path::Path};

use super::{
    Bookmark, BookmarkGroup, Check, Fault, Format, FormatKind, Found, Group, HomeFile, JsonField,
    JsonSource, Limits, SearchEngine, Service, Target, Trust, Widget, WidgetKind, address,
    fields::{Fields, fault},
    href, values,
};
use crate::{tree, widget};

pub(super) fn parse(file: &Path, text: &str, limits: &Limits) -> Result<HomeFile, Fault> {
    let tree = tree::parse_toml(text).map_err(|it| fault(file, it.line, String::new(), it.text))?;
    let mut fields = Fields::of(file, String::new(), &tree)?;
    let title = fields.text("title")?;
    let theme = fields.parsed("theme", values::theme)?.unwrap_or_default();
    let groups = fields.tables("groups")?;
    let groups = groups.into_iter().map(|it| group(it, limits)).collect::<Result<_, _>>()?;
    let bookmarks = fields.tables("bookmarks")?.into_iter().map(bookmark_group);
    let bookmarks = bookmarks.collect::<Result<_, _>>()?;
    let search = fields.tables("search")?.into_iter().map(search_engine);
    let search = search.collect::<Result<_, _>>()?;
    let widgets = fields.tables("widgets")?.into_iter().map(|it| widget(it, limits));
    let widgets = widgets.collect::<Result<_, _>>()?;
    let found = fields.table("found")?.map(found).transpose()?.unwrap_or_default();
    fields.finish()?;
    let home =
        HomeFile { title, theme, groups, bookmarks, search, widgets, found, warnings: Vec::new() };
    home.check_size(file, limits)?;
    Ok(home)
}

fn group(mut fields: Fields<'_>, limits: &Limits) -> Result<Group, Fault> {
    let name = fields.needed("name")?;
    let is_private = fields.flag("private")?.unwrap_or_default();
    let mut names = HashSet::new();
    let mut services = Vec::new();
    for mut table in fields.tables("services")? {
        let service = service(&mut table, limits)?;
        if !names.insert(service.name.clone()) {
            let text = format!("{:?} is there twice in its group", service.name);
            return Err(table.fault("name", text));
        }
        table.finish()?;
        services.push(service);
    }
    fields.finish()?;
    Ok(Group { name, is_private, services })
}

fn service(fields: &mut Fields<'_>, limits: &Limits) -> Result<Service, Fault> {
    let name = fields.needed("name")?;
    let href = fields.parsed("href", href)?;
    let target = fields.parsed("check", |it| Target::parse(it, href.as_deref()))?;
    let target = target.unwrap_or_else(|| href.as_deref().and_then(Target::of_link));
    let interval = fields.parsed("interval", values::interval)?.unwrap_or(limits.interval);
    let timeout = fields.parsed("timeout", values::timeout)?.unwrap_or(limits.timeout);
    let statuses = fields.texts("status")?;
    let expected = values::statuses(&statuses).map_err(|text| fields.fault("status", text))?;
    let trust = trust(fields)?;
    let check = target.map(|target| Check { target, interval, timeout, expected, trust });
    Ok(Service {
        name,
        href,
        icon: fields.text("icon")?,
        description: fields.text("description")?.unwrap_or_default(),
        is_private: fields.flag("private")?.unwrap_or_default(),
        check,
        json: None,
    })
}

fn trust(fields: &mut Fields<'_>) -> Result<Trust, Fault> {
    let ca_file = fields.file("ca_file")?;
    match (ca_file, fields.flag("insecure")?.unwrap_or_default()) {
        (Some(_), true) => {
            Err(fields.fault("insecure", "trusts any certificate; leave out ca_file or this"))
        }
        (_none, true) => Ok(Trust::Anything),
        (Some(file), false) => Ok(Trust::Also(file)),
        (None, false) => Ok(Trust::System),
    }
}

fn bookmark_group(mut fields: Fields<'_>) -> Result<BookmarkGroup, Fault> {
    let name = fields.needed("name")?;
    let is_private = fields.flag("private")?.unwrap_or_default();
    let bookmarks = fields.tables("links")?.into_iter().map(bookmark);
    let bookmarks = bookmarks.collect::<Result<_, _>>()?;
    fields.finish()?;
    Ok(BookmarkGroup { name, is_private, bookmarks })
}

fn bookmark(mut fields: Fields<'_>) -> Result<Bookmark, Fault> {
    let name = fields.needed("name")?;
    fields.needed("href")?;
    let bookmark = Bookmark {
        href: fields.parsed("href", href)?.unwrap_or_default(),
        abbr: fields.text("abbr")?.unwrap_or_default(),
        icon: fields.text("icon")?,
        description: fields.text("description")?.unwrap_or_default(),
        name,
    };
    fields.finish()?;
    Ok(bookmark)
}

fn search_engine(mut fields: Fields<'_>) -> Result<SearchEngine, Fault> {
    let name = fields.needed("name")?;
    fields.needed("url")?;
    let url = fields.parsed("url", |it| {
        let is_complete = it.contains("{query}") && address::http(it).is_ok();
        is_complete.then(|| it.to_owned()).ok_or_else(|| {
            format!("{it:?} says not where the words go; write one like \"https://duckduckgo.com/?q={{query}}\"")
        })
    })?;
    fields.finish()?;
    Ok(SearchEngine { name, url: url.unwrap_or_default() })
}

fn widget(mut fields: Fields<'_>, limits: &Limits) -> Result<Widget, Fault> {
    let name = fields.needed("name")?;
    let href = fields.parsed("href", href)?;
    let is_private = fields.flag("private")?.unwrap_or_default();
    let query = fields.text("promql")?;
    let url = fields.parsed("json", address::http)?;
    let kind = match (query, url) {
        (Some(query), None) => WidgetKind::Promql {
            query,
            has_curve: fields.flag("curve")?.unwrap_or_default(),
            format: format(&mut fields, FormatKind::Number)?,
        },
        (None, Some(url)) => WidgetKind::Json(json(&mut fields, url, limits)?),
        (Some(_), Some(_)) => {
            return Err(fields.fault("json", "stands beside promql; leave out one"));
        }
        (None, None) => {
            return Err(fields.fault("promql", "is missing; write promql or json"));
        }
    };
    fields.finish()?;
    Ok(Widget { name, href, is_private, kind })
}

/// One value by `path`, or several by `[[widgets.fields]]`.
fn json(fields: &mut Fields<'_>, url: String, limits: &Limits) -> Result<JsonSource, Fault> {
    let interval = fields.parsed("interval", values::interval)?.unwrap_or(limits.interval);
    let timeout = fields.parsed("timeout", values::timeout)?.unwrap_or(limits.timeout);
    let trust = trust(fields)?;
    let mut json_fields = Vec::new();
    for mut table in fields.tables("fields")? {
        let label = table.needed("label")?;
        json_fields.push(json_field(&mut table, label)?);
        table.finish()?;
    }
    if json_fields.is_empty() {
        json_fields.push(json_field(fields, String::new())?);
    }
    Ok(JsonSource { url, interval, timeout, trust, fields: json_fields })
}

fn json_field(fields: &mut Fields<'_>, label: String) -> Result<JsonField, Fault> {
    fields.needed("path")?;
    let path = fields.parsed("path", widget::Path::parse)?.unwrap_or_default();
    Ok(JsonField { label, path, format: format(fields, FormatKind::Text)? })
}

fn format(fields: &mut Fields<'_>, usual: FormatKind) -> Result<Format, Fault> {
    Ok(Format {
        kind: fields.parsed("format", values::format)?.unwrap_or(usual),
        scale: fields.number("scale")?.unwrap_or(1.0),
        prefix: fields.text("prefix")?.unwrap_or_default(),
        suffix: fields.text("suffix")?.unwrap_or_default(),
    })
}

fn found(mut fields: Fields<'_>) -> Result<Found, Fault> {
    let found = Found {
        sites: fields.flag("sites")?.unwrap_or(true),
        units: fields.flag("units")?.unwrap_or(true),
        hide: fields.texts("hide")?,
    };
    fields.finish()?;
    Ok(found)
}
