enable f16, subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
alias elem = f32;
//!use common/qmatmul_io.wgsl
const SIDE: u32 = 8u;
//!use common/matrix_frozen.wgsl
