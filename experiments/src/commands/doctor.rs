use std::thread::available_parallelism;

use thorndike_core::memory::{available, human};

use super::Outcome;
use super::out::outln;

/// Say what this machine and this build offer, and what to do about what is missing
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_: Args) -> Outcome {
    line("thorndike", env!("CARGO_PKG_VERSION"))?;
    line(
        "executable",
        &std::env::current_exe()?.display().to_string(),
    )?;
    line("processor", &cpu_features())?;
    let cores = available_parallelism().map_or("unknown".into(), |n| n.to_string());
    line(
        "cores",
        &format!("{cores} (one thread a seed, as many seeds at a time)"),
    )?;
    line(
        "memory",
        &available().map_or("unknown".into(), |bytes| {
            format!("{} available", human(bytes))
        }),
    )?;
    tensors()
}

fn line(name: &str, value: &str) -> Outcome {
    outln!("{name:<14} {value}");
    Ok(())
}

fn cpu_features() -> String {
    #[cfg(target_arch = "x86_64")]
    {
        let features = [
            ("avx2", is_x86_feature_detected!("avx2")),
            ("fma", is_x86_feature_detected!("fma")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
        ];
        let there: Vec<_> = features
            .iter()
            .filter(|(_, there)| *there)
            .map(|(name, _)| *name)
            .collect();
        let missing = if features[0].1 {
            ""
        } else {
            "; without avx2 networks are slow"
        };
        format!(
            "x86_64 with {}{missing}",
            if there.is_empty() {
                "no vector features".into()
            } else {
                there.join(", ")
            }
        )
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        std::env::consts::ARCH.to_owned()
    }
}

#[cfg(feature = "torch")]
fn tensors() -> Outcome {
    let backend = thorndike_nets::Backend::detect();
    match libtorch_folder() {
        Some(folder) => {
            let version = std::fs::read_to_string(folder.join("build-version"));
            let version = version.as_deref().map_or("of unknown version", str::trim);
            line("libtorch", &format!("{version} in {}", folder.display()))?;
        }
        None => line("libtorch", "linked; its folder is not known on this system")?,
    }
    let products = if backend.mkl {
        "with MKL"
    } else {
        "without MKL: matrix products are slower"
    };
    line(
        "",
        &format!("{products}; {} thread for each operation", backend.threads),
    )?;
    let cuda = match (backend.cuda, backend.cuda_devices) {
        (false, _) => {
            "none: this libtorch is built without CUDA; set LIBTORCH to one that has it".to_owned()
        }
        (true, 0) => "none found; check the driver with nvidia-smi".to_owned(),
        (true, n) => format!("{n} (device = \"cuda:0\" to \"cuda:{}\")", n - 1),
    };
    line("CUDA devices", &cuda)
}

/// Where the loaded libtorch lies.
#[cfg(feature = "torch")]
fn libtorch_folder() -> Option<std::path::PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps
        .lines()
        .find(|line| line.ends_with("libtorch_cpu.so"))?;
    let library = std::path::Path::new(&line[line.find('/')?..]);
    Some(library.parent()?.parent()?.to_owned())
}

#[cfg(not(feature = "torch"))]
fn tensors() -> Outcome {
    line(
        "libtorch",
        "not in this build: build with the feature `torch` (the default) for the DQN family",
    )
}
