//! Embeds the page anew when it was built anew.

fn main() {
    // While the folder is missing cargo runs this at every build, which is how it sees it appear.
    println!("cargo::rerun-if-changed=web/dist");
}
