//!use common/row_lanes.wgsl
// A row in the registers of `lanes` threads, in blocks of four vec4 each, lanes apart (heldRows in lanes.ts): loads and stores of a forward from x to y
// and of its backward to dx. The including file declares x, y and dx, arrays of vec4<elem>, and load_saved(first, n, at) of what was saved.
// `first`: where the row begins; n: its vec4; `at`: the first of a thread's four. Loads past the end take the last, stores leave it out.

fn load_x(first: u32, n: u32, at: u32) -> vec4f { return vec4f(x[first + min(at, n - 1u)]); }

fn block_of_x(first: u32, n: u32, at: u32) -> mat4x4f {
  return mat4x4f(
    load_x(first, n, at), load_x(first, n, at + lanes), load_x(first, n, at + 2u * lanes), load_x(first, n, at + 3u * lanes),
  );
}

fn block_of_saved(first: u32, n: u32, at: u32) -> mat4x4f {
  return mat4x4f(
    load_saved(first, n, at), load_saved(first, n, at + lanes),
    load_saved(first, n, at + 2u * lanes), load_saved(first, n, at + 3u * lanes),
  );
}

fn store_y(first: u32, n: u32, at: u32, v: mat4x4f) {
  if (at < n) { y[first + at] = vec4<elem>(v[0]); }
  if (at + lanes < n) { y[first + at + lanes] = vec4<elem>(v[1]); }
  if (at + 2u * lanes < n) { y[first + at + 2u * lanes] = vec4<elem>(v[2]); }
  if (at + 3u * lanes < n) { y[first + at + 3u * lanes] = vec4<elem>(v[3]); }
}

fn store_dx(first: u32, n: u32, at: u32, v: mat4x4f) {
  if (at < n) { dx[first + at] = vec4<elem>(v[0]); }
  if (at + lanes < n) { dx[first + at + lanes] = vec4<elem>(v[1]); }
  if (at + 2u * lanes < n) { dx[first + at + 2u * lanes] = vec4<elem>(v[2]); }
  if (at + 3u * lanes < n) { dx[first + at + 3u * lanes] = vec4<elem>(v[3]); }
}
