//! Networks, optimisers and feature extractors on libtorch
