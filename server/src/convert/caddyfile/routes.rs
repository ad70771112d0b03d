//! Directives of a site or a block as routes, in the order in which Caddy would ask them.

use std::cmp::Reverse;

use super::matcher::{self, Match, Named, covers, route_path};
use super::out::{Action, Files, Headers, Redirect, Respond, Route};
use super::parse::Directive;
use super::{Remarks, auth, headers, proxy};

/// A route, and the hosts it is for: none for all of its site.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Draft {
    pub(super) hosts: Vec<String>,
    pub(super) body_max: Option<String>,
    pub(super) compress: bool,
    pub(super) route: Route,
}

/// What an inner block takes over from the one around it.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    named: Named,
    root: Option<String>,
}

/// What answers, as Caddy sorts it; the rest changes what is on its way.
const TERMINALS: [&str; 10] = [
    "redir",
    "handle",
    "handle_path",
    "route",
    "abort",
    "error",
    "respond",
    "reverse_proxy",
    "php_fastcgi",
    "file_server",
];

/// Read elsewhere, or true without being said.
const SILENT: [&str; 8] =
    ["tls", "bind", "log", "log_skip", "skip_log", "root", "import", "log_name"];

pub(super) fn of_block(
    directives: &[Directive],
    scope: &Scope,
    is_sorted: bool,
    remarks: &mut Remarks,
) -> Vec<Draft> {
    let mut scope = scope.clone();
    matcher::named(directives, &mut scope.named);
    for directive in directives.iter().filter(|it| it.name == "root") {
        let (found, args) = matcher::split(directive, &scope.named);
        match args {
            [root] if found.is_any() && root.starts_with('/') => scope.root = Some(root.clone()),
            _other => remarks.lose(directive, "a root must be an absolute path for all paths"),
        }
    }
    let mut terminals: Vec<&Directive> =
        directives.iter().filter(|it| TERMINALS.contains(&&*it.name)).collect();
    if is_sorted {
        terminals.sort_by_key(|it| sort_key(it, &scope.named));
    }
    let mut drafts = Vec::new();
    for directive in &terminals {
        let (found, args) = matcher::split(directive, &scope.named);
        if let Some(word) = &found.unknown {
            remarks.lose(directive, format_args!("the matcher `{word}` has no counterpart"));
            continue;
        }
        // What an address is denied is a list of the others.
        if !found.not_remotes.is_empty() && denies(directive, args) {
            continue;
        }
        let inner = answer(directive, args, &scope, remarks);
        let n_before = drafts.len();
        for draft in inner {
            restrict(draft, &found, directive, &mut drafts, remarks);
        }
        let is_denied_else = terminals.iter().any(|it| {
            let (found, args) = matcher::split(it, &scope.named);
            found.is_any() && denies(it, args)
        });
        if !found.remotes.is_empty() && drafts.len() > n_before && !is_denied_else {
            remarks
                .note(directive, "Other addresses are answered 403 here, and not by what follows.");
        }
    }
    for directive in directives {
        drafts = changed(directive, drafts, &scope, remarks);
    }
    drafts
}

/// Caddy's order; of one kind, longer paths first and what takes all last.
fn sort_key(directive: &Directive, named: &Named) -> (usize, bool, Reverse<usize>) {
    let (found, _args) = matcher::split(directive, named);
    // The three kinds of blocks are one.
    let name = if directive.name == "handle_path" { "handle" } else { &*directive.name };
    let order = TERMINALS.iter().position(|it| *it == name).unwrap_or_default();
    let longest = found.paths.iter().map(|it| it.trim_end_matches('*').len()).max();
    (order, found.is_any(), Reverse(longest.unwrap_or_default()))
}

fn denies(directive: &Directive, args: &[String]) -> bool {
    match &*directive.name {
        "abort" | "error" => true,
        "respond" => status_and_body(directive, args).0 >= 400,
        "handle" => match directive.lines() {
            [only] => denies(only, &only.args),
            _more => false,
        },
        _answers => false,
    }
}

/// The routes of one directive, as if it took every path.
fn answer(
    directive: &Directive,
    args: &[String],
    scope: &Scope,
    remarks: &mut Remarks,
) -> Vec<Draft> {
    let route = |action| Route { path: "/*".to_owned(), action, ..Route::default() };
    let draft = |action| vec![Draft { route: route(action), ..Draft::default() }];
    match &*directive.name {
        "handle" => of_block(directive.lines(), scope, true, remarks),
        "route" => of_block(directive.lines(), scope, false, remarks),
        "handle_path" => match directive.arg(0).and_then(|it| it.strip_suffix('*')) {
            Some(prefix) if prefix.starts_with('/') => {
                let drafts = of_block(directive.lines(), scope, true, remarks);
                below(prefix.trim_end_matches('/'), drafts)
            }
            _other => {
                remarks.lose(directive, "its path must end in *");
                Vec::new()
            }
        },
        "redir" => redirect(directive, args, remarks).map_or_else(Vec::new, draft),
        "respond" => {
            let (status, body) = status_and_body(directive, args);
            if body.contains("{http") || body.contains("{time") {
                remarks.lose(directive, "placeholders in its body are not filled in");
            }
            draft(Action::Respond(Respond { status, body }))
        }
        "abort" => {
            remarks.note(directive, "`abort` is answered 403 here; Caddy closes the connection.");
            draft(Action::Respond(Respond { status: 403, body: String::new() }))
        }
        "error" => {
            let (status, body) = status_and_body(directive, args);
            let status = if status < 400 { 500 } else { status };
            draft(Action::Respond(Respond { status, body }))
        }
        "reverse_proxy" => match proxy::convert(directive, args, remarks) {
            Some((proxy, up, down)) => {
                let mut drafts = draft(Action::Proxy(Box::new(proxy)));
                for draft in &mut drafts {
                    draft.route.request_headers = up.clone();
                    draft.route.response_headers = down.clone();
                }
                drafts
            }
            None => Vec::new(),
        },
        "file_server" => files(directive, args, scope, remarks)
            .map_or_else(Vec::new, |it| draft(Action::Files(it))),
        _php => {
            remarks
                .lose(directive, "FastCGI is not spoken; put a web server before the application");
            Vec::new()
        }
    }
}

/// Inner paths are meant without the prefix.
fn below(prefix: &str, drafts: Vec<Draft>) -> Vec<Draft> {
    let moved = drafts.into_iter().map(|mut draft| {
        let inner = draft.route.strip_prefix.take().unwrap_or_default();
        draft.route.path = format!("{prefix}{}", draft.route.path);
        draft.route.strip_prefix = Some(format!("{prefix}{inner}"));
        draft
    });
    moved.collect()
}

/// What of a route is left where a matcher holds.
fn restrict(
    draft: Draft,
    found: &Match,
    directive: &Directive,
    drafts: &mut Vec<Draft>,
    remarks: &mut Remarks,
) {
    if !found.not_paths.is_empty() || !found.not_remotes.is_empty() {
        return remarks.lose(directive, "a negated matcher has no counterpart here");
    }
    if !found.methods.is_empty() && !draft.route.methods.is_empty() {
        return remarks.lose(directive, "one matcher of methods within another has no counterpart");
    }
    let mut one = draft;
    if !found.methods.is_empty() {
        one.route.methods.clone_from(&found.methods);
    }
    if !found.remotes.is_empty() {
        one.route.allow.clone_from(&found.remotes);
    }
    if !found.hosts.is_empty() {
        one.hosts.clone_from(&found.hosts);
    }
    // The path of such a block is its prefix already.
    if found.paths.is_empty() || directive.name == "handle_path" {
        return drafts.push(one);
    }
    for path in &found.paths {
        match route_path(path) {
            None => remarks.lose(directive, format_args!("the path {path} has no counterpart")),
            Some(path) if covers(&path, &one.route.path) => drafts.push(one.clone()),
            Some(path) if covers(&one.route.path, &path) => {
                let mut narrower = one.clone();
                narrower.route.path = path;
                drafts.push(narrower);
            }
            Some(_disjoint) => {}
        }
    }
}

fn redirect(directive: &Directive, args: &[String], remarks: &mut Remarks) -> Option<Action> {
    let (to, code) = match args {
        [to] => (to, "302"),
        [to, code] => (to, code.as_str()),
        _other => {
            remarks.lose(directive, "a redirect has a target and a code");
            return None;
        }
    };
    let status = match code {
        "permanent" => Some(301),
        "temporary" => Some(302),
        code => code.parse().ok().filter(|it| [301, 302, 303, 307, 308].contains(it)),
    };
    match (status, headers::template(to)) {
        (Some(status), Ok(to)) => Some(Action::Redirect(Redirect { to, status })),
        (None, _) => {
            remarks.lose(directive, format_args!("{code} sends nobody elsewhere"));
            None
        }
        (_, Err(placeholder)) => {
            remarks.lose(directive, headers::unknown(&placeholder));
            None
        }
    }
}

/// `respond 404`, `respond "text"`, `respond "text" 404`, or both in a block.
fn status_and_body(directive: &Directive, args: &[String]) -> (u16, String) {
    let line = |name| directive.lines().iter().find(|it| it.name == name).and_then(|it| it.arg(0));
    let status = |it: &str| it.parse::<u16>().ok().filter(|_| it.len() == 3);
    let (mut code, mut body) = match args {
        [only] => match status(only) {
            Some(code) => (code, String::new()),
            None => (200, only.clone()),
        },
        [body, code, ..] => (status(code).unwrap_or(200), body.clone()),
        [] => (200, String::new()),
    };
    if let Some(it) = line("body") {
        body = it.to_owned();
    }
    if let Some(it) = line("status").and_then(status) {
        code = it;
    }
    (code, body)
}

fn files(
    directive: &Directive,
    args: &[String],
    scope: &Scope,
    remarks: &mut Remarks,
) -> Option<Files> {
    let mut files = Files { links: "anywhere", ..Files::default() };
    files.browse = args.iter().any(|it| it == "browse");
    let mut root = scope.root.clone();
    for line in directive.lines() {
        match &*line.name {
            "root" => root = line.arg(0).map(str::to_owned),
            "index" => files.index = Some(line.args.clone()),
            "browse" => files.browse = true,
            "precompressed" => files.precompressed = true,
            // Dot files are hidden here, always.
            "hide" if line.args.iter().all(|it| it.starts_with('.')) => {}
            _other => remarks.lose(line, "has no counterpart"),
        }
    }
    match root.filter(|it| it.starts_with('/') && !it.contains('{')) {
        Some(root) => Some(Files { root, ..files }),
        None => {
            remarks.lose(directive, "there is no absolute `root` for it");
            None
        }
    }
}

/// The routes after a directive that answers nothing itself.
fn changed(
    directive: &Directive,
    drafts: Vec<Draft>,
    scope: &Scope,
    remarks: &mut Remarks,
) -> Vec<Draft> {
    let name = directive.name.as_str();
    let (found, args) = matcher::split(directive, &scope.named);
    if name.starts_with('@') || SILENT.contains(&name) {
        return drafts;
    }
    if TERMINALS.contains(&name) {
        let is_list = !found.not_remotes.is_empty() && denies(directive, args);
        let allow = |draft: &mut Draft| draft.route.allow.clone_from(&found.not_remotes);
        let only = Match { not_remotes: Vec::new(), ..found.clone() };
        return if is_list { where_holds(&only, drafts, &allow) } else { drafts };
    }
    let unknown = found.unknown.clone().or_else(|| {
        let has_address = !found.remotes.is_empty() || !found.not_remotes.is_empty();
        has_address.then(|| "remote_ip".to_owned())
    });
    if let Some(word) = unknown {
        remarks.lose(directive, format_args!("the matcher `{word}` has no counterpart here"));
        return drafts;
    }
    if let Some(path) =
        found.paths.iter().chain(&found.not_paths).find(|it| route_path(it).is_none())
    {
        remarks.lose(directive, format_args!("the path {path} has no counterpart"));
        return drafts;
    }
    let overlaps = |path: &String| {
        let is_apart = |it: &&String| {
            let is_end = |it: &str| it.starts_with('*');
            is_end(it) != is_end(path) && !covers(it, path) && !covers(path, it)
        };
        found.paths.iter().chain(&found.not_paths).find(is_apart).cloned()
    };
    if let Some((path, other)) =
        drafts.iter().find_map(|it| Some((overlaps(&it.route.path)?, it.route.path.clone())))
    {
        remarks.note(directive, format!("`{name} {path}` does not hold for {other}: the first route that takes a path answers."));
    }
    match change(directive, args, remarks) {
        Some(change) => where_holds(&found, drafts, &|draft| change.apply(draft)),
        None => drafts,
    }
}

/// What a directive changes about the routes it is for.
enum Change {
    Compress,
    BodyMax(String),
    RequestHeaders(Headers),
    ResponseHeaders(Headers),
    BasicAuth(Vec<super::out::BasicUser>),
    ForwardAuth(super::out::ForwardAuth),
    StripPrefix(String),
    Rewrite(String),
    Fallback(String),
}

impl Change {
    fn apply(&self, draft: &mut Draft) {
        let route = &mut draft.route;
        match self {
            Self::Compress => draft.compress = true,
            Self::BodyMax(it) => draft.body_max = Some(it.clone()),
            Self::RequestHeaders(it) => route.request_headers.extend(it),
            Self::ResponseHeaders(it) => route.response_headers.extend(it),
            Self::BasicAuth(it) => route.guard.basic_auth.clone_from(it),
            Self::ForwardAuth(it) => route.guard.forward_auth = Some(it.clone()),
            Self::StripPrefix(it) => route.strip_prefix = Some(it.clone()),
            Self::Rewrite(it) => route.rewrite = Some(it.clone()),
            Self::Fallback(it) => {
                if let Action::Files(files) = &mut route.action {
                    files.fallback = Some(it.clone());
                }
            }
        }
    }
}

fn change(directive: &Directive, args: &[String], remarks: &mut Remarks) -> Option<Change> {
    match &*directive.name {
        "encode" => Some(Change::Compress),
        "header" => Some(Change::ResponseHeaders(rules(directive, args, remarks))),
        "request_header" => Some(Change::RequestHeaders(rules(directive, args, remarks))),
        "basicauth" | "basic_auth" => {
            Some(Change::BasicAuth(auth::basic_users(directive, remarks)))
                .filter(|it| !matches!(it, Change::BasicAuth(users) if users.is_empty()))
        }
        "forward_auth" => auth::auth_server(directive, args, remarks).map(Change::ForwardAuth),
        "request_body" => {
            let max = directive.lines().iter().find(|it| it.name == "max_size");
            max.and_then(|it| it.arg(0)).map(|it| Change::BodyMax(it.to_owned()))
        }
        "uri" if args.first().is_some_and(|it| it == "strip_prefix") && args.len() == 2 => {
            args.last().map(|it| Change::StripPrefix(it.clone()))
        }
        "rewrite" => match args {
            [to] => match headers::template(to) {
                Ok(to) => Some(Change::Rewrite(to)),
                Err(placeholder) => {
                    remarks.lose(directive, headers::unknown(&placeholder));
                    None
                }
            },
            _other => {
                remarks.lose(directive, "a rewrite has one target");
                None
            }
        },
        "try_files" => {
            let others = || args.iter().filter(|it| !matches!(&***it, "{path}" | "{path}/"));
            match others().collect::<Vec<_>>().as_slice() {
                [file] if !file.contains(['{', '=', '?']) => {
                    Some(Change::Fallback((*file).clone()))
                }
                [] => None,
                _more => {
                    remarks.lose(directive, "only {path} and one file at the end are tried");
                    None
                }
            }
        }
        _other => {
            remarks.lose(directive, "has no counterpart");
            None
        }
    }
}

/// `header NAME VALUE`, or a block of such lines.
fn rules(directive: &Directive, args: &[String], remarks: &mut Remarks) -> Headers {
    let mut rules = Headers::default();
    if let Some((field, values)) = args.split_first()
        && let Err(why) = headers::rule(field, values, &mut rules)
    {
        remarks.lose(directive, why);
    }
    for line in directive.lines() {
        let is_set = line.name == "defer";
        if !is_set && let Err(why) = headers::rule(&line.name, &line.args, &mut rules) {
            remarks.lose(line, why);
        }
    }
    rules
}

/// Changes the routes that a matcher takes whole, and a narrower copy of those it takes in part.
fn where_holds(found: &Match, drafts: Vec<Draft>, change: &dyn Fn(&mut Draft)) -> Vec<Draft> {
    let mut changed: Vec<Draft> = Vec::new();
    for draft in drafts {
        let path = draft.route.path.clone();
        if found.not_paths.iter().any(|it| covers(it, &path)) {
            changed.push(draft);
            continue;
        }
        let is_new = |path: &str, changed: &[Draft]| {
            !changed.iter().any(|it| {
                it.route.path == path
                    && it.route.methods == draft.route.methods
                    && it.hosts == draft.hosts
            })
        };
        for except in found.not_paths.iter().filter(|it| covers(&path, it)) {
            if is_new(except, &changed) {
                let mut copy = draft.clone();
                copy.route.path.clone_from(except);
                changed.push(copy);
            }
        }
        let is_whole = found.methods.is_empty()
            && found.hosts.is_empty()
            && (found.paths.is_empty() || found.paths.iter().any(|it| covers(it, &path)));
        if is_whole {
            let mut draft = draft;
            change(&mut draft);
            changed.push(draft);
            continue;
        }
        let paths: Vec<String> = match found.paths.iter().any(|it| covers(it, &path)) {
            true => vec![path.clone()],
            false if found.paths.is_empty() => vec![path.clone()],
            false => found.paths.iter().filter(|it| covers(&path, it)).cloned().collect(),
        };
        for path in paths {
            let mut copy = draft.clone();
            copy.route.path = path;
            if !found.methods.is_empty() {
                copy.route.methods.clone_from(&found.methods);
            }
            if !found.hosts.is_empty() {
                copy.hosts.clone_from(&found.hosts);
            }
            change(&mut copy);
            changed.push(copy);
        }
        changed.push(draft);
    }
    changed
}
