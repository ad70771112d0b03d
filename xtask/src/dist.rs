//! `cargo xtask dist`: what people install, a Debian package and a tarball of each product.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};
use clap::ValueEnum;

use crate::{build, ebpf, paths, setup, shell, web};

mod deb;
mod licences;
mod product;
mod stage;
mod tarball;

pub(crate) use product::Product;

/// What is shipped is built with this one, in a folder of its own: its flags are other ones.
const PROFILE: &str = "dist";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this one.
    #[arg(long, value_enum)]
    product: Option<Product>,
    /// Package the binaries of a development build: large, slow, and built in no time.
    #[arg(long, conflicts_with_all = ["twice", "bin_dir"])]
    debug: bool,
    /// Build in two folders and compare: the same source makes the same bytes.
    #[arg(long, conflicts_with = "bin_dir")]
    twice: bool,
    /// Cargo's profile; "dist" is what is shipped.
    #[arg(long, default_value = PROFILE, conflicts_with = "debug")]
    profile: String,
    /// Take the binaries from this folder and build nothing.
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
    /// Where the packages go; `dist` in cargo's target folder if left out.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// What one packaging is told.
pub(crate) struct Release {
    pub(crate) version: String,
    /// The source, for configurations, units and licences.
    pub(crate) source: PathBuf,
    pub(crate) bin_dir: PathBuf,
    /// Seconds since 1970, of every file inside.
    pub(crate) epoch: String,
    /// Compressing a debug build takes longer than installing it twice.
    pub(crate) compressed: bool,
    pub(crate) out: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    tools()?;
    let products: Vec<Product> = match args.product {
        Some(product) => vec![product],
        None => Product::value_variants().to_vec(),
    };
    let out = args.out.clone().unwrap_or_else(|| paths::target().join("dist"));
    if args.twice {
        return twice(&args.profile, &products, &out);
    }
    let root = paths::root();
    let bin_dir = match &args.bin_dir {
        Some(dir) => dir.clone(),
        None if args.debug => build::binaries(false)?.bin_dir,
        None => build_in(&root, &paths::target().join("dist-build"), &args.profile, &products)?,
    };
    let release = Release { compressed: !args.debug, ..Release::of(&root, bin_dir, &out)? };
    for file in pack(&release, &products)? {
        println!("{}", file.display());
    }
    Ok(())
}

/// What making a package needs; nothing else of the repository does.
pub(crate) fn tools() -> anyhow::Result<()> {
    for (program, package) in [("dpkg-deb", "dpkg"), ("dpkg-shlibdeps", "dpkg-dev")] {
        if shell::which(program).is_none() {
            setup::package(package)?;
        }
    }
    Ok(())
}

impl Release {
    /// Of this source and these binaries, dated by the last commit or SOURCE_DATE_EPOCH.
    pub(crate) fn of(source: &Path, bin_dir: PathBuf, out: &Path) -> anyhow::Result<Self> {
        let epoch = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(epoch) => epoch,
            Err(_unset) => {
                let mut git = Command::new("git");
                git.current_dir(paths::root()).args(["log", "-1", "--format=%ct"]);
                shell::quiet(&mut git).context("dating the packages; set SOURCE_DATE_EPOCH")?
            }
        };
        let epoch = epoch.trim().to_owned();
        if epoch.parse::<u64>().is_err() {
            bail!("SOURCE_DATE_EPOCH {epoch:?} is no number of seconds since 1970");
        }
        Ok(Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            source: source.to_owned(),
            bin_dir,
            epoch,
            compressed: true,
            out: out.to_owned(),
        })
    }
}

/// Makes packages, tarballs and their checksums; returns all of them.
fn pack(release: &Release, products: &[Product]) -> anyhow::Result<Vec<PathBuf>> {
    fresh_dir(&release.out)?;
    let mut files = Vec::new();
    for product in products {
        let staged = stage::stage(release, *product)?;
        files.push(deb::pack(release, *product, &staged)?);
        files.push(tarball::pack(release, *product, &staged)?);
        staged.remove()?;
    }
    files.push(checksums(&release.out, &files)?);
    Ok(files)
}

/// Only the Debian package, as tests install it.
pub(crate) fn deb(release: &Release, product: Product) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(&release.out)
        .with_context(|| format!("making {}", release.out.display()))?;
    let staged = stage::stage(release, product)?;
    let file = deb::pack(release, product, &staged)?;
    staged.remove()?;
    Ok(file)
}

fn checksums(dir: &Path, files: &[PathBuf]) -> anyhow::Result<PathBuf> {
    let names = files.iter().filter_map(|it| it.file_name());
    let sums = shell::quiet(Command::new("sha256sum").current_dir(dir).args(names))?;
    let file = dir.join("SHA256SUMS");
    write(&file, &sums)?;
    Ok(file)
}

/// Builds what is shipped. Where it was built is in none of its bytes.
fn build_in(
    source: &Path,
    target: &Path,
    profile: &str,
    products: &[Product],
) -> anyhow::Result<PathBuf> {
    if products.contains(&Product::Server) {
        web::build_in(&source.join("server/web"))?;
    }
    let object = ebpf::build(source)?;
    let home = shell::quiet(Command::new("rustc").args(["--print", "sysroot"]))?;
    let cargo_home = std::env::var("CARGO_HOME").or_else(|_unset| {
        std::env::var("HOME").map(|home| format!("{home}/.cargo")).context("HOME is not set")
    })?;
    let remapped = [
        (target.display().to_string(), "target"),
        (source.display().to_string(), "."),
        (cargo_home, "cargo"),
        (home.trim().to_owned(), "rust"),
    ];
    let flags: Vec<String> =
        remapped.iter().map(|(from, to)| format!("--remap-path-prefix={from}={to}")).collect();
    let mut cargo = shell::cargo();
    cargo.current_dir(source).args(["build", "--locked", "--profile", profile]);
    cargo.arg("--target-dir").arg(target);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    let binaries: BTreeSet<&str> = products.iter().flat_map(|it| it.binaries()).copied().collect();
    for binary in binaries {
        cargo.args(["--package", binary]);
    }
    shell::run(build::with_object(&mut cargo, object.as_ref()))?;
    Ok(target.join(if profile == "dev" { "debug" } else { profile }))
}

fn twice(profile: &str, products: &[Product], out: &Path) -> anyhow::Result<()> {
    let mut made = Vec::new();
    for name in ["first", "a-second-one"] {
        let dir = paths::target().join("dist-twice").join(name);
        fresh_dir(&dir)?;
        let source = dir.join("source");
        copy_source(&source)?;
        let bin_dir = build_in(&source, &dir.join("target"), profile, products)?;
        let release = Release::of(&source, bin_dir, &out.join(name))?;
        pack(&release, products)?;
        let sums = release.out.join("SHA256SUMS");
        made.push(
            fs::read_to_string(&sums).with_context(|| format!("reading {}", sums.display()))?,
        );
    }
    match made.as_slice() {
        [first, second] if first == second => {
            print!("the same bytes twice:\n{first}");
            Ok(())
        }
        differing => bail!("two builds differ:\n{}", differing.join("and\n")),
    }
}

/// What git tracks, as it is now.
fn copy_source(to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("making {}", to.display()))?;
    let mut copy = Command::new("sh");
    copy.current_dir(paths::root()).arg("-c");
    copy.arg(
        "git ls-files -z | tar --null --files-from=- --create | tar --extract --directory=\"$0\"",
    );
    shell::quiet(copy.arg(to)).map(drop)
}

fn fresh_dir(dir: &Path) -> anyhow::Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}
