//! `cargo xtask test`: everything CI needs, in order of how fast it fails.

use std::time::Instant;

use crate::{build, ebpf, nix_check, node_exporter, paths, setup, shell, vm, vmtest, web};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave out the black-box tests (real binaries, browser, Prometheus).
    #[arg(long)]
    unit: bool,
}

type Step<'a> = (&'a str, Box<dyn Fn() -> anyhow::Result<()> + 'a>);

#[expect(clippy::disallowed_methods, reason = "times its steps for a person")]
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let all = Instant::now();
    setup::run(setup::For::Test)?;
    web::build()?;
    let object = ebpf::build(&paths::root())?;
    let fixtures = node_exporter::from_environment()?;
    let cargo = |words: &[&str]| {
        let mut cargo = shell::cargo();
        if let Some(dir) = &fixtures {
            cargo.env(node_exporter::VARIABLE, dir);
        }
        cargo.args(words).env("SKEP_BIN_DIR", paths::bin_dir(false));
        cargo.env("SKEP_TEST_PYTHON", paths::venv().join("bin/python"));
        shell::run(build::with_object(&mut cargo, object.as_ref()))
    };
    let mut steps: Vec<Step<'_>> = vec![
        ("format", Box::new(|| cargo(&["fmt", "--all", "--check"]))),
        (
            "lints",
            Box::new(|| {
                cargo(&["clippy", "--locked", "--all-targets", "--quiet", "--", "-D", "warnings"])
            }),
        ),
        // One selection of packages for every cargo call: another one would change features low
        // in the tree and build DataFusion again.
        ("build", Box::new(|| cargo(&["build", "--locked", "--all-targets", "--quiet"]))),
        ("page tests", Box::new(web::test)),
        ("NixOS", Box::new(|| nix_check::run(&nix_check::Args::default()))),
        ("unit tests", Box::new(|| cargo(&["test", "--locked", "--quiet", "--lib", "--bins"]))),
    ];
    if !args.unit {
        steps.push((
            "black-box tests",
            Box::new(|| {
                for client in ["tests/browser", "tests/grafana"] {
                    web::install(&paths::root().join(client))?;
                }
                cargo(&["test", "--locked", "--test", "*", "--", "--test-threads=2"])
            }),
        ));
    }
    if let Some(object) = object.as_ref().filter(|_| !args.unit && cfg!(target_arch = "x86_64")) {
        // Whether it takes each program; `cargo xtask vmtest` runs all of the kernel tests.
        let boot =
            || vmtest::test("6.1", &vmtest::payload(object)?, "every_candidate all_programs");
        steps.push(("kernel 6.1", Box::new(boot)));
    }
    if !args.unit {
        steps.push(("guest", Box::new(vm::test_where_possible)));
    }
    let mut times = Vec::new();
    for (name, step) in steps {
        eprintln!("── {name}");
        let started = Instant::now();
        step()?;
        times.push(format!("{name} {}", shell::human(started.elapsed())));
    }
    eprintln!("── all passed in {} ({})", shell::human(all.elapsed()), times.join(", "));
    Ok(())
}
