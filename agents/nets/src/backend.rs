//! What this libtorch can do: devices and threads.

use tch::Cuda;
use thorndike_core::{Device, Error, Result};

/// The libtorch device for `device`; `Auto` takes the first CUDA device if there is one.
///
/// # Errors
/// [`Error::Device`] if there is no such device.
pub fn find_device(device: Device) -> Result<tch::Device> {
    let there = Cuda::device_count().max(0) as usize;
    match device {
        Device::Cpu => Ok(tch::Device::Cpu),
        Device::Auto if there == 0 => Ok(tch::Device::Cpu),
        Device::Auto => Ok(tch::Device::Cuda(0)),
        Device::Cuda(n) if n < there => Ok(tch::Device::Cuda(n)),
        Device::Cuda(n) => {
            let why = match there {
                _ if !tch::utils::has_cuda() => "this libtorch has no CUDA".to_owned(),
                0 => "libtorch finds no CUDA device".to_owned(),
                1 => "the only CUDA device is cuda:0".to_owned(),
                _ => format!("the CUDA devices are cuda:0 to cuda:{}", there - 1),
            };
            let what = format!("cuda:{n} is not there; {why}; use device = \"cpu\" or \"auto\"");
            Err(Error::Device(what))
        }
    }
}

/// Lets one tensor operation of the calling thread use at most `threads` threads.
///
/// One is right for the small networks of most agents: an operation takes microseconds, and several runs
/// fill the cores better. The results of a run depend on this number in the last bits, so a program sets
/// it before it builds a network, and in each thread that runs one: some operations (oneDNN's, such as an LSTM)
/// ask for the number of their own thread, which is else that of all cores. (An agent with an LSTM of 32
/// units then took 20 times the processor time, on two busy cores.)
///
/// # Panics
/// If `threads` is 0.
pub fn use_threads(threads: usize) {
    assert!(threads > 0, "no threads to work with");
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
}

/// What was found, for a report.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backend {
    /// Threads that one tensor operation may use.
    pub threads: usize,
    /// Whether matrix products run on Intel's MKL.
    pub mkl: bool,
    /// Whether this libtorch was built with CUDA.
    pub cuda: bool,
    /// CUDA devices it finds.
    pub cuda_devices: usize,
}

impl Backend {
    /// Asks libtorch.
    pub fn detect() -> Self {
        Self {
            threads: tch::get_num_threads().max(0) as usize,
            mkl: tch::utils::has_mkl(),
            cuda: tch::utils::has_cuda(),
            cuda_devices: Cuda::device_count().max(0) as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_there_gets_one_clear_line() {
        let error = find_device(Device::Cuda(99)).unwrap_err().to_string();
        assert!(
            error.starts_with("device: cuda:99 is not there; "),
            "{error}"
        );
        assert!(
            error.ends_with("; use device = \"cpu\" or \"auto\""),
            "{error}"
        );
        if Backend::detect().cuda_devices == 0 {
            assert_eq!(find_device(Device::Auto).unwrap(), tch::Device::Cpu);
        }
    }
}
