/**
 * Flags of `create` of the npm package `webgpu`, Dawn in Node. Timestamps as the device gives them: by default Dawn rounds them to 65.5 us, against
 * pages that spy. `experimental`: subgroup matrices.
 */
export function dawnFlags(experimental: boolean): string[] {
  const flags = ['disable-dawn-features=timestamp_quantization'];
  return experimental ? [...flags, 'enable-dawn-features=allow_unsafe_apis'] : flags;
}
