//! What one caller may see, in the shape the page reads.

use std::sync::Arc;

use serde::Serialize;

use crate::{
    checks::{Report, Reports, Subject},
    config::{Bookmark, HomeFile, Remark, Service, Theme, Visitors, Widget, WidgetKind},
    home::{Caller, Loaded, ProxiedSite},
    icon::Icon,
    widget::Shown,
};

/// The home page of one caller.
#[derive(Debug, Clone, Serialize)]
pub struct View {
    pub(crate) title: String,
    pub(crate) theme: &'static str,
    pub(crate) caller: Caller,
    /// Whether a file says what is shown.
    pub(crate) is_configured: bool,
    pub(crate) groups: Vec<GroupView>,
    pub(crate) bookmarks: Vec<BookmarksView>,
    pub(crate) search: Vec<SearchView>,
    pub(crate) widgets: Vec<WidgetView>,
    pub(crate) found: FoundView,
    /// What is wrong with the files, for administrators.
    pub(crate) faults: Vec<RemarkView>,
    pub(crate) warnings: Vec<RemarkView>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct GroupView {
    pub(crate) name: String,
    pub(crate) private: bool,
    pub(crate) services: Vec<ServiceView>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct ServiceView {
    pub(crate) name: String,
    pub(crate) href: Option<String>,
    pub(crate) description: String,
    pub(crate) icon: Icon,
    pub(crate) private: bool,
    pub(crate) check: CheckView,
    pub(crate) values: Vec<Shown>,
    pub(crate) values_error: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct CheckView {
    pub(crate) state: State,
    pub(crate) seconds: Option<f64>,
    /// For who is logged in: it may name what only they should know.
    pub(crate) error: Option<String>,
    pub(crate) at_ms: Option<i64>,
    pub(crate) certificate_expires_s: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Up,
    Down,
    /// Not asked yet.
    Waiting,
    /// Nobody asks.
    Off,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct BookmarksView {
    pub(crate) name: String,
    pub(crate) private: bool,
    pub(crate) links: Vec<LinkView>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct LinkView {
    pub(crate) name: String,
    pub(crate) href: String,
    pub(crate) description: String,
    pub(crate) icon: Icon,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct SearchView {
    pub(crate) name: String,
    pub(crate) url: String,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct WidgetView {
    pub(crate) name: String,
    pub(crate) href: Option<String>,
    pub(crate) private: bool,
    #[serde(flatten)]
    pub(crate) kind: WidgetKindView,
}

#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum WidgetKindView {
    /// The page asks.
    Promql {
        query: String,
        curve: bool,
        format: &'static str,
        scale: f64,
        prefix: String,
        suffix: String,
    },
    Json {
        values: Vec<Shown>,
        error: Option<String>,
    },
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct FoundView {
    pub(crate) sites: Vec<SiteView>,
    /// Whether the page looks for units that listen.
    pub(crate) units: bool,
    pub(crate) hide: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct SiteView {
    pub(crate) name: String,
    /// The part of the name that tells it from the others.
    pub(crate) label: String,
    pub(crate) href: String,
    pub(crate) icon: Icon,
    pub(crate) private: bool,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct RemarkView {
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) key: String,
    pub(crate) text: String,
}

const TITLE: &str = "Skep";

impl View {
    pub(crate) fn of(
        loaded: &Loaded,
        reports: &Reports,
        sites: &[ProxiedSite],
        visitors: Visitors,
        caller: Caller,
    ) -> Self {
        let file = &loaded.file;
        let eyes = Eyes { loaded, reports, caller };
        let is_blind = caller == Caller::Anonymous && visitors == Visitors::LoggedIn;
        let is_admin = caller == Caller::Admin;
        let remarks = |all: &[Remark]| all.iter().filter(|_| is_admin).map(remark).collect();
        Self {
            title: file.title.clone().unwrap_or_else(|| TITLE.to_owned()),
            theme: match file.theme {
                Theme::System => "system",
                Theme::Light => "light",
                Theme::Dark => "dark",
            },
            caller,
            is_configured: loaded.is_configured,
            groups: if is_blind { Vec::new() } else { eyes.groups(file) },
            bookmarks: if is_blind { Vec::new() } else { eyes.bookmarks(file) },
            search: file
                .search
                .iter()
                .map(|it| SearchView { name: it.name.clone(), url: it.url.clone() })
                .collect(),
            widgets: if is_blind { Vec::new() } else { eyes.widgets(file) },
            found: FoundView {
                sites: if is_blind { Vec::new() } else { eyes.sites(file, sites) },
                units: file.found.units && caller != Caller::Anonymous,
                hide: if caller == Caller::Anonymous {
                    Vec::new()
                } else {
                    file.found.hide.clone()
                },
            },
            faults: remarks(loaded.fault.as_slice()),
            warnings: remarks(&file.warnings),
        }
    }

    /// As the page reads it.
    ///
    /// # Errors
    /// None that serde can meet here: there are only texts and numbers.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Group and name of each service in it that is checked.
    pub fn checked(&self) -> impl Iterator<Item = (&str, &str)> {
        self.groups.iter().flat_map(|group| {
            let checked = group.services.iter().filter(|it| it.check.state != State::Off);
            checked.map(|it| (group.name.as_str(), it.name.as_str()))
        })
    }
}

/// What one caller sees.
struct Eyes<'a> {
    loaded: &'a Loaded,
    reports: &'a Reports,
    caller: Caller,
}

impl Eyes<'_> {
    fn sees(&self, is_private: bool) -> bool {
        !is_private || self.caller != Caller::Anonymous
    }

    fn icon(&self, wanted: Option<&str>, name: &str, abbr: &str) -> Icon {
        self.loaded.icons.choose(wanted, name, abbr)
    }

    fn groups(&self, file: &HomeFile) -> Vec<GroupView> {
        let seen = file.groups.iter().filter(|it| self.sees(it.is_private));
        let groups = seen.map(|group| {
            let services = group.services.iter().filter(|it| self.sees(it.is_private));
            GroupView {
                name: group.name.clone(),
                private: group.is_private,
                services: services.map(|it| self.service(&group.name, it)).collect(),
            }
        });
        groups.filter(|it| !it.services.is_empty()).collect()
    }

    fn service(&self, group: &str, service: &Service) -> ServiceView {
        let (group, name) = (Arc::<str>::from(group), Arc::<str>::from(service.name.as_str()));
        let subject = Subject::Service { group: Arc::clone(&group), service: Arc::clone(&name) };
        let values = Subject::ServiceValues { group, service: name };
        let values = self.reports.of(&values).map(|it| it.finding);
        let check = match (&service.check, self.reports.of(&subject)) {
            (None, _) => CheckView::without_report(State::Off),
            (Some(_), None) => CheckView::without_report(State::Waiting),
            (Some(_), Some(report)) => self.check(report),
        };
        ServiceView {
            name: service.name.clone(),
            href: service.href.clone(),
            description: service.description.clone(),
            icon: self.icon(service.icon.as_deref(), &service.name, ""),
            private: service.is_private,
            check,
            values: values.as_ref().map(|it| it.shown.clone()).unwrap_or_default(),
            values_error: self.told(values.and_then(|it| it.error)),
        }
    }

    fn check(&self, report: Report) -> CheckView {
        let finding = report.finding;
        CheckView {
            state: if finding.is_up { State::Up } else { State::Down },
            seconds: finding.seconds,
            error: self.told(finding.error),
            at_ms: Some(report.at.0),
            certificate_expires_s: finding.certificate_expires_s,
        }
    }

    fn told(&self, error: Option<String>) -> Option<String> {
        error.filter(|_| self.caller != Caller::Anonymous)
    }

    fn bookmarks(&self, file: &HomeFile) -> Vec<BookmarksView> {
        let seen = file.bookmarks.iter().filter(|it| self.sees(it.is_private));
        let groups = seen.map(|group| BookmarksView {
            name: group.name.clone(),
            private: group.is_private,
            links: group.bookmarks.iter().map(|it| self.link(it)).collect(),
        });
        groups.filter(|it| !it.links.is_empty()).collect()
    }

    fn link(&self, bookmark: &Bookmark) -> LinkView {
        LinkView {
            name: bookmark.name.clone(),
            href: bookmark.href.clone(),
            description: bookmark.description.clone(),
            icon: self.icon(bookmark.icon.as_deref(), &bookmark.name, &bookmark.abbr),
        }
    }

    fn widgets(&self, file: &HomeFile) -> Vec<WidgetView> {
        file.widgets.iter().filter_map(|it| self.widget(it)).collect()
    }

    /// Queries are only for who may ask them.
    fn widget(&self, widget: &Widget) -> Option<WidgetView> {
        let kind = match &widget.kind {
            WidgetKind::Promql { .. } if self.caller == Caller::Anonymous => return None,
            WidgetKind::Promql { query, has_curve, format } => WidgetKindView::Promql {
                query: query.clone(),
                curve: *has_curve,
                format: format.kind.as_str(),
                scale: format.scale,
                prefix: format.prefix.clone(),
                suffix: format.suffix.clone(),
            },
            WidgetKind::Json(_) => {
                let report = self.reports.of(&Subject::Widget(widget.name.as_str().into()));
                let finding = report.map(|it| it.finding);
                WidgetKindView::Json {
                    values: finding.as_ref().map(|it| it.shown.clone()).unwrap_or_default(),
                    error: finding.and_then(|it| it.error).map(|error| {
                        self.told(Some(error)).unwrap_or_else(|| "no answer".to_owned())
                    }),
                }
            }
        };
        self.sees(widget.is_private).then(|| WidgetView {
            name: widget.name.clone(),
            href: widget.href.clone(),
            private: widget.is_private,
            kind,
        })
    }

    fn sites(&self, file: &HomeFile, sites: &[ProxiedSite]) -> Vec<SiteView> {
        let is_shown = |it: &&ProxiedSite| {
            file.found.sites && self.caller >= it.audience && !file.found.hide.contains(&it.name)
        };
        let seen = sites.iter().filter(is_shown);
        seen.map(|it| SiteView {
            name: it.name.clone(),
            href: it.href.clone(),
            icon: self.icon(None, it.label(), ""),
            label: it.label().to_owned(),
            private: it.audience != Caller::Anonymous,
        })
        .collect()
    }
}

impl CheckView {
    fn without_report(state: State) -> Self {
        Self { state, seconds: None, error: None, at_ms: None, certificate_expires_s: None }
    }
}

fn remark(it: &Remark) -> RemarkView {
    RemarkView {
        file: it.file.display().to_string(),
        line: it.line,
        key: it.key.clone(),
        text: it.text.clone(),
    }
}
