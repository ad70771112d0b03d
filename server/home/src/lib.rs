//! Which services does a person want to reach, and are they there? The home page's files, checks
//! of what they name, and what a caller may see of it, as JSON and as HTML.
//!
//! Reading files, choosing what to show and rendering are pure. Connections are made by
//! [`checks`] and [`widget`] alone, and to nothing that the files do not name.

mod checks;
mod config;
mod home;
mod html;
mod icon;
mod samples;
mod tree;
mod view;
mod watch;
mod widget;

pub use config::{
    Bookmark, BookmarkGroup, Check, Expected, Fault, Format, FormatKind, Found, Group, HomeFile,
    JsonField, JsonSource, Limits, Remark, SearchEngine, Service, Settings, Source, Target, Theme,
    Trust, Variables, Visitors, Widget, WidgetKind,
};
pub use home::{Caller, Home, ProxiedSite, Tasks};
pub use html::page;
pub use icon::IconFile;
pub use samples::{Sink, SinkError};
pub use view::View;
pub use widget::{Path, Shown};
