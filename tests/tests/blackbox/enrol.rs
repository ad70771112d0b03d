//! From nothing to an agent that sends, as a person does it: a line to paste, or `deploy` over ssh.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use skep_tests::{Client, Deadline, Process, Server, bin_dir, free_port, is_root, skipped};
use tokio::process::Command;

const SOON: Duration = Duration::from_secs(60);

/// A folder in the place of a host's root, with a server to enrol at.
struct Lab {
    dir: tempfile::TempDir,
    server: Server,
}

/// What a command said, on both outputs.
struct Said {
    is_well: bool,
    out: String,
    all: String,
}

impl Lab {
    async fn new() -> anyhow::Result<Self> {
        Self::with("").await
    }

    async fn with(settings: &str) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let server = Server::start(dir.path(), settings).await?;
        Ok(Self { dir, server })
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn file(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    /// `skep-server`, of this server.
    async fn skep(&self, arguments: &[&str]) -> anyhow::Result<Said> {
        let mut command = Command::new(bin_dir().join("skep-server"));
        command.args(arguments).arg("--config").arg(self.dir.path().join("server.toml"));
        said(&mut command).await
    }

    /// The line for a host, which installs below the folder of this lab.
    async fn line(&self, host: &str, more: &[&str]) -> anyhow::Result<String> {
        let url = self.server.url();
        let arguments: Vec<&str> =
            ["enrol", host, "--url", &url].iter().chain(more).copied().collect();
        let said = self.skep(&arguments).await?;
        ensure!(said.is_well, "{}", said.all);
        self.below_root(&said.out)
    }

    fn below_root(&self, line: &str) -> anyhow::Result<String> {
        let script = "sh \"$d/i\"";
        ensure!(line.contains(script), "{line}");
        Ok(line.replace(script, &format!("{script} --root {}", self.root().display())))
    }

    /// The agent as it was installed, but for where its files are, and in a hurry.
    async fn agent(&self, data_dir: &str) -> anyhow::Result<Process> {
        self.agent_of(data_dir, fs::read_to_string(self.file("etc/skep/agent.toml"))?).await
    }

    async fn agent_of(&self, data_dir: &str, installed: String) -> anyhow::Result<Process> {
        let files = self.root().display().to_string();
        let config = format!(
            "data_dir = {:?}\ninterval = \"1s\"\n{}\n[journal]\nenabled = false\n[ebpf]\nenabled = false\n",
            self.dir.path().join(data_dir).display().to_string(),
            installed.replace("\"/etc/skep/", &format!("\"{files}/etc/skep/")),
        );
        let path = self.config_of(data_dir);
        fs::write(&path, config)?;
        let mut command = Command::new(self.file("usr/local/bin/skep-agent"));
        command.arg("run").arg("--config").arg(path);
        let mut process = Process::start("skep-agent", &mut command)?;
        process.wait_for_line("Agent is up", SOON).await?;
        Ok(process)
    }

    fn config_of(&self, data_dir: &str) -> PathBuf {
        self.dir.path().join(format!("{data_dir}.toml"))
    }

    async fn arrives(&self, client: &Client, host: &str, after_ms: i64) -> anyhow::Result<i64> {
        let query = format!("max(timestamp(node_load1{{instance=\"{host}\"}}))");
        Deadline::within(SOON)
            .until(&query, || async {
                let seen = client.promql(&query).await?;
                let newest = seen.iter().map(|(_, at)| *at * 1000.0).fold(0.0, f64::max);
                #[expect(clippy::cast_possible_truncation, reason = "milliseconds of a time stamp")]
                let newest = newest as i64;
                Ok((newest > after_ms).then_some(newest))
            })
            .await
    }
}

async fn said(command: &mut Command) -> anyhow::Result<Said> {
    let output = command.output().await.with_context(|| format!("{command:?}"))?;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let all = format!("{out}{}", String::from_utf8_lossy(&output.stderr));
    Ok(Said { is_well: output.status.success(), out, all })
}

async fn paste(line: &str) -> anyhow::Result<Said> {
    said(Command::new("sh").arg("-c").arg(line)).await
}

async fn wait_for_line(agent: &mut Process, text: &str) -> anyhow::Result<()> {
    agent.wait_for_line(text, SOON).await
}

fn mode(path: &Path) -> anyhow::Result<u32> {
    Ok(fs::metadata(path).with_context(|| path.display().to_string())?.permissions().mode() & 0o777)
}

#[tokio::test]
async fn a_pasted_line_installs_an_agent_that_sends_under_a_credential_of_its_own()
-> anyhow::Result<()> {
    if !is_root() {
        skipped("a pasted line", "an agent is installed by root");
        return Ok(());
    }
    let lab = Lab::new().await?;
    let line = lab.line("bee-7", &[]).await?;
    let pasted = paste(&line).await?;
    assert!(pasted.is_well, "{}\n{line}", pasted.all);
    let program = fs::read(lab.file("usr/local/bin/skep-agent"))?;
    assert!(program == fs::read(bin_dir().join("skep-agent"))?, "another program");
    assert_eq!(mode(&lab.file("usr/local/bin/skep-agent"))?, 0o755);
    assert_eq!(mode(&lab.file("etc/skep/enrolment-token"))?, 0o600);
    assert_eq!(
        fs::read_to_string(lab.file("etc/skep/ca.pem"))?,
        fs::read_to_string(lab.server.ca_file())?
    );
    let unit = fs::read_to_string(lab.file("etc/systemd/system/skep-agent.service"))?;
    assert!(unit.contains("ExecStart=/usr/local/bin/skep-agent run"), "{unit}");
    // Once more changes nothing but the program, which may be another by then.
    let again = paste(&line).await?;
    assert!(again.is_well && !again.all.contains("wrote"), "{}", again.all);

    let mut agent = lab.agent("data").await?;
    wait_for_line(&mut agent, "Enrolled.").await?;
    let client = lab.server.client()?;
    let first = lab.arrives(&client, "bee-7", 0).await?;
    let tokens = lab.skep(&["token", "list"]).await?;
    assert!(tokens.out.lines().any(|it| it.starts_with("bee-7  agent  ingest")), "{}", tokens.out);
    assert_eq!(mode(&lab.dir.path().join("data/credential"))?, 0o600);
    // The token has done its work.
    fs::remove_file(lab.file("etc/skep/enrolment-token"))?;
    agent.stop(SOON).await?;
    let mut agent = lab.agent("data").await?;
    let second = lab.arrives(&client, "bee-7", first).await?;

    let revoked = lab.skep(&["token", "revoke", "bee-7"]).await?;
    assert!(revoked.is_well, "{}", revoked.all);
    wait_for_line(&mut agent, "The server refuses this agent; buffering.").await?;
    assert!(agent.log().contains("`skep-server enrol HOST`"), "{}", agent.log());
    let mut doctor = Command::new(bin_dir().join("skep-agent"));
    let told = said(doctor.arg("doctor").arg("--config").arg(lab.config_of("data"))).await?;
    assert!(told.all.contains("it was revoked, or this is another server"), "{}", told.all);
    // A new line lets it in again, without a restart, and what was buffered arrives.
    let pasted = paste(&lab.line("bee-7", &[]).await?).await?;
    assert!(pasted.is_well, "{}", pasted.all);
    lab.arrives(&client, "bee-7", second).await?;
    wait_for_line(&mut agent, "The server is back.").await?;
    agent.stop(SOON).await
}

#[tokio::test]
async fn an_enrolment_is_for_one_agent_and_a_while() -> anyhow::Result<()> {
    if !is_root() {
        skipped("an enrolment used twice", "an agent is installed by root");
        return Ok(());
    }
    let lab = Lab::new().await?;
    assert!(paste(&lab.line("bee-1", &[]).await?).await?.is_well);
    let mut first = lab.agent("first").await?;
    wait_for_line(&mut first, "Enrolled.").await?;
    let mut thief = lab.agent("thief").await?;
    wait_for_line(&mut thief, "this enrolment token was used by somebody else").await?;
    thief.stop(SOON).await?;
    first.stop(SOON).await?;

    // A name that is a person's token is nobody else's.
    let taken = lab.skep(&["token", "new", "ci", "--scopes", "query"]).await?;
    assert!(taken.is_well, "{}", taken.all);
    let url = lab.server.url();
    let refused = lab.skep(&["enrol", "ci", "--url", &url]).await?;
    assert!(!refused.is_well && refused.all.contains("already"), "{}", refused.all);
    let local = lab.skep(&["enrol", "bee-1"]).await?;
    assert!(local.all.contains("a name that only this machine knows"), "{}", local.all);

    // For who needs no line.
    let alone = lab.skep(&["enrol", "bee-3", "--token"]).await?;
    assert_eq!(alone.all.lines().count(), 1, "{}", alone.all);
    let enrolling = Client::new(&url, alone.out.trim(), &fs::read(lab.server.ca_file())?)?;
    let script = enrolling.get("/-/skep/v1/enrol/install.sh", &[]).await?.text().await?;
    assert!(script.contains("\nhost='bee-3'\n"), "{script}");

    let brief = lab.line("bee-2", &["--expires", "2s"]).await?;
    let outdated = Deadline::within(SOON)
        .until("the line to expire", || async {
            let pasted = paste(&brief).await?;
            Ok((!pasted.is_well).then_some(pasted.all))
        })
        .await?;
    assert!(outdated.contains("403"), "{outdated}");
    Ok(())
}

#[tokio::test]
async fn a_line_for_another_server_runs_nothing() -> anyhow::Result<()> {
    let lab = Lab::new().await?;
    let line = lab.line("bee-7", &[]).await?;
    let (_, rest) = line.split_once("echo \"").context("a fingerprint")?;
    let (fingerprint, _) = rest.split_once(' ').context("a fingerprint")?;
    assert_eq!(fingerprint.len(), 64, "{fingerprint}");
    let wrong = paste(&line.replace(fingerprint, &"0".repeat(64))).await?;
    assert!(!wrong.is_well, "{}", wrong.all);
    assert!(!lab.root().exists(), "something was installed");
    // Without the pin, the server's own CA is nobody that curl knows.
    let unpinned = format!("curl -fsS -o /dev/null '{}/ca.pem'", lab.server.url());
    assert!(!paste(&unpinned).await?.is_well);
    let stranger = lab.server.client()?;
    let refused = stranger.get("/-/skep/v1/enrol/install.sh", &[]).await?;
    assert_eq!(refused.status(), 403, "any other token is none for enrolling");
    Ok(())
}

/// A certificate for this machine, its key, and the authority that signed it.
fn certificate_of_another_authority() -> anyhow::Result<[(&'static str, String); 3]> {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = rcgen::KeyPair::generate()?;
    let root = params.self_signed(&authority)?.pem();
    let (issuer, key) = (rcgen::Issuer::new(params, authority), rcgen::KeyPair::generate()?);
    let mut leaf = rcgen::CertificateParams::new(["localhost".to_owned()])?;
    // With the name of its issuer it would look self-signed.
    leaf.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
    let leaf = leaf.signed_by(&key, &issuer)?;
    Ok([("leaf.pem", leaf.pem()), ("leaf.key", key.serialize_pem()), ("roots.pem", root)])
}

#[tokio::test]
async fn a_server_with_a_public_certificate_is_trusted_as_the_host_does() -> anyhow::Result<()> {
    if !is_root() {
        skipped("enrolment by a public certificate", "an agent is installed by root");
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    for (name, pem) in certificate_of_another_authority()? {
        fs::write(dir.path().join(name), pem)?;
        fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(0o600))?;
    }
    let at = |name: &str| dir.path().join(name).display().to_string();
    let settings = format!(
        "[[certificates]]\ncert_file = {:?}\nkey_file = {:?}",
        at("leaf.pem"),
        at("leaf.key")
    );
    let server = Server::start(dir.path(), &settings).await?;
    let roots = at("roots.pem");
    let lab = Lab { dir, server };
    // Nobody here knows that authority yet.
    let url = lab.server.url();
    let unknown = lab.skep(&["enrol", "bee-9", "--url", &url]).await?;
    assert!(!unknown.is_well && unknown.all.contains("that this machine knows"), "{}", unknown.all);

    let mut enrol = Command::new(bin_dir().join("skep-server"));
    enrol.args(["enrol", "bee-9", "--url", &url, "--config"]).env("SSL_CERT_FILE", &roots);
    let printed = said(enrol.arg(lab.dir.path().join("server.toml"))).await?;
    assert!(printed.is_well && !printed.out.contains("ca.pem"), "{}", printed.all);
    let line = lab.below_root(&printed.out)?;
    let mut sh = Command::new("sh");
    let pasted = said(sh.arg("-c").arg(&line).env("CURL_CA_BUNDLE", &roots)).await?;
    assert!(pasted.is_well, "{}\n{line}", pasted.all);
    assert!(!lab.file("etc/skep/ca.pem").exists(), "nothing is pinned: {}", pasted.all);

    // This machine's list cannot be added to: the file of a list in its place.
    let installed = fs::read_to_string(lab.file("etc/skep/agent.toml"))?;
    let given = format!("ca_file = {roots:?}");
    let installed = installed.replace("# ca_file = \"/etc/skep/ca.pem\"", &given);
    assert!(installed.contains(&given), "{installed}");
    let mut agent = lab.agent_of("data", installed.clone()).await?;
    wait_for_line(&mut agent, "Enrolled.").await?;
    let ca_pem = fs::read(lab.server.ca_file())?;
    let client = Client::new(&lab.server.plain_url(), lab.server.token(), &ca_pem)?;
    lab.arrives(&client, "bee-9", 0).await?;
    agent.stop(SOON).await?;

    // An agent with an authority of its own believes no other, not even this machine's.
    let local = lab.server.ca_file().display().to_string();
    let mut pinned = lab.agent_of("pinned", installed.replace(&roots, &local)).await?;
    pinned.stop(SOON).await?;
    let mut check = Command::new(bin_dir().join("skep-agent"));
    check.args(["check", "--config"]).arg(lab.config_of("pinned")).env("SSL_CERT_FILE", &roots);
    let checked = said(&mut check).await?;
    assert!(!checked.is_well && checked.all.contains("UnknownIssuer"), "{}", checked.all);
    Ok(())
}

/// What an agent keeps of its enrolment.
fn kept(path: &Path) -> anyhow::Result<Value> {
    Ok(serde_json::from_slice(&fs::read(path).with_context(|| path.display().to_string())?)?)
}

fn field<'a>(kept: &'a Value, pointer: &str) -> anyhow::Result<&'a str> {
    kept.pointer(pointer).and_then(Value::as_str).with_context(|| format!("no {pointer}: {kept}"))
}

#[tokio::test]
async fn an_agent_shows_a_certificate_of_its_own_from_when_it_is_asked_to() -> anyhow::Result<()> {
    if !is_root() {
        skipped("certificates of agents", "an agent is installed by root");
        return Ok(());
    }
    let lab = Lab::with("[agents]\nmtls = \"off\"").await?;
    let client = lab.server.client()?;
    assert!(paste(&lab.line("bee-7", &[]).await?).await?.is_well);
    let mut agent = lab.agent("data").await?;
    let mut newest = lab.arrives(&client, "bee-7", 0).await?;
    let credential_file = lab.dir.path().join("data/credential");
    let first = kept(&credential_file)?;
    ensure!(field(&first, "/certificate/pem")?.contains("BEGIN CERTIFICATE"), "{first}");
    let copied =
        Client::new(&lab.server.url(), field(&first, "/token")?, &fs::read(lab.server.ca_file())?)?;
    assert_eq!(copied.write(&[]).await?, 204);

    // From a reload on: the agent that runs goes on, who copied its credential is out.
    let config = lab.dir.path().join("server.toml");
    let text = fs::read_to_string(&config)?;
    fs::write(&config, text.replace("mtls = \"off\"", "mtls = \"required\""))?;
    let pid = lab.server.pid().to_string();
    ensure!(Command::new("kill").args(["-HUP", &pid]).status().await?.success());
    Deadline::within(SOON)
        .until("a credential alone to be refused", || async {
            Ok((copied.write(&[]).await? == 401).then_some(()))
        })
        .await?;
    for _batch in 0..3 {
        newest = lab.arrives(&client, "bee-7", newest).await?;
    }
    agent.stop(SOON).await?;

    // A certificate of another authority breaks connections off; the agent gets another.
    let mut broken = first.clone();
    let key = rcgen::KeyPair::from_pem(field(&first, "/key")?)?;
    let other = rcgen::CertificateParams::default().self_signed(&key)?.pem();
    *broken.pointer_mut("/certificate/pem").context("a certificate")? = other.into();
    fs::write(&credential_file, broken.to_string())?;
    let mut agent = lab.agent("data").await?;
    wait_for_line(&mut agent, "Got a certificate.").await?;
    newest = lab.arrives(&client, "bee-7", newest).await?;
    let second = kept(&credential_file)?;
    assert_eq!(field(&second, "/key")?, field(&first, "/key")?);
    ensure!(field(&second, "/certificate/pem")? != field(&broken, "/certificate/pem")?);

    // Revoked it is out with its certificate, and in again with a new line.
    assert!(lab.skep(&["token", "revoke", "bee-7"]).await?.is_well);
    wait_for_line(&mut agent, "The server refuses this agent; buffering.").await?;
    assert!(paste(&lab.line("bee-7", &[]).await?).await?.is_well);
    // Another key for another enrolment. What came before the end of the first is older than that.
    let first_key = field(&first, "/key")?;
    Deadline::within(SOON)
        .until("another enrolment", || async {
            Ok((field(&kept(&credential_file)?, "/key")? != first_key).then_some(()))
        })
        .await?;
    let newest = lab.arrives(&client, "bee-7", newest).await?;
    lab.arrives(&client, "bee-7", newest).await?;
    agent.stop(SOON).await
}

/// The guide's way for what is no `skep-agent`, with this server and an agent's credential.
#[tokio::test]
async fn the_guides_commands_get_a_certificate_for_whatever_pushes() -> anyhow::Result<()> {
    let guide = include_str!("../../../docs/guide/access.md");
    let recipe = guide.split("```").find(|it| it.starts_with("sh\nopenssl ecparam"));
    let recipe = recipe.and_then(|it| it.strip_prefix("sh\n")).context("no such commands")?;
    let lab = Lab::with("[agents]\nmtls = \"required\"").await?;
    let client = lab.server.client()?;
    let asked = client.post("/-/skep/v1/enrolments", &[], br#"{"host":"bee-1"}"#.to_vec()).await?;
    let asked: Value = asked.json().await?;
    let token = field(&asked, "/data/token")?;
    let credential = "skep_made-up-by-whatever-pushes";
    let enrol = format!(
        "printf %s {credential} | sha256sum | cut -d ' ' -f 1 > hash\n\
         curl -fsS --cacert ca.pem -d '{{\"token\":\"{token}\",\"credential_sha256\":\"'$(cat hash)'\"}}' \
         https://home.lan/-/skep/v1/enrol >/dev/null\n"
    );
    let push = "code() { curl -s -o /dev/null -w '%{http_code}\\n' --cacert ca.pem -X POST \
                -H \"Authorization: Bearer $CREDENTIAL\" \"$@\" https://home.lan/loki/api/v1/push; }\n\
                code; code --cert bee-1.pem --key bee-1.key\n";
    let script = format!("set -e\n{enrol}CREDENTIAL={credential}\n{recipe}\n{push}");
    fs::copy(lab.server.ca_file(), lab.dir.path().join("ca.pem"))?;
    let script = script.replace("https://home.lan", &lab.server.url());
    let mut shell = Command::new("bash");
    let done = said(shell.arg("-c").arg(&script).current_dir(lab.dir.path())).await?;
    assert!(done.is_well, "{}\n{script}", done.all);
    let (me, codes) = done.out.split_once("\"success\"}").context("no answer")?;
    assert!(me.contains("\"name\":\"bee-1\""), "{}", done.all);
    // Nothing was pushed, and only one of the two was let in to say so.
    let codes: Vec<&str> = codes.split_whitespace().collect();
    assert!(codes.len() == 2 && codes[0] == "401" && codes[1] != "401", "{}", done.all);
    Ok(())
}

/// A real sshd for the user who runs the tests.
struct Sshd {
    _process: Process,
    options: Vec<String>,
}

impl Sshd {
    async fn start(dir: &Path) -> anyhow::Result<Self> {
        for key in ["host-key", "key"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(dir.join(key));
            let made = said(&mut keygen).await?;
            ensure!(made.is_well, "{}", made.all);
        }
        // Where it wants to give its privileges away.
        fs::create_dir_all("/run/sshd")?;
        let port = free_port()?;
        let at = |name: &str| dir.join(name).display().to_string();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nPidFile none\nAuthorizedKeysFile {}\n\
             UsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin yes\n\
             Subsystem sftp internal-sftp\n",
            at("host-key"),
            at("key.pub"),
        );
        fs::write(dir.join("sshd_config"), config)?;
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(dir.join("sshd_config"));
        let mut process = Process::start("sshd", &mut command)?;
        process.wait_for_line("Server listening", SOON).await?;
        let options = [
            format!("Port={port}"),
            format!("IdentityFile={}", at("key")),
            "IdentitiesOnly=yes".to_owned(),
            format!("UserKnownHostsFile={}", at("known_hosts")),
            "BatchMode=yes".to_owned(),
        ];
        Ok(Self { _process: process, options: options.to_vec() })
    }
}

#[tokio::test]
async fn deploy_installs_upgrades_and_removes_an_agent_over_ssh() -> anyhow::Result<()> {
    let name = "deploy over ssh";
    if !is_root() || !Path::new("/usr/sbin/sshd").exists() {
        skipped(name, "needs root and an sshd (Debian's openssh-server)");
        return Ok(());
    }
    let lab = Lab::new().await?;
    let sshd = Sshd::start(lab.dir.path()).await?;
    let (url, root) = (lab.server.url(), lab.root().display().to_string());
    let deploy = async |checking: &str, more: &[&str]| {
        let checking = format!("StrictHostKeyChecking={checking}");
        let mut arguments =
            vec!["deploy", "root@127.0.0.1", "--name", "bee-8", "--url", &url, "--root", &root];
        for option in sshd.options.iter().chain([&checking]) {
            arguments.extend(["-o", option]);
        }
        arguments.extend(more);
        lab.skep(&arguments).await
    };
    // Whether to trust a host is ssh's to say.
    let unknown = deploy("yes", &[]).await?;
    assert!(!unknown.is_well && unknown.all.contains("Host key verification"), "{}", unknown.all);
    let absent = deploy("accept-new", &["--upgrade"]).await?;
    assert!(!absent.is_well && absent.all.contains("no agent is installed"), "{}", absent.all);
    let installed = deploy("accept-new", &[]).await?;
    assert!(installed.is_well, "{}", installed.all);

    let mut agent = lab.agent("data").await?;
    let client = lab.server.client()?;
    lab.arrives(&client, "bee-8", 0).await?;

    let program = lab.file("usr/local/bin/skep-agent");
    let config = lab.file("etc/skep/agent.toml");
    fs::remove_file(&program)?;
    fs::write(&program, "an old one")?;
    fs::write(&config, "# changed by hand")?;
    let upgraded = deploy("yes", &["--upgrade"]).await?;
    assert!(upgraded.is_well, "{}", upgraded.all);
    assert!(fs::read(&program)? == fs::read(bin_dir().join("skep-agent"))?, "not upgraded");
    assert_eq!(fs::read_to_string(&config)?, "# changed by hand");

    let removed = deploy("yes", &["--remove"]).await?;
    assert!(removed.is_well, "{}", removed.all);
    for path in [&program, &config, &lab.file("etc/systemd/system/skep-agent.service")] {
        assert!(!path.exists(), "{} is still there", path.display());
    }
    let tokens = lab.skep(&["token", "list"]).await?;
    assert!(!tokens.out.contains("bee-8"), "{}", tokens.out);
    wait_for_line(&mut agent, "The server refuses this agent").await?;
    agent.stop(SOON).await
}
