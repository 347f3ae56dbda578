/** exp(80) is finite; sigmoid(-80) = 2e-35 is as good as zero. */
fn sigmoid(v: f32) -> f32 { return 1.0 / (1.0 + exp(-max(v, -80.0))); }

fn silu(v: f32) -> f32 { return v * sigmoid(v); }
