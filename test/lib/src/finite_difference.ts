/** Central differences of a scalar function of an f64 array: g[i] = (f(x + h e_i) - f(x - h e_i)) / 2h. */
export function centralDifferences(f: (x: Float64Array) => number, x: Float64Array, h = 1e-5): Float64Array {
  return x.map((_, i) => {
    const at = (step: number) => f(x.map((v, j) => (j === i ? v + step : v)));
    return (at(h) - at(-h)) / (2 * h);
  });
}
