//! How often systemd restarted a service, asked over D-Bus: no file says it.

use std::{collections::BTreeMap, io, path::Path};

use skep_proto::MetricKind;

use crate::{
    exposition::{Exposition, as_f64},
    sources::{
        dbus::{Bus, Call, Peer, Reader, Value},
        units::{
            Units,
            groups::{Unit, UnitDir},
        },
    },
};

const SYSTEMD: &str = "org.freedesktop.systemd1";
const UNIT_PATH: &str = "/org/freedesktop/systemd1/unit/";
const PROPERTY: [&str; 2] = ["org.freedesktop.systemd1.Service", "NRestarts"];
const SERVICE: &str = ".service";
/// Services of a user's own manager, which the system's does not know, lie below this.
const USER_MANAGER: &str = "/user@";
/// Collections from one question to the next: each costs systemd some time for every service.
const INTERVAL: u64 = 4;

/// What systemd said the last time.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    asked: Option<u64>,
    by_unit: BTreeMap<Unit, u64>,
}

impl Restarts {
    /// Adds `unit_restarts_total` of each service of the host's systemd. A host without systemd, or
    /// where it may not be asked, has none.
    pub(super) fn collect(
        &mut self,
        collection: u64,
        root: &Path,
        dirs: &[UnitDir],
        units: &mut Units,
        out: &mut Exposition,
    ) {
        let services: Vec<&Unit> =
            dirs.iter().filter(|it| is_service(it)).map(|it| &it.unit).collect();
        if self.asked.is_none_or(|it| collection - it >= INTERVAL) {
            self.asked = Some(collection);
            self.by_unit = ask(root, &services).unwrap_or_default();
        }
        let mut told = BTreeMap::<Unit, u64>::new();
        for unit in services {
            if let Some(n) = self.by_unit.get(unit) {
                *told.entry(units.admit(unit.clone())).or_default() += n;
            }
        }
        let family = out.family(
            "unit_restarts_total",
            "How often systemd restarted a service because of its Restart=.",
            MetricKind::Counter,
        );
        for (unit, n) in told {
            family.labelled(unit.labels([]), as_f64(n));
        }
    }
}

fn is_service(dir: &UnitDir) -> bool {
    let UnitDir { unit, path, .. } = dir;
    let above = path.rsplit_once('/').map_or("", |it| it.0);
    unit.container.is_none() && unit.name.ends_with(SERVICE) && !above.contains(USER_MANAGER)
}

/// Over systemd's own socket, which only root may use, else over the system bus.
fn ask(root: &Path, services: &[&Unit]) -> io::Result<BTreeMap<Unit, u64>> {
    let mut bus = Bus::open(&root.join("run/systemd/private"), Peer::Program)
        .or_else(|_| Bus::open(&root.join("run/dbus/system_bus_socket"), Peer::Bus))?;
    let paths: Vec<String> = services.iter().map(|it| object_path(&it.name)).collect();
    let calls: Vec<Call<'_>> =
        paths.iter().map(|path| Call::get(SYSTEMD, path, &PROPERTY)).collect();
    let answers = bus.ask(&calls)?;
    let numbers = services.iter().zip(answers).filter_map(|(unit, answer)| {
        match Reader::new(&answer.ok()?).variant()? {
            Value::Number(n) => Some(((*unit).clone(), n)),
            _ => None,
        }
    });
    Ok(numbers.collect())
}

/// systemd writes every byte but letters and digits as `_` and two hexadecimal digits.
fn object_path(unit: &str) -> String {
    let mut path = UNIT_PATH.to_owned();
    for (byte_idx, byte) in unit.bytes().enumerate() {
        let is_plain = byte.is_ascii_alphabetic() || byte.is_ascii_digit() && byte_idx > 0;
        if is_plain {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("_{byte:02x}"));
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::{super::collect, *};
    use crate::sources::{
        dbus::tests::{Writer, serve},
        tests::Host,
    };

    #[test]
    fn a_units_object_is_named_as_systemd_does() {
        let path = object_path("getty@tty1.service");
        assert_eq!(path, "/org/freedesktop/systemd1/unit/getty_40tty1_2eservice");
        assert_eq!(object_path("9p.service"), "/org/freedesktop/systemd1/unit/_39p_2eservice");
    }

    #[test]
    fn restarts_of_the_hosts_services_are_told() {
        let host = Host::default();
        host.file("proc/self/mounts", "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n");
        let host = host.restarted();
        for group in [
            "system.slice/web.service",
            "system.slice/gone.service",
            "user.slice/user@1.service/foot.service",
            "lxc.payload.db/web.service",
            "system.slice/a.scope",
        ] {
            host.file(&format!("sys/fs/cgroup/{group}/cgroup.procs"), "");
        }
        serve(&host.path("run/systemd/private"), |path, _, arguments| {
            assert_eq!(arguments, PROPERTY);
            let mut body = Writer::default();
            match path.strip_prefix(UNIT_PATH) {
                Some("web_2eservice") => body.variant(&Value::Number(3), false),
                _ => return Err("org.freedesktop.DBus.Error.UnknownObject"),
            }
            Ok(body)
        });
        let restarts = |text: String| {
            let lines = text.lines().filter(|it| it.contains("unit_restarts"));
            lines.map(|it| format!("{it}\n")).collect::<String>()
        };
        let first = restarts(host.text(collect));
        expect![[r#"
            # HELP unit_restarts_total How often systemd restarted a service because of its Restart=.
            # TYPE unit_restarts_total counter
            unit_restarts_total{unit="web.service"} 3
        "#]]
        .assert_eq(&first);
        // The bus of the test answers once: what it said is told until it is asked again.
        assert_eq!(restarts(host.text(collect)), first);
    }
}
