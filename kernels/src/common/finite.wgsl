// By its bits: WGSL need not honour comparisons with NaN or infinity.
fn finite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u; }
