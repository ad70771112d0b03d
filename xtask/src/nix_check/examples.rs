//! What the example machines write is what server and agent read; what is wrong is refused.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::Flake;
use crate::{paths, shell};

/// The agent's exit code for a wrong configuration; other troubles of a check are the machine's.
const EXIT_CONFIG: i32 = 78;

/// Machines that must not evaluate: what is said of server and agent, and a part of the refusal.
const REFUSED: [(&str, &str); 5] = [
    (
        r#"services.skep-agent = { enable = true; url = "skep:9090"; };"#,
        "`services.skep-agent.url' is not of type",
    ),
    (
        r#"services.skep-agent = { enable = true; url = "https://a"; tokenFile = "${builtins.storeDir}/token"; };"#,
        "is in the Nix store",
    ),
    (
        r#"services.skep-agent = { enable = true; url = "https://a"; tokenFile = "/a"; enrolmentTokenFile = "/b"; };"#,
        "the agent has one credential",
    ),
    (
        r#"services.skep-server = { enable = true; acme.cloudflareTokenFile = "/run/cloudflare"; };"#,
        "termsAgreed",
    ),
    (
        r#"services.skep-server = { enable = true; domein = "a"; };"#,
        "`services.skep-server.domein' does not exist",
    ),
];

pub(super) fn check(flake: &Flake) -> anyhow::Result<()> {
    if flake.is_stand_in() {
        // Others word it differently.
        REFUSED.iter().try_for_each(|(module, refusal)| refused(flake, module, refusal))?;
        test_script(flake)?;
    }
    let dir = flake.dir.join("read");
    fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    for machine in ["server", "server-vm"] {
        read_back(flake, machine, &dir)?;
    }
    Ok(())
}

fn refused(flake: &Flake, module: &str, refusal: &str) -> anyhow::Result<()> {
    let expression = format!(
        "let nixpkgs = builtins.getFlake {:?}; self = {{ packages.x86_64-linux = {{ \
         skep-server = nixpkgs.legacyPackages.x86_64-linux.rustc; \
         skep-agent = nixpkgs.legacyPackages.x86_64-linux.rustc; }}; }}; in \
         (nixpkgs.lib.nixosSystem {{ system = \"x86_64-linux\"; modules = [ \
         (import {dir}/nix/modules/server.nix {{ inherit self; }}) \
         (import {dir}/nix/modules/agent.nix {{ inherit self; }}) \
         {{ system.stateVersion = \"26.05\"; {module} }} ]; }}).config.system.build.toplevel.drvPath",
        flake.stand_in(),
        dir = flake.dir.display()
    );
    let mut command = super::nix("nix");
    command.args(["eval", "--offline", "--impure", "--expr", &expression]);
    match shell::quiet(&mut command) {
        Ok(_) => bail!("the modules take what they should refuse: {module}"),
        Err(error) => {
            ensure!(error.to_string().contains(refusal), "{module}\nis refused with {error}");
            Ok(())
        }
    }
}

/// Python finds mistakes of grammar that Nix cannot see.
fn test_script(flake: &Flake) -> anyhow::Result<()> {
    let script = flake.eval(&["checks.x86_64-linux.two-nodes.testScript"])?;
    let script = script.as_str().context("the test of two nodes has no script")?;
    shell::quiet(Command::new("python3").args([
        "-c",
        "import ast, sys; ast.parse(sys.argv[1])",
        script,
    ]))
    .context("the script of nix/checks/two-nodes.nix")?;
    Ok(())
}

fn read_back(flake: &Flake, machine: &str, dir: &Path) -> anyhow::Result<()> {
    let settings = |what: &str| {
        flake.eval(&[&format!("nixosConfigurations.{machine}.config.services.{what}")])
    };
    let home = dir.join("home.toml");
    fs::write(&home, toml::to_string(&settings("skep-server.home")?)?)?;
    let mut server = settings("skep-server.settings")?;
    in_folder(&mut server, dir)?;
    let server_toml = dir.join("server.toml");
    fs::write(&server_toml, toml::to_string(&server)?)?;
    let mut agent = settings("skep-agent.settings")?;
    in_folder(&mut agent, dir)?;
    // The authority that the server will make; any will do here.
    if let Some(server) = agent.get_mut("server").and_then(Value::as_object_mut) {
        server.insert("ca_file".to_owned(), Value::from("/etc/ssl/certs/ca-certificates.crt"));
    }
    let agent_toml = dir.join("agent.toml");
    fs::write(&agent_toml, toml::to_string(&agent)?)?;
    let bin = paths::bin_dir(false);
    if !bin.join("skep-server").is_file() || !bin.join("skep-agent").is_file() {
        eprintln!(
            "nix: {machine}'s settings are not read back, as nothing is built: `cargo xtask build` first"
        );
        return Ok(());
    }
    shell::quiet(Command::new(bin.join("skep-server")).arg("check").arg(&server_toml))
        .with_context(|| format!("the server's settings of nix/machines: {machine}"))?;
    let output = Command::new(bin.join("skep-agent"))
        .args(["check", "--config"])
        .arg(&agent_toml)
        .output()
        .context("running skep-agent check")?;
    ensure!(
        output.status.code() != Some(EXIT_CONFIG),
        "the agent's settings of nix/machines: {machine}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Paths of a running machine become paths in a folder, with something in each secret.
fn in_folder(value: &mut Value, dir: &Path) -> anyhow::Result<()> {
    match value {
        Value::String(text) => {
            if let Some((_, name)) =
                text.strip_prefix("/run/credentials/").and_then(|it| it.split_once('/'))
            {
                let secret = dir.join(name);
                fs::write(&secret, "secret")?;
                *text = secret.display().to_string();
            } else if let Some(name) = text.strip_prefix("/etc/skep/") {
                *text = dir.join(name).display().to_string();
            } else if text == "/var/lib/skep" {
                *text = dir.join("data").display().to_string();
            }
            Ok(())
        }
        Value::Array(items) => items.iter_mut().try_for_each(|it| in_folder(it, dir)),
        Value::Object(fields) => fields.values_mut().try_for_each(|it| in_folder(it, dir)),
        _ => Ok(()),
    }
}
