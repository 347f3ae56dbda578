/**
 * Flags of `create` of the npm package `webgpu`, Dawn in Node. Timestamps as the device gives them: by default Dawn rounds them to 65.5 us, against
 * pages that spy. `experimental`: subgroup matrices, and on Vulkan with NVIDIA f16, without which their f16 sizes are not offered; Dawn holds it back
 * on drivers before 615.71 for failures in its conformance tests (https://crbug.com/42251215).
 */
export function dawnFlags(experimental: boolean): string[] {
  const flags = ['disable-dawn-features=timestamp_quantization'];
  return experimental ? [...flags, 'enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia'] : flags;
}
