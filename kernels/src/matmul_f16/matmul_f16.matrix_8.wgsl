enable f16, subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
const SIDE: u32 = 8u;
//!use common/matrix_f16.wgsl
