/** What WebGPU adapters say of themselves. */

const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|software|basic render/i;

/** Whether an adapter of this name (`DeviceInfo.adapter`) computes on the CPU. */
export const isSoftwareName = (name: string): boolean => SOFTWARE.test(name);

/** Whether an adapter computes on the CPU. */
export function isSoftware(info: GPUAdapterInfo): boolean {
  return info.isFallbackAdapter === true || isSoftwareName(`${info.vendor} ${info.architecture} ${info.device} ${info.description}`);
}

/**
 * The description, which for some drivers is nothing but their version: then the device before it, `nvidia-h200 (NVIDIA: 580.159.04)`. Browsers
 * may say no more than architecture or vendor.
 */
export function adapterName(info: GPUAdapterInfo): string {
  const { vendor, architecture, device, description } = info;
  if (!description || !device || isSoftware(info)) return description || device || architecture || vendor || 'unnamed adapter';
  const letters = (text: string) => text.toLowerCase().replace(/[^a-z0-9]/g, '');
  return letters(description).includes(letters(device)) ? description : `${device} (${description})`;
}
